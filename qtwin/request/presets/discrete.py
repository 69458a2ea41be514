"""The presets of deep Q-networks: discrete actions."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from qtwin.config.config import Config
from qtwin.request.presets.preset import Preset


def _sb3(calls: int, train_freq: int, gradient_steps: int, envs: int) -> tuple[Fraction, Fraction]:
    # The target is updated every `calls // envs` calls of env.step, and gradient steps are taken in bursts every
    # train_freq calls; a copy without a gradient step before it changes nothing. gradient_steps -1 means one for each
    # transition.
    burst = gradient_steps if gradient_steps > 0 else train_freq * envs
    between = max(calls // envs, 1)
    return Fraction(train_freq * envs, burst), max(Fraction(burst), Fraction(between * burst, train_freq))


_VECTOR = "its training frequency counts vector steps, and its target interval is divided by N and rounded down"
_ATARI = Config(  # shared by the Atari presets
    "ale:Breakout", preprocessing="nature", net="nature", loss="huber", collect=4, regress=1, replay=1_000_000,
    batch=32, envs=1, steps=50_000_000,
)  # fmt: skip
# 0.01 inside the root for a gradient summed over 32 transitions, which is 0.01 / 32^2 for their mean.
_NATURE = dataclasses.replace(
    _ATARI, optimiser="rmsprop:9.765625e-06:inside", learning_rate=2.5e-4, target="hard:2500", warmup=50_000,
    explore="1:0.1:1000000:after-warmup",
)  # fmt: skip
_ATARI_100K = dataclasses.replace(
    _ATARI, bootstrap="double", optimiser="adam:1.5e-4", learning_rate=1e-4, max_gradient_norm=10.0, collect=1,
    augment="shift:4", steps=100_000,
)  # fmt: skip
_RAINBOW = (
    "the original has a distributional dueling head, noisy networks and prioritised replay, qtwin a Huber loss and"
    " uniform replay; the original resizes frames bilinearly, qtwin by area"
)
_SB3 = Config(
    "CartPole-v1", net="mlp:64,64", init="torch", loss="huber", optimiser="adam", learning_rate=1e-4,
    max_gradient_norm=10.0,
    collect=4, regress=1, target="hard:2500", warmup=100, replay=1_000_000, batch=32, explore="1:0.05:10%", envs=1,
    steps=500_000,
)  # fmt: skip
_ZOO = dataclasses.replace(_SB3, net="mlp:256,256")
_ZOO_SHARED = dataclasses.replace(  # Acrobot's and LunarLander's
    _ZOO, env="Acrobot-v1", learning_rate=6.3e-4, batch=128, replay=50_000, warmup=0, collect=4, regress=4,
    target="hard:250", explore="1:0.1:12%", steps=100_000,
)  # fmt: skip
# (target_update_interval, train_freq, gradient_steps) in the units of SB3
ZOO_SPELLING = {"CartPole-v1": (10, 256, 128), "MountainCar-v0": (600, 16, 8), "Acrobot-v1": (250, 4, -1)}
ZOO_SPELLING["LunarLander-v3"] = ZOO_SPELLING["Acrobot-v1"]
_ZOO_ROWS = (
    dataclasses.replace(
        _ZOO, learning_rate=2.3e-3, batch=64, replay=100_000, warmup=1_000, collect=256, regress=128,
        target="hard:128", explore="1:0.04:16%", steps=50_000,
    ),
    dataclasses.replace(
        _ZOO, env="MountainCar-v0", learning_rate=4e-3, batch=128, replay=10_000, discount=0.98, warmup=1_000,
        collect=16, regress=8, target="hard:300", explore="1:0.07:20%", steps=120_000,
    ),
    _ZOO_SHARED,
    dataclasses.replace(_ZOO_SHARED, env="gym:LunarLander-v3"),
)  # fmt: skip

DISCRETE = (
    Preset(
        "nature", ("ALE/*",), _NATURE, "Mnih et al. 2015 and its released Lua code", frames=4,
        note="target_q 10,000 counts agent steps; centred RMSProp with epsilon inside the root, scaled to a mean over"
        " the batch; after a lost life the original starts again with no-ops and a new frame stack, in qtwin the game"
        " and its frame stack continue",
    ),
    Preset(
        "dqn-zoo", ("ALE/*",), _NATURE, "google-deepmind/dqn_zoo, dqn_zoo/dqn/run_atari.py", frames=4,
        note="its target period of 40,000 and learning period of 16 count emulator frames; it resizes frames"
        " bilinearly, qtwin by area",
    ),
    Preset(
        "dopamine", ("ALE/*",),
        dataclasses.replace(
            _ATARI, preprocessing="v5", loss="mse", optimiser="adam:1.5e-4", learning_rate=6.25e-5, target="hard:2000",
            warmup=20_000, explore="1:0.01:250000:after-warmup",
        ),
        "google/dopamine, dopamine/jax/agents/dqn/configs/dqn.gin", frames=4,
        note="its target period of 8,000 counts agent steps",
    ),
    Preset(
        "atari-quick", ("ALE/*",),
        dataclasses.replace(
            _ATARI, net="nips", init="torch", bootstrap="double", n_step=3, optimiser="adam:1.5e-4",
            learning_rate=2.5e-4, max_gradient_norm=10.0, target="hard:500", warmup=2_000, replay=200_000,
            explore="1:0.01:20000", envs=8, steps=1_000_000,
        ),
        "none: qtwin's own, for an evening on two cores", frames=4,
        note="the network of Mnih et al. 2013, at a third of the cost; double Q-learning, 3-step returns, Adam and a"
        " fast decay of epsilon need fewer frames (van Hasselt et al. 2016, Hessel et al. 2018)",
    ),
    Preset(
        "sb3", ("*",), _SB3, "DLR-RM/stable-baselines3 2.9, stable_baselines3/dqn/dqn.py",
        note="the defaults of the constructor, which are meant for Atari; they include no number of timesteps",
        itself=lambda envs, c: _sb3(10_000, 4, 1, envs), because=_VECTOR,
    ),
    Preset(
        "sb3-zoo", tuple(ZOO_SPELLING), _ZOO_ROWS[0], "DLR-RM/rl-baselines3-zoo, hyperparams/dqn.yml",
        note="hyperparameters depend on the environment; on CartPole the target is copied every 10 transitions, but"
        " gradient steps come in bursts of 128, so that only one copy per burst has an effect",
        rows=_ZOO_ROWS,
        itself=lambda envs, c: _sb3(*ZOO_SPELLING[c.env.removeprefix("gym:")], envs), because=_VECTOR,
    ),
    Preset(
        "sbx", ("*",),
        dataclasses.replace(_SB3, net="mlp:256,256", init="lecun", max_gradient_norm=0.0, target="hard:250"),
        "araffin/sbx, sbx/dqn/dqn.py",
        note="the defaults of the constructor, which include no number of timesteps",
        itself=lambda envs, c: _sb3(1_000, 4, 1, envs), because=_VECTOR,
    ),
    Preset(
        "cleanrl", ("CartPole-v1", "Acrobot-v1", "MountainCar-v0"),
        Config(
            "CartPole-v1", net="mlp:120,84", loss="mse", optimiser="adam", learning_rate=2.5e-4, collect=10, regress=1,
            target="hard:50", warmup=10_000, replay=10_000, batch=128, explore="1:0.05:50%", envs=1, steps=500_000,
        ),
        "vwxyzjn/cleanrl, cleanrl/dqn.py", note="its target period of 500 counts transitions; it runs one environment",
    ),
    Preset(
        "cleanrl-atari", ("ALE/*",),
        dataclasses.replace(
            _ATARI, preprocessing="cleanrl", loss="mse", optimiser="adam", learning_rate=1e-4, target="hard:250",
            warmup=80_000, explore="1:0.01:10%", steps=10_000_000,
        ),
        "vwxyzjn/cleanrl, cleanrl/dqn_atari.py", frames=4,
        note="its target period of 1,000 counts transitions; it runs one environment; after a lost life it presses FIRE"
        " and starts a new frame stack, in qtwin the game and its frame stack continue",
    ),
    Preset(
        "acme", ("*",),
        Config(
            "Catch", net="mlp:50,50", bootstrap="double", n_step=5, loss="huber", optimiser="adam", learning_rate=1e-3,
            collect=8, regress=1, target="hard:100", warmup=1_000, replay=1_000_000, batch=256, explore="0.05", envs=1,
            steps=500_000,
        ),
        "google-deepmind/acme, acme/agents/tf/dqn/agent.py and examples/bsuite/run_dqn.py",
        note="its target period counts gradient steps; it uses prioritised replay and clips rewards to [-1, 1], qtwin"
        " uniform replay without clipping; its JAX agent has the same period, but samples each transition 0.5 times on"
        " average, not 32 times",
    ),
    Preset(
        "rllib", ("*",),
        Config(
            "CartPole-v1", net="mlp:256,256", init="torch", bootstrap="double", loss="huber",
            optimiser="adam", learning_rate=5e-4,
            max_gradient_norm=40.0, collect=1, regress=1, target="hard:500", warmup=1_000, replay=50_000, batch=32,
            explore="1:0.05:10000", envs=1, steps=500_000,
        ),
        "ray-project/ray, rllib/algorithms/dqn/dqn.py",
        note="its target period counts sampled transitions; it has prioritised replay and dueling heads, qtwin here has"
        " neither",
        itself=lambda envs, c: (Fraction(envs), Fraction(-(-500 // envs))),
        because="it takes a gradient step per vector step while its period counts transitions",
    ),
    Preset(
        "d3rlpy", ("*",),
        Config(
            "CartPole-v1", net="mlp:256,256", init="torch", loss="huber", optimiser="adam",
            learning_rate=6.25e-5, collect=1,
            regress=1, target="hard:8000", warmup=1_000, replay=1_000_000, batch=32, explore="0.3", envs=1,
            steps=1_000_000,
        ),
        "takuseno/d3rlpy, d3rlpy/algos/qlearning/dqn.py",
        note="its target period counts gradient steps; exploration and warm-up are those of its tutorial, as there are"
        " no defaults",
    ),
    Preset(
        "skrl", ("CartPole-v1",),
        Config(
            "CartPole-v1", net="mlp:64,64", init="torch", loss="mse", optimiser="adam",
            learning_rate=1e-3, collect=1, regress=1,
            target="soft:0.005/10", warmup=100, replay=50_000, batch=64, explore="1:0.05:30%", envs=1, steps=50_000,
        ),
        "Toni-SM/skrl, skrl/agents/torch/dqn/dqn_cfg.py and examples/gymnasium/torch_gymnasium_cartpole_dqn.py",
        note="its polyak is the fraction moved; its epsilon decays exponentially to 0.05 in the same 30 % of the"
        " budget",
        itself=lambda envs, c: (Fraction(envs), Fraction(10)), because="it takes a gradient step per vector step",
    ),
    Preset(
        "rejax", ("*",),
        Config(
            "CartPole-v1", net="mlp:64,64", bootstrap="double", loss="half-mse", optimiser="adam", learning_rate=3e-4,
            collect=1, regress=1, target="soft:0.01", warmup=2_048, replay=131_072, batch=256, explore="1:0.05:10%",
            envs=1, steps=131_072,
        ),
        "keraJLi/rejax, src/rejax/algos/dqn.py and mixins.py",
        note="its polyak of 0.99 is the fraction kept; it uses swish, qtwin ReLU; it treats truncated episodes as"
        " terminated",
        itself=lambda envs, c: (Fraction(envs), Fraction(1)), because="it takes a gradient step per vector step",
    ),
    Preset(
        "stoix", ("*",),
        Config(
            "CartPole-v1", net="mlp:256,256", loss="half-mse", optimiser="adam:1e-5", learning_rate=5e-4,
            max_gradient_norm=0.5, collect=2_048, regress=16, target="soft:0.005", warmup=16_384, replay=1_000_000,
            batch=512, explore="0.1", envs=1_024, steps=10_000_000,
        ),
        "EdanToledo/Stoix, stoix/configs/system/q_learning/ff_dqn.yaml and stoix/configs/arch/anakin.yaml",
        note="it uses SiLU, qtwin ReLU; it treats truncated episodes as terminated",
        itself=lambda envs, c: (Fraction(2 * envs, 16), Fraction(1)),
        because="its cycle is 2 vector steps and 16 gradient steps, however many environments there are",
    ),
    Preset(
        "minatar", ("*-MinAtar",),
        Config(
            "minatar:Breakout", net="minatar", init="torch", loss="huber", optimiser="rmsprop:0.01:outside",
            learning_rate=2.5e-4,
            collect=1, regress=1, target="hard:1000", warmup=5_000, replay=100_000, batch=32,
            explore="1:0.1:100000:after-warmup", envs=1, steps=5_000_000,
        ),
        "Young & Tian 2019 and kenjyoung/MinAtar, examples/dqn.py",
        note="its target period counts gradient steps; the original has all 6 actions and sticky actions, as"
        " minatar:Breakout-v0 has",
    ),
    Preset(
        "spr", ("ALE/*",),
        dataclasses.replace(
            _ATARI_100K, n_step=10, regress=2, target="hard:1", warmup=2_000, explore="1:0:2001", replay=1_000_000,
            self_predict="simsiam", self_predict_target="tied", self_predict_steps=5, self_predict_weight=2.0,
        ),
        "Schwarzer et al. 2021 and mila-iqia/spr, scripts/run.py and src/utils.py", frames=4,
        note="the target of the TD loss is copied at every gradient step, that of the self-predictive loss is tied, as"
        " the original does with augmentation (without it: --self-predict-target soft:0.01 --augment none); lambda 2 of"
        f" a sum over 5 steps equals its weight 5 of their mean of squares; {_RAINBOW}; the original starts a new frame"
        " stack after a lost life, jitters intensities, uses the first layer of the Q head as projector, on latents in"
        " [0, 1], and clips the gradients of the model separately; without noisy networks and with epsilon 0 there is"
        " no exploration after the first 2,001 transitions: write --explore 1:0.01:2001",
    ),
    Preset(
        "curl", ("ALE/*",),
        dataclasses.replace(
            _ATARI_100K, n_step=20, regress=1, target="hard:2000", warmup=1_600, explore="0", replay=100_000,
            self_predict="curl", self_predict_target="soft:0.001", self_predict_weight=1.0,
        ),
        "Laskin et al. 2020 and aravindsrinivas/curl_rainbow, main.py, agent.py and model.py", frames=4,
        note="its target period of 2,000 counts agent steps, its momentum of 0.999 is the fraction kept; its views are"
        " 80x80 crops, padded by 4 and cropped again, qtwin's are shifts of 4 pixels; its weight is 0.01 for Pong,"
        f" Boxing, Private Eye and Freeway; {_RAINBOW}; the original has two convolutions of 5x5 instead of Nature's"
        " three, one more layer before its projection, and acts with its network from the start, where in qtwin the"
        " first 1,600 transitions are random; without noisy networks and with epsilon 0 there is no exploration after"
        " them: write --explore 0.01",
    ),
)  # fmt: skip
