"""Exploration: how a value function acts, and how epsilon falls."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from qtwin.acting.policies import noise
from qtwin.config.config import Config
from qtwin.config.option_specs import explore_choice
from qtwin.config.rates_of import horizon, warmup_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.net import Net
from qtwin.rng import integers
from qtwin.state import Held
from qtwin.types import Array, PyTree, Variables

Act = Callable[[Variables, Array, Array, Array], Array]  # an agent's: (variables, obs, epsilon, key) -> action
LONGEST = 10_000  # steps that a random action may last; with exponent 2 one in 16,000 would last longer


def epsilon_greedy(q: Array, epsilon: Array, key: Array) -> Array:
    """With probability epsilon a uniformly random action, else the greedy one (the first of equals).

    Args:
      q: action values. [N, A]
      epsilon: []
      key: a key for this call alone.

    Returns:
      actions. [N] int32

    Examples:
      >>> import jax
      >>> q = jax.numpy.array([[1.0, 2.0], [4.0, 3.0]])
      >>> epsilon_greedy(q, jax.numpy.float32(0.0), jax.random.key(0)).tolist()
      [1, 0]
    """
    chex.assert_rank([q, epsilon], [2, 0])
    which, what = jax.random.split(key)
    greedy = jnp.argmax(q, axis=-1).astype(jnp.int32)
    random = integers(what, greedy.shape, q.shape[-1])
    return jnp.where(jax.random.uniform(which, greedy.shape) < epsilon, random, greedy)


def nothing_held(envs: int, zeta: float) -> Held | tuple:
    """No random action is under way in any of ``envs`` environments; () where ``zeta`` is 0, since none lasts."""
    if not zeta:
        return ()
    return Held(jnp.zeros(envs, jnp.int32), jnp.zeros(envs, jnp.int32))


def lengths(exponent: float, key: Array, count: int) -> Array:
    """Draws from a zeta distribution, P(n) in proportion to n^-exponent, cut at `LONGEST`: [count] int32."""
    mass = np.arange(1, LONGEST + 1, dtype=np.float64) ** -exponent
    below = jnp.asarray(np.cumsum(mass)[:-1] / mass.sum(), jnp.float32)
    return 1 + jnp.searchsorted(below, jax.random.uniform(key, (count,)), side="right").astype(jnp.int32)


def ez_greedy(act: Act, exponent: float, num_actions: int) -> Callable:
    """Epsilon-greedy whose random actions last (Dabney, Ostrovski and Barreto 2021, "Temporally-extended
    epsilon-greedy exploration", algorithm 1): where none is under way, with probability epsilon one begins, drawn
    uniformly and taken for as many steps as a zeta distribution says. It goes on through the end of an episode.

    Args:
      act: an agent's, asked for its greedy action.
      exponent: of the zeta distribution, 2 in the paper.
      num_actions: A.

    Returns:
      ``(variables, obs [N, ...], epsilon [], key, held) -> (action [N] int32, held)``.
    """

    def acting(variables: Variables, obs: Array, epsilon: Array, key: Array, held: Held) -> tuple[Array, Held]:
        which, what, how_long, own = jax.random.split(key, 4)
        envs, busy = held.left.shape[0], held.left > 0
        begins = ~busy & (jax.random.uniform(which, (envs,)) < epsilon)
        random = jnp.where(begins, integers(what, (envs,), num_actions), held.action)
        left = jnp.where(begins, lengths(exponent, how_long, envs), held.left)
        action = jnp.where(busy | begins, random, act(variables, obs, jnp.float32(0.0), own))
        return action, Held(random, jnp.maximum(left - 1, 0))

    return acting


def choose(
    net: Net,
    variables: Variables,
    inputs: PyTree,
    explore: Array,
    key: Array,
    values: Callable[[Array], Array] = lambda out: out,
) -> Array:
    """How an agent acts by the values of its network: epsilon-greedily; or by the network's own noise where it has some
    (NoisyNet, Fortunato et al. 2018, section 3.1), greedily then, and without noise where ``explore`` is 0. Each
    environment has a draw of the noise to itself; one for all of them would make them explore alike.

    Args:
      net: the network.
      variables: its variables.
      inputs: what it takes, observations [N, ...].
      explore: epsilon; with a noisy network anything but 0 is noise. []
      key: a key for this call alone.
      values: what the network gives -> action values [N, A].

    Returns:
      actions. [N] int32
    """
    if net.noisy is None:
        return epsilon_greedy(values(net.apply(variables, inputs)), explore, key)
    draw = net.noisy_each or net.noisy
    noisy, plain = lambda: draw(variables, inputs, key), lambda: net.apply(variables, inputs)
    return jnp.argmax(values(jax.lax.cond(explore > 0, noisy, plain)), axis=-1).astype(jnp.int32)


def uniform_actions(env: EnvSpec, count: int, key: Array) -> Array:
    """Uniformly random actions, as the warm-up takes them: [count] int32, or [count, A] in [-1, 1]."""
    _, what = jax.random.split(key)
    if env.continuous:
        return jax.random.uniform(what, (count, *env.action_shape), jnp.float32, -1.0, 1.0)
    return integers(what, (count,), env.num_actions)


def gaussian(action: Array, sigma: Array, key: Array) -> Array:
    """A deterministic action with noise (Fujimoto et al. 2018, algorithm 1), kept within the bounds.

    Args:
      action: the actor's, in [-1, 1]. [N, A]
      sigma: the noise's standard deviation, in units of half the action's range. []
      key: a key for this call alone.
    """
    chex.assert_rank([action, sigma], [2, 0])
    return jnp.clip(action + sigma * noise(key, action.shape), -1.0, 1.0)


def linear(start: float, end: float, over: int, begin: int = 0) -> Callable[[Array], Array]:
    """Epsilon falls in a straight line from ``start`` to ``end`` over ``over`` transitions, then stays.

    Args:
      start, end: epsilon.
      over: [transitions]
      begin: it stays at ``start`` for so many transitions first. [transitions]

    Examples:
      >>> epsilon = linear(1.0, 0.1, over=100)
      >>> [round(float(epsilon(n)), 2) for n in (0, 50, 200)]
      [1.0, 0.55, 0.1]
    """

    def epsilon(transitions: Array) -> Array:
        since = jnp.maximum(transitions - begin, 0) if begin else transitions
        done = jnp.minimum(since / float(max(over, 1)), 1.0)
        return jnp.float32(start) + jnp.float32(end - start) * done

    return epsilon


def constant(value: float) -> Callable[[Array], Array]:
    """Epsilon stays at ``value``."""
    return lambda transitions: jnp.float32(value)


def parse(spec: str, steps: int, warmup: int = 0) -> Callable[[Array], Array]:
    """The schedule that ``START:END:OVER[:after-warmup]`` asks for, with a budget of ``steps`` transitions.

    Args:
      spec: as it is written after ``--explore``.
      steps: the budget that OVER may be a share of. [transitions]
      warmup: what the warm-up gathers. [transitions]
    """
    chosen = explore_choice(spec, steps)
    if not chosen.over:
        return constant(chosen.end)
    return linear(chosen.start, chosen.end, chosen.over, warmup if chosen.after_warmup else 0)


def schedule(c: Config) -> Callable[[Array], Array]:
    """The exploration schedule of a run, ``transitions [] -> epsilon []``."""
    return parse(c.explore, horizon(c), warmup_of(c))
