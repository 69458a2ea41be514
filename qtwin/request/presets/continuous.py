"""The presets of actor-critics, for continuous actions and with soft targets.

Their targets are updated at every gradient step, or with a delayed actor at every second one (``soft:0.005/2``). Not
available are initialisations other than qtwin's two (the authors of REDQ and SAC use Xavier-uniform weights), and gSDE,
state-dependent exploration.
"""

from __future__ import annotations

import dataclasses

from qtwin.agents.catalog import becoming, config_of
from qtwin.config.config import Config
from qtwin.request.presets.preset import VECTOR_STEPS, Preset, per_vector_step

_TD3 = config_of(  # Fujimoto et al. 2018, as its authors' code has been since 2020
    "td3", "Pendulum-v1", net="mlp:256,256", init="torch", critics=2, actor_every=2, smoothing="0.2:0.5",
    loss="mse", optimiser="adam", learning_rate=3e-4, collect=1, regress=1, target="soft:0.005/2", warmup=25_000,
    replay=1_000_000, batch=256, explore="0.1", envs=1, steps=1_000_000,
)  # fmt: skip
_TD3_PAPER = dataclasses.replace(_TD3, net="mlp:400,300", learning_rate=1e-3, batch=100, warmup=1_000)
_SAC = config_of(  # Haarnoja et al. 2018b, table 1; the warm-up is that of the released code
    "sac", "Pendulum-v1", net="mlp:256,256", init="torch", critics=2, loss="half-mse", optimiser="adam",
    learning_rate=3e-4, collect=1, regress=1, target="soft:0.005", warmup=10_000, replay=1_000_000, batch=256,
    explore="1", envs=1, steps=3_000_000,
)  # fmt: skip
_REDQ = becoming(
    _SAC, "redq", critics=10, subset=2, loss="mse", regress=20, actor_every=20, warmup=5_000, steps=300_000
)
# The target entropies [nats] and the budgets are MBPO's, as in REDQ's code.
_REDQ_ROWS = tuple(
    dataclasses.replace(_REDQ, env=f"gym:{env}-v5", target_entropy=entropy, steps=steps)
    for env, entropy, steps in (
        ("HalfCheetah", "-3", 400_000), ("Hopper", "-1", 125_000), ("Walker2d", "-3", 300_000),
        ("Ant", "-4", 300_000), ("Humanoid", "-2", 300_000),
    )
)  # fmt: skip


def _dropping(c: Config) -> Config:
    net = "mlp:256,256+layernorm+dropout=0.01"
    return becoming(c, "droq", net=net, actor_net="mlp:256,256", critics=2)


_TQC = becoming(
    _SAC,
    "tqc",
    net="mlp:512,512,512",
    actor_net="mlp:256,256",
    critics=5,
    quantiles=25,
    drop=2,
    warmup=256,
    steps=1_000_000,
)
_CLEANRL = becoming(
    _TD3,
    "ddpg",
)

PAPERS = (
    Preset(
        "ddpg", ("*",),
        becoming(_TD3, "ddpg", net="mlp:400,300", actor_every=1, learning_rate=1e-3,
            actor_learning_rate=1e-4, target="soft:0.001", warmup=64, batch=64, explore="0.2", steps=2_500_000,
        ),
        "Lillicrap et al. 2016, section 7",
        note="the original has batch norm, a weight decay of 1e-2 on the critic, the action as an input of its second"
        " layer, output layers initialised within 3e-3 of 0 and Ornstein-Uhlenbeck noise (theta 0.15, sigma 0.2); qtwin"
        " has none of these, and Gaussian noise; the paper does not say when learning starts, here after one batch",
    ),
    Preset(
        "td3", ("*",), _TD3_PAPER, "Fujimoto et al. 2018, section 6 and the code released with it",
        note="10,000 random transitions on HalfCheetah and Ant, 1,000 on others; the original takes gradient steps"
        " during that time too, qtwin only after it",
        rows=tuple(dataclasses.replace(_TD3_PAPER, env=f"gym:{e}-v5", warmup=10_000) for e in ("HalfCheetah", "Ant")),
    ),
    Preset(
        "sfujim-td3", ("*",), _TD3, "sfujim/TD3, main.py and TD3.py",
        note="the authors' hyperparameters since 2020, not those of the paper; the warm-up is 1,000 transitions for"
        " InvertedPendulum, InvertedDoublePendulum and Reacher",
        rows=tuple(
            dataclasses.replace(_TD3, env=f"gym:{e}", warmup=1_000)
            for e in ("InvertedPendulum-v5", "InvertedDoublePendulum-v5", "Reacher-v5")
        ),
    ),
    Preset(
        "sac", ("*",), _SAC, "Haarnoja et al. 2018b, table 1, and rail-berkeley/softlearning",
        note="the budget is that of HalfCheetah, the warm-up ten episodes of 1,000, as in the code; the original"
        " initialises with Xavier-uniform weights, qtwin as torch does",
    ),
    Preset(
        "redq", ("*",), _REDQ, "Chen et al. 2021 and watchernyu/REDQ",
        note="the target entropies of MBPO where it has them, else minus the number of action dimensions; the original"
        " initialises with Xavier-uniform weights, qtwin as torch does; the original updates the actor before the"
        " critics' twentieth step, qtwin after it",
        rows=_REDQ_ROWS,
    ),
    Preset(
        "droq", ("*",), _dropping(_REDQ), "Hiraoka et al. 2022 and its released code (KUCodebase)",
        note="dropout is 0.01 in all four environments of the original; target entropies as in redq; the original"
        " samples a separate batch for the actor's step, qtwin uses that of the critics' twentieth step",
        rows=tuple(_dropping(row) for row in _REDQ_ROWS if "HalfCheetah" not in row.env),
    ),
    Preset(
        "tqc", ("*",), _TQC, "Kuznetsov et al. 2020 and SamsungLabs/tqc_pytorch",
        note="5 quantiles per critic are dropped on Hopper, none on HalfCheetah, 2 on others; the original acts with"
        " the policy from the first transition on, in qtwin the first 256 are random",
        rows=tuple(
            dataclasses.replace(_TQC, env=f"gym:{name}-v5", drop=drop)
            for name, drop in (("Hopper", 5), ("HalfCheetah", 0))
        ),
    ),
    Preset(
        "crossq", ("*",),
        becoming(_SAC, "crossq", net="mlp:2048,2048+batchrenorm", actor_net="mlp:256,256+batchrenorm", init="lecun",
            optimiser="adam:1e-8:0.5", learning_rate=1e-3, actor_every=3, target="tied", warmup=5_000, steps=5_000_000,
        ),
        "Bhatt et al. 2024 and adityab/CrossQ, train.py",
        note="the original has gamma 0.9999 on Swimmer; its temperature is trained with Adam's default beta1 of 0.9,"
        " qtwin's with 0.5 like the rest",
    ),
)  # fmt: skip
CLEANRL = (
    Preset(
        "cleanrl-ddpg", ("*",), _CLEANRL, "vwxyzjn/cleanrl, cleanrl/ddpg_continuous_action.py",
        note="its actor is delayed as in TD3, and the target is updated with it; it runs one environment",
    ),
    Preset(
        "cleanrl-td3", ("*",), _TD3, "vwxyzjn/cleanrl, cleanrl/td3_continuous_action.py",
        note="the hyperparameters of sfujim/TD3", itself=per_vector_step, because=VECTOR_STEPS,
    ),
    Preset(
        "cleanrl-sac", ("*",),
        dataclasses.replace(
            _SAC, loss="mse", learning_rate=1e-3, actor_learning_rate=3e-4, warmup=5_000, steps=1_000_000
        ),
        "vwxyzjn/cleanrl, cleanrl/sac_continuous_action.py",
        note="it takes two steps of the actor at every second gradient step, qtwin one at each; the learning rate of"
        " its temperature is 1e-3, qtwin's is the actor's 3e-4; it squashes the policy's log standard deviation into"
        " [-5, 2]",
        itself=per_vector_step, because=VECTOR_STEPS,
    ),
    Preset(
        "cleanrl-sac-atari", ("ALE/*",),
        dataclasses.replace(
            _SAC, env="ale:BeamRider", preprocessing="cleanrl", net="nature", loss="mse", optimiser="adam:1e-4",
            collect=4, target="hard:2000", warmup=20_000, batch=64, target_entropy="1.9555", steps=5_000_000,
        ),
        "vwxyzjn/cleanrl, cleanrl/sac_atari.py", frames=4,
        note="its target period of 8,000 counts transitions; the target entropy is 0.89 of the maximum entropy, here"
        " for BeamRider's 9 actions; after a lost life it presses FIRE and starts a new frame stack, in qtwin the game"
        " and its frame stack continue",
    ),
)  # fmt: skip
