"""The algorithms: one file each, read top to bottom as NETWORK, TARGET, LOSS, RATES. Read without importing JAX."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from qtwin.errors import Refusal, one_of

if TYPE_CHECKING:
    from qtwin.algorithm import Algorithm
    from qtwin.config.config import Config
    from qtwin.envs.spec import EnvSpec

AGENTS = {
    "dqn": "deep Q-network: a little collected, a little regressed, a target that moves once in a while (Mnih 2015)",
    "online_q": "online Q-learning: every transition once, the target tied to the online network (Watkins 1989)",
    "fqi": "fitted Q-iteration: everything remembered, each regression run to its end (Ernst 2005, Riedmiller 2005)",
    "double_dqn": "DQN, but the online network chooses the action that the target network values (van Hasselt 2016)",
    "munchausen_dqn": "DQN, but the log-policy of the action is added to its reward, the max is soft (Vieillard 2020)",
    "c51": "DQN, but for each action a distribution over fixed atoms, learned by cross-entropy (Bellemare 2017)",
    "qr_dqn": "DQN, but for each action its quantiles, learned by quantile regression (Dabney 2018)",
    "iqn": "DQN, but any quantile of each action, for the network is asked by its fraction (Dabney 2018)",
    "hl_gauss": "DQN, but its target is learned as a class, by cross-entropy, not as a number (Farebrother 2024)",
    "rainbow": "C51 with double choice, duelling and noisy network, 3 steps, prioritised replay (Hessel 2018)",
    "pqn": "DQN without replay and twin: lambda-returns of many environments, layer norm, epochs (Gallici 2024)",
    "stream_q": "Q(lambda) step by step: traces and a bounded step, no replay, batch or target network (Elsayed 2024)",
    "ddpg": "deep deterministic policy gradient: an actor in place of the max, soft targets of both (Lillicrap 2016)",
    "td3": "twin delayed DDPG: the smaller of two critics, a smoothed target policy, a delayed actor (Fujimoto 2018)",
    "sac": "soft actor-critic: a stochastic actor paid for its entropy, discrete actions too (Haarnoja 2018)",
    "redq": "REDQ: ten critics, twenty gradient steps per transition, a target over two of them (Chen 2021)",
    "droq": "DroQ: REDQ's rates with two critics that drop units (Hiraoka 2022)",
    "tqc": "truncated quantile critics: the largest quantiles of all critics left out of the target (Kuznetsov 2020)",
    "crossq": "CrossQ: no target network, one batch-normalised pass over both halves of a transition (Bhatt 2024)",
}
CATEGORICAL, QUANTILE = ("c51", "rainbow", "hl_gauss"), ("qr_dqn", "iqn")  # what a network gives for each action
# Those that weigh their loss by importance, and those that a noisy network explores for.
PRIORITISING = NOISY = ("dqn", "double_dqn", "munchausen_dqn", *CATEGORICAL, *QUANTILE)
DISCRETE = ("online_q", "fqi", "sac", "pqn", "stream_q", *PRIORITISING)
# Their TD target is any of `qtwin.config.bootstrap_specs.BOOTSTRAPS`, from any of `qtwin.target_update.specs.SPECS`.
BOOTSTRAPPED = ("dqn", "fqi", "hl_gauss")
CONTINUOUS = ACTOR_CRITICS = ("ddpg", "td3", "sac", "redq", "droq", "tqc", "crossq")
SOFT = ("sac", "redq", "droq", "tqc", "crossq")  # paid for their entropy
# Fields of `Config` that are nothing to the other agents.
READ_BY = {
    **dict.fromkeys(("atoms", "support"), CATEGORICAL),
    "sigma": ("hl_gauss",),
    "quantiles": (*QUANTILE, "tqc"),
    "drop": ("tqc",),
    **dict.fromkeys(("trace", "reward_scale"), ("pqn", "stream_q")),
    "anneal": ("pqn",),
    "critics": ("td3", *SOFT),
    "subset": ("redq",),
    **dict.fromkeys(("actor_net", "actor_learning_rate", "actor_every"), ACTOR_CRITICS),
    "smoothing": ("td3",),
    **dict.fromkeys(("temperature", "target_entropy"), SOFT),
    **dict.fromkeys(("optimiser", "max_gradient_norm"), tuple(name for name in AGENTS if name != "stream_q")),
}


def reads(agent: str, field: str) -> bool:
    """Does this field of `Config` change anything for ``agent``?"""
    return agent in READ_BY.get(field, (agent,))


def fits(agent: str, env: EnvSpec) -> str:
    """Returns ``agent`` if it can act in ``env``; refuses otherwise."""
    if one_of("agent", agent, AGENTS) in (CONTINUOUS if env.continuous else DISCRETE):
        return agent
    home, _, name = env.id.rpartition(":")
    plain = name if home in ("gym", "gymnax") else env.id
    if env.continuous:
        raise Refusal(f"{plain} has continuous actions and the agent {agent} needs discrete ones; write --agent sac")
    raise Refusal(f"{plain} has discrete actions and the agent {agent} needs continuous ones; write --agent dqn or sac")


def algorithm(env: EnvSpec, c: Config) -> Algorithm:
    """The algorithm that ``c.agent`` names, made for ``env``, with a self-predictive loss where ``c`` asks for one."""
    name = fits(c.agent, env)
    if name == "sac" and not env.continuous:
        name = "discrete_sac"
    if name == "dqn":
        name = of_several(c)
    made = getattr(importlib.import_module(f"qtwin.agents.{name}"), name)(env, c)
    made = made._replace(zeta=c.zeta)
    if not c.self_predict:
        return made
    from qtwin.siamese.self_predict import self_predictive

    return self_predictive(made, env, c)


def of_several(c: Config) -> str:
    """Which of the agents that ``dqn`` stands for ``c`` asks for: one network, or several that learn side by side."""
    if c.bootstrap.startswith("maxmin"):
        return "maxmin"
    return "iterated" if c.target.startswith("chain") else "dqn"
