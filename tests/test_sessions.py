"""A session that is interrupted, saved and closed, and what can still be asked of it then."""

import os
import signal

import jax
import numpy as np
import pytest
from own_things import Walk

import qtwin
from qtwin.interrupts import Stopped

KW = {"envs": 2, "log_points": 2, "eval_max_steps": 20, "checkpoints": "every:80", "net": "mlp:8", "warmup": 20}
KW |= {"replay": 200, "batch": 4, "collect": 4}


class Interrupting(Walk):
    """Sends its own process SIGINT, once, at its hundredth step."""

    steps = 0

    def step(self, action):
        Interrupting.steps += 1
        if Interrupting.steps == 100:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(action)


def leaves(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_closed_at_a_checkpoint_that_was_due_it_goes_on_with_the_bits_of_one_piece(tmp_path):
    """Environments in Python are made anew at each checkpoint, so that a second one would change what follows."""
    ends = []
    for name, pieces in (("whole", [200]), ("parts", [100, 200])):
        for at in pieces:
            resumes = {"resume": True, "steps": 200} if at > pieces[0] else {"steps": 200, **KW}
            with qtwin.session(Walk, out=tmp_path / name, **resumes) as session:
                session.advance_to(at)
                ends.append(leaves(session.twin))
    assert ends[0] == ends[2] != ends[1]
    assert not list((tmp_path / "parts" / "checkpoints").glob(".*"))


def test_after_a_signal_it_advances_from_where_it_stands(tmp_path):
    with qtwin.session(Interrupting, out=tmp_path / "run", steps=400, **KW) as session:
        Interrupting.steps = 0
        with pytest.raises(Stopped):
            session.advance(300)
        stopped = session.clock.transitions
        assert stopped < 300
        assert session.advance(8).transitions == stopped + 8
        with pytest.raises(qtwin.Refusal, match="that is this process: close its session first"):
            qtwin.session(Interrupting, out=tmp_path / "run", resume=True)
    assert repr(session).endswith("gradient steps, closed)")
    assert session.clock.transitions == stopped + 8
    for use in (
        lambda: session.advance(1_000), lambda: session.evaluate(1), lambda: session.twin, lambda: session.replay,
        session.policy, session.save,
    ):  # fmt: skip
        with pytest.raises(qtwin.Refusal, match="this session is closed"):
            use()
    session.close()


def test_a_replay_buffer_that_cannot_be_written_is_refused(tmp_path):
    with qtwin.session(Walk, steps=100, **KW) as session:
        session.advance(10)
        for file in (tmp_path, tmp_path / "nowhere" / "buffer"):
            with pytest.raises(qtwin.Refusal, match="cannot be written to"):
                session.replay.save(file)
    assert not list(tmp_path.iterdir())
