"""Exploration: acting with action values, and schedules of epsilon."""

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

Act = Callable[[Variables, Array, Array, Array], Array]  # of an agent: (variables, obs, epsilon, key) -> action
LONGEST = 10_000  # longest duration of a random action, in steps; with exponent 2 one in 16,000 would be longer


def epsilon_greedy(q: Array, epsilon: Array, key: Array) -> Array:
    """With probability epsilon a uniformly random action, else the greedy one (ties go to the first).

    Args:
      q: action values. [N, A]
      epsilon: probability of a random action. []
      key: a key that is not used elsewhere.

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
    """The initial state: no random action in progress in any environment; () where ``zeta`` is 0."""
    if not zeta:
        return ()
    return Held(jnp.zeros(envs, jnp.int32), jnp.zeros(envs, jnp.int32))


def lengths(exponent: float, key: Array, count: int) -> Array:
    """Samples of a zeta distribution, P(n) proportional to n^-exponent, truncated at `LONGEST`: [count] int32."""
    mass = np.arange(1, LONGEST + 1, dtype=np.float64) ** -exponent
    below = jnp.asarray(np.cumsum(mass)[:-1] / mass.sum(), jnp.float32)
    return 1 + jnp.searchsorted(below, jax.random.uniform(key, (count,)), side="right").astype(jnp.int32)


def ez_greedy(act: Act, exponent: float, num_actions: int) -> Callable:
    """Epsilon-greedy with repeated random actions (Dabney, Ostrovski and Barreto 2021, "Temporally-extended
    epsilon-greedy exploration", algorithm 1). Where no random action is in progress, one starts with probability
    epsilon; it is drawn uniformly, repeated for a number of steps drawn from a zeta distribution, and continues across
    episode boundaries.

    Args:
      act: the agent's ``act``, called with epsilon 0 for the greedy action.
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
    """Selects actions by a network's values: epsilon-greedy, or greedy with the network's noise where it has noisy
    layers (NoisyNet, Fortunato et al. 2018, section 3.1), which is off where ``explore`` is 0. Each environment has an
    independent sample of the noise; with one for all of them they would explore in the same way.

    Args:
      net: the network.
      variables: its variables.
      inputs: the network's inputs, observations [N, ...].
      explore: epsilon; for a noisy network any value other than 0 turns the noise on. []
      key: a key that is not used elsewhere.
      values: maps the network's output to action values [N, A].

    Returns:
      actions. [N] int32
    """
    if net.noisy is None:
        return epsilon_greedy(values(net.apply(variables, inputs)), explore, key)
    draw = net.noisy_each or net.noisy
    noisy, plain = lambda: draw(variables, inputs, key), lambda: net.apply(variables, inputs)
    return jnp.argmax(values(jax.lax.cond(explore > 0, noisy, plain)), axis=-1).astype(jnp.int32)


def uniform_actions(env: EnvSpec, count: int, key: Array) -> Array:
    """Uniformly random actions, used during warm-up: [count] int32, or [count, A] in [-1, 1]."""
    _, what = jax.random.split(key)
    if env.continuous:
        return jax.random.uniform(what, (count, *env.action_shape), jnp.float32, -1.0, 1.0)
    return integers(what, (count,), env.num_actions)


def gaussian(action: Array, sigma: Array, key: Array) -> Array:
    """A deterministic action with Gaussian noise, clipped to the bounds (Fujimoto et al. 2018, algorithm 1).

    Args:
      action: the actor's action, in [-1, 1]. [N, A]
      sigma: the standard deviation of the noise, in units of half the action's range. []
      key: a key that is not used elsewhere.
    """
    chex.assert_rank([action, sigma], [2, 0])
    return jnp.clip(action + sigma * noise(key, action.shape), -1.0, 1.0)


def linear(start: float, end: float, over: int, begin: int = 0) -> Callable[[Array], Array]:
    """Linear decay of epsilon from ``start`` to ``end`` over ``over`` transitions; constant afterwards.

    Args:
      start, end: epsilon.
      over: duration of the decay. [transitions]
      begin: number of transitions before the decay starts. [transitions]

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
    """Constant epsilon."""
    return lambda transitions: jnp.float32(value)


def parse(spec: str, steps: int, warmup: int = 0) -> Callable[[Array], Array]:
    """The schedule given by ``START:END:OVER[:after-warmup]``, with a budget of ``steps`` transitions.

    Args:
      spec: as written after ``--explore``.
      steps: the budget, of which OVER may be a fraction. [transitions]
      warmup: length of the warm-up. [transitions]
    """
    chosen = explore_choice(spec, steps)
    if not chosen.over:
        return constant(chosen.end)
    return linear(chosen.start, chosen.end, chosen.over, warmup if chosen.after_warmup else 0)


def schedule(c: Config) -> Callable[[Array], Array]:
    """The exploration schedule of a run, ``transitions [] -> epsilon []``."""
    return parse(c.explore, horizon(c), warmup_of(c))
