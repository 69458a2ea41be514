"""The algorithms: one file each, read top to bottom as NETWORK, TARGET, LOSS, RATES. Read without importing JAX."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from qtwin.errors import Refusal, one_of

if TYPE_CHECKING:
    from qtwin.agent import Algorithm
    from qtwin.config import Config
    from qtwin.envs.spec import EnvSpec

AGENTS = {
    "dqn": "deep Q-network: a little collected, a little regressed, a target that moves once in a while (Mnih 2015)",
    "online_q": "online Q-learning: every transition once, the target tied to the online network (Watkins 1989)",
    "fqi": "fitted Q-iteration: everything remembered, each regression run to its end (Ernst 2005, Riedmiller 2005)",
    "ddpg": "deep deterministic policy gradient: an actor in place of the max, soft targets of both (Lillicrap 2016)",
    "td3": "twin delayed DDPG: the smaller of two critics, a smoothed target policy, a delayed actor (Fujimoto 2018)",
    "sac": "soft actor-critic: a stochastic actor paid for its entropy, discrete actions too (Haarnoja 2018)",
    "redq": "REDQ: ten critics, twenty gradient steps per transition, a target over two of them (Chen 2021)",
    "droq": "DroQ: REDQ's rates with two critics that drop units (Hiraoka 2022)",
    "tqc": "truncated quantile critics: the largest quantiles of all critics left out of the target (Kuznetsov 2020)",
    "crossq": "CrossQ: no target network, one batch-normalised pass over both halves of a transition (Bhatt 2024)",
}
DISCRETE = ("dqn", "online_q", "fqi", "sac")
CONTINUOUS = ACTOR_CRITICS = ("ddpg", "td3", "sac", "redq", "droq", "tqc", "crossq")


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
    made = getattr(importlib.import_module(f"qtwin.agents.{name}"), name)(env, c)
    if not c.self_predict:
        return made
    from qtwin.siamese.self_predict import self_predictive

    return self_predictive(made, env, c)
