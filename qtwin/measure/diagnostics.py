"""What can be measured about a twin while it learns, inside the compiled program, on a fixed probe batch.

Every measure is a pure function of arrays, so that numpy can be asked the same question. `read` puts them together for
one seed's state; nothing in it changes the run.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.algorithm import Agent, Algorithm
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, told
from qtwin.measure.catalog import MEASURES
from qtwin.records import imported
from qtwin.rng import stream
from qtwin.state import TrainState
from qtwin.td.targets import q_of_action
from qtwin.twin import Twin, twin
from qtwin.types import Array, Aux, PyTree, Transition, Variables

PROBE = 101  # the stream that the probe batch is drawn from
STATES = 512  # transitions in it, where the replay gives as many
AHEAD = 4  # gradient steps looked ahead to see how much one changes
TAIL = 0.01  # of the singular values' sum, that the effective rank leaves out
DORMANT = 0.1  # of the layer's mean, under which a unit counts as dormant
LAYERS = 16  # distances by layer at most; above, by the network's parts


class Readings(NamedTuple):
    """The diagnostics of one seed, from `read`. All []; None where the agent or its network cannot tell.

    `qtwin.measure.catalog.MEASURES` says what each needs and how it is logged.

    Attributes:
      value_gap: mean |Q - Qbar| over the probe states and all actions.
      greedy_gap: share of probe states in which online and target network have different greedy actions.
      churn: share of probe states whose greedy action changes in one gradient step (Schaul et al. 2022).
      target_change: mean |change of the TD target y| in one gradient step, due target updates included.
      largest_q: largest |Q| on the probe states.
      largest_reward: largest |reward| in the probe batch, of n-step sums where targets have n steps.
      effective_rank: effective rank (srank) of the penultimate features (Kumar et al. 2021).
      rank_limit: upper bound of the effective rank: the smaller of probe states and features.
      dormant: share of dormant hidden units (Sokar et al. 2023).
      spread: standard deviation of the l2-normalised features, times sqrt(d): near 1 is spread out, 0 is collapsed
        (Chen & He 2021, section 4.1, for features of both signs; features after a ReLU have less).
      distances: relative L2 distance between online and target network, per layer.
      outside: the values of registered diagnostics, by name (`qtwin.register`).
    """

    value_gap: Array | None
    greedy_gap: Array | None
    churn: Array | None
    target_change: Array
    largest_q: Array | None
    largest_reward: Array
    effective_rank: Array | None
    rank_limit: Array | None
    dormant: Array | None
    spread: Array | None
    distances: dict[str, Array]
    outside: dict[str, Array]


def probe_of(algorithm: Algorithm, steps_per_cycle: int) -> Callable[[TrainState], Transition]:
    """``state -> batch``: the probe batch, drawn from the replay as it stands; about `STATES` transitions."""
    batch = max(algorithm.replay.batch, 1)

    def draw(s: TrainState) -> Transition:
        drawn = [
            algorithm.replay.sample(s.replay, stream(s.key, PROBE, i), jnp.int32(i % steps_per_cycle))
            for i in range(min(-(-STATES // batch), 64))
        ]
        together = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:STATES], *drawn)
        return together._replace(weight=None, slot=None) if isinstance(together, Transition) else together

    return draw


def read(algorithm: Algorithm, one_step: Callable[[TrainState], TrainState]) -> Callable[..., Readings]:
    """``(state, probe batch) -> Readings``, to be compiled.

    Args:
      algorithm: its values, its hidden layers, its loss.
      one_step: ``state -> state``: a gradient step and what process 2 does after it, with nothing collected.
    """
    return Reader(algorithm.agent, one_step).read


@dataclasses.dataclass(frozen=True)
class Reader:
    """How one seed's state is read.

    Attributes:
      agent: its values, its hidden layers, its loss.
      one_step: as the argument of `read`.
    """

    agent: Agent
    one_step: Callable[[TrainState], TrainState]

    def read(self, s: TrainState, batch: PyTree) -> Readings:
        transition, layers_of = transition_of(batch), self.agent.layers
        first = self.q_and_y(s, batch)
        q, held = first[0], None
        if q is not None:
            held = sum(self.values(copy, batch) for copy in s.twin.targets) / len(s.twin.targets)
        layers = () if layers_of is None else layers_of(s.twin.online, transition.obs)
        features = layers[-1].reshape(layers[-1].shape[0], -1) if layers else None
        churn, target_change = self.look_ahead(s, batch, first)
        return Readings(
            value_gap=None if q is None else jnp.mean(jnp.abs(q - held)),
            greedy_gap=None if q is None else greedy_difference(q, held),
            churn=churn,
            target_change=target_change,
            largest_q=None if q is None else jnp.max(jnp.abs(q)),
            largest_reward=jnp.max(jnp.abs(transition.reward)),
            effective_rank=effective_rank(features) if layers else None,
            rank_limit=jnp.int32(min(features.shape)) if layers else None,
            dormant=dormant_share(layers) if layers else None,
            spread=spread(features) if layers else None,
            distances=layer_distances(s.twin),
            outside=read_outside(self.agent, s.twin, transition),
        )

    def values(self, variables: Variables, batch: PyTree) -> Array | None:
        """Q(s, a) of every action in the probe states. [B, A]"""
        return None if self.agent.values is None else self.agent.values(variables, transition_of(batch).obs)

    def q_and_y(self, s: TrainState, batch: PyTree) -> tuple[Array | None, Array]:
        """The online network's values [B, A], and the TD target y [B]."""
        q = self.values(s.twin.online, batch)
        aux: Aux = self.agent.loss(s.twin, batch, stream(s.key, PROBE, 0))[1]
        return q, aux.td_error + aux.q

    def look_ahead(self, s: TrainState, batch: PyTree, first: PyTree) -> tuple[Array | None, Array]:
        """The mean churn and the mean |change of y| of `AHEAD` gradient steps; ``first`` is `q_and_y` before them."""

        # Only what a gradient step changes goes around the loop: the replay is read where it lies.
        def step(held: PyTree, _) -> tuple[PyTree, PyTree]:
            (clock, pair, memory, optimiser, sibling), (q, y) = held
            now = s._replace(clock=clock, twin=pair, memory=memory, optimiser=optimiser, sibling=sibling)
            after = self.one_step(now)
            later_q, later_y = self.q_and_y(after, batch)
            changed = None if q is None else greedy_difference(q, later_q)
            kept = after.clock, after.twin, after.memory, after.optimiser, after.sibling
            return (kept, (later_q, later_y)), (changed, jnp.mean(jnp.abs(later_y - y)))

        begin = (s.clock, s.twin, s.memory, s.optimiser, s.sibling), first
        changed, moved = jax.lax.scan(step, begin, None, length=AHEAD)[1]
        return None if changed is None else jnp.mean(changed), jnp.mean(moved)


def read_outside(agent: Agent, pair: Twin, batch: Transition) -> dict[str, Array]:
    """What each registered measure says, by name. -> {name: [] float32}

    Raises:
      Refusal: one of them raised, or gave something else than one number.
    """
    found = {}
    for name in MEASURES.outside:
        info = MEASURES[name]
        if info.needs and getattr(agent, info.needs) is None:
            continue
        try:
            value = imported(info.read)(agent, pair, batch)
            value = None if value is None else jnp.asarray(value)
        except Exception as error:
            file = getattr(getattr(info.read, "__code__", None), "co_filename", "")
            raise Refusal(f"the diagnostic '{name}' raised {told(error, os.path.dirname(file))}") from error
        if value is None:
            continue
        if value.shape != () or (not jnp.issubdtype(value.dtype, jnp.number) and value.dtype != bool):
            raise Refusal(
                f"the diagnostic '{name}' gives one number [] for each seed, and an array {list(value.shape)} of"
                f" {value.dtype} came; return for example jnp.mean(...)"
            )
        found[name] = value.astype(jnp.float32)
    return found


def check_outside(algorithm: Algorithm, spec: EnvSpec) -> None:
    """Refuses a registered measure that cannot be read from an algorithm on an environment; nothing is computed."""
    if not MEASURES.outside:
        return
    kinds = (spec.obs_shape, spec.obs_dtype), (spec.action_shape, spec.action_dtype), ((), "float32"), ((), "float32")
    obs, action, reward, discount = (jax.ShapeDtypeStruct((STATES, *shape), dtype) for shape, dtype in kinds)

    def read_once(key: Array, batch: Transition) -> dict[str, Array]:
        online, rule = algorithm.agent.init(key), algorithm.rates.target_update
        pair = twin(online, rule, algorithm.stats_policy, algorithm.target_parts, algorithm.sibling)
        return read_outside(algorithm.agent, pair, batch)

    jax.eval_shape(read_once, jax.random.key(0), Transition(obs, action, reward, discount, obs))


def transition_of(batch: PyTree) -> Transition:
    """The transitions of a batch, which may hold sequences beside them."""
    return getattr(batch, "transition", batch)


def greedy_difference(q: Array, other: Array) -> Array:
    """Share of states whose greedy actions differ. [B, A], [B, A] -> []"""
    return jnp.mean(jnp.argmax(q, axis=-1) != jnp.argmax(other, axis=-1))


def effective_rank(features: Array, tail: float = TAIL) -> Array:
    """srank: the least k with which the k largest singular values hold ``1 - tail`` of their sum. [B, D] -> [] int32

    Kumar et al. (2021), "Implicit under-parameterization inhibits data-efficient deep RL", definition 1.
    """
    singular = jnp.linalg.svd(features, compute_uv=False)
    held = jnp.cumsum(singular) / jnp.maximum(jnp.sum(singular), 1e-30)
    return 1 + jnp.sum(held < 1.0 - tail, dtype=jnp.int32)


def dormant_share(layers: tuple[Array, ...], threshold: float = DORMANT) -> Array:
    """Share of hidden units whose mean |answer| is at most ``threshold`` of their layer's mean. -> []

    Sokar et al. (2023), "The dormant neuron phenomenon in deep RL", definition 3.1; a convolution's unit is a filter.

    Args:
      layers: what each hidden layer answers. [B, ..., D]
    """
    dormant, units = jnp.float32(0.0), 0
    for answers in layers:
        score = jnp.mean(jnp.abs(answers), axis=tuple(range(answers.ndim - 1)))
        dormant += jnp.sum(score <= threshold * jnp.mean(score))
        units += score.shape[0]
    return dormant / units


def spread(features: Array) -> Array:
    """Standard deviation of l2-normalised features, averaged over features, times sqrt(d). [B, D] -> []"""
    length = jnp.linalg.norm(features, axis=1, keepdims=True)
    return jnp.mean(jnp.std(features / jnp.maximum(length, 1e-12), axis=0)) * jnp.sqrt(features.shape[1])


def layer_distances(pair: Twin) -> dict[str, Array]:
    """|theta - thetabar| / |theta| for each layer that has a target of its own, by its name. -> {name: []}"""
    if pair.target_variables is None:
        return {}
    online, target = ({name: v.params[name] for name in pair.parts or v.params} for v in (pair.online, pair.target))
    leaves = [(path, leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(online)[0]]
    gaps: dict[str, list] = {}
    deep = len({path[:-1] for path, _ in leaves}) <= LAYERS
    for (path, ours), theirs in zip(leaves, jax.tree.leaves(target), strict=True):
        names = [str(getattr(key, "key", getattr(key, "idx", key))) for key in path]
        name = ".".join(names[:-1] if deep and len(names) > 1 else names[:1])
        gaps.setdefault(name, []).append((jnp.sum((ours - theirs) ** 2), jnp.sum(ours**2)))
    return {
        name: jnp.sqrt(sum(gap for gap, _ in pairs) / jnp.maximum(sum(size for _, size in pairs), 1e-24))
        for name, pairs in gaps.items()
    }


def value_of(agent: Agent) -> Callable | None:
    """``(variables, obs [E, ...], action [E]) -> Q(s, a) [E]``; None where the agent tells no values."""
    values = agent.values
    if values is None:
        return None
    return lambda variables, obs, action: q_of_action(values(variables, obs), action)
