"""The recorder: writes data sets that `qtwin.replay.dataset` reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from qtwin.envs.base import HostEnv
from qtwin.envs.fit import mismatch
from qtwin.envs.preprocessing import as_learned_from
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.interrupts import poll
from qtwin.replay.dataset import save_dataset
from qtwin.replay.size import bytes_per_transition
from qtwin.run.policy import load
from qtwin.storage.console import safe
from qtwin.storage.files import new_file
from qtwin.storage.sizes import free_bytes, size
from qtwin.types import Array, Timestep

ENVS = 8  # environments stepped together
COPIES = 3  # of a recording in memory: as it comes, environment by environment, and flat


def run(
    env: str,
    out: str,
    steps: int | None = None,
    policy: str = "random",
    seed: int = 0,
    epsilon: float = 0.0,
    every_outcome: bool = False,
    shown: str | None = None,
) -> int:
    """``qtwin record``: records a data set, says so, and returns the exit code.

    Args:
      env: the environment's name.
      out: the file to write; it must not exist.
      steps: how many transitions; not needed with ``every_outcome``.
      policy: "random", or a run's directory whose policy acts.
      seed: of the recording.
      epsilon: how often the policy's action is replaced by a random one.
      every_outcome: write each outcome of each action in each state once, in place of what happens to come.
      shown: the file, as it is to be shown.
    """
    from qtwin.envs.catalog import resolve
    from qtwin.run.devices import prepare
    from qtwin.run.evaluate import judged_in
    from qtwin.run.policy import read_description

    new_file(out)
    spec = resolve(env) if policy == "random" else judged_in(read_description(Path(policy)), env)
    if every_outcome:
        _, count = enumerate_outcomes(spec, out)
    else:
        if steps is None:
            raise Refusal("a recording needs a number of transitions and none came; write --steps 10000")
        prepare(1)
        from qtwin.envs.make import host_env

        _room(spec, steps)
        chosen, behaviour = None, "random"
        if policy != "random":
            chosen, behaviour = _policy(policy, spec), f"epsilon {epsilon:g} of {Path(policy).name}"
        if spec.preprocessing:
            told = f"preprocessing {spec.preprocessing}, {as_learned_from(spec.preprocessing)}"
            behaviour = f"{behaviour}; {told}"
            print(safe(told))
        envs = host_env(spec)(max(1, min(ENVS, steps)))
        try:
            record(envs, steps, chosen, seed, out, epsilon, behaviour)
        finally:
            envs.close()
        count = steps
    print(safe(f"{count:,} transitions of {spec.id} recorded in {shown or out}"))
    return 0


def record(
    env: HostEnv,
    steps: int,
    policy: Callable[[Array], Array] | None,
    seed: int,
    path: str | Path,
    epsilon: float = 0.0,
    behaviour: str = "",
) -> Path:
    """Lets a policy act and writes what happens.

    The streams of the N environments stand one behind another in the file; each is closed by a row marked ``last``,
    which, where the episode was still under way, means that it was truncated there.

    Args:
      env: N environments; ``qtwin.envs.make.host_env(spec)(N)`` makes them of any kind.
      steps: transitions to record, over all environments. [transitions]
      policy: ``obs [N, *obs_shape] -> actions [N]``, continuous [N, A] in [-1, 1]; None acts uniformly at random.
      seed: of the environments and of every random action.
      path: a new file.
      epsilon: with this probability an action is random, else the policy's.
      behaviour: the policy in words.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise Refusal(f"a recording has at least 1 transition, not {steps}; write --steps 10000")
    if not 0.0 <= epsilon <= 1.0:
        raise Refusal(f"epsilon is a number between 0 and 1, not {epsilon}; write --epsilon 0.1")
    path = new_file(path)
    rows, valid, count = [], [], 0
    random = np.random.default_rng(seed)
    obs = env.reset(seed)
    while count < steps:
        action = _at_random(env, random)
        if policy is not None:
            explores = random.random(env.num_envs) < epsilon
            chosen = _within(np.asarray(policy(np.asarray(obs))), env.spec)
            action = np.where(explores[:, None] if env.spec.continuous else explores, action, chosen)
        action = action.astype(env.spec.action_dtype)
        poll()
        following, outcome, is_step = env.step(action)
        row = (obs, action, outcome.reward, outcome.discount, outcome.next_obs, outcome.last)
        kinds = (env.spec.obs_dtype, env.spec.action_dtype, "float32", "float32", env.spec.obs_dtype, "bool")
        rows.append(Timestep(*(np.array(column, kind) for column, kind in zip(row, kinds, strict=True))))
        valid.append(np.ones(env.num_envs, bool) if is_step is None else np.array(is_step, bool))
        count += int(valid[-1].sum())
        obs = following
    # The last vector step may hold more than was asked for.
    valid[-1][np.flatnonzero(valid[-1])[valid[-1].sum() - (count - steps) :]] = False
    chunk, kept = Timestep(*(np.stack(column, axis=1) for column in zip(*rows, strict=True))), np.stack(valid, axis=1)
    flat = Timestep(*(column[kept] for column in chunk))  # [N, T] to [steps], stream after stream
    ends = np.cumsum(kept.sum(axis=1)) - 1
    flat.last[ends[kept.any(axis=1)]] = True
    return save_dataset(path, flat, env.spec, behaviour or "random", seed)


def enumerate_outcomes(spec: EnvSpec, path: str | Path) -> tuple[Path, int]:
    """Writes every outcome of every action in every state once, so that frequencies are the true probabilities.

    Fitted Q-iteration on the whole of it is value iteration. Every row stands for itself: it ends where it begins, and
    is bootstrapped unless it is terminal.

    Returns:
      the file and the number of its rows.

    Raises:
      Refusal: the environment's model is not known, or an action's outcomes are not equally likely.
    """
    from qtwin.envs.models import model

    known = model(spec)
    for state, action in sorted(set(zip(known.state.tolist(), known.action.tolist(), strict=True))):
        likely = known.probability[(known.state == state) & (known.action == action)]
        if not np.allclose(likely, likely[0], rtol=1e-6):
            raise Refusal(
                f"--enumerate writes each outcome once and needs them equally likely, and action {action} in state"
                f" {state} of {spec.id} has the probabilities {', '.join(f'{p:g}' for p in likely)}; write --steps"
                " 10000 in its place"
            )
    kind = np.dtype(spec.obs_dtype)
    rows = Timestep(
        known.state.astype(kind), known.action, known.reward, known.discount, known.then.astype(kind),
        np.ones(len(known.state), bool),
    )  # fmt: skip
    return save_dataset(path, rows, spec, "every outcome once", 0), len(known.state)


def _room(spec: EnvSpec, steps: int) -> None:
    """Refuses a recording that does not fit into the memory, where it is put together before it is written."""
    each, free = COPIES * bytes_per_transition(spec), free_bytes()
    if free is not None and steps * each > free:
        raise Refusal(
            f"{steps:,} transitions of {spec.id} take {size(steps * each)} of memory until they are written, and"
            f" {size(free)} are free; write --steps {free // each} or fewer"
        )


def _policy(name: str, spec: EnvSpec) -> Callable[[Array], Array]:
    """The policy of the run ``name``; refuses one that cannot act in ``spec``."""
    policy = load(name)
    if field := mismatch(spec, policy.spec):
        raise Refusal(
            f"{spec.id} needs a policy with {field} {getattr(spec, field)}, and that of {name} has"
            f" {getattr(policy.spec, field)}"
        )
    return policy.inside


def _at_random(env: HostEnv, random: np.random.Generator) -> Array:
    """Uniformly random actions: [N] whole numbers, or [N, A] in [-1, 1]."""
    if env.spec.continuous:
        return random.uniform(-1.0, 1.0, (env.num_envs, *env.spec.action_shape))
    return random.integers(0, env.spec.num_actions, env.num_envs)


def _within(actions: Array, spec: EnvSpec) -> Array:
    """A policy's actions; refuses continuous ones outside [-1, 1], such as those in the environment's own units."""
    if spec.continuous and not (np.abs(actions) <= 1.0).all():
        came = actions.ravel()[np.argmax(np.abs(actions))]
        raise Refusal(
            f"a recording in {spec.id} needs actions between -1 and 1, and {came:g} came; hand in the 'inside' of a"
            " policy that qtwin.load gives, or rescale what yours gives"
        )
    return actions
