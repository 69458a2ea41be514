"""The agents by name, and what follows from their records. Read without importing JAX."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from qtwin.agents import handed_in, info
from qtwin.agents.actor_records import ACTOR_RECORDS
from qtwin.agents.info import AgentInfo
from qtwin.agents.own import Nothing
from qtwin.agents.value_records import VALUE_RECORDS
from qtwin.config.config import Config
from qtwin.config.options import SETTINGS, canonical, option
from qtwin.config.synonyms import hint
from qtwin.errors import Refusal, one_of
from qtwin.records import Catalogue, imported, origin_of
from qtwin.types import OWN

if TYPE_CHECKING:
    from qtwin.algorithm import Algorithm
    from qtwin.envs.spec import EnvSpec

MANY = 7  # agents that are still named where a setting is for them alone
AGENTS = Catalogue("agent", AgentInfo, (*VALUE_RECORDS, *ACTOR_RECORDS), "qtwin.agents.info:problems")


def agent_of(name: str) -> AgentInfo:
    """The record of the agent ``name``, or of the algorithm that the caller handed in under it."""
    if name.startswith(OWN):
        return handed_in.record_of(name)
    return AGENTS[one_of("agent", name, AGENTS)]


def config_of(agent: str, env: str, **settings: Any) -> Config:
    """A run of ``agent`` on ``env``, with fields of `Config` and of the agent's own settings.

    What is left out has the defaults of those two, not the agent's recipe, which is ``AGENTS[agent].defaults``.
    """
    kind = agent_of(agent).config
    known = [field.name for field in dataclasses.fields(kind)]
    settings = canonical(settings)
    for name in settings:
        if name not in known:
            readers = " or ".join(readers_of(name))
            raise Refusal(
                f"the agent {agent} has no setting '{name}'" + (f", which is for {readers}" if readers else "")
                + ("; leave it out" if readers else hint(name, known, settings[name]))
            )  # fmt: skip
    return kind(env, agent=agent, **settings)


def recipe(agent: str, own: type = Nothing, like: str = "dqn", **changes: Any) -> Config:
    """The defaults of an agent of your own: another agent's, but for what is changed.

    Args:
      agent: the name of your agent.
      own: its own settings, a frozen dataclass of `qtwin.setting` fields; left out, it has none.
      like: the agent whose defaults these are where nothing else is said.
      changes: fields of `Config`, and of ``own``.
    """
    return info.becoming(agent_of(like).defaults, agent, own, **changes)


def becoming(base: Config, agent: str, **changes: Any) -> Config:
    """The run ``base`` with another agent: what both have stays as it was, but for ``changes``."""
    return info.becoming(base, agent, agent_of(agent).own, **changes)


def own_settings() -> dict[tuple[str, ...], dict[str, dataclasses.Field]]:
    """Every setting that only some agents have, by the names of those agents, and its field."""
    readers: dict[str, list[str]] = {}
    fields: dict[str, dataclasses.Field] = {}
    for record in AGENTS.values():
        for field in dataclasses.fields(record.own):
            readers.setdefault(field.name, []).append(record.name)
            fields.setdefault(field.name, field)
    found: dict[tuple[str, ...], dict[str, dataclasses.Field]] = {}
    for name, agents in readers.items():
        found.setdefault(tuple(agents), {})[name] = fields[name]
    return found


def every_setting() -> dict[str, tuple[str, str]]:
    """What an option takes and what it means, of every setting of every agent; the shared ones first."""
    own = {name: field.metadata for fields in own_settings().values() for name, field in fields.items()}
    return SETTINGS | {name: (about["takes"], about["means"]) for name, about in own.items()}


def readers_of(field: str) -> tuple[str, ...]:
    """The agents that a field of `Config`, or a setting of some agents' own, means something to."""
    return tuple(name for name in AGENTS if reads(name, field))


def reads(agent: str, field: str) -> bool:
    """Does this setting mean anything to ``agent``?"""
    record = agent_of(agent)
    return field not in record.ignores and any(each.name == field for each in dataclasses.fields(record.config))


def check_read(base: Config, said: dict[str, Any]) -> None:
    """Refuses a setting that means nothing to the agent of ``base``, where it is not what the recipe has anyway."""
    for field, value in canonical(said).items():
        readers = readers_of(field)
        if not readers or reads(base.agent, field):
            continue
        if hasattr(base, field) and str(value) == str(getattr(base, field)):
            continue
        whose = f", which is for {' or '.join(readers)}" if len(readers) <= MANY else ""
        raise Refusal(f"the agent {base.agent} does not use {option(field)}{whose}; leave it out")


def fits(agent: str, env: EnvSpec) -> str:
    """Returns ``agent`` if it can act in ``env``; refuses otherwise."""
    if ("continuous" if env.continuous else "discrete") in agent_of(agent).actions:
        return agent
    home, _, name = env.id.rpartition(":")
    plain = name if home in ("gym", "gymnax") else env.id
    if env.continuous:
        raise Refusal(f"{plain} has continuous actions and the agent {agent} needs discrete ones; write --agent sac")
    raise Refusal(f"{plain} has discrete actions and the agent {agent} needs continuous ones; write --agent dqn or sac")


def algorithm(env: EnvSpec, c: Config) -> Algorithm:
    """The algorithm that ``c.agent`` names, made for ``env``, with a self-predictive loss where ``c`` asks for one."""
    record = agent_of(fits(c.agent, env))
    if c.agent.startswith(OWN):
        return handed_in.built(env, c)
    if not isinstance(c, record.config):
        own = ", ".join(field.name for field in dataclasses.fields(record.own))
        raise Refusal(
            f"the agent {c.agent} has settings of its own ({own}), which this Config lacks; write"
            f" qtwin.config_of('{c.agent}', '{c.env}', ...)"
        )
    build = (record.variant(env, c) if record.variant else "") or record.build
    if origin_of("agent", c.agent):
        made = handed_in.made_by(imported(build), c.agent, env, c)._replace(zeta=c.zeta)
    else:
        made = imported(build)(env, c)._replace(zeta=c.zeta)
    if not c.self_predict:
        return made
    from qtwin.siamese.self_predict import self_predictive

    return self_predictive(made, env, c)
