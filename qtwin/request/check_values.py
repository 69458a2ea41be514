"""Whether an agent's loss, bootstrap, network and own settings go together. Read without importing JAX."""

from __future__ import annotations

import dataclasses

from qtwin.agents.catalog import AGENTS, agent_of
from qtwin.agents.info import NUMERIC, AgentInfo
from qtwin.config import option_specs
from qtwin.config.bootstrap_specs import parse as parse_bootstrap
from qtwin.config.config import Config
from qtwin.config.options import option
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.names import parse as parse_net
from qtwin.rates import LARGEST_COUNT


def check_values(c: Config, spec: EnvSpec) -> None:
    """Refuses what the mathematics does not allow, and says why."""
    agent = agent_of(c.agent)
    _check_loss(c, agent)
    _check_bootstrap(c, agent)
    check_own(c, agent)
    noisy = parse_net(c.net, spec).noisy is not None
    if noisy and not agent.noisy:
        raise Refusal(
            f"the network '{c.net}' explores by its own noise, and the agent {c.agent} by what --explore says; leave"
            f" +noisy out, or write --agent {_some('noisy')}"
        )
    if c.zeta:
        _check_zeta(c, agent, noisy)
    if c.prioritise:
        _check_priorities(c, agent)
    if agent.check is not None:
        agent.check(c, spec)


def check_own(c: Config, agent: AgentInfo) -> None:
    """Refuses a setting of the agent's own that is out of its bounds, or a text that means nothing."""
    for field in dataclasses.fields(agent.own):
        value, least, most = getattr(c, field.name), field.metadata["least"], field.metadata["most"]
        if type(value) is int and most is None:
            most = LARGEST_COUNT
        if field.metadata["read"] is not None:
            field.metadata["read"](value)
        if (least is None or value >= least) and (most is None or value <= most):
            continue
        if type(value) is int:
            bounds = f"a whole number of at least {least}" if value < (least or 0) else f"a whole number up to {most:,}"
        else:
            bounds = f"a number between {least:g} and {most:g}"
        usual = getattr(agent.defaults, field.name)
        raise Refusal(f"{option(field.name)} is {bounds}, not {value}; write {option(field.name)} {usual}")


def _check_zeta(c: Config, agent: AgentInfo, noisy: bool) -> None:
    if c.zeta <= 1:
        raise Refusal(f"a zeta distribution has an exponent greater than 1, and --zeta {c.zeta:g} came; write --zeta 2")
    if noisy or not agent.epsilon:
        explorer = f"the network '{c.net}'" if noisy else f"the agent {c.agent}"
        raise Refusal(
            f"--zeta lets the random actions of epsilon-greedy last, and {explorer} explores by its own noise; leave it"
            " out"
        )


def _check_loss(c: Config, agent: AgentInfo) -> None:
    if c.loss in agent.losses:
        return
    if agent.learns:
        raise Refusal(f"the agent {c.agent} {agent.learns}, and --loss {c.loss} came; leave it out")
    if agent.losses == NUMERIC:
        able = next(record.name for record in AGENTS.values() if c.loss in record.losses and record.any_target)
        raise Refusal(
            f"the agent {c.agent} learns numbers, and a cross-entropy is of distributions; write --loss huber, or"
            f" --agent {able}"
        )
    raise Refusal(f"the agent {c.agent} learns by {_or(agent.losses)}, not --loss {c.loss}; leave it out")


def _check_bootstrap(c: Config, agent: AgentInfo) -> None:
    kind = parse_bootstrap(c.bootstrap).kind
    if agent.bootstraps and kind not in agent.bootstraps:
        allowed = _or(agent.bootstraps)
        why = agent.carries or f"bootstraps with '{allowed}'"
        raise Refusal(
            f"the agent {c.agent} {why}, and --bootstrap {c.bootstrap} came; leave it out"
            + (f", or write --bootstrap {allowed}" if len(agent.bootstraps) > 1 else "")
            + (", or write --agent dqn for it" if not agent.acts and not agent.carries else "")
        )
    if kind == "munchausen" and c.n_step > 1:
        raise Refusal(
            f"a Munchausen target adds the log-policy of every action to its reward, and of {c.n_step} steps only the"
            " first one's is known; write --n-step 1"
        )


def _check_priorities(c: Config, agent: AgentInfo) -> None:
    option_specs.prioritise_choice(c.prioritise)
    if not agent.weighted:
        raise Refusal(
            f"the agent {c.agent} does not weigh its loss by importance, without which prioritised replay is biased;"
            f" leave --prioritise out, or write --agent {_some('weighted')}"
        )
    if c.data or c.replay == 0:
        what = "a recording is" if c.data else "transitions that are used once and forgotten are"
        raise Refusal(f"{what} not drawn by priority; leave --prioritise out")


def _some(column: str) -> str:
    """The first three agents that a column of the records holds for."""
    return _or([record.name for record in AGENTS.values() if getattr(record, column)][:3])


def _or(names: tuple[str, ...] | list[str]) -> str:
    return " or ".join(names)


def outside_support(c: Config, points: list[dict]) -> str:
    """A warning where the returns seen do not fit between the atoms; "" where they do, or there are none.

    A state's value is a discounted return. Of an episode of length L with return R it is taken to be about
    R / L (1 - gamma**L) / (1 - gamma), as if its rewards came evenly.

    Args:
      c: the run.
      points: log points, with ``train_return`` and ``train_length`` of each seed.
    """
    if agent_of(c.agent).output not in ("atoms", "classes"):
        return ""
    low, high = option_specs.support_choice(c.support)
    seen = [
        r / n * ((1 - c.discount**n) / (1 - c.discount) if c.discount < 1 else n)
        for point in points
        for r, n in zip(point["train_return"], point["train_length"], strict=True)
        if r is not None and n
    ]
    if not seen or (low <= min(seen) and max(seen) <= high):
        return ""
    return (
        f"the support {c.support} does not cover the returns seen, discounted about {min(seen):.3g} to {max(seen):.3g}:"
        f" what lies outside counts as its end; write --support={min(low, 1.5 * min(seen)):.3g}:"
        f"{max(high, 1.5 * max(seen)):.3g}"
    )
