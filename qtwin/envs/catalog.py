"""What environments there are, and where each lives. Read without importing JAX, gymnax or (until needed) Gymnasium.

The table repeats what gymnax says of its own environments, so that a wrong request is answered at once; a test holds it
equal to gymnax.
"""

from __future__ import annotations

import dataclasses
import importlib.util

from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, nearest
from qtwin.storage.files import staying

HOMES = {
    "gymnax": "written in JAX (gymnax): the whole cycle runs as one program",
    "minatar": "the five MinAtar games of gymnax: minatar:Breakout, and as MinAtar has it minatar:Breakout-v0",
    "brax": "rigid bodies of Brax, written in JAX",
    "ale": "Atari's games (ale-py), played by threads in C++",
    "gym": "any Gymnasium environment with discrete or bounded actions and box or discrete observations",
    "envpool": "any environment of envpool with such actions and observations, stepped by threads in C++",
    "probe": "tiny environments whose values are known exactly",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One environment of gymnax, with its default parameters.

    Attributes:
      obs_shape: shape of one observation.
      obs_dtype: how the replay keeps it; "bool" where every entry is a flag.
      num_actions: number of discrete actions; None where actions are continuous.
      time_limit: steps after which an episode is truncated. [transitions]
      num_states: number of states where the observation is a state's index.
      short: the plain name, where it is not gymnax's own.
      low, high: the bounds of each number of a continuous action, in the environment's own units.
    """

    obs_shape: tuple[int, ...]
    obs_dtype: str
    num_actions: int | None
    time_limit: int
    num_states: int | None = None
    short: str | None = None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


GYMNAX = {
    "CartPole-v1": Entry((4,), "float32", 2, 500),
    "Acrobot-v1": Entry((6,), "float32", 3, 500),
    "MountainCar-v0": Entry((2,), "float32", 3, 200),
    "Asterix-MinAtar": Entry((10, 10, 4), "bool", 5, 1000),
    "Breakout-MinAtar": Entry((10, 10, 4), "bool", 3, 1000),
    "Freeway-MinAtar": Entry((10, 10, 7), "bool", 3, 2500),
    "Seaquest-MinAtar": Entry((10, 10, 10), "bool", 6, 1000),
    "SpaceInvaders-MinAtar": Entry((10, 10, 6), "bool", 4, 1000),
    "Catch-bsuite": Entry((10, 5), "bool", 3, 1000, short="Catch"),
    "DeepSea-bsuite": Entry((8, 8), "bool", 2, 8, short="DeepSea"),
    "MemoryChain-bsuite": Entry((3,), "float32", 2, 1000, short="MemoryChain"),
    "UmbrellaChain-bsuite": Entry((3,), "float32", 2, 100, short="UmbrellaChain"),
    "DiscountingChain-bsuite": Entry((2,), "float32", 5, 100, short="DiscountingChain"),
    "SimpleBandit-bsuite": Entry((1, 1), "float32", 11, 100, short="SimpleBandit"),
    "FourRooms-misc": Entry((4,), "int32", 4, 500, short="FourRooms"),
    "MetaMaze-misc": Entry((15,), "float32", 4, 200, short="MetaMaze"),
    "BernoulliBandit-misc": Entry((4,), "float32", 2, 100, short="BernoulliBandit"),
    "GaussianBandit-misc": Entry((4,), "float32", 2, 100, short="GaussianBandit"),
    "Pong-misc": Entry((30, 40, 3), "bool", 3, 1000),
    "FrozenLake-misc": Entry((), "int32", 4, 100, num_states=16, short="FrozenLake-v1"),
    "Pendulum-v1": Entry((3,), "float32", None, 200, low=(-2.0,), high=(2.0,)),
    "MountainCarContinuous-v0": Entry((2,), "float32", None, 999, low=(-1.0,), high=(1.0,)),
    "PointRobot-misc": Entry((6,), "float32", None, 100, short="PointRobot", low=(-0.1, -0.1), high=(0.1, 0.1)),
    "Reacher-misc": Entry((8,), "float32", None, 100, short="Reacher", low=(-1.0, -1.0), high=(1.0, 1.0)),
    "Swimmer-misc": Entry((16,), "float32", None, 500, short="Swimmer", low=(-1.0, -1.0), high=(1.0, 1.0)),
}
# Of Brax's environments: numbers in an observation, and in an action, which is in [-1, 1] whatever the motors bear.
BRAX = {
    "ant": (27, 8),
    "halfcheetah": (17, 6),
    "hopper": (11, 3),
    "humanoid": (244, 17),
    "humanoidstandup": (244, 17),
    "inverted_double_pendulum": (8, 1),
    "inverted_pendulum": (4, 1),
    "pusher": (23, 7),
    "reacher": (11, 2),
    "swimmer": (8, 2),
    "walker2d": (17, 6),
}
BRAX_LIMIT = 1000  # the length of an episode where Brax is not told another
NEEDS_DOWNLOAD = ("MNISTBandit-bsuite",)
MINATAR = {name.removesuffix("-MinAtar"): name for name in GYMNAX if name.endswith("-MinAtar")}
# MinAtar's own games, by the names it registers with Gymnasium: every action, some of them repeated, no time limit but
# Freeway's. So that an evaluation ends, there is Atari's half hour here.
MINATAR_OWN = {f"{game}-v0": name for game, name in MINATAR.items()}
MINATAR_ACTIONS = 6
MINATAR_STICKY = 0.1  # how often an action is replaced by the one before it
MINATAR_LIMIT, FREEWAY_LIMIT = 27_000, 2_500  # [transitions]
SHORT = {entry.short: name for name, entry in GYMNAX.items() if entry.short}


def resolve(name: str, preprocessing: str = "") -> EnvSpec:
    """The environment that ``name`` means: a plain id takes the fastest home it has, a prefix decides.

    Args:
      name: ``CartPole-v1``, ``gymnax:Catch-bsuite``, ``minatar:Breakout``, ``ale:Pong``, ``gym:LunarLander-v3``,
        ``envpool:HalfCheetah-v5``, ``brax:ant``, ``probe:NAME``.
      preprocessing: of Atari's frames, a key of `qtwin.envs.preprocessing.PREPROCESSINGS`; "" is the home's own.

    Raises:
      Refusal: no such environment (the nearest name over all homes is offered), none that can be made here, or a
        preprocessing for one that has none.
    """
    home, colon, rest = name.partition(":")
    if home == "ale" and colon:
        from qtwin.envs.ale_envs import ale_spec

        return ale_spec(rest, preprocessing)
    if preprocessing:
        raise Refusal(
            f"--preprocessing is of Atari's frames, and {name} came with '{preprocessing}'; leave it out, or write for"
            " example ale:Pong"
        )
    if not colon:
        return _plain(name)
    if home not in HOMES:
        raise Refusal(f"unknown home '{home}:' in '{name}'{nearest(home, HOMES)}")
    if home == "gym":
        return _gym(rest)
    if home == "envpool":
        from qtwin.envs.envpool_envs import envpool_spec

        return envpool_spec(rest)
    if home == "brax":
        return _brax(rest)
    if home == "probe":
        probes = _probes()
        if name not in probes:
            raise Refusal(f"unknown environment '{name}'{nearest(name, probes)}")
        return probes[name]
    if home == "minatar":
        if rest in MINATAR_OWN:
            return _minatar(rest)
        game = rest.removesuffix("-MinAtar")
        if game not in MINATAR:
            known = [f"minatar:{game}" for game in (*MINATAR, *MINATAR_OWN)]
            raise Refusal(f"unknown environment '{name}'{nearest(name, known)}")
        return _gymnax(MINATAR[game])
    if rest in NEEDS_DOWNLOAD or rest in GYMNAX or rest in SHORT:
        return _gymnax(SHORT.get(rest, rest))
    raise Refusal(f"unknown environment '{name}'{nearest(name, [f'gymnax:{known}' for known in GYMNAX])}")


def names() -> dict[str, EnvSpec]:
    """Every environment that needs no further installation, by the name to write, the fastest home first."""
    found = {}
    for name in GYMNAX:
        game = name.removesuffix("-MinAtar")
        found[GYMNAX[name].short or (f"minatar:{game}" if game in MINATAR else name)] = _gymnax(name)
    return found | {f"minatar:{game}": _minatar(game) for game in MINATAR_OWN} | _probes()


def is_minatar(spec: EnvSpec) -> bool:
    """Is it one of MinAtar's games, as gymnax or as MinAtar has it?"""
    home, _, name = spec.id.partition(":")
    return home == "minatar" or name.endswith("-MinAtar")


def _plain(name: str) -> EnvSpec:
    if name in SHORT or name in GYMNAX or name in NEEDS_DOWNLOAD:
        return _gymnax(SHORT.get(name, name))
    if "/" in name:
        return _gym(name)  # a namespace of Gymnasium's, perhaps of a package that registers only when imported
    others = _gymnasium_ids()
    if name in others:
        return _gym(name)
    raise Refusal(f"unknown environment '{name}'{nearest(name, [*names(), *GYMNAX, *others])}")


def _gymnax(name: str) -> EnvSpec:
    if name in NEEDS_DOWNLOAD:
        raise Refusal(
            f"{name} downloads its data set when it is made, and qtwin downloads nothing; write for example Catch"
        )
    entry = GYMNAX[name]
    return EnvSpec(
        id=f"gymnax:{name}",
        obs_shape=entry.obs_shape,
        obs_dtype=entry.obs_dtype,
        num_actions=entry.num_actions,
        num_states=entry.num_states,
        time_limit=entry.time_limit,
        engine="fused",
        action_low=entry.low,
        action_high=entry.high,
    )


def _minatar(name: str) -> EnvSpec:
    entry = GYMNAX[MINATAR_OWN[name]]
    return EnvSpec(
        id=f"minatar:{name}",
        obs_shape=entry.obs_shape,
        obs_dtype=entry.obs_dtype,
        num_actions=MINATAR_ACTIONS,
        time_limit=FREEWAY_LIMIT if name == "Freeway-v0" else MINATAR_LIMIT,
    )


def _brax(name: str) -> EnvSpec:
    if name not in BRAX:
        raise Refusal(
            f"unknown environment 'brax:{name}'{nearest(f'brax:{name}', [f'brax:{known}' for known in BRAX])}"
        )
    if not importlib.util.find_spec("brax"):
        raise Refusal(f"brax:{name} needs brax, which is not installed; write pip install 'qtwin[brax]'")
    obs, actions = BRAX[name]
    return EnvSpec(
        f"brax:{name}",
        (obs,),
        "float32",
        None,
        time_limit=BRAX_LIMIT,
        action_low=(-1.0,) * actions,
        action_high=(1.0,) * actions,
    )


def _gym(name: str) -> EnvSpec:
    from qtwin.envs.gym_envs import gym_spec

    with staying():  # one is made to be looked at, and its constructor may change the working directory
        return gym_spec(name)


def _probes() -> dict[str, EnvSpec]:
    from qtwin.envs.probe_specs import PROBES

    return {spec.id: spec for spec in PROBES.values()}


def _gymnasium_ids() -> list[str]:
    import gymnasium

    return [name for name in gymnasium.registry if "/" not in name and not name.startswith("GymV")]
