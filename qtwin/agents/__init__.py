"""The algorithms: one file each, read top to bottom as NETWORK, TARGET, LOSS, RATES. Read without importing JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtwin.errors import one_of

if TYPE_CHECKING:
    from qtwin.agent import Algorithm
    from qtwin.config import Config
    from qtwin.envs.spec import EnvSpec

AGENTS = {
    "dqn": "deep Q-network: a little collected, a little regressed, a target that moves once in a while (Mnih 2015)",
    "online_q": "online Q-learning: every transition once, the target tied to the online network (Watkins 1989)",
    "fqi": "fitted Q-iteration: everything remembered, each regression run to its end (Ernst 2005, Riedmiller 2005)",
}


def algorithm(env: EnvSpec, c: Config) -> Algorithm:
    """The algorithm that ``c.agent`` names, made for ``env``."""
    match one_of("agent", c.agent, AGENTS):
        case "online_q":
            from qtwin.agents.online_q import online_q

            return online_q(env, c)
        case "fqi":
            from qtwin.agents.fqi import fqi

            return fqi(env, c)
        case _:
            from qtwin.agents.dqn import dqn

            return dqn(env, c)
