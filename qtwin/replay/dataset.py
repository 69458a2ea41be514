"""Data sets for offline learning: recorded transitions in a safetensors file, which is checked when it is loaded.

Six arrays of the same length D, with the steps of each environment contiguous and in order: ``obs`` [D, *obs_shape],
``action`` [D] int32 (continuous [D, A] float32, in [-1, 1]), ``reward`` [D] float32, ``discount`` [D] float32 (0 where
next_obs is terminal, else 1), ``next_obs`` [D, *obs_shape], ``last`` [D] bool. The metadata describes the environment
and the recording, as strings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qtwin.envs.fit import SHAPES, mismatch
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, Unusable
from qtwin.replay.base import Replay
from qtwin.storage.files import give_name, new_file, open_regular, parse_json
from qtwin.storage.tensor_files import Held, read_header, read_tensors
from qtwin.types import Array, Timestep, Transition

FORMAT = "qtwin-dataset-1"


class Dataset(NamedTuple):
    """A recorded data set.

    Attributes:
      steps: the recorded steps, flat, as numpy arrays. [D]
      spec: of the environment in which they were recorded.
      behaviour: description of the behaviour policy.
      seed: of the recording.
    """

    steps: Timestep
    spec: EnvSpec
    behaviour: str
    seed: int


class DatasetState(NamedTuple):
    """The data set on the learner's device. [D]"""

    data: Timestep


def dataset(recorded: Dataset, batch: int, gamma: float = 0.99, n_step: int = 1) -> Replay:
    """A read-only replay buffer with a recorded data set, for offline learning.

    Args:
      recorded: from `load_dataset`.
      batch: batch size, sampled uniformly and with replacement; 0 is the whole data set in order. [transitions]
      gamma: the discount factor.
      n_step: steps that a transition spans, or fewer at the end of an episode or of the recording.
    """
    import jax
    import jax.numpy as jnp

    from qtwin.replay.nstep import n_step_transition
    from qtwin.rng import integers

    total = len(recorded.steps.reward)
    if not 0 <= batch <= total:
        raise Refusal(
            f"the data set holds {total} transitions and a batch needs {batch}; write --batch {total} or less, or"
            " --batch 0 for the whole data set"
        )
    if n_step < 1:
        raise Refusal(f"the n-step return needs n of at least 1, not {n_step}; write --n-step 1")
    shapes = jax.tree.map(lambda column: jax.ShapeDtypeStruct(column.shape, column.dtype), recorded.steps)

    def init(example: Timestep, cycle: Any) -> DatasetState:
        del example, cycle
        # Loaded by a callback rather than compiled into the program as a constant.
        return DatasetState(jax.pure_callback(lambda: recorded.steps, shapes, vmap_method="sequential"))

    def add(state: DatasetState, chunk: Timestep) -> DatasetState:
        del state, chunk
        raise Refusal("a data set is learned from as it is, and collected transitions came; write --collect 0")

    def sample(state: DatasetState, key: Array, step: Array) -> Transition:
        del step
        if batch == 0 and n_step == 1:
            row = state.data
            return Transition(row.obs, row.action, row.reward, gamma * row.discount, row.next_obs)
        rows = integers(key, (batch,), total) if batch else jnp.arange(total)
        # The last row of every environment ends an episode, so no return reads a step past the end.
        return n_step_transition(state.data, rows, lambda s, k: jnp.minimum(s + k, total - 1), n_step, gamma)

    return Replay(total, batch or total, init, add, sample, gamma=gamma, n_step=n_step)


def save_dataset(path: str | Path, steps: Timestep, spec: EnvSpec, behaviour: str, seed: int) -> Path:
    """Writes a data set, checked as `load_dataset` checks it.

    Args:
      path: of the new file.
      steps: the steps, flat, those of each environment contiguous and ending with ``last``. [D]
      spec: of the environment in which they were recorded.
      behaviour: description of the behaviour policy.
      seed: of the recording.
    """
    from safetensors.numpy import save_file

    path = new_file(path)
    arrays = {name: np.ascontiguousarray(column) for name, column in steps._asdict().items()}
    _check(str(path), arrays, spec)
    metadata = {
        "format": FORMAT, "env": spec.id, "obs_shape": json.dumps(list(spec.obs_shape)), "obs_dtype": spec.obs_dtype,
        "num_actions": "" if spec.continuous else str(spec.num_actions),
        "num_states": "" if spec.num_states is None else str(spec.num_states),
        "transitions": str(len(arrays["reward"])), "behaviour": behaviour, "seed": str(seed),
    }  # fmt: skip
    if spec.continuous:
        metadata |= {side: json.dumps(list(getattr(spec, side))) for side in ("action_low", "action_high")}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(arrays, unfinished, metadata=metadata)
        give_name(unfinished, path)
    except FileExistsError:  # another process has written it meanwhile
        new_file(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def load_dataset(path: str | Path, spec: EnvSpec | None = None) -> Dataset:
    """Reads a data set and checks it.

    A recording that stops within an episode counts as truncated there: its last row is marked ``last``.

    Args:
      path: the file.
      spec: of the environment that it will be used for; None accepts any.

    Raises:
      Refusal: the file does not exist or is not a data set, a field is missing or has an invalid shape or value, or it
        was recorded in another environment. The message names the file, the field, what was expected and what came.
    """
    path = str(path)
    if not Path(path).exists():
        raise Refusal(f"the data set '{path}' does not exist; write one with qtwin record ENV --out {path}")

    def check(held: Mapping[str, Held]) -> None:
        missing = [name for name in Timestep._fields if name not in held]
        if missing:
            raise Refusal(
                f"the data set '{path}' needs the arrays {', '.join(Timestep._fields)}, and has no {missing[0]}"
            )
        if spec is not None:
            _same_environment(path, recorded_in, spec)
        _check_forms(path, held, recorded_in)

    try:
        with open_regular(path) as file:
            metadata = read_header(file, path).metadata
        recorded_in = _spec_of(path, metadata)
        arrays = read_tensors(path, check, names=Timestep._fields)
    except (Unusable, OSError) as error:
        raise Refusal(f"the data set '{path}' is expected to be a safetensors file, and is not one ({error})") from None
    arrays["last"][-1] = True
    _check(path, arrays, recorded_in)
    if str(len(arrays["reward"])) != metadata["transitions"]:
        raise Refusal(
            f"the data set '{path}' says transitions {metadata['transitions']}, and {len(arrays['reward'])} came"
        )
    return Dataset(Timestep(**arrays), recorded_in, metadata["behaviour"], int(metadata["seed"]))


def _spec_of(path: str, metadata: dict[str, str]) -> EnvSpec:
    """The spec of the environment in the file's metadata; refuses metadata that is missing or unreadable."""
    if (came := metadata.get("format")) != FORMAT:
        raise Refusal(f"the data set '{path}' is expected to have the format '{FORMAT}', not '{came}'")

    def field(name: str, read: Any, expected: str) -> Any:
        try:
            return read(metadata[name])
        except (KeyError, ValueError, TypeError):
            came = f"'{metadata[name]}'" if name in metadata else "nothing"
            raise Refusal(f"the data set '{path}' is expected to have {expected} as {name}, and {came} came") from None

    def shape(text: str) -> tuple[int, ...]:
        sizes = parse_json(text.encode())
        if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError
        return tuple(sizes)

    def count(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise ValueError
        return int(text)

    field("transitions", count, "a whole number of at least 1")
    field("seed", int, "a whole number")
    field("behaviour", str, "some words")

    def numbers(text: str) -> tuple[float, ...]:
        found = parse_json(text.encode())
        if not isinstance(found, list) or not found or not all(type(number) in (int, float) for number in found):
            raise ValueError
        if not np.isfinite(found).all():
            raise ValueError
        return tuple(map(float, found))

    actions = field("num_actions", lambda text: count(text) if text else None, "a whole number or nothing")
    low = high = ()
    if actions is None:
        low, high = (field(side, numbers, "a list of finite numbers") for side in ("action_low", "action_high"))
        if len(low) != len(high):
            raise Refusal(
                f"the data set '{path}' is expected to have {len(low)} numbers as action_high, as it has as action_low,"
                f" and {len(high)} came"
            )
    return EnvSpec(
        id=field("env", str, "an environment's name"),
        obs_shape=field("obs_shape", shape, "a list of sizes"),
        obs_dtype=field("obs_dtype", lambda text: np.dtype(text).name, "a numpy type"),
        num_actions=actions,
        num_states=field("num_states", lambda text: count(text) if text else None, "a whole number or nothing"),
        action_low=low,
        action_high=high,
    )


def _same_environment(path: str, recorded_in: EnvSpec, asked: EnvSpec) -> None:
    """Refuses a data set of another environment; its home may differ (``gym:CartPole-v1``, ``gymnax:CartPole-v1``)."""
    if recorded_in.id.rpartition(":")[2] != asked.id.rpartition(":")[2]:
        raise Refusal(f"the data set '{path}' was recorded in {recorded_in.id}, and {asked.id} was asked for")
    if field := mismatch(asked, recorded_in, ("obs_dtype", *SHAPES)):
        raise Refusal(
            f"the data set '{path}' is expected to have {field} {getattr(asked, field)} for {asked.id}, and"
            f" {getattr(recorded_in, field)} came"
        )


def _unlike(path: str, field: str, expected: str, came: Any) -> Refusal:
    return Refusal(f"the data set '{path}' is expected to have {expected} in {field}, and {came} came")


def _check_forms(path: str, columns: Mapping[str, Held | np.ndarray], spec: EnvSpec) -> None:
    """Refuses arrays whose dtypes and shapes differ from those of ``spec``; only a file's header is needed."""
    total = columns["reward"].shape[0] if columns["reward"].shape else 0
    if total == 0:
        raise _unlike(path, "reward", "at least one transition", "none")
    forms = {
        "obs": (spec.obs_dtype, spec.obs_shape), "action": (spec.action_dtype, spec.action_shape),
        "reward": ("float32", ()), "discount": ("float32", ()), "next_obs": (spec.obs_dtype, spec.obs_shape),
        "last": ("bool", ()),
    }  # fmt: skip
    for name, (dtype, shape) in forms.items():
        column = columns[name]
        if str(column.dtype) != np.dtype(dtype).name or tuple(column.shape) != (total, *shape):
            expected, came = f"{[total, *shape]} of {dtype}", f"{list(column.shape)} of {column.dtype}"
            raise _unlike(path, name, expected, came)


def _check(path: str, arrays: dict[str, np.ndarray], spec: EnvSpec) -> None:
    """Refuses arrays that cannot have come from ``spec``."""

    def refuse(field: str, expected: str, came: Any) -> None:
        raise _unlike(path, field, expected, came)

    _check_forms(path, arrays, spec)
    total = len(arrays["reward"])
    for name in ("obs", "action", "reward", "next_obs"):
        column = arrays[name]
        if np.issubdtype(column.dtype, np.inexact) and not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column).reshape(total, -1).all(axis=1)))
            refuse(name, "finite numbers", f"one that is not finite (row {row})")
    limits = {} if spec.continuous else {"action": spec.num_actions}
    if spec.continuous and (outside := (np.abs(arrays["action"]) > 1.0).any(axis=1)).any():
        row = int(np.argmax(outside))
        refuse("action", "numbers between -1 and 1", f"{arrays['action'][row].tolist()} (row {row})")
    if spec.num_states is not None:
        limits |= {"obs": spec.num_states, "next_obs": spec.num_states}
    for name, limit in limits.items():
        wrong = (arrays[name] < 0) | (arrays[name] >= limit)
        if wrong.any():
            row = int(np.argmax(wrong))
            refuse(name, f"whole numbers from 0 to {limit - 1}", f"{arrays[name][row]} (row {row})")
    discount, last = arrays["discount"], arrays["last"]
    wrong = (discount != 0) & (discount != 1)
    if wrong.any():
        refuse("discount", "0 or 1", f"{discount[np.argmax(wrong)]:g} (row {int(np.argmax(wrong))})")
    wrong = (discount == 0) & ~last
    if wrong.any():
        refuse("last", "true where discount is 0", f"false (row {int(np.argmax(wrong))})")
    apart = (arrays["next_obs"][:-1] != arrays["obs"][1:]).reshape(total - 1, -1).any(axis=1) & ~last[:-1]
    if apart.any():
        row = int(np.argmax(apart))
        refuse(
            "next_obs", f"row {row} equal to obs of row {row + 1}, since no episode ends there", "another observation"
        )
