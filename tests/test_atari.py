"""Atari behind the one contract: Gymnasium's frames, bit for bit; lives, ends and stacks; what is scored."""

import dataclasses
import sys
import zlib

import area
import gymnasium as gym
import numpy as np
import pytest

from qtwin.cli import main
from qtwin.engine.evaluation import host_episodes
from qtwin.engine.hosted import Outside
from qtwin.envs import ale_envs
from qtwin.envs.ale_envs import AleMaker, AleVector, ale_spec
from qtwin.envs.base import for_evaluation
from qtwin.envs.catalog import resolve
from qtwin.envs.make import make
from qtwin.envs.preprocessing import PREPROCESSINGS, PROTOCOLS, evaluation, training
from qtwin.errors import Refusal
from qtwin.processes.collect_hosted import Episodes, Gatherer
from qtwin.replay.dataset import load_dataset
from qtwin.replay.frame_packer import Framer
from qtwin.replay.frames import Framed, FrameRow
from qtwin.request.presets import PRESETS, preset_of
from qtwin.run.curve import draw

ale_py = pytest.importorskip("ale_py")

# A seed from which Gymnasium draws one for ALE that fits into 31 bits, as AtariVectorEnv needs it.
SEED = 1
QUICK = dataclasses.replace(training("nature"), noops=0)


def gymnasium_games(name, sticky, monkeypatch):
    """Gymnasium's own preprocessing, and the seed that it hands to ALE."""
    monkeypatch.setitem(sys.modules, "cv2", area.OPENCV)
    gym.register_envs(ale_py)
    env = gym.make(f"ALE/{name}-v5", frameskip=1, repeat_action_probability=sticky)
    env = gym.wrappers.AtariPreprocessing(env, noop_max=0)
    seeds = np.random.SeedSequence(SEED).generate_state(2)[1:].astype(np.int64)
    return gym.wrappers.FrameStackObservation(env, 4, padding_type="zero"), seeds


@pytest.mark.parametrize("play", [QUICK, training("v5")], ids=["nature without no-ops", "v5"])
@pytest.mark.parametrize("name", ["Pong", "Breakout", "Freeway"])
def test_every_frame_reward_and_end_is_gymnasiums(name, play, monkeypatch):
    theirs, seeds = gymnasium_games(name, play.sticky, monkeypatch)
    monkeypatch.setattr(ale_envs, "chance_of", lambda seed, envs: (seeds, None))
    spec = ale_spec(name)
    ours = AleVector(spec, 1, play)
    obs = ours.reset(0)
    assert (obs[0] == np.moveaxis(theirs.reset(seed=SEED)[0], 0, -1)).all()
    assert obs.shape == (1, *spec.obs_shape)
    assert spec.num_actions == theirs.action_space.n
    chance = np.random.default_rng(0)
    for _ in range(150):
        action = chance.integers(spec.num_actions, size=1)
        _, outcome, valid = ours.step(action)
        frames, reward, terminated, truncated, _ = theirs.step(int(action[0]))
        assert valid is None
        assert (outcome.next_obs[0] == np.moveaxis(frames, 0, -1)).all()
        assert (ours.score.reward[0], ours.score.over[0]) == (reward, terminated or truncated)
        assert outcome.reward[0] == np.clip(reward, -1, 1)
        if terminated:
            break


def test_the_stand_in_for_opencv_is_opencv():
    cv2 = pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 256, (210, 160), dtype=np.uint8)
    assert (cv2.resize(noise, (84, 84), interpolation=cv2.INTER_AREA) == area.resize(noise, (84, 84))).all()


def played(env, steps, seed=0):
    """Random play: every (obs, fresh, action, next obs, outcome, score) of it."""
    chance, obs, rows = np.random.default_rng(seed), env.reset(seed), []
    fresh = env.fresh
    for _ in range(steps):
        action = chance.integers(env.spec.num_actions, size=env.num_envs)
        following, outcome, _ = env.step(action)
        rows.append((obs, fresh, action, following, outcome, env.score))
        obs, fresh = following, env.fresh
    return rows


@pytest.fixture(scope="module", name="breakout")
def played_breakout():
    """Breakout, which a random player loses quickly."""
    return played(AleVector(ale_spec("Breakout"), 3, training("nature")), 450)


def test_a_lost_life_ends_an_episode_and_neither_the_game_nor_the_stack(breakout):
    lost = over = 0
    for obs, _, _, following, outcome, score in breakout:
        within = ~score.over
        # The newest frames move up by one wherever no game began.
        assert (following[within][..., :3] == obs[within][..., 1:]).all()
        assert (outcome.next_obs[within] == following[within]).all()
        assert (outcome.discount == 1.0 - outcome.last).all()
        assert outcome.last[score.over].all()
        lost, over = lost + (outcome.last & within).sum(), over + score.over.sum()
    assert over >= 5
    assert lost == pytest.approx(4 * over, abs=4 * 5)


def test_a_game_that_is_over_shows_its_own_end_and_begins_a_stack_of_zeros(breakout):
    began = 0
    for obs, fresh, _, following, outcome, score in breakout:
        assert not obs[fresh][..., :3].any()
        assert obs[..., 3].any(axis=(1, 2)).all()
        assert (outcome.next_obs[score.over][..., :3] == obs[score.over][..., 1:]).all()
        assert (outcome.next_obs[score.over] != following[score.over]).any(axis=(1, 2, 3)).all()
        began += fresh.sum()
    assert began >= 3 + 3


def test_in_evaluation_and_in_v5_only_a_whole_game_is_an_episode():
    spec = ale_spec("Breakout", "v5")
    for env in (AleMaker(spec)(2), for_evaluation(make(ale_spec("Breakout")))(2)):
        for *_, outcome, score in played(env, 100):
            assert (outcome.last == score.over).all()


def test_rewards_are_clipped_for_learning_only():
    env, judged = AleMaker(ale_spec("Asterix"))(2), AleMaker(ale_spec("Asterix")).evaluation(2)
    learned = played(env, 20)
    assert max(score.reward.max() for *_, score in learned) == 50.0
    assert max(outcome.reward.max() for *_, outcome, _ in learned) == 1.0
    assert max(outcome.reward.max() for *_, outcome, _ in played(judged, 20)) == 50.0


def test_the_time_limit_truncates():
    env = AleVector(ale_spec("Pong"), 2, dataclasses.replace(QUICK, max_frames=18))
    *_, (obs, _, _, following, outcome, score) = played(env, 5)
    assert outcome.last.all()
    assert score.over.all()
    assert (outcome.discount == 1.0).all()
    assert env.fresh.all()
    assert (outcome.next_obs[..., :3] == obs[..., 1:]).all()
    assert not following[..., :3].any()


def test_gathering_with_known_actions_gives_what_step_after_step_gives(monkeypatch):
    """The same rows of frames, games that end and lives that are lost among them, and the same world after them."""

    def gathered(env):
        actions = np.random.default_rng(0).integers(4, size=(512, 4)).astype(np.int32)
        keys = lambda key, first: (np.zeros((512, 1)), np.roll(actions, -int(first), axis=0))  # noqa: E731
        framer, episodes, seen = Framer(FrameRow, Framed, env.spec), Episodes(), []
        gatherer = Gatherer(env, keys, False, framer)
        world = gatherer.start(0, Outside(np.int32(0), ()), None)
        for steps in (7, 1, *[16] * 25):
            chunk, world = gatherer.gather(None, None, world, 0, steps, episodes)
            rows = [column[: chunk.count].copy() for column in chunk.rows]  # its room is used again
            seen += [*rows, world.obs, world.returns, world.lengths, world.env.vector_steps, env.fresh, *env.score]
        assert episodes.count >= 4
        return [*seen, episodes.count, episodes.returns, episodes.lengths]

    class Plain:
        def __init__(self, env):
            self.env, self.spec, self.num_envs, self.reset = env, env.spec, env.num_envs, env.reset

        score, fresh = property(lambda self: self.env.score), property(lambda self: self.env.fresh)

        def step(self, actions):
            return self.env.step(actions)

    monkeypatch.setattr(ale_envs, "GROUP", 2)
    monkeypatch.setattr(ale_envs, "_cores", lambda: 2)
    games = [AleVector(ale_spec("Breakout"), 4, training("nature")) for _ in range(2)]
    for ours, theirs in zip(gathered(games[0]), gathered(Plain(games[1])), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_how_games_are_shared_out_changes_none_of_them(monkeypatch):
    """Nine games in one vector of ALE's, in two, and in as many threads as there are."""

    def seen(cores):
        monkeypatch.setattr(ale_envs, "_cores", lambda: cores)
        assert len(ale_envs.parts(9)) == min(cores, 2)
        env = AleVector(ale_spec("Breakout"), 9, training("nature"))
        chance, told, over = np.random.default_rng(0), [env.reset(0)], 0
        for _ in range(200):
            obs, outcome, _ = env.step(chance.integers(4, size=9))
            over += env.score.over.sum()
            told += [zlib.crc32(np.ascontiguousarray(c)) for c in (obs, *outcome, *env.score, env.fresh)]
        assert over >= 5, "ends, and what is shown of them, are among it"
        return told

    first, *alone = seen(1)
    for cores in (2, 16):
        obs, *told = seen(cores)
        assert (obs == first).all()
        assert told == alone


def test_a_seed_is_a_stream_of_games_and_no_other_seeds():
    def frames(seed, envs=2):
        return np.stack([row[3] for row in played(AleMaker(ale_spec("Breakout", "v5"))(envs), 30, seed)])

    first = frames(0)
    assert (first == frames(0)).all()
    assert (first != frames(1)).any()
    assert not set(ale_envs.chance_of(0, 8)[0]) & set(ale_envs.chance_of(1, 8)[0])


def test_a_protocol_acts_at_random_now_and_then():
    env = AleVector(ale_spec("Pong"), 2, dataclasses.replace(QUICK, epsilon=0.5))
    ((_, games),) = env._groups
    handed, send = [], games.send
    games.send = lambda actions: handed.append(actions) or send(actions)
    env.reset(0)
    for _ in range(100):
        env.step(np.full(2, 2))
    assert (np.concatenate(handed) == 2).mean() == pytest.approx(0.5 + 0.5 / 6, abs=0.12)
    assert len(set(np.concatenate(handed))) == 6


def test_protocols_are_what_the_papers_say():
    nature, machado = evaluation("nature"), evaluation("v5")
    assert (nature.noops, nature.sticky, nature.epsilon, nature.max_frames) == (30, 0.0, 0.05, 5 * 60 * 60)
    assert (machado.noops, machado.sticky, machado.epsilon, machado.max_frames) == (0, 0.25, 0.001, 30 * 60 * 60)
    assert evaluation("nature", "machado") == dataclasses.replace(machado, noops=0, sticky=0.25)
    for learned in PREPROCESSINGS:
        greedy = evaluation(learned, "greedy")
        assert (greedy.noops, greedy.sticky, greedy.epsilon) == (training(learned).noops, training(learned).sticky, 0.0)
        for protocol in PROTOCOLS:
            judged = evaluation(learned, protocol)
            assert not judged.clip
            assert not judged.lives
    with pytest.raises(Refusal, match="did you mean 'nature'"):
        evaluation("nature", "natur")


class Lives:
    """Two games of four steps, a life lost halfway; an episode for learning is a life, its rewards are clipped."""

    spec, num_envs = dataclasses.replace(ale_spec("Pong"), obs_shape=()), 2

    def reset(self, seed):
        self.t, self.score = 0, None
        return np.zeros(2, np.uint8)

    def step(self, actions):
        from qtwin.envs.base import Outcome, Score

        self.t += 1
        over, last = np.full(2, self.t % 4 == 0), np.full(2, self.t % 2 == 0)
        self.score = Score(np.float32([10.0, 0.5]), over)
        obs = np.zeros(2, np.uint8)
        return obs, Outcome(np.float32([1.0, 0.5]), np.float32(~last), obs, last), None


def test_returns_are_of_whole_games_and_raw_rewards():
    gatherer, episodes = Gatherer(Lives(), lambda key, first: (np.zeros((256, 1)), ()), linked=False), Episodes()
    world = gatherer.start(0, Outside(np.zeros((), np.int32), ()), None)
    act = lambda *_: np.zeros(2, np.int32)  # noqa: E731
    chunk, world = gatherer.gather(lambda *_: (act(), ()), None, world, 0, 8, episodes)
    assert (episodes.count, episodes.returns, episodes.lengths) == (4, 2 * (40.0 + 2.0), 16)
    assert chunk.reward.sum() == 8 * 1.5
    assert chunk.last.sum() == 8
    played = host_episodes(lambda *given: (act(*given), None), Lives(), None, 4, (0, 0))
    assert played.returns.tolist() == [40.0, 40.0, 2.0, 2.0]


def test_every_game_that_gymnasium_knows_has_a_name():
    gym.register_envs(ale_py)
    theirs = {name[4:-3] for name in gym.registry if name.startswith("ALE/") and name.endswith("-v5")}
    assert set(ale_envs.games()) == theirs
    assert resolve("ale:ms_pacman") == resolve("ale:MsPacman", "nature")
    spec = resolve("ale:Pong", "v5")
    assert (spec.id, spec.obs_shape, spec.obs_dtype, spec.stack) == ("ale:Pong", (84, 84, 4), "uint8", 4)
    assert (spec.num_actions, spec.frames_per_transition, spec.preprocessing, spec.engine) == (6, 4, "v5", "hosted")
    for name, says in (("ale:Pnog", "did you mean 'ale:Pong'"), ("ale:combat", "unknown Atari game 'ale:combat'")):
        with pytest.raises(Refusal, match=says):
            resolve(name)


def test_without_ale_the_refusal_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(Refusal, match=r"pip install 'qtwin\[atari\]'"):
        resolve("ale:Pong")


def test_atari_presets_name_their_preprocessing():
    theirs = {"nature": "nature", "dqn-zoo": "nature", "dopamine": "v5", "cleanrl-atari": "cleanrl"}
    theirs |= {"cleanrl-sac-atari": "cleanrl", "spr": "nature", "curl": "nature", "atari-quick": "nature"}
    theirs |= dict.fromkeys(("dopamine-c51", "dopamine-rainbow", "dopamine-quantile", "dopamine-iqn"), "v5")
    theirs["rainbow"] = "nature"
    assert {name for name, preset in PRESETS.items() if preset.frames} == set(theirs)
    for name, preprocessing in theirs.items():
        preset = preset_of(name)
        assert preset.fits(resolve("ale:Pong"))
        assert preset.config.env.startswith("ale:")
        assert preset.config_for(resolve("ale:Pong")).preprocessing == preprocessing
        assert preset.config_for(resolve("CartPole-v1")).preprocessing == ""
    with pytest.raises(Refusal, match=r"the emulator's own screens, \[210, 160, 3\]; write ale:Pong"):
        preset_of("nature").config_for(resolve("gym:ALE/Pong-v5"))


def test_a_recording_says_what_its_rewards_are(tmp_path, capsys, monkeypatch):
    file = tmp_path / "pong.safetensors"
    assert main(["record", "ale:Pong", "--steps", "10", "--out", str(file)]) == 0
    told = "preprocessing nature, as it is learned from: rewards are clipped to [-1, 1], a lost life ends an episode"
    assert told in capsys.readouterr().out
    assert load_dataset(file, resolve("ale:Pong")).behaviour == f"random; {told}"
    monkeypatch.setattr("qtwin.run.record.free_bytes", lambda: 10**9)
    assert main(["record", "ale:Pong", "--steps", "10000", "--out", str(tmp_path / "more")]) == 2
    assert "10,000 transitions of ale:Pong take 1.69 GB" in capsys.readouterr().err


def test_a_curve_says_by_what_its_episodes_were_played(monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, _: told.append(self.axes[0].get_ylabel()))
    points = [{"eval_return": [-21.0], "transitions": 4, "gradient_steps": 1}]
    draw(points, "", tmp_path)
    draw(points, "", tmp_path, "protocol nature")
    assert told == ["undiscounted return, greedy episodes", "undiscounted return, protocol nature"]
