"""What crosses from environments in Python to the engine: copied before it can change, checked before it is cast."""

import os
import threading
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from odd_env import Ending, Late, Making, Sharing

from qtwin.cli import main
from qtwin.envs.env_checker import try_gym
from qtwin.envs.exits import INSIDE
from qtwin.envs.guard import Care, Guarded, guarded
from qtwin.envs.gym_envs import from_vector, gym_env, gym_spec, spec_of
from qtwin.envs.gym_vector import GymVector
from qtwin.envs.make import host_env
from qtwin.envs.seats import CONTEXT
from qtwin.envs.supervised import Supervised
from qtwin.errors import Broken, Refusal
from qtwin.run.record import record
from qtwin.types import Timestep

START = CONTEXT.get_start_method()
ALL_THREE = list(AutoresetMode)


@pytest.fixture(autouse=True)
def _registered():
    for name, kind in (("Sharing-v0", Sharing), ("Late-v0", Late), ("Ending-v0", Ending)):
        gym.register(name, kind, disable_env_checker=True)
    yield
    for name in ("Sharing-v0", "Late-v0", "Ending-v0"):
        del gym.registry[name]


def supervised(make, envs=2, apart=False, drop=True, said=None):
    one = make()
    spec = spec_of("gym:Odd", one.observation_space, one.action_space, None)
    report = (lambda line: None) if said is None else said.append
    return Guarded(GymVector(Supervised(spec.id, make, envs, apart, 60.0, drop, report), spec))


class Own(VectorEnv):
    """A vector of the caller's own, which writes all that it gives into the same arrays."""

    def __init__(self, mode, envs=2, spoil=None):
        self.num_envs, self.metadata = envs, {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = Sharing.observation_space, Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, envs)
        self.action_space = batch_space(self.single_action_space, envs)
        self._mode, self._spoil, self._steps = mode, spoil, 0
        self._obs, self._reward = np.zeros((envs, 2), np.float32), np.zeros(envs)
        self._ends, self._final = np.zeros((2, envs), bool), np.zeros((envs, 2), np.float32)

    def reset(self, *, seed=None, options=None):
        which = np.ones(self.num_envs, bool) if not options else options["reset_mask"]
        self._obs[which] = 0
        self._reward[:], self._ends[:] = -1, False
        return self._obs, {}

    def step(self, actions):
        actions[:] = 1
        self._steps += 1
        over, info = self._ends.any(axis=0), {}
        skips = over & (self._mode is AutoresetMode.NEXT_STEP)
        self._obs[:, 0] = np.where(skips, 0, self._obs[:, 0] + 1)
        self._reward[:] = self._obs[:, 0]
        self._ends[0] = self._obs[:, 0] == 3
        if self._mode is AutoresetMode.SAME_STEP:
            self._final[:] = self._obs
            self._obs[self._ends[0]] = 0
            info = {"final_obs": self._final}
        came = self._obs, self._reward, *self._ends, info
        return came if self._spoil is None or self._steps < 4 else self._spoil(*came)


def sharing_vector(mode, **kwargs):
    return from_vector(SyncVectorEnv([Sharing] * 2, autoreset_mode=mode, **kwargs))


SHARED = {
    "gym": lambda: gym_env("Sharing-v0", 2),
    "gym, drop": lambda: gym_env("Sharing-v0", 2, care=Care(on_nan="drop")),
    "gym, async": lambda: supervised(Making(Sharing), apart=True),
    **{f"vector {m.value}": lambda m=m: sharing_vector(m) for m in ALL_THREE},
    **{f"vector {m.value}, no copies": lambda m=m: sharing_vector(m, copy=False) for m in ALL_THREE},
    "vector SameStep, wrapped": lambda: from_vector(
        gym.wrappers.vector.RecordEpisodeStatistics(
            SyncVectorEnv([Sharing] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
        )
    ),
    **{f"own {m.value}": lambda m=m: from_vector(Own(m)) for m in ALL_THREE},
    **{
        f"processes {m.value}": lambda m=m: from_vector(
            AsyncVectorEnv([Making(Sharing)] * 2, context=START, copy=False, autoreset_mode=m)
        )
        for m in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED)
    },
}


@pytest.mark.parametrize("name", SHARED)
def test_an_environment_may_hand_out_its_own_arrays(name):
    """No value changes after it was given, the last observation of an episode is the last one, actions stay as chosen;
    a control that hands out copies gives the same."""
    env, kept, rows = SHARED[name](), [], []
    obs = env.reset(0)
    continuous = env.spec.continuous
    for t in range(14):
        action = np.full((2, 1), 0.05 * t, np.float32) if continuous else np.zeros(2, np.int32)
        before = action.copy()
        following, out, valid = env.step(action)
        assert np.array_equal(action, before)
        given = (obs, following, *out)
        kept.append((given, [column.copy() for column in given]))
        for i in np.flatnonzero(np.ones(2, bool) if valid is None else valid):
            rows.append((obs[i, 0], out.next_obs[i, 0], out.reward[i], out.last[i]))
            assert out.next_obs[i, 0] == out.reward[i] == obs[i, 0] + 1
            assert out.last[i] == (out.reward[i] == 3)
            assert out.discount[i] == (0.0 if out.last[i] and not continuous else 1.0)
            if continuous:
                assert out.next_obs[i, 1] == pytest.approx(obs[i, 1] + 0.05 * t)
        obs = following
    env.close()
    assert sum(last for *_, last in rows) >= 6
    for given, then in kept:
        assert all(np.array_equal(a, b) for a, b in zip(given, then, strict=True))


def test_processes_that_reset_in_the_same_step_are_refused_where_they_overwrite():
    made = lambda make: AsyncVectorEnv([make], context=START, autoreset_mode=AutoresetMode.SAME_STEP)  # noqa: E731
    vector = made(Making(Sharing))
    with pytest.raises(Refusal, match="overwritten before it can be copied; make it with autoreset_mode="):
        from_vector(vector)
    vector.close()
    env = from_vector(made(Making(Sharing, shares=False)))
    env.reset(0)
    last = [env.step(np.zeros((1, 1), np.float32))[1] for _ in range(3)][-1]
    assert last.next_obs.tolist() == [[3.0, 0.0]]
    env.close()


@pytest.mark.parametrize("shared", [True, False])
def test_a_vector_of_ones_own_whose_last_observation_is_lost_is_refused(shared):
    """final_obs is the array of the next episode's first observation, or that of an environment that was reset."""
    buffer = np.zeros((2, 2), np.float32)

    def spoil(obs, reward, terminated, truncated, info):
        buffer[:] = obs  # as an environment's reset and step write into its own array
        return obs, reward, terminated, truncated, {"final_obs": obs if shared else buffer}

    env = from_vector(Own(AutoresetMode.SAME_STEP, spoil=spoil))
    with pytest.raises(Broken, match="environment 0 of gym:Own gave an array as final_obs that its reset has written"):
        steps(env)


def test_a_recording_and_a_film_hold_copies(tmp_path):
    rows = []
    env = Guarded(gym_env("Sharing-v0", 2))
    step = env.step
    env.step = lambda action: (rows.append(action), step(action))[1]
    path = record(env, 12, None, 0, tmp_path / "data")
    from qtwin.replay.dataset import load_dataset

    data = load_dataset(path, env.spec)
    data = data if isinstance(data, Timestep) else next(part for part in data if isinstance(part, Timestep))
    assert np.abs(data.action).max() <= 1
    assert (data.next_obs[:, 0] - data.obs[:, 0] == 1).all()
    assert np.allclose(data.next_obs[:, 1] - data.obs[:, 1], data.action[:, 0], atol=1e-6)
    env = gym_env("Sharing-v0", 1, render_mode="rgb_array")
    env.reset(0)
    first, second = env.render(), env.render()
    assert (int(first[0, 0, 0]), int(second[0, 0, 0])) == (1, 2)


PLACES, BYTES, SHORT = Discrete(5), Box(0, 255, (3,), np.uint8), Box(-100, 100, (3,), np.int8)
DOUBLE, LONG = Box(-np.inf, np.inf, (3,), np.float64), Box(-np.inf, np.inf, (3,), np.int64)
LATE = {  # part, value, space, what is said
    "obs narrow": (0, np.ones(2, np.float32), None, "gave float32[2] [1.0, 1.0] as obs at step 6, expected float32[3]"),
    "obs one": (0, np.full(1, 5, np.float32), None, "gave float32[1] [5.0] as obs"),
    "obs scalar": (0, np.float32(5), None, "gave 5.0 (float32[]) as obs"),
    "obs row": (0, np.ones((1, 3), np.float32), None, "gave float32[1, 3]"),
    "obs number": (0, 5.0, None, "gave 5.0 (float) as obs"),
    "obs nothing": (0, None, None, "gave None (NoneType) as obs"),
    "obs words": (0, ["1", "2", "3"], None, "gave ['1', '2', '3'] (list) as obs"),
    "obs text": (0, np.array(["1", "2", "3"]), None, "gave <U1[3]"),
    "obs 1e300": (0, np.full(3, 1e300), None, "gave 1e+300 as obs at step 6, expected numbers from"),
    "double 1e300": (0, np.full(3, -1e300), DOUBLE, "gave -1e+300 as obs"),
    "long": (0, np.full(3, 3_000_000_000), LONG, "gave 3000000000 as obs at step 6, expected numbers from -2147483648"),
    "unsigned": (0, np.full(3, 2**32, np.uint64), Box(0, 2**64 - 1, (3,), np.uint64), "gave 4294967296 as obs"),
    "bytes 300": (0, np.full(3, 300), BYTES, "gave 300 as obs at step 6, expected numbers from 0 to 255"),
    "bytes -1": (0, np.full(3, -1), BYTES, "gave -1 as obs"),
    "bytes 1.5": (0, np.full(3, 1.5), BYTES, "gave float64[3] [1.5, 1.5, 1.5] as obs"),
    "short 200": (0, np.full(3, 200), SHORT, "gave 200 as obs"),
    "half": (0, np.full(3, 1e5), Box(-1, 1, (3,), np.float16), "gave 100000.0 as obs"),
    "place 7": (0, 7, PLACES, "gave 7 (int) as obs at step 6, expected a whole number from 0 to 4"),
    "place -1": (0, np.int64(-1), PLACES, "gave -1 (int64[]) as obs"),
    "place beyond 32 bits": (0, 2**32 + 1, PLACES, "gave 4294967297 (int) as obs"),
    "place before its start": (0, 9, Discrete(3, start=10), "expected a whole number from 10 to 12"),
    "place True": (0, True, PLACES, "gave True (bool) as obs"),
    "reward text": (1, "1.0", None, "gave 1.0 (str) as reward at step 6, expected a number"),
    "reward nothing": (1, None, None, "gave None (NoneType) as reward"),
    "reward array": (1, np.ones(1), None, "gave float64[1] [1.0] as reward"),
    "reward list": (1, [1.0], None, "gave [1.0] (list) as reward"),
    "reward complex": (1, 1 + 2j, None, "gave (1+2j) (complex) as reward"),
    "reward object": (1, np.array("1", object), None, "as reward"),
    "reward 1e300": (1, 1e300, None, "gave 1e+300 (float) as reward"),
    "reward 10**400": (1, 10**400, None, "as reward at step 6, expected a number from -3.4"),
    "reward nan": (1, np.float32("nan"), None, "gave nan as reward"),
    "reward inf": (1, float("-inf"), None, "gave -inf as reward"),
    "terminated text": (2, "False", None, "gave False (str) as terminated at step 6, expected True or False"),
    "terminated 2": (2, 2, None, "gave 2 (int) as terminated"),
    "terminated 0": (2, 0, None, "gave 0 (int) as terminated"),
    "terminated nan": (2, float("nan"), None, "gave nan (float) as terminated"),
    "terminated nothing": (2, None, None, "gave None (NoneType) as terminated"),
    "terminated array": (2, np.zeros(1, bool), None, "gave bool[1] [False] as terminated"),
    "truncated text": (3, "", None, "as truncated at step 6"),
    "info nothing": (4, None, None, "gave None (NoneType) as info"),
    "info list": (4, [1], None, "gave [1] (list) as info"),
    "four": ("step", (np.ones(3, np.float32), 1.0, False, {}), None, "gave 4 of them as what step gives"),
    "nothing": ("step", None, None, "gave NoneType as what step gives"),
    "reset obs": ("reset", np.ones(3, np.float32), None, "gave ndarray as what reset gives at step 6"),
    "reset two": ("reset", np.ones(2, np.float32), None, "gave ndarray as what reset gives"),
    "reset wide": ("reset", (np.ones(4, np.float32), {}), None, "as obs of reset at step 6, expected float32[3]"),
    "reset info": ("reset", (np.ones(3, np.float32), None), None, "as info of reset"),
}
ALLOWED = {  # what sound environments do
    "obs double": (0, np.ones(3), None),
    "obs whole": (0, np.ones(3, np.int64), None),
    "obs outside": (0, np.full(3, 1e6, np.float32), None),
    "bytes long": (0, np.ones(3, np.int8), SHORT),
    "place numpy": (0, np.array(3, np.int32), PLACES),
    "reward whole": (1, 1, None),
    "reward numpy": (1, np.float32(1), None),
    "reward bool": (1, True, None),
    "reward array of no axes": (1, np.array(1.0), None),
    "ends numpy": (2, np.bool_(False), None),
}


def steps(env, count=9):
    env.reset(0)
    for _ in range(count):
        env.step(np.zeros(env.num_envs, np.int32))


def late_envs(part, value, space):
    make = Making(Late, part, value, space)
    yield Guarded(gym_env("Late-v0", 2, part=part, value=value, space=space))
    for mode in ALL_THREE:
        yield Guarded(from_vector(SyncVectorEnv([make] * 2, autoreset_mode=mode), id="Late-v0"))


def test_what_breaks_later_on_is_named_as_it_came_before_it_is_cast():
    """Here, in a vector of the caller's in each way of resetting, and with on_nan="drop"."""
    assert len(LATE) >= 45
    for name, (part, value, space, says) in LATE.items():
        for env in late_envs(part, value, space):
            with pytest.raises(Broken) as broken:
                steps(env)
            told = str(broken.value)
            assert told.startswith("environment 0 of gym:Late-v0 gave "), (name, told)
            if env.ragged:  # a vector step there may be a reset
                says = says.partition(" at step ")[0]
            assert says in told, (name, told)
        said = []
        env = supervised(Making(Late, part, value, space), said=said)
        steps(env)
        assert env.lost_so_far >= 2, name
        assert says.partition(" at step ")[0] in said[0], (name, said[0])


def test_what_sound_environments_give_is_taken():
    for part, value, space in ALLOWED.values():
        for env in late_envs(part, value, space):
            steps(env)
        env = supervised(Making(Late, part, value, space))
        steps(env)
        assert env.lost_so_far == 0


def test_apart_a_broken_contract_ends_the_run_or_is_dropped():
    for drop in (False, True):
        said = []
        env = supervised(Making(Late, 2, "False"), 1, True, drop, said)
        if drop:
            steps(env, 7)
            assert "gave False (str) as terminated" in said[0]
        else:
            with pytest.raises(Broken, match=r"environment 0 of gym:Odd gave False \(str\) as terminated at step 6"):
                steps(env)
        env.close()


def swapped(place, value):
    return lambda *came: (*came[:place], value, *came[place + 1 :])


OWN = {
    "obs narrow": (swapped(0, np.ones((2, 1), np.float32)), "gave float32[2, 1]"),
    "obs other envs": (swapped(0, np.ones((1, 2), np.float32)), "gave float32[1, 2]"),
    "obs text": (swapped(0, np.array([["1", "2"]] * 2)), "gave <U1[2, 2]"),
    "obs nothing": (swapped(0, None), "gave None (NoneType) as obs"),
    "obs 1e300": (swapped(0, np.array([[1.0, 1.0], [1.0, 1e300]])), "environment 1 of gym:Own gave 1e+300 as obs at"),
    "reward text": (swapped(1, ["1.0", "1.0"]), "gave ['1.0', '1.0'] (list) as reward at step 4, expected an array"),
    "reward one": (swapped(1, 1.0), "gave 1.0 (float) as reward"),
    "reward objects": (swapped(1, np.array([1.0, None])), "as reward"),
    "reward 1e300": (swapped(1, np.array([1.0, -1e300])), "environment 1 of gym:Own gave -1e+300"),
    "terminated whole": (swapped(2, np.zeros(2, int)), "gave int64[2] [0, 0] as terminated"),
    "terminated float": (swapped(2, np.full(2, np.nan)), "gave float64[2] [nan, nan] as terminated"),
    "terminated text": (swapped(2, np.array(["False"] * 2)), "as terminated"),
    "truncated one": (swapped(3, False), "gave False (bool) as truncated"),
    "info nothing": (swapped(4, None), "gave None (NoneType) as info"),
    "four": (lambda *came: came[:4], "gave 4 of them as what step gives at step 4"),
}


def test_a_vector_of_ones_own_is_looked_at_before_it_is_cast():
    for name, (spoil, says) in OWN.items():
        for mode in ALL_THREE:
            env = from_vector(Own(mode, spoil=spoil))
            with pytest.raises(Broken) as broken:
                steps(env)
            assert says in str(broken.value), (name, str(broken.value))
    places = Own(AutoresetMode.DISABLED, spoil=swapped(0, np.array([4, 5])))
    places.single_observation_space, places._obs = Discrete(5), np.zeros((2, 2), np.int64)
    places.reset = lambda **_: (np.zeros(2, np.int64), {})
    places._steps = 9
    with pytest.raises(Broken, match="environment 1 of gym:Own gave 5"):
        steps(from_vector(places))
    env = from_vector(
        Own(AutoresetMode.SAME_STEP, spoil=swapped(4, {"final_obs": [np.ones(1, np.float32)] * 2})), "gym:Own"
    )
    with pytest.raises(Broken, match=r"environment 0 of gym:Own gave float32\[1\] \[1.0\] as final_obs"):
        steps(env)


def test_processes_of_a_vector_of_ones_own_are_heard_before_it_casts():
    for part, value in ((1, "1.0"), (2, None), (4, None)):
        make = Making(Late, part, value)
        vector = AsyncVectorEnv([Making(Late), make], context=START, autoreset_mode=AutoresetMode.DISABLED)
        env = from_vector(vector, "Late")
        with pytest.raises(Broken, match=r"environment 1 of gym:Late gave .* at step 6, expected"):
            steps(env)
        env.close()


@pytest.mark.parametrize(
    ("space", "kept"),
    [
        (Box(-9, 9, (2,), np.int64), "int32"),
        (Box(0, 2**31 - 1, (2,), np.int64), "int32"),
        (Box(0, 2**31, (2,), np.int64), "float32"),
        (Box(-(2**31) - 1, 0, (2,), np.int64), "float32"),
        (Box(2**40, 2**41, (2,), np.int64), "float32"),
        (Box(-np.inf, np.inf, (2,), np.int64), "int32"),
        (Box(0, 2**63 - 1, (2,), np.int64), "int32"),
        (Box(0, 2**32 - 1, (2,), np.uint64), "uint32"),
        (Box(0, 2**64 - 1, (2,), np.uint64), "uint32"),
        (Box(0, 2**33, (2,), np.uint64), "float32"),
        (Box(0, 2**32 - 1, (2,), np.uint32), "uint32"),
        (Box(-1, 1, (2,), np.float64), "float32"),
        (Box(-1, 1, (2,), np.float16), "float32"),
    ],
)
def test_whole_numbers_that_do_not_fit_into_32_bits_become_floats_and_that_is_told(space, kept):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        spec = spec_of("gym:Wide", space, Discrete(2), None)
    assert spec.obs_dtype == kept
    wide = space.dtype.kind in "iu" and kept == "float32"
    assert len(told) == wide
    if wide:
        assert "they are kept as float32" in str(told[0].message)
        low = np.asarray(space.low)
        made = lambda: Late(0, low, space)  # noqa: E731
        env = from_vector(SyncVectorEnv([made] * 2, autoreset_mode=AutoresetMode.DISABLED), id="Wide")
        steps(env, 7)
        assert env.step(np.zeros(2, np.int32))[1].next_obs.tolist() == [low.astype(np.float32).tolist()] * 2


def test_states_are_counted_from_their_start_in_64_bits():
    space = Discrete(5, start=2**40)
    made = lambda: Late(0, 2**40 + 3, space)  # noqa: E731
    env = from_vector(SyncVectorEnv([made] * 2, autoreset_mode=AutoresetMode.DISABLED), id="Far")
    assert env.reset(0).tolist() == [0, 0]
    seen = [env.step(np.zeros(2, np.int32))[1].next_obs.tolist() for _ in range(6)]
    assert (seen[0], seen[-1]) == ([0, 0], [3, 3])


WAYS = {"exit": r"raised SystemExit\(0\)", "_exit": r"called os\._exit\(0\)"}


@pytest.mark.parametrize("way", WAYS)
def test_an_environment_that_ends_the_process_ends_the_run_with_a_sentence(way):
    real, says = os._exit, WAYS[way]
    for place, at, what in (("step", 4, "step 4"), ("reset", 3, "step 3"), ("reset", 0, "reset 1")):
        env = Guarded(gym_env("Ending-v0", 2, way=way, place=place, at=at))
        with pytest.raises(Broken, match=f"gym:Ending-v0 {says} in {what}, and an environment must not end"):
            steps(env)
        mine = guarded(lambda envs, p=place, a=at: from_vector(SyncVectorEnv([lambda: Ending(way, p, at=a)] * envs)))
        with pytest.raises(Broken, match=says):
            steps(mine.evaluation(2))
        with pytest.raises(Refusal, match=says.partition("\\(")[0].partition(" ")[2] if way == "exit" else "Exited"):
            try_gym("gym:Ending-v0", Making(Ending, way, place, at=at), Care())
    with pytest.raises(Refusal, match=f"Ending-v0 {says} in its constructor"):
        gym_spec("Ending-v0", way=way, place="constructor")
    with pytest.raises(Broken, match=f"{says} in its constructor"):
        guarded(lambda envs: from_vector(SyncVectorEnv([lambda: Ending(way, "constructor")] * envs)))(1)
    with pytest.raises(Broken, match=f"{says} in close"):
        Guarded(from_vector(SyncVectorEnv([lambda: Ending(way, "close")] * 2))).close()
    env = gym_env("Ending-v0", 1, way=way, place="render", render_mode="rgb_array")
    env.reset(0)
    with pytest.raises(Broken, match=f"{says} in render"):
        env.render()
    said = []
    env = supervised(Making(Ending, way), said=said)
    steps(env, 5)
    assert says.replace("\\", "") in said[0]
    assert os._exit is real


def test_apart_an_environment_that_exits_with_0_has_died():
    said = []
    for way in WAYS:
        env = supervised(Making(Ending, way), 1, True, False, said)
        steps(env, 5)
        env.close()
    assert "raised SystemExit(0) in step: another takes its place" in said[0]
    assert "died (exit code 0): another takes its place" in said[1]


def test_only_the_environments_own_thread_is_kept_from_ending_the_process(monkeypatch):
    ended = []
    monkeypatch.setattr("qtwin.envs.exits._EXIT", ended.append)

    def beside():
        os._exit(0)
        os._exit(3)

    with INSIDE, INSIDE:
        other = threading.Thread(target=beside)
        other.start()
        other.join()
        from qtwin.envs import guard

        guard.leave("it hangs")  # the package's own, in this very thread
    assert ended == [1, 3, 1]
    assert os._exit == ended.append
    monkeypatch.undo()


def test_no_command_ends_with_0_when_an_environment_ends_the_process(tmp_path, capfd):
    gym.register("Ending-v1", Ending, kwargs={"way": "_exit", "at": 60}, disable_env_checker=True)
    words = "--envs 2 --collect 2 --net linear --warmup 20 --replay 100 --batch 8 --steps 400 --log-points 1"
    words += " --eval-episodes 1 --quiet"
    try:
        assert main(["train", "gym:Ending-v1", *words.split(), "--out", str(tmp_path / "run")]) == 1
        assert main(["record", "gym:Ending-v1", "--steps", "900", "--out", str(tmp_path / "data.safetensors")]) == 1
    finally:
        del gym.registry["Ending-v1"]
    assert capfd.readouterr().err.count("and an environment must not end the process") == 2


def test_a_picture_that_is_none_is_named():
    for picture, says in ((None, "None (NoneType)"), (np.zeros((4, 4)), "float64[4, 4]")):
        env = gym_env("Sharing-v0", 1, render_mode="rgb_array")
        env.reset(0)
        env._env.envs[0].unwrapped.render = lambda picture=picture: picture
        with pytest.raises(Broken) as broken:
            env.render()
        assert f"gave {says} as a picture" in str(broken.value)


def test_an_environment_of_the_registry_is_guarded_in_training_evaluation_and_recording():
    env = host_env(gym_spec("Late-v0"))(2)
    assert isinstance(env, Guarded)
    env.close()
