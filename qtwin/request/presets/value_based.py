"""The presets of value-based agents other than DQN: Dopamine's agents, Rainbow, PQN, streaming Q-learning."""

from __future__ import annotations

import dataclasses

from qtwin.agents.catalog import AGENTS, becoming
from qtwin.request.presets.discrete import DISCRETE
from qtwin.request.presets.preset import Preset

_DOPAMINE = {preset.name: preset.config for preset in DISCRETE}["dopamine"]
_C51 = becoming(_DOPAMINE, "c51", loss="cross-entropy", atoms=51, support="-10:10", optimiser="adam:3.125e-4",
    learning_rate=2.5e-4,
)  # fmt: skip
_QUANTILES = dataclasses.replace(_DOPAMINE, loss="huber", n_step=3, optimiser="adam:3.125e-4", learning_rate=5e-5)
_RANKED = "its priorities are {}, qtwin's {}"
_PERIOD = "its target period of 8,000 counts agent steps"
_PQN = AGENTS["pqn"].defaults
_STREAM = AGENTS["stream_q"].defaults
_STREAMED = "it treats truncated episodes as terminated; qtwin clips normalised observations at 10 standard deviations"

VALUE_BASED = (
    Preset(
        "dopamine-c51", ("ALE/*",), _C51, "google/dopamine, dopamine/jax/agents/rainbow/configs/c51.gin", frames=4,
        note=_PERIOD,
    ),
    Preset(
        "dopamine-rainbow", ("ALE/*",),
        dataclasses.replace(_C51, n_step=3, optimiser="adam:1.5e-4", learning_rate=6.25e-5, prioritise="0.5:0.5:0.5"),
        "google/dopamine, dopamine/jax/agents/rainbow/configs/rainbow.gin", frames=4,
        note="Dopamine's Rainbow is C51 with 3-step returns and prioritised replay;"
        f" {_RANKED.format('the cross-entropy', 'the Kullback-Leibler divergence')}; {_PERIOD}",
    ),
    Preset(
        "dopamine-quantile", ("ALE/*",),
        becoming(_QUANTILES, "qr_dqn", quantiles=200, prioritise="0.5:0.5:0.5"),
        "google/dopamine, dopamine/jax/agents/quantile/configs/quantile.gin", frames=4,
        note=f"{_RANKED.format('the quantile loss', 'the mean of the quantiles')}; {_PERIOD}",
    ),
    Preset(
        "dopamine-iqn", ("ALE/*",), becoming(_QUANTILES, "iqn", quantiles=64),
        "google/dopamine, dopamine/jax/agents/implicit_quantile/configs/implicit_quantile.gin", frames=4,
        note=f"it uses cosines of i = 1 ... 64, qtwin of i = 0 ... 63, as in the paper; {_PERIOD}",
    ),
    Preset(
        "rainbow", ("ALE/*",),
        becoming(_C51, "rainbow", preprocessing="nature", net="nature+duelling+noisy", bootstrap="double", n_step=3,
            optimiser="adam:1.5e-4", learning_rate=6.25e-5, explore="1", prioritise="0.5:0.4",
        ),
        "Hessel et al. 2018, table 1", frames=4,
        note="its target period of 32,000 and its 80,000 before learning starts count emulator frames",
    ),
    Preset(
        "pqn-cartpole", ("CartPole-v1",), _PQN, "mttga/purejaxql, purejaxql/config/alg/pqn_cartpole.yaml",
        note="32 environments of 64 steps, 4 epochs of 16 minibatches; it treats truncated episodes as terminated",
    ),
    Preset(
        "pqn-minatar", ("*-MinAtar",),
        dataclasses.replace(
            _PQN, env="minatar:Asterix", net="minatar+layernorm", trace=0.65, reward_scale=1.0, learning_rate=5e-4,
            collect=4_096, regress=64, envs=128, explore="1:0.05:10%", steps=10_000_000,
        ),
        "mttga/purejaxql, purejaxql/config/alg/pqn_minatar.yaml",
        note="128 environments of 32 steps, 2 epochs of 32 minibatches; the original initialises kernels with twice the"
        " variance and divides observations by 255",
    ),
    Preset(
        "stream-q", ("CartPole-v1", "Acrobot-v1", "MountainCar-v0"), _STREAM, "mohmdelsayed/streaming-drl, stream_q.py",
        note=f"{_STREAMED}; the original adds the time in the episode to the observation, and its episodes last up to"
        " 10,000 steps",
    ),
    Preset(
        "stream-q-minatar", ("*-MinAtar",),
        dataclasses.replace(
            _STREAM, env="minatar:Breakout", net="minatar+layernorm=whole+leaky", explore="1:0.01:20%", steps=5_000_000,
        ),
        "mohmdelsayed/streaming-drl, stream_q_minatar.py",
        note=_STREAMED,
    ),
)  # fmt: skip
