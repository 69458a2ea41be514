"""qtwin: deep Q-learning as two networks and three processes.

    import qtwin
    run = qtwin.train("CartPole-v1")            # one call: a trained agent, its curve, its numbers
    policy = qtwin.load(run.path)               # policy(observation) -> action

or put together by hand: a network (`from_nnx`), a twin and how its target follows (`hard`, `soft`, `tied`, ...), a TD
target and a loss (`Agent`), the three rates (`Rates`), and the engine (`learn`). See ``examples/dqn_by_hand.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: `qtwin.cli` can handle a signal only when this module has been imported

__version__ = "0.1.0"

# Where each public name lives. Resolved when it is first used: `import qtwin` alone does not import JAX.
_HOMES = {
    "qtwin.api": ("train", "session", "train_encoder", "learn"),
    "qtwin.run.outcome": ("Run", "Learned"),
    "qtwin.lab.python": ("compare", "Comparison"),
    "qtwin.run.policy": ("load",),
    "qtwin.run.acting": ("Policy",),
    "qtwin.run.session": ("Session",),
    "qtwin.envs.handed_in": ("vector",),
    "qtwin.config.config": ("Config", "setting"),
    "qtwin.records": ("register", "origin_of"),
    "qtwin.target_update.catalog": ("TargetRuleInfo",),
    "qtwin.measure.catalog": ("MeasureInfo",),
    "qtwin.config.bootstrap_specs": ("BootstrapInfo", "RegulariserInfo"),
    "qtwin.replay.catalog": ("ReplayInfo",),
    "qtwin.siamese.catalog": ("MethodInfo",),
    "qtwin.request.presets": ("Preset",),
    "qtwin.agents.catalog": ("AgentInfo", "config_of", "recipe"),
    "qtwin.errors": ("Refusal",),
    "qtwin.types": ("Transition", "Timestep", "Variables", "Aux", "Clock"),
    "qtwin.twin": ("Twin", "distance"),
    "qtwin.rates": ("Rates", "cycle_of", "plan"),
    "qtwin.cli.rate_card": ("describe",),
    "qtwin.algorithm": ("Agent", "Algorithm", "PolicyUpdate"),
    "qtwin.target_update.rules": ("TargetUpdate", "hard", "soft", "tied", "frozen", "averaged", "last_layer"),
    "qtwin.target_update.adaptive_rules": ("cosine", "until_converged", "geometric", "t_soft", "chain"),
    "qtwin.run.siamese.encoder": ("load_encoder", "Encoder"),
    "qtwin.nets.net": ("Net", "from_nnx", "from_linen", "from_functions", "side_by_side"),
    "qtwin.nets.ensemble": ("ensemble",),
    "qtwin.nets.build": ("q_network", "distribution_network"),
    "qtwin.config.rates_of": ("rates_of",),
    "qtwin.optimisers": ("optimiser_of",),
    "qtwin.td.losses": ("regression",),
    "qtwin.replay": ("make_replay",),
    "qtwin.replay.ring": ("ring",),
    "qtwin.replay.frames": ("frame_ring",),
    "qtwin.replay.latest": ("latest",),
    "qtwin.replay.dataset": ("dataset", "load_dataset", "save_dataset"),
    "qtwin.acting.exploration": ("choose", "epsilon_greedy", "gaussian", "linear", "constant", "schedule"),
    "qtwin.acting.policies": ("Squashed", "squashed"),
    "qtwin.td.targets": ("max_target", "double_target", "value_target", "q_of_action"),
    "qtwin.envs.base": ("JaxEnv", "HostEnv", "Outcome"),
    "qtwin.envs.spec": ("EnvSpec",),
    "qtwin.envs.catalog": ("EnvHomeInfo", "resolve"),
    "qtwin.envs.gym_envs": ("from_vector",),
    "qtwin.state": ("TrainState",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from typing import Any

    from qtwin.acting.exploration import choose, constant, epsilon_greedy, gaussian, linear, schedule
    from qtwin.acting.policies import Squashed, squashed
    from qtwin.agents.catalog import AgentInfo, config_of, recipe
    from qtwin.algorithm import Agent, Algorithm, PolicyUpdate
    from qtwin.api import learn, session, train, train_encoder
    from qtwin.cli.rate_card import describe
    from qtwin.config.bootstrap_specs import BootstrapInfo, RegulariserInfo
    from qtwin.config.config import Config, setting
    from qtwin.config.rates_of import rates_of
    from qtwin.envs.base import HostEnv, JaxEnv, Outcome
    from qtwin.envs.catalog import EnvHomeInfo, resolve
    from qtwin.envs.gym_envs import from_vector
    from qtwin.envs.handed_in import vector
    from qtwin.envs.spec import EnvSpec
    from qtwin.errors import Refusal
    from qtwin.lab.python import Comparison, compare
    from qtwin.measure.catalog import MeasureInfo
    from qtwin.nets.build import distribution_network, q_network
    from qtwin.nets.ensemble import ensemble
    from qtwin.nets.net import Net, from_functions, from_linen, from_nnx, side_by_side
    from qtwin.optimisers import optimiser_of
    from qtwin.rates import Rates, cycle_of, plan
    from qtwin.records import origin_of, register
    from qtwin.replay import make_replay
    from qtwin.replay.catalog import ReplayInfo
    from qtwin.replay.dataset import dataset, load_dataset, save_dataset
    from qtwin.replay.frames import frame_ring
    from qtwin.replay.latest import latest
    from qtwin.replay.ring import ring
    from qtwin.request.presets import Preset
    from qtwin.run.acting import Policy
    from qtwin.run.outcome import Learned, Run
    from qtwin.run.policy import load
    from qtwin.run.session import Session
    from qtwin.run.siamese.encoder import Encoder, load_encoder
    from qtwin.siamese.catalog import MethodInfo
    from qtwin.state import TrainState
    from qtwin.target_update.adaptive_rules import chain, cosine, geometric, t_soft, until_converged
    from qtwin.target_update.catalog import TargetRuleInfo
    from qtwin.target_update.rules import TargetUpdate, averaged, frozen, hard, last_layer, soft, tied
    from qtwin.td.losses import regression
    from qtwin.td.targets import double_target, max_target, q_of_action, value_target
    from qtwin.twin import Twin, distance
    from qtwin.types import Aux, Clock, Timestep, Transition, Variables


# Names that go with the next minor release, and what stands in their place.
_RENAMED = {"taken": "q_of_action", "Improvement": "PolicyUpdate"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        import warnings

        warnings.warn(
            f"qtwin.{name} is now qtwin.{_RENAMED[name]}; the old name goes with the next minor release",
            DeprecationWarning,
            stacklevel=2,
        )
        name = _RENAMED[name]
    if name not in _HOME:
        raise AttributeError(f"module 'qtwin' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
