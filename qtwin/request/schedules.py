"""Schedules: what falls over a run, and what becomes of it when the run is given another budget.

A share of the budget is a share of the budget that a run was started with. A run that goes on with more ``steps`` keeps
its schedules: epsilon does not jump back up. ``schedule_steps`` says otherwise. Read without importing JAX.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from qtwin.agents.catalog import agent_of
from qtwin.config.config import Config
from qtwin.config.option_specs import AFTER_WARMUP, explore_choice, prioritise_choice, self_predict_choice
from qtwin.config.rates_of import budget, horizon, warmup_of
from qtwin.errors import Refusal
from qtwin.rates import LARGEST_COUNT, Rates, cycle_of
from qtwin.target_update.specs import parse as parse_target

MOST = 0.5  # of an exploration schedule; where the warm-up takes up as much, it is said before the run


class Schedule(NamedTuple):
    """Something that goes from one value to another while a run lasts, and stays there.

    Attributes:
      what: it, in words.
      start, end: its first and its last value.
      begins, ends: where it begins to change and where it has come to its end, counted in ``unit``.
      unit: "transitions" or "gradient steps".
      of_budget: its length is derived from the budget.
      cosine: it goes along half a cosine; else in a straight line.
    """

    what: str
    start: float
    end: float
    begins: int
    ends: int
    unit: str
    of_budget: bool
    cosine: bool = False

    def at(self, count: int) -> float:
        """Its value after ``count`` of its unit."""
        done = min(max(count - self.begins, 0) / max(self.ends - self.begins, 1), 1.0)
        return self.end + (self.start - self.end) * ((math.cos(math.pi * done) + 1) / 2 if self.cosine else 1 - done)


def schedules_of(c: Config) -> tuple[Schedule, ...]:
    """Everything in a run that is on a schedule."""
    found = []
    explore = explore_choice(c.explore, horizon(c))
    if c.collect and explore.over and explore.start != explore.end:
        begins = warmup_of(c) if explore.after_warmup else 0
        what = "the exploration noise" if agent_of(c.agent).acts else "epsilon"
        ends = begins + explore.over
        found.append(Schedule(what, explore.start, explore.end, begins, ends, "transitions", explore.shared))
    steps = budget(c)
    if getattr(c, "anneal", False):
        found.append(Schedule("the learning rate", c.learning_rate, 0.0, 0, steps, "gradient steps", True))
    if c.prioritise:
        _, start, end = prioritise_choice(c.prioritise)
        if start != end:
            found.append(Schedule("beta of --prioritise", start, end, 0, steps, "gradient steps", True))
    targets = {"tau of --target": c.target}
    if c.self_predict:
        targets["tau of --self-predict-target"] = self_predict_choice(c).target
    for what, spec in targets.items():
        rule = parse_target(spec, steps)
        if rule.spec != parse_target(spec, steps + 1).spec:  # its length is the run's
            found.append(Schedule(what, rule.tau, 0.0, 0, steps, "gradient steps", True, cosine=True))
    return tuple(found)


def check_schedules(c: Config) -> None:
    """Refuses a ``schedule_steps`` that could not be a budget."""
    steps, least = c.schedule_steps, warmup_of(c)
    if steps and not least < steps <= LARGEST_COUNT:
        raise Refusal(
            f"--schedule-steps is a budget, more than the warm-up's {least:,} transitions and at most"
            f" {LARGEST_COUNT:,}, not {steps:,}; leave it out, or write --schedule-steps {c.steps}"
        )
    if steps and budget(c) > LARGEST_COUNT:
        raise Refusal(
            f"--schedule-steps {steps} means {budget(c):,} gradient steps, more than the largest count of"
            f" {LARGEST_COUNT:,}; write a smaller --schedule-steps"
        )


def with_schedules_of(before: Config, c: Config, told: bool) -> Config:
    """``c``, which goes on with the run of ``before``, with the schedules that the run has had.

    Args:
      before: the run as its ``config.json`` has it.
      c: the run as it is to go on, maybe with another budget.
      told: ``c.schedule_steps`` was set explicitly; 0 leaves it to the run.

    Raises:
      Refusal: the budget has grown, and a schedule falls to 0 before the new one is spent; or the memory, which fitted
        Q-iteration makes as large as the budget, would have to be another.
    """
    if agent_of(c.agent).keeps == "everything" and min(c.replay, c.steps) != min(before.replay, before.steps):
        raise Refusal(
            f"the agent {c.agent} keeps every transition, and the replay buffer of this run has room for its first"
            f" budget of {before.steps:,}, not for --steps {c.steps}; leave --steps out, or start another run"
        )
    if told and c.schedule_steps:
        return c
    kept = before.schedule_steps if c.steps == before.steps else horizon(before)
    c = dataclasses.replace(c, schedule_steps=kept)
    check_schedules(c)
    over = [each.what for each in schedules_of(c) if each.of_budget and each.end == 0]
    if over and c.steps > max(before.steps, horizon(before)):
        raise Refusal(
            f"--steps {c.steps} goes beyond the budget of {horizon(before)} over which {' and '.join(over)}"
            f" {'falls' if len(over) == 1 else 'fall'} to 0 in this run; write --schedule-steps {c.steps} to derive all"
            f" schedules from the new budget, from where they stand then, or --schedule-steps {horizon(before)} to keep"
            " them at their ends"
        )
    return c


def in_words(c: Config, transitions: int, gradient_steps: int) -> str:
    """What the schedules of a run do from here on, in one line; "" where it has none."""
    parts = []
    for each in schedules_of(c):
        count = transitions if each.unit == "transitions" else gradient_steps
        if count >= each.ends:
            parts.append(f"{each.what} stays at {each.end:.3g}: its schedule ended at {each.ends:,} {each.unit}")
        else:
            parts.append(
                f"{each.what} goes on from {each.at(count):.3g} to {each.end:.3g} at {each.ends:,} {each.unit}"
            )
    if parts and horizon(c) != c.steps:
        parts[-1] += f" (schedules keep to a budget of {horizon(c):,}, and --schedule-steps changes that)"
    return "; ".join(parts)


def used_up(c: Config) -> str:
    """A note where the warm-up takes up an exploration schedule, or most of it; "" where it does not."""
    warmup, explore = warmup_of(c), explore_choice(c.explore, horizon(c))
    found = [each for each in schedules_of(c) if each.unit == "transitions"]
    if not found or explore.after_warmup or warmup < MOST * explore.over:
        return ""
    rates = Rates(c.collect, c.regress, parse_target(c.target, budget(c)), c.warmup)
    now = found[0].at(warmup + cycle_of(rates, c.envs).transitions)
    return (
        f"{found[0].what} is {now:.3g} at the first gradient step: the warm-up takes {warmup:,} transitions, and"
        f" --explore {c.explore} ends at {explore.over:,}; write --explore {c.explore}:{AFTER_WARMUP} to begin its"
        " schedule where the warm-up ends, or a smaller --warmup"
    )
