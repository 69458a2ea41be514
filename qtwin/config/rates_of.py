"""The three rates that a configuration asks for. Read without importing JAX."""

from __future__ import annotations

from qtwin.config.config import Config
from qtwin.rates import Rates
from qtwin.target_update.rules import TargetUpdate
from qtwin.target_update.specs import parse as parse_target


def budget(c: Config) -> int:
    """The gradient steps that `horizon` buys, up to the last cycle: what schedules that are counted in gradient steps
    last for. [gradient steps]
    """
    if c.collect == 0:
        return horizon(c)
    return max((horizon(c) - c.warmup) * c.regress // c.collect, 1)


def target_of(c: Config) -> TargetUpdate:
    """The rule that the target network of a config follows by."""
    return parse_target(c.target, budget(c))


def rates_of(c: Config) -> Rates:
    """The three rates of a config."""
    return Rates(c.collect, c.regress, target_of(c), c.warmup)


def horizon(c: Config) -> int:
    """The budget that a config's schedules are derived from. [transitions]; offline [gradient steps]"""
    return c.schedule_steps or c.steps


def warmup_of(c: Config) -> int:
    """Transitions that a config's warm-up gathers: ``warmup``, to the next whole vector step. [transitions]"""
    return -(-c.warmup // c.envs) * c.envs if c.collect else 0
