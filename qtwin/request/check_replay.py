"""What is remembered, checked before JAX is imported: a recording, a replay, images on the disk."""

from __future__ import annotations

from qtwin.agents.catalog import agent_of
from qtwin.config import option_specs
from qtwin.config.config import Config
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.replay.size import in_frames


def check_data(c: Config, spec: EnvSpec) -> None:
    """Refuses a recording that does not fit: the options beside it, its own contents."""
    if c.collect:
        raise Refusal(f"with --data nothing is collected, and --collect {c.collect} came; leave one of them out")
    if not agent_of(c.agent).offline:
        raise Refusal(f"the agent {c.agent} learns from what it does, not from --data; write --agent fqi")
    from qtwin.replay.dataset import load_dataset

    load_dataset(c.data, spec)


def check_memory(c: Config, transitions: int, warmup: int) -> None:
    """Refuses a replay too small for what is to be drawn from it.

    Args:
      c: the run.
      transitions: those of one cycle.
      warmup: transitions before the first batch.
    """
    if c.batch == 0:
        raise Refusal("a batch of 0 is a whole recording, which needs --data FILE; write --batch 128")
    if c.replay == 0:
        if c.n_step > 1:
            raise Refusal(f"with --replay 0 a target spans 1 step, and --n-step {c.n_step} came; write --replay 10000")
        if c.batch > transitions:
            raise Refusal(
                f"with --replay 0 the cycle's own {transitions} transitions are remembered and a batch needs {c.batch};"
                f" write --batch {transitions} or less, or --replay 10000"
            )
        return
    replay = min(c.replay, c.steps) if agent_of(c.agent).keeps == "everything" else c.replay
    if replay < c.batch:
        raise Refusal(
            f"the replay holds {replay} transitions and a batch needs {c.batch}; write --replay {c.batch} or more, or"
            f" --batch {replay} or less"
        )
    span = max(c.n_step, option_specs.sequence_steps(c))
    least = max(transitions, span * c.envs)
    if replay < least:
        raise Refusal(
            f"the replay holds {replay} transitions and a cycle with {c.envs} environments needs {least}; write"
            f" --replay {least} or more, or fewer --envs"
        )
    if warmup + transitions < span * c.envs:
        raise Refusal(
            f"the first batch is drawn after {warmup + transitions} transitions, and {span} steps of {c.envs}"
            f" environments are {span * c.envs}; write --warmup {span * c.envs}"
        )


def check_frames(c: Config, spec: EnvSpec, files: bool) -> None:
    """Refuses images on the disk where no images are kept, or no ``files`` are written."""
    if not files:
        raise Refusal("images on the disk lie in the run directory, and out=None writes none; leave frames out")
    if not in_frames(spec) or c.data or not c.replay:
        why = "no replay is kept" if in_frames(spec) else f"{spec.id} has observations that are no images of uint8"
        raise Refusal(f"--frames disk puts remembered images on the disk, and {why}; leave it out")
