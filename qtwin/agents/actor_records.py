"""The records of the actor-critic agents. Read without importing JAX."""

from __future__ import annotations

from qtwin.agents.checks import check_actor, check_few, check_soft, check_truncated, discrete_actor
from qtwin.agents.info import AgentInfo, becoming
from qtwin.agents.own import Actor, Few, Smoothed, Soft, Truncated
from qtwin.config.config import Config, config_class

CONTINUOUS = ("continuous",)
OF_ACTOR = "bootstraps from the action of its actor"
SQUASHED = "tanh of the mean"
_SAC = config_class(Soft)(  # Haarnoja et al. 2018b, table 1; half-mse is its equation 5
    "Pendulum-v1", agent="sac", net="mlp:256,256", init="torch", loss="half-mse", optimiser="adam", learning_rate=3e-4,
    collect=1, regress=1, target="soft:0.005", warmup=1_000, replay=1_000_000, batch=256, explore="1", envs=1,
    steps=20_000,
)  # fmt: skip
_TD3 = becoming(  # Fujimoto et al. 2018, section 6 and the released code
    _SAC, "td3", Smoothed, loss="mse", actor_every=2, target="soft:0.005/2", smoothing="0.2:0.5", explore="0.1"
)


def _sac(agent: str, own: type = Soft, **changes: object) -> Config:
    return becoming(_SAC, agent, own, **changes)


ACTOR_RECORDS = (
    AgentInfo(
        "ddpg",
        about="deep deterministic policy gradient: a deterministic actor, soft target updates (Lillicrap 2016)",
        paper="Lillicrap et al., Continuous control with deep reinforcement learning, 2016",
        build="qtwin.agents.ddpg:ddpg", actions=CONTINUOUS, output="tanh", own=Actor,
        defaults=becoming(  # section 7
            _TD3, "ddpg", Actor, net="mlp:400,300", learning_rate=1e-3, actor_learning_rate=1e-4, actor_every=1,
            target="soft:0.001", batch=64,
        ),
        bootstraps=("max",), carries=OF_ACTOR, epsilon=False, check=check_actor,
    ),
    AgentInfo(
        "td3",
        about="twin delayed DDPG: minimum of two critics, target policy smoothing, delayed actor updates"
        " (Fujimoto 2018)",
        paper="Fujimoto, van Hoof & Meger, Addressing function approximation error in actor-critic methods, 2018",
        build="qtwin.agents.td3:td3", defaults=_TD3, actions=CONTINUOUS, output="tanh", own=Smoothed,
        bootstraps=("max",), carries=OF_ACTOR, epsilon=False, check=check_actor,
    ),
    AgentInfo(
        "sac",
        about="soft actor-critic: a maximum-entropy stochastic actor, continuous or discrete actions (Haarnoja 2018)",
        paper="Haarnoja et al., Soft actor-critic algorithms and applications, 2018; Christodoulou, Soft actor-critic"
        " for discrete action settings, 2019",
        build="qtwin.agents.sac:sac", defaults=_SAC, actions=("discrete", "continuous"), output=SQUASHED, own=Soft,
        bootstraps=("max",), carries=OF_ACTOR, epsilon=False, check=check_soft, variant=discrete_actor,
    ),
    AgentInfo(
        "redq",
        about="SAC with ten critics, targets over a random two, twenty gradient steps per transition (Chen 2021)",
        paper="Chen, Wang, Zhou & Ross, Randomized ensembled double Q-learning: learning fast without a model, 2021",
        build="qtwin.agents.redq:redq", actions=CONTINUOUS, output=SQUASHED, own=Few,
        defaults=_sac("redq", Few, critics=10, subset=2, regress=20, actor_every=20),  # table 2
        bootstraps=("max",), carries=OF_ACTOR, epsilon=False, check=check_few,
    ),
    AgentInfo(
        "droq",
        about="SAC at REDQ's rates with two critics with dropout and layer norm (Hiraoka 2022)",
        paper="Hiraoka et al., Dropout Q-functions for doubly efficient reinforcement learning, 2022",
        build="qtwin.agents.droq:droq", actions=CONTINUOUS, output=SQUASHED, own=Soft,
        defaults=_sac(  # section 4
            "droq", net="mlp:256,256+layernorm+dropout=0.01", actor_net="mlp:256,256", regress=20, actor_every=20
        ),
        bootstraps=("max",), carries=OF_ACTOR, epsilon=False, check=check_soft,
    ),
    AgentInfo(
        "tqc",
        about="truncated quantile critics: SAC whose target drops the top quantiles of all critics"
        " (Kuznetsov 2020)",
        paper="Kuznetsov et al., Controlling overestimation bias with truncated mixture of continuous distributional"
        " quantile critics, 2020",
        build="qtwin.agents.tqc:tqc", actions=CONTINUOUS, output=SQUASHED, own=Truncated,
        defaults=_sac(  # appendix B
            "tqc", Truncated, net="mlp:512,512,512", actor_net="mlp:256,256", critics=5, quantiles=25, drop=2
        ),
        losses=("half-mse",), learns="learns quantiles with the quantile Huber loss",
        bootstraps=("max",), carries=OF_ACTOR, epsilon=False, check=check_truncated,
    ),
    AgentInfo(
        "crossq",
        about="SAC without target networks: batch-normalised critics, one pass over s and s' (Bhatt 2024)",
        paper="Bhatt et al., CrossQ: batch normalization in deep reinforcement learning for greater sample efficiency"
        " and simplicity, 2024",
        build="qtwin.agents.crossq:crossq", actions=CONTINUOUS, output=SQUASHED, own=Soft,
        defaults=_sac(  # table 2, with critics of 256 units in place of 2048
            "crossq", net="mlp:256,256+batchrenorm", init="lecun", optimiser="adam:1e-8:0.5", learning_rate=1e-3,
            actor_every=3, target="tied",
        ),
        bootstraps=("max",), carries=OF_ACTOR, epsilon=False, check=check_soft,
    ),
)  # fmt: skip
