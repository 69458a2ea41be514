"""An evaluation ends: episodes that do not are cut after so many steps, in both engines after the same number."""

import json

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from worlds import little_dqn, walk

from qtwin.algorithm import Agent
from qtwin.cli import main
from qtwin.engine.evaluation import Referee, Turns, greedy_episodes, host_episodes, player
from qtwin.engine.fleet import fleet_of
from qtwin.engine.played import EVAL_MAX_STEPS, cut_in_words, eval_steps, limit_note
from qtwin.envs.base import JaxEnv, Outcome, Score
from qtwin.envs.catalog import resolve
from qtwin.envs.jax_on_host import host_of
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.lab.grid import Protocol, cells_of
from qtwin.measure.overestimation import Overestimation, judged
from qtwin.run.logs import read_points
from qtwin.run.video import _pictures
from qtwin.types import Variables


def ladder(limit: int | None, ends: int) -> JaxEnv:
    """Counts the steps of its episode; ends after ``ends`` of them where that is not 0. Nothing in it is drawn."""
    spec = EnvSpec("test:ladder", (1,), "float32", 2, time_limit=limit)

    def obs_of(state):
        return state[None].astype(jnp.float32)

    def step(key, state, action):
        reached = state + 1
        last = (reached == ends) & (ends > 0)
        outcome = Outcome(reached.astype(jnp.float32), 1.0 - last.astype(jnp.float32), obs_of(reached), last)
        after = jnp.where(last, 0, reached)
        return after, obs_of(after), outcome

    return JaxEnv(spec, lambda key: (jnp.int32(0), obs_of(jnp.int32(0))), step)


def still(variables, obs, epsilon, key):
    return jnp.zeros(obs.shape[0], jnp.int32)


AGENT = Agent(None, still, None, lambda variables, obs: jnp.full((obs.shape[0], 2), 30.0))


@pytest.mark.parametrize(("ends", "limit", "seats"), [(0, 12, 3), (5, 12, 3), (12, 12, 4), (13, 12, 16)])
def test_law_7_holds_of_evaluation_under_the_cap(ends, limit, seats):
    """Returns, which are cut, and what the values are worth: the same fused and hosted, however seats share them."""
    env, episodes, overestimation = ladder(50, ends), 7, Overestimation(0.5, 50)
    play = jax.jit(lambda key: greedy_episodes(AGENT, env, None, episodes, key, overestimation, limit))
    fused = jax.tree.map(np.asarray, play(jax.random.key(0)))
    host = host_episodes(player(AGENT), host_of(env, seats), None, episodes, (0, 0), overestimation, limit)
    length = min(ends or limit, limit)
    assert fused.returns.tolist() == host.returns.tolist() == [length * (length + 1) / 2] * episodes
    assert fused.cut.tolist() == host.cut.tolist() == [ends in (0, 13)] * episodes
    one, two = judged(fused.ledger), judged(host.ledger)
    assert one == two
    # Of a truncated episode count those states after which 99 % of the weight was still seen: 7 steps and more.
    assert one.states == episodes * (length if ends in (5, 12) else limit - 6)


def test_law_7_holds_of_a_fleets_evaluation():
    env, algorithm = ladder(None, 0), little_dqn()
    init = algorithm.agent.init
    algorithm = algorithm._replace(agent=algorithm.agent._replace(init=lambda key: init(key), act=still))
    fleets = [
        fleet_of(algorithm, made, 4, (0, 1), episodes=5, eval_max_steps=9)
        for made in (env, lambda envs: host_of(env, envs))
    ]
    found = [fleet.evaluate(3) for fleet in fleets]
    np.testing.assert_array_equal(*found)
    assert found[0].tolist() == [[45.0] * 5] * 2
    assert [fleet.cut() for fleet in fleets] == [[5, 5]] * 2
    for fleet in fleets:
        fleet.close()


def test_one_referee_judges_arrays_of_numpy_and_of_jax_alike():
    """Rewards that are exact in both; a life that ends where the game goes on; steps that do not count."""
    random = np.random.default_rng(0)
    host, fused = (Referee.of(4, Overestimation(0.5, 50), xp) for xp in (np, jnp))
    seats = host.begin(5), fused.begin(5, told=True)
    assert host.begin(5).ledger is None
    for _ in range(12):
        reward, q = random.integers(-4, 5, (2, 5)).astype(np.float32)
        over, life, counts = random.random((3, 5)) < [[0.2], [0.3], [0.8]]
        last = over | life
        outcome = Outcome(reward, np.where(last, 0.0, 1.0).astype(np.float32), None, last)
        found = []
        for i, referee in enumerate((host, fused)):
            after, ended, cut = referee.step(seats[i], q, outcome, Score(reward, over), counts)
            found.append((after, ended, cut, referee.anew(after, ended | cut)))
        jax.tree.map(np.testing.assert_array_equal, *found)
        after, ended, cut, _ = found[0]
        assert not (ended & ~over).any()
        assert not ((ended | cut) & ~counts).any()
        assert (after.steps[cut] == 4).all()
        seats = tuple(each[-1] for each in found)
        assert (seats[0].steps < 4).all()
    assert seats[0].ledger.states.sum() > 0


def test_turns_are_shared_evenly_and_who_was_cut_waits():
    turns, nobody = Turns(5, 3), np.zeros(3, bool)
    assert turns.left.tolist() == turns.playing.tolist() == [True] * 3
    turns.record(np.array([1.0, 2.0, 3.0]), np.array([True, False, True]), np.array([False, True, False]))
    assert turns.left.tolist() == [True, True, False]  # shares of 2, 2 and 1
    assert turns.playing.tolist() == [True, False, False]
    turns.record(np.array([4.0, 0.0, 0.0]), np.array([True, False, False]), nobody)
    assert not turns.playing.any()
    turns.begin_anew()
    assert turns.playing.tolist() == [False, True, False]
    turns.record(np.array([0.0, 5.0, 0.0]), nobody, np.array([False, True, False]))
    assert not turns.left.any()
    returns, cut = turns.played()
    assert (returns.tolist(), cut.tolist()) == ([1.0, 4.0, 2.0, 5.0, 3.0], [False, False, True, True, False])


def test_a_seat_whose_episode_is_cut_plays_its_share_all_the_same():
    """Episodes that end and such that do not, in turn: each seat's share is played, and none begins in the middle."""

    class Turns:
        """Seat i ends its k-th episode after 2 steps where i + k is even, else never."""

        spec, num_envs = EnvSpec("test:turns", (1,), "float32", 2), 3

        def reset(self, seed):
            self.seeds = [*getattr(self, "seeds", []), seed]
            self.began = np.arange(3) + len(self.seeds)
            self.t = np.zeros(3, int)
            return np.zeros((3, 1), np.float32)

        def step(self, actions):
            self.t += 1
            last = (self.began % 2 == 0) & (self.t == 2)
            reward = np.where(self.t > 0, 1.0, 0.0).astype(np.float32)
            self.began, self.t = self.began + last, np.where(last, 0, self.t)
            obs = np.zeros((3, 1), np.float32)
            return obs, Outcome(reward, np.ones(3, np.float32), obs, last), None

    env = Turns()
    played = host_episodes(lambda *given: (np.zeros(3, int), None), env, None, 8, (4, 5), limit=6)
    shares = np.split(played.returns, [3, 6])
    assert [len(share) for share in shares] == [3, 3, 2]
    assert set(played.returns.tolist()) == {2.0, 6.0}
    np.testing.assert_array_equal(played.cut, played.returns == 6.0)
    assert len(env.seeds) == len(set(env.seeds)) > 1  # each time begun anew with another seed


def test_the_cap_is_the_environments_own_limit_where_that_is_longer():
    assert eval_steps(walk().spec) == EVAL_MAX_STEPS == 10_000
    assert eval_steps(EnvSpec("a", (), "int32", 2, time_limit=27_000)) == 27_000
    assert eval_steps(EnvSpec("a", (), "int32", 2, time_limit=27_000), 500) == 500
    assert eval_steps(EnvSpec("a", (), "int32", 2), 10**12) < 2**31
    assert eval_steps(resolve("minatar:Breakout-v0")) == 27_000
    assert limit_note(walk().spec) == ""
    assert "has no time limit: an evaluation episode is cut after 7 steps" in limit_note(
        EnvSpec("a", (), "int32", 2), 7
    )
    assert cut_in_words(0, 10, 5) == ""
    assert cut_in_words(3, 10, 5000) == "3 of 10 evaluation episodes were cut after 5,000 steps"


class Endless(gym.Env):
    """For action 0 a reward of 0.1 for ever; action 1 ends it with -1."""

    observation_space, action_space = Box(0.0, 1.0, (1,), np.float32), Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), -1.0 if action else 0.1, bool(action), False, {}

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)


gym.register("Endless-v0", Endless)


def test_a_run_in_an_environment_without_a_time_limit_ends_and_says_so(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", "gym:Endless-v0", "--net", "linear", "--warmup", "50", "--replay", "100", "--batch", "8"]
    words += ["--steps", "250", "--log-points", "1", "--eval-episodes", "2", "--diagnose", "0", "--out", str(out)]
    # A network of zeros acts with the first of equals, which is 0; it learns that this is right.
    assert main([*words, "--eval-max-steps", "40"]) == 0
    said = capsys.readouterr().err
    assert "gym:Endless-v0 has no time limit: an evaluation episode is cut after 40 steps (--eval-max-steps)" in said
    point, summary = read_points(out / "metrics.jsonl")[-1], json.loads((out / "summary.json").read_text())
    for cut, episodes in ((point.get("eval_cut", [0])[0], 10), (summary.get("eval_cut", [0])[0], 2)):
        assert bool(cut) == (f"of {episodes} evaluation episodes were cut after 40 steps" in said)
    assert summary["eval_cut"] == [2]
    assert summary["eval_return"] == pytest.approx([4.0], rel=1e-5)
    assert json.loads((out / "config.json").read_text())["run"]["eval_max_steps"] == 40
    assert main([*words, "--resume", "--eval-max-steps", "50"]) == 2
    assert "eval_max_steps 40, not 50" in capsys.readouterr().err
    assert main(["eval", str(out), "--episodes", "3", "--video", str(tmp_path / "film.gif")]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 evaluation episodes were cut after 40 steps" in said
    assert "40 pictures" in said
    assert main(["eval", str(out), "--episodes", "1", "--eval-max-steps", "7"]) == 0
    assert "seed 0: 0.7" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["-1", "x", "1.5"])
def test_a_cap_that_is_none_is_refused(value, capsys):
    assert main(["train", "CartPole-v1", "--eval-max-steps", value]) == 2
    assert "--eval-max-steps is a whole number" in capsys.readouterr().err
    with pytest.raises(Refusal):
        __import__("qtwin").train("CartPole-v1", eval_max_steps=value)


def test_a_film_is_cut_too():
    env = host_of(ladder(None, 0), 1)
    assert len(list(_pictures(env, lambda obs: np.zeros(1, np.int32), 0, 6, lambda obs: obs))) == 6


def test_a_policy_of_variables_is_handed_through():
    """The variables reach the agent, whichever engine plays."""
    agent = Agent(None, lambda v, obs, e, key: jnp.full(obs.shape[0], v.params["a"]), None)
    env, variables = ladder(None, 3), Variables({"a": jnp.int32(1)}, {})
    assert host_episodes(player(agent), host_of(env, 2), variables, 2, (0, 0)).returns.tolist() == [6.0, 6.0]


def test_the_cells_of_a_comparison_are_cut_alike():
    options = {"target": ["hard:5", "tied"]}
    plain, cut = (cells_of(Protocol("CartPole-v1", 2, eval_max_steps=cap), options) for cap in (0, 30))
    assert "--eval-max-steps" not in plain[0].words
    assert cut[0].words[-2:] == ("--eval-max-steps", "30")
    assert cut[0].request.eval_max_steps == 30
    assert cut[0].folder != plain[0].folder
