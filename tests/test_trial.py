"""Row 8 of docs/reliability.md: environments that are not as they say themselves are refused before the first step."""

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest
from test_env_guard import AT_THE_START, CLASSIC, RESETS, TOY, ZOO, Sound
from worlds import little_dqn, walk

import qtwin
from qtwin.envs.catalog import resolve
from qtwin.envs.env_checker import STEPS, try_gym, try_host, try_jax
from qtwin.envs.guard import Care
from qtwin.envs.gymnax_specs import GYMNAX
from qtwin.envs.make import make, try_out
from qtwin.errors import Refusal

SPACE = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)


class Room(gym.Env):
    """Sound, but for what is changed in it; an episode lasts five steps."""

    observation_space = SPACE
    action_space = gym.spaces.Discrete(2)

    def __init__(self, reset=None, step=None, at=1, **spaces):
        self._reset, self._step, self._at = reset, step, at
        for name, space in spaces.items():
            setattr(self, name, space)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        came = self.observation_space.sample(), {}
        return self._reset(*came) if self._reset else came

    def step(self, action):
        self.t += 1
        came = self.observation_space.sample(), 1.0, self.t == 5, False, {}
        return self._step(*came) if self._step and self.t == self._at else came


def swapped(place, value):
    """A step's answer with one of its five parts another."""
    make = value if callable(value) else lambda old: value
    return lambda *came: (*came[:place], make(came[place]), *came[place + 1 :])


def spoilt(value):
    def spoil(obs):
        obs = obs.copy()
        obs[1] = value
        return obs

    return spoil


def fails(*_):
    raise ZeroDivisionError("the pole is gone")


OBS = {  # what comes as an observation, and what is said of it
    "wide": (lambda o: np.zeros(4, np.float32), "float32[3]", "float32[4]"),
    "flat": (lambda o: np.float32(1.0), "float32[3]", "float32[]"),
    "column": (lambda o: o[:, None], "float32[3]", "float32[3, 1]"),
    "list": (lambda o: o.tolist(), "float32[3]", "list"),
    "nothing": (lambda o: None, "float32[3]", "NoneType"),
    "number": (lambda o: 0.5, "float32[3]", "float"),
    "dictionary": (lambda o: {"obs": o}, "float32[3]", "dict"),
    "complex": (lambda o: o.astype(complex), "float32[3]", "complex128[3]"),
    "text": (lambda o: np.array(["a", "b", "c"]), "float32[3]", "<U1[3]"),
    "objects": (lambda o: o.astype(object), "float32[3]", "object[3]"),
    "nan": (spoilt(np.nan), "finite numbers", "nan"),
    "inf": (spoilt(np.inf), "finite numbers", "inf"),
    "-inf": (spoilt(-np.inf), "finite numbers", "-inf"),
}
REWARD = {
    "nothing": (None, "a number", "None"),
    "text": ("1", "a number", "1 (str)"),
    "list": ([1.0], "a number", "list"),
    "column": (np.ones(1, np.float32), "a number", "float32[1]"),
    "complex": (1j, "a number", "complex"),
    "nan": (np.nan, "a finite number", "nan"),
    "inf": (np.float32(np.inf), "a finite number", "inf"),
}
PIXELS, PLACES = gym.spaces.Box(0, 255, (2, 2, 3), np.uint8), gym.spaces.Discrete(4, start=1)
BROKEN = {
    **{f"obs of reset: {name}": (Room(lambda o, i, make=make: (make(o), i)), "obs of reset", expected, got)
       for name, (make, expected, got) in OBS.items()},
    **{f"obs of step: {name}": (Room(step=swapped(0, make)), "obs of step 1", expected, got)
       for name, (make, expected, got) in OBS.items()},
    **{f"reward: {name}": (Room(step=swapped(1, value)), "reward of step 1", expected, got)
       for name, (value, expected, got) in REWARD.items()},
    "terminated whole": (Room(step=swapped(2, 0)), "terminated of step 1", "True or False", "0 (int)"),
    "terminated nothing": (Room(step=swapped(2, None)), "terminated of step 1", "True or False", "None"),
    "terminated vector": (Room(step=swapped(2, np.zeros(1, bool))), "terminated of step 1", "True or False", "bool[1]"),
    "truncated dictionary": (Room(step=swapped(3, {})), "truncated of step 1", "True or False", "{} (dict)"),
    "truncated number": (Room(step=swapped(3, 0.0)), "truncated of step 1", "True or False", "0.0 (float)"),
    "info list": (Room(step=swapped(4, [])), "info of step 1", "a dictionary", "list"),
    "info of reset": (Room(lambda o, i: (o, None)), "info of reset", "a dictionary", "None"),
    "the old step": (Room(step=lambda o, r, a, b, i: (o, r, a, i)), "step 1", "(obs, reward,", "4 of them"),
    "the old reset": (Room(lambda o, i: o), "what reset gives", "(obs, info)", "ndarray"),
    "reset of three": (Room(lambda o, i: (o, i, i)), "what reset gives", "(obs, info)", "3 of them"),
    "step of nothing": (Room(step=lambda *_: None), "step 1", "(obs, reward,", "NoneType"),
    "reset raises": (Room(fails), "reset", "a gymnasium.Env", "ZeroDivisionError: the pole is gone"),
    "step raises": (Room(step=fails), "step 1", "a gymnasium.Env", "ZeroDivisionError"),
    "later nan": (Room(step=swapped(1, np.nan), at=4), "reward of step 4", "a finite number", "nan"),
    "later raises": (Room(step=fails, at=5), "step 5", "a gymnasium.Env", "ZeroDivisionError"),
    "later shape": (Room(step=swapped(0, np.zeros(2, np.float32)), at=3), "obs of step 3", "float32[3]", "float32[2]"),
    "begins outside": (Room(lambda o, i: (o * 0 + 7, i)), "obs of reset", "-1 to 1 at [0]", "7"),
    "pixels as numbers": (Room(lambda o, i: (o / np.float32(255), i), observation_space=PIXELS),
                          "obs of reset", "uint8[2, 2, 3]", "float32[2, 2, 3]"),
    "pixels too wide": (Room(lambda o, i: (o.astype(np.int64), i), observation_space=PIXELS),
                        "obs of reset", "uint8[2, 2, 3]", "int64[2, 2, 3]"),
    "place 0": (Room(lambda o, i: (0, i), observation_space=PLACES), "obs of reset", "from 1 to 4", "0 ("),
    "place 5": (Room(step=swapped(0, 5), observation_space=PLACES), "obs of step 1", "from 1 to 4", "5 ("),
    "place half": (Room(step=swapped(0, 1.5), observation_space=PLACES), "obs of step 1", "from 1 to 4", "1.5"),
    "place column": (Room(step=swapped(0, np.ones(1, int)), observation_space=PLACES), "obs of step 1", "from 1 to 4",
                     "int64[1]"),
}  # fmt: skip


class NoSeed(Room):
    def reset(self):
        return SPACE.sample(), {}


def test_a_zoo_of_broken_environments_of_gymnasium_is_refused_with_field_expected_and_got():
    assert len(BROKEN) >= 55
    for name, (env, field, expected, got) in BROKEN.items():
        with pytest.raises(Refusal) as refused:
            try_gym("gym:Room-v0", lambda env=env: env, Care())
        said = str(refused.value)
        assert said.startswith("gym:Room-v0: expected "), name
        assert f" as {field}, and got " in said, (name, said)
        assert expected in said.partition(" as ")[0] + said.partition(" as ")[2], (name, said)
        assert got in said.partition(", and got ")[2], (name, said)
    with pytest.raises(Refusal, match="as reset, and got TypeError"):
        try_gym("gym:Room-v0", NoSeed, Care())


def test_a_sound_one_is_let_through_whatever_it_does_at_the_edges():
    """Doubles for singles, whole numbers for rewards, numpy's booleans, a later observation outside its own box."""
    doubles = Room(lambda o, i: (o.astype(np.float64), i), swapped(0, lambda o: o.astype(np.float64)))
    outside = Room(step=swapped(0, lambda o: o + np.float32(5)))
    for env in (Room(), doubles, outside, Room(step=swapped(1, 1)), Room(step=swapped(1, np.float64(1)))):
        try_gym("gym:Room-v0", lambda env=env: env, Care())
    ends = Room(step=lambda o, r, a, b, i: (o, np.array(1.0), np.bool_(True), np.bool_(True), i))
    try_gym("gym:Room-v0", lambda: ends, Care())
    try_gym("gym:Room-v0", lambda: Room(step=fails, at=STEPS + 1), Care())


@pytest.mark.parametrize("name", [*CLASSIC, *TOY, "ALE/Pong-v5"])
def test_no_false_alarm(name):
    try_out(resolve(f"gym:{name}"))


def broken_in_a_process():
    return Room(step=swapped(0, np.zeros(2, np.float32)))


def raises():
    return Room(step=fails)


def test_where_environments_are_replaced_only_what_replacing_cannot_mend_is_refused():
    for care in (Care(on_nan="drop"), Care(timeout=60.0, mode="async")):
        try_gym("gym:Room-v0", raises, care)
        with pytest.raises(Refusal, match=r"float32\[3\] as obs of step 1, and got float32\[2\]"):
            try_gym("gym:Room-v0", broken_in_a_process, care)


def test_a_run_is_refused_before_anything_is_written(tmp_path):
    gym.register("BrokenRoom-v0", lambda: Room(step=swapped(1, np.nan)), max_episode_steps=9)
    with pytest.raises(Refusal, match="gym:BrokenRoom-v0: expected a finite number as reward of step 1, and got nan"):
        qtwin.train("gym:BrokenRoom-v0", out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "config.json").exists()
    del gym.registry["BrokenRoom-v0"]


def test_the_callers_own_vectors_are_tried_out_too():
    """The 44 of the guard's zoo, now before a run has begun."""
    for name, (spoil, says) in (ZOO | AT_THE_START).items():
        with pytest.raises(Refusal) as refused:
            try_host(lambda envs, spoil=spoil: Sound(spoil), 3)
        assert says in str(refused.value), name
    for name, (first, says) in RESETS.items():
        with pytest.raises(Refusal) as refused:
            try_host(lambda envs, first=first: Sound(first=first), 3)
        assert says in str(refused.value), name
    with pytest.raises(Refusal, match="nothing was trained"):
        qtwin.learn(little_dqn(), lambda envs: Sound(ZOO["reward nan"][0]), steps=100, envs=3, quiet=True)


JAX = {
    "obs of reset, and got float32[3]": {"reset": lambda s, o: (s, jnp.zeros(3))},
    "obs of reset, and got int32[2]": {"reset": lambda s, o: (s, o.astype(jnp.int32))},
    "(state, obs) as reset": {"reset": lambda s, o: o},
    "obs of step, and got float32[3]": {"step": lambda s, o, out: (s, jnp.zeros(3), out)},
    "next_obs of step, and got float32[3]": {"step": lambda s, o, out: (s, o, out._replace(next_obs=jnp.zeros(3)))},
    "reward of step, and got int32[]": {"step": lambda s, o, out: (s, o, out._replace(reward=jnp.int32(1)))},
    "reward of step, and got float32[1]": {"step": lambda s, o, out: (s, o, out._replace(reward=jnp.ones(1)))},
    "discount of step, and got bool[]": {"step": lambda s, o, out: (s, o, out._replace(discount=out.last))},
    "last of step, and got float32[]": {"step": lambda s, o, out: (s, o, out._replace(last=jnp.float32(0)))},
    "(state, obs, Outcome) as step": {"step": lambda s, o, out: (s, o, out, {})},
    "state of step": {"step": lambda s, o, out: ((s[0].astype(jnp.float32), s[1]), o, out)},
    "got ZeroDivisionError": {"step": fails},
}


def test_environments_in_jax_are_held_against_their_spec():
    env = walk()
    try_jax(env)
    for says, spoil in JAX.items():
        reset = lambda key, spoil=spoil: spoil.get("reset", lambda *c: c)(*env.reset(key))  # noqa: E731
        step = lambda *a, spoil=spoil: spoil.get("step", lambda *c: c)(*env.step(*a))  # noqa: E731
        with pytest.raises(Refusal) as refused:
            try_jax(env._replace(reset=reset, step=step))
        assert says in str(refused.value), (says, str(refused.value))
    wide = env._replace(reset=lambda key: (env.reset(key)[0], jnp.zeros(3)))
    with pytest.raises(Refusal, match=r"float32\[3\]"):
        qtwin.learn(little_dqn(), wide, steps=100, envs=4, quiet=True)


@pytest.mark.parametrize("name", GYMNAX)
def test_no_false_alarm_in_jax(name):
    try_jax(make(resolve(f"gymnax:{name}")))
