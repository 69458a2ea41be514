"""The environments of gymnax by name, and MinAtar's as MinAtar has them. Read without importing JAX or gymnax.

The table repeats what gymnax says of its own environments, so that a wrong request is answered at once; a test holds it
equal to gymnax.
"""

from __future__ import annotations

import dataclasses

from qtwin.envs.spec import EnvSpec
from qtwin.envs.spelling import nearest_env
from qtwin.errors import Refusal


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
NEEDS_DOWNLOAD = ("MNISTBandit-bsuite",)
MINATAR = {name.removesuffix("-MinAtar"): name for name in GYMNAX if name.endswith("-MinAtar")}
# MinAtar's own games, by the names it registers with Gymnasium: every action, some of them repeated, no time limit but
# Freeway's. So that an evaluation ends, there is Atari's half hour here.
MINATAR_OWN = {f"{game}-v0": name for game, name in MINATAR.items()}
MINATAR_ACTIONS = 6
MINATAR_STICKY = 0.1  # how often an action is replaced by the one before it
MINATAR_LIMIT, FREEWAY_LIMIT = 27_000, 2_500  # [transitions]
SHORT = {entry.short: name for name, entry in GYMNAX.items() if entry.short}


def gymnax_resolve(name: str) -> EnvSpec:
    """What an agent may know of gymnax's environment ``name``: gymnax's own id, or the short one."""
    if not has_plain(name):
        known = [f"gymnax:{each}" for each in GYMNAX]
        raise Refusal(f"unknown environment 'gymnax:{name}'{nearest_env(f'gymnax:{name}', known)}")
    return _gymnax(SHORT.get(name, name))


def minatar_resolve(name: str) -> EnvSpec:
    """What an agent may know of one of MinAtar's games: ``Breakout`` as gymnax has it, ``Breakout-v0`` as MinAtar."""
    if name in MINATAR_OWN:
        return _minatar(name)
    game = name.removesuffix("-MinAtar")
    if game not in MINATAR:
        known = [f"minatar:{game}" for game in (*MINATAR, *MINATAR_OWN)]
        raise Refusal(f"unknown environment 'minatar:{name}'{nearest_env(f'minatar:{name}', known)}")
    return _gymnax(MINATAR[game])


def has_plain(name: str) -> bool:
    """Is it an environment of gymnax without a prefix?"""
    return name in SHORT or name in GYMNAX or name in NEEDS_DOWNLOAD


def known_plain() -> list[str]:
    """gymnax's own ids, which may be written without a prefix."""
    return list(GYMNAX)


def gymnax_names() -> dict[str, EnvSpec]:
    """Every environment of gymnax by the name to write."""
    found = {}
    for name, entry in GYMNAX.items():
        game = name.removesuffix("-MinAtar")
        found[entry.short or (f"minatar:{game}" if game in MINATAR else name)] = _gymnax(name)
    return found


def minatar_names() -> dict[str, EnvSpec]:
    """MinAtar's own games by the name to write; those as gymnax has them are gymnax's."""
    return {f"minatar:{game}": _minatar(game) for game in MINATAR_OWN}


def gymnax_remark(name: str) -> str:
    """What else is to be known of an environment of gymnax."""
    if name.startswith("minatar:"):
        return f"the minimal action set, gymnax's (MinAtar's own papers: {name}-v0)"
    if name == "MountainCarContinuous-v0":
        return f"unlike in Gymnasium's (gym:{name}) the left wall does not take the car's speed"
    return ""


def minatar_remark(name: str) -> str:
    """What else is to be known of a game as MinAtar has it."""
    del name
    return f"{MINATAR_STICKY:.0%} of actions repeat the last one, as in MinAtar's own papers"


def is_minatar(spec: EnvSpec) -> bool:
    """Is it one of MinAtar's games, as gymnax or as MinAtar has it?"""
    home, _, name = spec.id.partition(":")
    return home == "minatar" or name.endswith("-MinAtar")


def _gymnax(name: str) -> EnvSpec:
    if name in NEEDS_DOWNLOAD:
        raise Refusal(
            f"{name} downloads a data set when it is created, and qtwin does not download anything; write for"
            f" example Catch"
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
