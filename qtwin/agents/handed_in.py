"""Algorithms that the caller hands in: an `Algorithm`, or a function that makes one. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtwin.agents.info import ACTIONS, OWN_OUTPUT, AgentInfo, becoming
from qtwin.agents.value_records import VALUE_RECORDS
from qtwin.config.config import Config
from qtwin.config.option_specs import LOSS_NAMES
from qtwin.config.rates_of import rates_of
from qtwin.errors import Refusal, told
from qtwin.target_update.rules import TargetUpdate
from qtwin.target_update.specs import parse
from qtwin.types import OWN, HandedIn, kind_of, module_of, own_name

if TYPE_CHECKING:
    from qtwin.algorithm import Algorithm
    from qtwin.envs.spec import EnvSpec

EXPECTED = "agent is a name, a qtwin.Algorithm, or a function (EnvSpec, Config) -> Algorithm"
_OF_SELF_PREDICTION = (
    "self_predict", "self_predict_target", "self_predict_steps", "self_predict_weight", "augment"
)  # fmt: skip
# What a run can still decide of an algorithm that is put together already.
SETTABLE = (
    "env",
    "agent",
    "preprocessing",
    "env_kwargs",
    "discount",
    "collect",
    "regress",
    "target",
    "warmup",
    "envs",
    "steps",
)
FACTS = ("n_step", "replay", "batch")  # what it tells of itself, for diagnostics and the record

FUNCTION = AgentInfo(
    "own", about="an algorithm of the caller's own, made by a function of its settings", paper="", build="",
    defaults=becoming(VALUE_RECORDS[0].defaults, "own"), actions=ACTIONS, output=OWN_OUTPUT, losses=LOSS_NAMES,
    any_target=True, several=True, weighted=True, noisy=True, ignores=_OF_SELF_PREDICTION,
)  # fmt: skip
FINISHED = FUNCTION._replace(
    about="an algorithm of the caller's own, put together",
    ignores=tuple(field.name for field in dataclasses.fields(Config) if field.name not in SETTABLE),
)


def handed_in(thing: Any) -> HandedIn:
    """The name that carries an algorithm.

    Args:
      thing: an `Algorithm`, or a function ``(EnvSpec, Config) -> Algorithm``.

    Raises:
      Refusal: it is neither.
    """
    from qtwin.algorithm import Algorithm

    if isinstance(thing, Algorithm):
        check_parts(thing)
        return HandedIn(f"{OWN}algorithm", thing)
    if isinstance(thing, AgentInfo):
        raise Refusal(f"a record goes by its name; write qtwin.register(record) once, then agent='{thing.name}'")
    if not callable(thing):
        raise Refusal(f"{EXPECTED}, and {kind_of(thing)} came")
    try:
        inspect.signature(thing).bind(None, None)
    except TypeError as error:
        raise Refusal(
            f"{EXPECTED}, and {own_name(thing).removeprefix(OWN)} cannot be called with two arguments ({error})"
        ) from None
    except ValueError:  # it does not tell
        pass
    return HandedIn(own_name(thing), thing, module_of(thing))


def check_parts(algorithm: Algorithm) -> None:
    """Refuses an `Algorithm` in whose fields something else stands than they are for."""
    wrong = [field for field in ("init", "act", "loss") if not callable(getattr(algorithm.agent, field, None))]
    if wrong:
        raise Refusal(f"an Algorithm has an agent with init, act and loss, and its {wrong[0]} is no function")
    if not isinstance(getattr(algorithm.rates, "target_update", None), TargetUpdate):
        raise Refusal(
            "an Algorithm has rates whose target_update is a TargetUpdate, and"
            f" {kind_of(getattr(algorithm.rates, 'target_update', None))} came; write for example qtwin.hard(500)"
        )
    for field, methods, example in (
        ("replay", ("init", "add", "sample"), "qtwin.ring(10_000, batch=64, gamma=0.99)"),
        ("optimiser", ("init", "update"), "optax.adam(1e-3)"),
    ):
        value = getattr(algorithm, field)
        if not all(callable(getattr(value, method, None)) for method in methods):
            raise Refusal(
                f"an Algorithm has a field {field} with {' and '.join(methods)}, and {kind_of(value)} came; write for"
                f" example {example}"
            )


def record_of(agent: str) -> AgentInfo:
    """What is known of an algorithm that goes by the name ``agent``."""
    return (FINISHED if is_finished(agent) else FUNCTION)._replace(name=str(agent))


def is_finished(agent: str) -> bool:
    """Is it an `Algorithm` that is put together, whose settings can no longer be changed?"""
    return isinstance(agent, HandedIn) and not callable(agent.thing)


def config_of(agent: HandedIn, base: Config) -> Config:
    """The run ``base`` of an algorithm: of one that is put together with the rates and facts that it has."""
    if not is_finished(agent):
        return dataclasses.replace(base, agent=agent)
    return told_by(agent.thing, dataclasses.replace(base, agent=agent, n_step=1, discount=1.0))


def told_by(algorithm: Algorithm, c: Config) -> Config:
    """The settings ``c`` with what the algorithm that a function made of them says itself."""
    rates, replay = algorithm.rates, algorithm.replay
    return dataclasses.replace(
        c, collect=rates.collect, regress=rates.regress, warmup=rates.warmup, target=target_in(rates.target_update),
        replay=replay.capacity, batch=replay.batch, n_step=c.n_step if replay.n_step is None else replay.n_step,
        discount=c.discount if replay.gamma is None else replay.gamma,
    )  # fmt: skip


def target_in(rule: TargetUpdate) -> HandedIn:
    """The name that carries a target update: its spec where that says it all, else ``own:SPEC``."""
    if not isinstance(rule, TargetUpdate):
        raise Refusal(f"target is a spec such as 'hard:500', or a qtwin.TargetUpdate, and {kind_of(rule)} came")
    try:
        same = _like(parse(rule.spec, 1), rule)
    except Refusal:
        same = False
    module = getattr(rule.move, "__module__", "")
    return HandedIn(rule.spec if same else f"{OWN}{rule.spec}", rule, module)


def _like(one: TargetUpdate, other: TargetUpdate) -> bool:
    """Are two rules of the same spec made by the same functions?"""
    return all(
        getattr(a, "__code__", a) == getattr(b, "__code__", b) if callable(a) else a == b
        for a, b in zip(one, other, strict=True)
    )


def built(env: EnvSpec, c: Config) -> Algorithm:
    """The algorithm that ``c.agent`` carries, for ``env``.

    Raises:
      Refusal: its function returns no `Algorithm`, or ``c.agent`` carries nothing.
    """
    agent = c.agent
    if not isinstance(agent, HandedIn):
        raise Refusal(hand_in_again("algorithm", agent, "agent"))
    if is_finished(agent):
        return agent.thing._replace(rates=rates_of(c))
    return made_by(agent.thing, agent, env, c)


def made_by(build: Callable, name: str, env: EnvSpec, c: Config) -> Algorithm:
    """What a function from outside this package makes; a `Refusal` where it raises, or makes no `Algorithm`."""
    from qtwin.algorithm import Algorithm

    try:
        made = build(env, c)
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(f"the agent {name} cannot be built for {env.id}: {told(error)}") from error
    if not isinstance(made, Algorithm):
        raise Refusal(
            f"the agent {name} returned {kind_of(made)}, and a qtwin.Algorithm is expected of (EnvSpec, Config)"
        )
    check_parts(made)
    return made


def hand_in_again(what: str, name: str, argument: str) -> str:
    """What is said where the name of something stands and the thing is missing."""
    plain = name.removeprefix(OWN)
    return (
        f"'{name}' is the name of an {what} that was handed in from Python, which no file holds; hand it in again, as"
        f" {argument}={plain}"
    )
