"""The presets of Stable-Baselines3, its contrib and its zoo, for continuous actions.

Both libraries give the action noise in units of half the action's range.
"""

from __future__ import annotations

import dataclasses

from qtwin.agents.catalog import becoming, config_of
from qtwin.config.config import Config
from qtwin.request.presets.preset import VECTOR_STEPS, Preset, per_vector_step

_DDPG = config_of(
    "ddpg", "Pendulum-v1", net="mlp:400,300", init="torch", loss="mse", optimiser="adam",
    learning_rate=1e-3, collect=1, regress=1, target="soft:0.005", warmup=100, replay=1_000_000, batch=256,
    explore="0", envs=1, steps=1_000_000,
)  # fmt: skip
_SAC = becoming(_DDPG, "sac", net="mlp:256,256", critics=2, loss="half-mse", learning_rate=3e-4, explore="1")
_CROSSQ = becoming(_SAC, "crossq", net="mlp:1024,1024+batchrenorm", actor_net="mlp:256,256+batchrenorm", actor_every=3,
    optimiser="adam:1e-8:0.5", learning_rate=1e-3, target="tied",
)  # fmt: skip
_MUJOCO = {"HalfCheetah": {}, "Ant": {}, "Hopper": {}, "Walker2d": {}, "Humanoid": {"steps": 2_000_000}, "Swimmer": {}}


def _delayed(c: Config) -> Config:
    """TD3 with DDPG's hyperparameters: SB3's DDPG is its TD3 with one critic, no smoothing and no delay."""
    return becoming(c, "td3", critics=2, actor_every=2, smoothing="0.2:0.5", target="soft:0.005/2")


def _truncated(c: Config) -> Config:
    return becoming(c, "tqc", quantiles=25, drop=5 if "Hopper" in c.env else 2)


def _mujoco(base: Config, swimmer: float) -> tuple[Config, ...]:
    """The zoo's rows for MuJoCo, which differ in Humanoid's budget and in Swimmer's discount."""
    changes = _MUJOCO | {"Swimmer": {"discount": swimmer}}
    return tuple(dataclasses.replace(base, env=f"gym:{name}-v4", **change) for name, change in changes.items())


_TUNED = dataclasses.replace(_DDPG, explore="0.1", warmup=10_000, replay=200_000, discount=0.98)
_DDPG_ROWS = (
    dataclasses.replace(_TUNED, steps=20_000),
    dataclasses.replace(_DDPG, env="MountainCarContinuous-v0", explore="0.5", steps=300_000),
    dataclasses.replace(_TUNED, env="gym:LunarLanderContinuous-v3", steps=300_000),
    dataclasses.replace(_TUNED, env="gym:BipedalWalker-v3"),
    *_mujoco(dataclasses.replace(_DDPG, explore="0.1", warmup=10_000), 0.9999),
)
_SAC_ROWS = (
    dataclasses.replace(_SAC, learning_rate=1e-3, steps=20_000),
    dataclasses.replace(
        _SAC, env="MountainCarContinuous-v0", net="mlp:64,64", temperature="0.1", discount=0.9999, collect=32,
        regress=32, target="soft:0.01", warmup=0, replay=50_000, batch=512, steps=50_000,
    ),
    dataclasses.replace(
        _SAC, env="gym:LunarLanderContinuous-v3", net="mlp:400,300", learning_rate=7.3e-4, target="soft:0.01",
        warmup=10_000, steps=500_000,
    ),
    dataclasses.replace(
        _SAC, env="gym:BipedalWalker-v3", net="mlp:400,300", learning_rate=7.3e-4, discount=0.98, collect=64,
        regress=64, target="soft:0.02", warmup=10_000, replay=300_000, steps=500_000,
    ),
    *_mujoco(dataclasses.replace(_SAC, warmup=10_000), 0.999),
)  # fmt: skip
_SMALL = {"net": "mlp:64,64+batchrenorm", "actor_net": "mlp:64,64+batchrenorm"}
_CROSSQ_MUJOCO = dataclasses.replace(_CROSSQ, net="mlp:2048,2048+batchrenorm", warmup=5_000, steps=5_000_000)
_CROSSQ_ROWS = (
    dataclasses.replace(_CROSSQ, net="mlp:256,256+batchrenorm", actor_every=2, steps=20_000),
    dataclasses.replace(
        _CROSSQ, env="MountainCarContinuous-v0", **_SMALL, learning_rate=7e-4, discount=0.9999, collect=32, regress=32,
        actor_every=2, replay=50_000, steps=50_000,
    ),
    dataclasses.replace(_CROSSQ, env="gym:LunarLanderContinuous-v3", warmup=10_000, steps=200_000),
    dataclasses.replace(
        _CROSSQ, env="gym:BipedalWalker-v3", discount=0.98, warmup=10_000, replay=300_000, steps=200_000
    ),
    *(dataclasses.replace(row, steps=5_000_000) for row in _mujoco(_CROSSQ_MUJOCO, 0.999)),
)  # fmt: skip


def _defaults(config: Config, source: str, note: str) -> Preset:
    return Preset(
        f"sb3-{config.agent}", ("*",), config, source,
        note=f"the defaults of the constructor, which include no number of timesteps; {note}",
        itself=per_vector_step, because=VECTOR_STEPS,
    )  # fmt: skip


def _zoo(rows: tuple[Config, ...], note: str) -> Preset:
    agent, names = rows[0].agent, tuple(row.env.removeprefix("gym:") for row in rows)
    return Preset(
        f"sb3-zoo-{agent}", names, rows[0], f"DLR-RM/rl-baselines3-zoo, hyperparams/{agent}.yml",
        note=f"hyperparameters depend on the environment; {note}", rows=rows,
        itself=per_vector_step, because=VECTOR_STEPS,
    )  # fmt: skip


_CONTRIB = "Stable-Baselines-Team/stable-baselines3-contrib 2.9, sb3_contrib"
_OU = "on MountainCarContinuous it uses Ornstein-Uhlenbeck noise, qtwin Gaussian noise of the same standard deviation"
_SDE = "on MountainCarContinuous and BipedalWalker it explores with gSDE, which qtwin does not have"
_FALLING = "on LunarLanderContinuous its learning rate decays linearly to 0, qtwin's is constant"
SB3 = (
    _defaults(
        _DDPG, "DLR-RM/stable-baselines3 2.9, stable_baselines3/ddpg/ddpg.py", "no action noise unless it is given",
    ),
    _defaults(
        _delayed(_DDPG), "DLR-RM/stable-baselines3 2.9, stable_baselines3/td3/td3.py",
        "no action noise unless it is given",
    ),
    _defaults(
        _SAC, "DLR-RM/stable-baselines3 2.9, stable_baselines3/sac/sac.py",
        "both use one sample of the policy for the actor and the temperature; it updates the temperature first",
    ),
    _defaults(_truncated(_SAC), f"{_CONTRIB}/tqc/tqc.py", "two critics of 256-256, not the paper's five of 512"),
    _defaults(_CROSSQ, f"{_CONTRIB}/crossq/crossq.py", "critics of 1024-1024, not the paper's 2048"),
    _zoo(_DDPG_ROWS, _OU),
    _zoo(tuple(_delayed(row) for row in _DDPG_ROWS), _OU),
    _zoo(_SAC_ROWS, f"{_SDE}; {_FALLING}"),
    _zoo(tuple(_truncated(row) for row in _SAC_ROWS), f"{_SDE}; {_FALLING}"),
    _zoo(_CROSSQ_ROWS, "on MountainCarContinuous it explores with gSDE, which qtwin does not have"),
)  # fmt: skip
