"""What the value-based family and the actor-critics run when nothing else is asked for. Read without importing JAX."""

from __future__ import annotations

import dataclasses

from qtwin.config.config import Config

_DQN = Config(  # CartPole's numbers of `qtwin.agents.defaults.AGENT_DEFAULTS`' dqn; the rest is each paper's own
    "CartPole-v1", agent="dqn", net="mlp:120,84", loss="mse", optimiser="adam", learning_rate=2.5e-4,
    collect=10, regress=1, target="hard:50", warmup=10_000, replay=10_000, batch=128, explore="1:0.05:50%",
    envs=10, steps=500_000,
)  # fmt: skip
_C51 = dataclasses.replace(_DQN, agent="c51", loss="cross-entropy", atoms=51, support="0:100")
VALUE_DEFAULTS = {
    "pqn": Config(  # mttga/purejaxql, config/alg/pqn_cartpole.yaml
        "CartPole-v1", agent="pqn", net="mlp:256,256+layernorm", trace=0.95, reward_scale=0.1, loss="half-mse",
        optimiser="radam", learning_rate=1e-4, anneal=True, max_gradient_norm=10.0, collect=2_048, regress=64,
        target="tied", warmup=0, replay=0, batch=128, explore="1:0.2:20%", envs=32, steps=500_000,
    ),
    "stream_q": Config(  # mohmdelsayed/streaming-drl, stream_q.py
        "CartPole-v1", agent="stream_q", net="mlp:32,32+layernorm=whole+leaky", init="sparse", normalise="running",
        trace=0.8, reward_scale=0.0, loss="half-mse", learning_rate=1.0, collect=1, regress=1, target="tied", warmup=0,
        replay=0, batch=1, explore="1:0.01:5%", envs=1, steps=500_000,
    ),
    "double_dqn": dataclasses.replace(_DQN, agent="double_dqn", bootstrap="double"),
    "munchausen_dqn": dataclasses.replace(_DQN, agent="munchausen_dqn", bootstrap="munchausen:0.9:0.03:-1"),
    "c51": _C51,
    "qr_dqn": dataclasses.replace(_DQN, agent="qr_dqn", loss="huber", quantiles=200),
    "iqn": dataclasses.replace(_DQN, agent="iqn", loss="huber", quantiles=64),
    "hl_gauss": dataclasses.replace(_C51, agent="hl_gauss", sigma=0.75),
    "rainbow": dataclasses.replace(
        _C51, agent="rainbow", net="mlp:120,84+duelling+noisy", bootstrap="double", n_step=3, prioritise="0.5:0.4",
        explore="1",
    ),
}  # fmt: skip
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


# What each agent runs when nothing else is asked for.
AGENT_DEFAULTS = {
    "online_q": Config(
        "CartPole-v1", agent="online_q", net="mlp:120,84", loss="half-mse", optimiser="adam", learning_rate=2.5e-4,
        collect=1, regress=1, target="tied", warmup=0, replay=0, batch=1, explore="1:0.05:50%", envs=1, steps=500_000,
    ),
    "dqn": Config(
        "CartPole-v1", agent="dqn", net="mlp:120,84", loss="mse", optimiser="adam", learning_rate=2.5e-4,
        collect=10, regress=1, target="hard:50", warmup=10_000, replay=10_000, batch=128, explore="1:0.05:50%",
        envs=10, steps=500_000,
    ),
    "fqi": Config(
        "CartPole-v1", agent="fqi", net="mlp:120,84", bootstrap="double", loss="mse", optimiser="adam",
        learning_rate=1e-3, collect=1_000, regress=1_000, target="hard:100", warmup=1_000, replay=1_000_000, batch=128,
        explore="1:0.05:50%", envs=10, steps=50_000,
    ),
} | VALUE_DEFAULTS | CONTINUOUS_DEFAULTS  # fmt: skip
