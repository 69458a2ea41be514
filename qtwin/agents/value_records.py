"""The records of the value-based agents. Read without importing JAX."""

from __future__ import annotations

from qtwin.agents.checks import check_dqn, check_iqn, check_pqn, check_stream, several
from qtwin.agents.info import AgentInfo, becoming
from qtwin.agents.own import Atoms, Classes, Epochs, Nothing, Quantiles, Trace
from qtwin.config.config import Config, config_class

DISCRETE = ("discrete",)
ONE_ACTION = "bootstraps from the return distribution of one action"
# CleanRL's numbers for CartPole, except for the number of environments. A record changes what its paper changes.
_DQN = config_class(Nothing)(
    "CartPole-v1", agent="dqn", net="mlp:120,84", loss="mse", optimiser="adam", learning_rate=2.5e-4,
    collect=10, regress=1, target="hard:50", warmup=10_000, replay=10_000, batch=128, explore="1:0.05:50%",
    envs=10, steps=500_000,
)  # fmt: skip


def _dqn(agent: str, own: type = Nothing, **changes: object) -> Config:
    return becoming(_DQN, agent, own, **changes)


VALUE_RECORDS = (
    AgentInfo(
        "dqn",
        about="deep Q-network: replay buffer and a target network that is copied at intervals (Mnih 2015)",
        paper="Mnih et al., Human-level control through deep reinforcement learning, 2015",
        build="qtwin.agents.dqn:dqn", defaults=_DQN, actions=DISCRETE, output="values",
        any_target=True, several=True, weighted=True, noisy=True, self_predicts=True, check=check_dqn, variant=several,
    ),
    AgentInfo(
        "online_q",
        about="online Q-learning: each transition is used once, without a separate target network (Watkins 1989)",
        paper="Watkins, Learning from delayed rewards, 1989",
        build="qtwin.agents.online_q:online_q", actions=DISCRETE, output="values",
        defaults=_dqn(
            "online_q", loss="half-mse", collect=1, target="tied", warmup=0, replay=0, batch=1, envs=1,
        ),
        bootstraps=("max",), offline=False,
    ),
    AgentInfo(
        "fqi",
        about="fitted Q-iteration: all data kept, many gradient steps per target (Ernst 2005, Riedmiller 2005)",
        paper="Ernst, Geurts & Wehenkel, Tree-based batch mode reinforcement learning, 2005; Riedmiller, Neural fitted"
        " Q iteration, 2005",
        build="qtwin.agents.fqi:fqi", actions=DISCRETE, output="values",
        defaults=_dqn(
            "fqi", bootstrap="double", learning_rate=1e-3, collect=1_000, regress=1_000, target="hard:100",
            warmup=1_000, replay=1_000_000, steps=50_000,
        ),
        any_target=True, self_predicts=True, keeps="everything",
    ),
    AgentInfo(
        "double_dqn",
        about="DQN whose online network selects the action that the target network evaluates (van Hasselt 2016)",
        paper="van Hasselt, Guez & Silver, Deep reinforcement learning with double Q-learning, 2016",
        build="qtwin.agents.double_dqn:double_dqn", defaults=_dqn("double_dqn", bootstrap="double"), actions=DISCRETE,
        output="values", bootstraps=("double",), weighted=True, noisy=True,
    ),
    AgentInfo(
        "munchausen_dqn",
        about="DQN with the scaled log-policy added to the reward, and a soft maximum (Vieillard 2020)",
        paper="Vieillard, Pietquin & Geist, Munchausen reinforcement learning, 2020",
        build="qtwin.agents.munchausen_dqn:munchausen_dqn", actions=DISCRETE, output="values",
        defaults=_dqn("munchausen_dqn", bootstrap="munchausen:0.9:0.03:-1"),
        bootstraps=("munchausen",), weighted=True, noisy=True,
    ),
    AgentInfo(
        "c51",
        about="distributional DQN: a categorical distribution over fixed atoms per action (Bellemare 2017)",
        paper="Bellemare, Dabney & Munos, A distributional perspective on reinforcement learning, 2017",
        build="qtwin.agents.c51:c51", actions=DISCRETE, output="atoms", own=Atoms,
        defaults=_dqn("c51", Atoms, loss="cross-entropy", support="0:100"),
        losses=("cross-entropy",), learns="learns a categorical distribution with the cross-entropy loss",
        bootstraps=("max", "double"), carries=ONE_ACTION, weighted=True, noisy=True,
    ),
    AgentInfo(
        "qr_dqn",
        about="distributional DQN: fixed quantiles per action, by quantile regression (Dabney 2018)",
        paper="Dabney, Rowland, Bellemare & Munos, Distributional reinforcement learning with quantile regression,"
        " 2018",
        build="qtwin.agents.qr_dqn:qr_dqn", actions=DISCRETE, output="quantiles", own=Quantiles,
        defaults=_dqn("qr_dqn", Quantiles, loss="huber", quantiles=200),
        losses=("huber",), learns="learns quantiles with the quantile Huber loss",
        bootstraps=("max", "double"), carries=ONE_ACTION, weighted=True, noisy=True,
    ),
    AgentInfo(
        "iqn",
        about="distributional DQN: implicit quantiles, whose fraction is an input of the network (Dabney 2018)",
        paper="Dabney, Ostrovski, Silver & Munos, Implicit quantile networks for distributional reinforcement learning,"
        " 2018",
        build="qtwin.agents.iqn:iqn", actions=DISCRETE, output="fractions", own=Quantiles,
        defaults=_dqn("iqn", Quantiles, loss="huber", quantiles=64),
        losses=("huber",), learns="learns quantiles with the quantile Huber loss",
        bootstraps=("max", "double"), carries=ONE_ACTION, weighted=True, noisy=True, check=check_iqn,
    ),
    AgentInfo(
        "hl_gauss",
        about="DQN as classification: scalar targets become smoothed classes, cross-entropy loss (Farebrother 2024)",
        paper="Farebrother et al., Stop regressing: training value functions via classification, 2024",
        build="qtwin.agents.hl_gauss:hl_gauss", actions=DISCRETE, output="classes", own=Classes,
        defaults=_dqn("hl_gauss", Classes, loss="cross-entropy", support="0:100", sigma=0.75),
        losses=("cross-entropy",), learns="learns a categorical distribution with the cross-entropy loss",
        any_target=True, weighted=True, noisy=True,
    ),
    AgentInfo(
        "rainbow",
        about="C51 with double Q-learning, duelling and noisy network, 3-step returns, prioritised replay (Hessel"
        " 2018)",
        paper="Hessel et al., Rainbow: combining improvements in deep reinforcement learning, 2018",
        build="qtwin.agents.rainbow:rainbow", actions=DISCRETE, output="atoms", own=Atoms,
        defaults=_dqn(
            "rainbow", Atoms, loss="cross-entropy", support="0:100", net="mlp:120,84+duelling+noisy",
            bootstrap="double", n_step=3, prioritise="0.5:0.4", explore="1",
        ),
        losses=("cross-entropy",), learns="learns a categorical distribution with the cross-entropy loss",
        bootstraps=("max", "double"), carries=ONE_ACTION, weighted=True, noisy=True,
    ),
    AgentInfo(
        "pqn",
        about="parallelised Q-network: no replay buffer or target network, lambda-returns, layer norm (Gallici 2024)",
        paper="Gallici et al., Simplifying deep temporal difference learning, 2024",
        build="qtwin.agents.pqn:pqn", actions=DISCRETE, output="values", own=Epochs,
        defaults=_dqn(  # mttga/purejaxql, config/alg/pqn_cartpole.yaml
            "pqn", Epochs, net="mlp:256,256+layernorm", trace=0.95, reward_scale=0.1, loss="half-mse",
            optimiser="radam", learning_rate=1e-4, anneal=True, max_gradient_norm=10.0, collect=2_048, regress=64,
            target="tied", warmup=0, replay=0, explore="1:0.2:20%", envs=32,
        ),
        bootstraps=("max",), offline=False, keeps="nothing", check=check_pqn,
    ),
    AgentInfo(
        "stream_q",
        about="streaming Q(lambda): eligibility traces, bounded step size, no replay, batch or target (Elsayed 2024)",
        paper="Elsayed, Vasan & Mahmood, Streaming deep reinforcement learning finally works, 2024",
        build="qtwin.agents.stream_q:stream_q", actions=DISCRETE, output="values", own=Trace,
        defaults=_dqn(  # mohmdelsayed/streaming-drl, stream_q.py
            "stream_q", Trace, net="mlp:32,32+layernorm=whole+leaky", init="sparse", normalise="running", trace=0.8,
            reward_scale=0.0, loss="half-mse", learning_rate=1.0, collect=1, target="tied", warmup=0, replay=0,
            batch=1, explore="1:0.01:5%", envs=1,
        ),
        losses=("half-mse",), learns="updates along the TD error itself", bootstraps=("max",), offline=False,
        keeps="nothing", ignores=("optimiser", "max_gradient_norm"), check=check_stream,
    ),
)  # fmt: skip
