"""``qtwin eval`` for Atari: protocols, a run beside the published scores, a video; the score tables."""

import dataclasses
import json
import re
from pathlib import Path

import area
import gymnasium as gym
import numpy as np
import pytest
from PIL import Image, ImageSequence

from qtwin.cli import main
from qtwin.config.config import Config
from qtwin.envs import preprocessing
from qtwin.envs.catalog import resolve
from qtwin.measure import atari_scores
from qtwin.run import video
from qtwin.run.policy import export
from qtwin.types import Variables


def test_the_tables_hold_what_the_papers_print():
    assert {name: len(atari_scores.table(name)) for name in atari_scores.TABLES} == {
        atari_scores.NATURE: 49, atari_scores.LATER: 57, atari_scores.DOPAMINE: 60, atari_scores.AT_100K: 26,
    }  # fmt: skip
    # Extended Data Table 2 prints 1,327 % for Breakout and 132 % for Pong, of its own human.
    assert 100 * atari_scores.human_normalised(401.2, "Breakout", atari_scores.NATURE) == pytest.approx(1327, abs=1)
    assert 100 * atari_scores.human_normalised(18.9, "Pong", atari_scores.NATURE) == pytest.approx(132, abs=0.5)
    for human, table in ((9.3, atari_scores.NATURE), (14.6, atari_scores.LATER)):
        assert atari_scores.human_normalised(human, "pong", table) == pytest.approx(1.0)
        assert atari_scores.human_normalised(-20.7, "pong", table) == 0.0
    assert atari_scores.human_normalised(1.0, "Adventure") is None


def test_every_game_of_every_table_is_one_of_ales():
    pytest.importorskip("ale_py")
    from qtwin.envs.ale_envs import games

    known = {atari_scores.key(name) for name in games()}
    for name in atari_scores.TABLES:
        assert set(atari_scores.table(name)) <= known
    assert atari_scores.table(atari_scores.NATURE).keys() < atari_scores.table(atari_scores.LATER).keys()


def test_a_run_stands_beside_whoever_played_the_game():
    rows = {row.who: row for row in atari_scores.beside("MsPacman", {"this run": 2311.0})}
    assert (rows["this run"].nature, rows["DQN, 200M frames (Mnih et al. 2015)"].score) == (
        rows["DQN, 200M frames (Mnih et al. 2015)"].nature, 2311.0,
    )  # fmt: skip
    assert rows["human (later papers)"].later == 1.0
    assert [row.who for row in atari_scores.beside("Adventure", {"this run": 1.0})] == ["this run"]
    lines = atari_scores.lines(atari_scores.beside("AirRaid", {"this run": 1.0}))
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split()[-2:] == ["-", "-"]


def run_in(folder, env, net):
    """A finished run with an untrained policy in it."""
    import jax

    from qtwin.nets.build import network

    spec, config = resolve(env), Config(env, net=net)
    online = network(spec, net, spec.num_actions).init(jax.random.key(0))
    export(folder / "policy", spec, config, {0: Variables(online.params, online.stats)})
    (folder / "config.json").write_text(
        json.dumps({"config": dataclasses.asdict(config), "seeds": [0]}), encoding="utf-8"
    )
    return str(folder)


@pytest.fixture(scope="module", name="pong")
def run_on_pong(tmp_path_factory):
    pytest.importorskip("ale_py")
    return run_in(tmp_path_factory.mktemp("pong"), "ale:Pong", "nature")


def test_eval_plays_by_a_protocol_and_prints_the_published_scores(pong, monkeypatch, capsys, tmp_path):
    short = dataclasses.replace(preprocessing.PROTOCOLS["nature"], max_frames=60)
    monkeypatch.setitem(preprocessing.PROTOCOLS, "nature", short)
    file = tmp_path / "pong.gif"
    assert main(["eval", pong, "--episodes", "2", "--video", str(file)]) == 0
    said = capsys.readouterr().out
    assert "ale:Pong  protocol nature: no-op starts" in said
    assert re.search(r"seed 0: -?\d\.\d .* over 2 episodes", said)
    assert re.search(r"^DQN, 200M frames \(Mnih et al. 2015\) +18.9 +1.320 +1.122$", said, re.M)
    with Image.open(file) as film:  # where nothing moves one picture stands longer
        assert film.size == (160, 210)
        assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(film)) == pytest.approx(1000, abs=100)


def test_a_policys_file_says_what_its_observations_are(pong):
    description = json.loads((Path(pong) / "policy" / "policy.json").read_text(encoding="utf-8"))
    assert (description["preprocessing"], description["stack"], description["obs_shape"]) == ("nature", 4, [84, 84, 4])
    assert "the last four such frames" in description["how"][0]


def test_a_film_shows_the_game_that_was_played(monkeypatch):
    pytest.importorskip("ale_py")
    from qtwin.envs.ale_envs import ale_spec

    short = dataclasses.replace(preprocessing.PROTOCOLS["nature"], max_frames=400)
    monkeypatch.setitem(preprocessing.PROTOCOLS, "nature", short)
    spec, seen = ale_spec("Breakout"), []

    def act(obs):
        seen.append(obs[0, ..., -1])
        return np.array([(1, 2, 3, 2)[len(seen) % 4]])

    pictures, _ = video.film(spec, act, "nature", 3)
    pictures = list(pictures)
    assert len(pictures) == len(seen) > 50
    for picture, frame in list(zip(pictures, seen, strict=True))[1::20]:
        assert (picture.shape, picture.dtype) == ((210, 160, 3), np.uint8)
        grey = np.rint(picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
        # The agent sees the larger of two frames, the film the last: the ball is twice where it moves.
        assert (abs(area.resize(grey, (84, 84)) - frame.astype(float)) > 2).sum() < 40
    other = [picture for picture, _ in zip(video.film(spec, act, "nature", 4)[0], range(40), strict=False)]
    assert any((one != another).any() for one, another in zip(pictures, other, strict=False))


class Blinking(gym.Env):
    """Three steps; its picture is as bright as the step is late."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space, action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32), gym.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode, self.t = render_mode, 0

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t == 3, False, {}

    def render(self):
        return np.full((8, 12, 3), 50 * self.t, np.uint8)


def test_other_environments_are_filmed_where_they_can_be_drawn(tmp_path, capsys):
    gym.register("Blinking-v0", Blinking)
    run = run_in(tmp_path, "gym:Blinking-v0", "mlp:2")
    file = tmp_path / "film.gif"
    assert main(["eval", run, "--episodes", "1", "--video", str(file)]) == 0
    with Image.open(file) as film:
        shown = [
            (np.asarray(frame.convert("RGB"))[0, 0, 0], frame.info["duration"])
            for frame in ImageSequence.Iterator(film)
        ]
    assert (film.size, shown) == ((12, 8), [(0, 100), (50, 100), (100, 100)])
    assert capsys.readouterr().out.splitlines()[-1] == f"one episode of seed 0, 3 pictures: {file}"


def test_minatar_is_drawn_in_colours():
    obs = np.zeros((10, 10, 4), bool)
    obs[2, 3, 0] = obs[2, 3, 1] = obs[4, 5, 2] = True
    picture = video.squares(obs)
    assert picture.shape == (240, 240, 3)
    assert not picture[:48].any()
    assert picture[2 * 24, 3 * 24].tolist() == video.COLOURS[2].tolist()
    assert picture[5 * 24 - 1, 6 * 24 - 1].tolist() == video.COLOURS[3].tolist()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--protocol natur", "did you mean 'nature'?"),
        ("--env CartPole-v1 --protocol nature", "--protocol is for Atari games"),
        ("--video film.avi", ".gif, .webp, .png, .mp4"),
        ("--video no/where.gif", "where no file can be written"),
        ("--video film.gif --env CartPole-v1", "--env gym:CartPole-v1"),
        ("--env ale:Pnog", "did you mean 'ale:Pong'?"),
    ],
)
def test_a_wrong_evaluation_is_one_line_and_exit_code_2(pong, words, says, capsys):
    assert main(["eval", pong, *words.split()]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
