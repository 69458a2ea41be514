"""What each actor-critic runs when nothing else is asked for: its paper's own numbers. Read without importing JAX."""

from __future__ import annotations

import dataclasses

from qtwin.config import Config

_SAC = Config(  # Haarnoja et al. 2018b, table 1; half-mse is its equation 5
    "Pendulum-v1", agent="sac", net="mlp:256,256", init="torch", loss="half-mse", optimiser="adam", learning_rate=3e-4,
    collect=1, regress=1, target="soft:0.005", warmup=1_000, replay=1_000_000, batch=256, explore="1", envs=1,
    steps=20_000,
)  # fmt: skip
_TD3 = dataclasses.replace(  # Fujimoto et al. 2018, section 6 and the released code
    _SAC, agent="td3", loss="mse", actor_every=2, target="soft:0.005/2", smoothing="0.2:0.5", explore="0.1"
)
CONTINUOUS_DEFAULTS = {
    "ddpg": dataclasses.replace(  # Lillicrap et al. 2016, section 7
        _TD3, agent="ddpg", net="mlp:400,300", learning_rate=1e-3, actor_learning_rate=1e-4, actor_every=1,
        smoothing="0:0", target="soft:0.001", batch=64,
    ),
    "td3": _TD3,
    "sac": _SAC,
    "redq": dataclasses.replace(_SAC, agent="redq", critics=10, subset=2, regress=20, actor_every=20),  # table 2
    "droq": dataclasses.replace(  # Hiraoka et al. 2022, section 4
        _SAC, agent="droq", net="mlp:256,256+layernorm+dropout=0.01", actor_net="mlp:256,256", regress=20,
        actor_every=20,
    ),
    "tqc": dataclasses.replace(  # Kuznetsov et al. 2020, appendix B
        _SAC, agent="tqc", net="mlp:512,512,512", actor_net="mlp:256,256", critics=5, quantiles=25, drop=2,
    ),
    "crossq": dataclasses.replace(  # Bhatt et al. 2024, table 2, with critics of 256 units in place of 2048
        _SAC, agent="crossq", net="mlp:256,256+batchrenorm", init="lecun", optimiser="adam:1e-8:0.5",
        learning_rate=1e-3, actor_every=3, target="tied",
    ),
}  # fmt: skip
