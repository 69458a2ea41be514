"""What is remembered, and how a regression batch is drawn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtwin.config.option_specs import prioritise_choice, sequence_steps
from qtwin.config.rates_of import budget
from qtwin.errors import Refusal
from qtwin.replay.size import in_frames

if TYPE_CHECKING:
    from qtwin.config.config import Config
    from qtwin.envs.spec import EnvSpec
    from qtwin.replay.base import Replay


def remember(env: EnvSpec, c: Config) -> Replay:
    """The memory that a run asks for: a recorded data set, the cycle's own transitions, or a ring.

    Args:
      env: what a data set is checked against.
      c: ``data`` names a data set; ``replay`` is a ring's size, and 0 the latest transitions only.
    """
    if c.data:
        from qtwin.replay.dataset import dataset, load_dataset

        return dataset(load_dataset(c.data, env), c.batch, c.discount, c.n_step)
    if c.batch == 0:
        raise Refusal("a batch of 0 is the whole data set and needs one; write --data FILE, or --batch 128")
    if c.replay == 0:
        from qtwin.replay.latest import latest

        if c.n_step != 1:
            raise Refusal(
                f"a replay of 0 keeps no successors to add up and gives 1-step transitions, but n-step {c.n_step} came;"
                " write --n-step 1, or --replay 10000"
            )
        return latest(c.batch, c.discount)
    if in_frames(env):
        from qtwin.replay.frames import frame_ring

        plain = frame_ring(env, c.replay, c.batch, c.discount, c.n_step, sequence_steps(c))
    else:
        from qtwin.replay.ring import ring

        plain = ring(c.replay, c.batch, c.discount, c.n_step, sequence_steps(c))
    if not c.prioritise:
        return plain
    from qtwin.replay.priority import prioritised

    alpha, *beta = prioritise_choice(c.prioritise)
    return prioritised(plain, alpha, tuple(beta), budget(c), max(c.n_step, sequence_steps(c)))
