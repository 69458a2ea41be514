"""Whether the ways to follow, to bootstrap and to hold back go together with the agent. Read without importing JAX."""

from __future__ import annotations

from qtwin.agents.catalog import AGENTS, agent_of
from qtwin.config.bootstrap_specs import parse, parse_regulariser
from qtwin.config.config import Config
from qtwin.config.rates_of import budget
from qtwin.errors import Refusal
from qtwin.target_update.rules import TargetUpdate
from qtwin.target_update.specs import parse as parse_target


def check_target(c: Config) -> None:
    """Refuses a target, a bootstrap or a regulariser that makes no sense for ``c.agent``."""
    bootstrap, regulariser = parse(c.bootstrap), parse_regulariser(c.regularise)
    rule = parse_target(c.target, budget(c))
    any_target = agent_of(c.agent).any_target
    if not any_target and regulariser.kind != "none":
        raise Refusal(f"--regularise {c.regularise} is for {_any_target()}, not {c.agent}; leave it out")
    if not is_plain(rule) and (not any_target or c.self_predict):
        beside = "a --self-predict" if c.self_predict else f"the agent {c.agent}"
        raise Refusal(
            f"--target {c.target} is for {_any_target()} alone, and {beside} came with it; write for example"
            " --target hard:500"
        )
    if rule.parts and c.net in ("table", "linear"):
        raise Refusal(f"--target {c.target} shares a trunk and the net {c.net} has none; write --net mlp:120,84")
    _check_several(c, rule, bootstrap.networks)
    if regulariser.kind != "none" and rule.tied:
        raise Refusal(
            f"--regularise {c.regularise} holds the online network near its target, and with --target tied there is no"
            " distance between them; write for example --target hard:500"
        )
    if bootstrap.info.compares and rule.tied:
        raise Refusal(
            f"--bootstrap {c.bootstrap} compares two networks, and with --target tied they are one; write --target"
            " hard:500, or --bootstrap max"
        )


def is_plain(rule: TargetUpdate) -> bool:
    """One target network, of the same structure as the online one, that only follows."""
    return rule.copies == 1 and not rule.parts and not rule.row


def _check_several(c: Config, rule: TargetUpdate, networks: int) -> None:
    """Several networks that learn side by side are DQN's, and one thing at a time."""
    several = networks > 1 or rule.row > 0
    if not several:
        return
    what = f"--bootstrap {c.bootstrap}" if networks > 1 else f"--target {c.target}"
    if not agent_of(c.agent).several or c.self_predict:
        raise Refusal(f"{what} lets several networks learn side by side and is for the agent dqn; write --agent dqn")
    if networks > 1 and not is_plain(rule):
        raise Refusal(f"{what} and --target {c.target} both change what a target is; write --target hard:500")
    if rule.row and c.bootstrap != "max":
        raise Refusal(f"{what} bootstraps with max, and --bootstrap {c.bootstrap} came; leave it out")
    if c.regularise != "none":
        raise Refusal(f"{what} takes no regulariser, and --regularise {c.regularise} came; leave it out")


def _any_target() -> str:
    return f"the agents {' and '.join(record.name for record in AGENTS.values() if record.any_target)}"
