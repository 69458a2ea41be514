"""Row 7 of docs/reliability.md: an environment of a vector raises, dies or hangs; it is replaced, the others go on."""

import time

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting_env import Counting, Making
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from worlds import little_dqn

from qtwin.cli import main
from qtwin.engine.hosted import hosted
from qtwin.envs.guard import Guarded
from qtwin.envs.gym_envs import spec_of
from qtwin.envs.gym_vector import GymVector
from qtwin.envs.supervised import IN_A_ROW, Supervised
from qtwin.errors import Broken
from qtwin.run.logs import read_points

SPEC = spec_of("gym:Counting", Counting.observation_space, Counting.action_space, 7)


def vector(envs=3, apart=False, timeout=None, drop=False, said=None, **kwargs):
    report = (lambda line: None) if said is None else said.append
    return Guarded(GymVector(Supervised(SPEC.id, Making(**kwargs), envs, apart, timeout, drop, report), SPEC))


def played(env, steps=12):
    env.reset(0)
    rows = []
    for _ in range(steps):
        obs, outcome, valid = env.step(np.zeros(env.num_envs, np.int32))
        rows.append((obs, *outcome, None if env.lost is None else env.lost.copy(), valid))
    env.close()
    return rows


def test_without_faults_it_is_gymnasiums_own_vector():
    """Step by step, here and apart."""
    own = SyncVectorEnv([Making()] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    expected = played(Guarded(GymVector(own, SPEC)))
    for apart in (False, True):
        for ours, theirs in zip(played(vector(apart=apart)), expected, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(ours[:5], theirs[:5], strict=True))
            assert ours[5:] == (None, None)


@pytest.mark.parametrize(
    ("fault", "apart", "says"),
    [
        ("raise", False, "raised ZeroDivisionError: the pole is gone in step"),
        ("nan", False, "gave nan as reward"),
        ("raise", True, "raised ZeroDivisionError: the pole is gone in step"),
        ("die", True, "died (exit code 3)"),
        ("hang", True, "has not come back from a step in time"),
    ],
)
def test_one_is_lost_and_the_others_lose_nothing(fault, apart, says):
    said = []
    env, sound = vector(fault=fault, apart=apart, timeout=3.0 if apart else None, drop=True, said=said), vector()
    began = time.monotonic()
    rows, expected = played(env), played(sound)
    assert time.monotonic() - began < 15  # dead at once, hung at the time-out, with two processes' start
    for step, (ours, theirs) in enumerate(zip(rows, expected, strict=True)):
        obs, _, _, _, last, lost, valid = ours
        assert (lost is None) == (step != 4)
        for a, b in zip(ours[:5], theirs[:5], strict=True):
            assert np.array_equal(a[[0, 2]], b[[0, 2]])
        if lost is not None:
            assert lost.tolist() == [False, True, False]
            assert valid.tolist() == [True, False, True]
            assert not last.any()
            assert obs[1].tolist() == [0.0, 0.0]  # a new environment's first
    assert rows[5][0][1].tolist() == [1.0, 1.0]
    assert len(said) == 1
    assert "environment 1 of gym:Counting" in said[0]
    assert says in said[0]
    assert env.lost_so_far == 1


def test_one_that_is_lost_again_and_again_ends_the_run():
    said = []
    env = vector(fault="raise", at=2, again=True, said=said)
    with pytest.raises(Broken, match=f"was lost {IN_A_ROW + 1} times in a row, the last time it raised ZeroDivision"):
        played(env, 50)
    assert len(said) == IN_A_ROW


@pytest.mark.parametrize("n_step", [1, 3])
def test_its_episode_is_truncated_after_its_last_whole_step(n_step):
    """In the replay: no return spans the loss, all that the others did is there, and counts are exact."""
    algorithm = little_dqn(replay=4096, n_step=n_step)
    env = vector(envs=2, fault="raise", at=5, last=1000)
    engine = hosted(algorithm, env, overlap=False)
    state = engine.warm_up(engine.init(0), 20)
    ring = getattr(state.replay, "ring", state.replay)
    assert int(state.clock.transitions) == 40 == int(ring.size)
    data = jax.tree.map(lambda column: np.asarray(column)[:40], ring.data)
    assert np.isfinite(data.reward).all()
    truncated = np.flatnonzero(data.last)
    assert len(truncated) == 1
    assert data.next_obs[truncated[0]].tolist() == [4.0, 4.0]
    assert (data.discount[truncated] == 1).all()
    for row in range(40):  # a step is followed by its own environment's next one, or by none
        assert (data.next_obs[row] - data.obs[row] == 1).all()
    if n_step > 1:
        found = algorithm.replay.ragged().at(state.replay, jnp.arange(30))
        spans = np.asarray(found.next_obs[:, 1] - np.asarray(data.obs)[:30, 1])
        assert set(spans) <= {1.0, 2.0, 3.0}
    engine.close()


def test_a_run_goes_on_when_an_environment_dies(tmp_path, capfd):
    """From the command line, each environment apart; one of them ends its process in the middle of the run."""
    gym.register("qtwin-tests/Mortal-v0", entry_point="counting_env:Counting", kwargs={"fault": "die", "at": 30})
    words = (
        "train gym:qtwin-tests/Mortal-v0 --env-mode async --net linear --envs 2 --collect 2 --warmup 100 --replay 500"
        " --batch 8 --steps 400 --n-step 2 --log-points 1 --checkpoints 1 --eval-episodes 1 --quiet"
    )
    try:
        assert main([*words.split(), "--out", str(tmp_path / "run")]) == 0
    finally:
        del gym.registry["qtwin-tests/Mortal-v0"]
    assert "died (exit code 3): another takes its place" in capfd.readouterr().err
    assert read_points(tmp_path / "run" / "metrics.jsonl")[-1]["transitions"] == 400
    assert read_points(tmp_path / "run" / "metrics.jsonl")[-1]["lost_environments"] == [1]
