"""THE THREE RATES: how often each process runs, in exact integers.

Units are never mixed. Collection is counted in transitions, target updates in gradient steps; emulator frames, vector
steps and calls are converted here and nowhere else. The ratios are the same for any number of environments: a cycle is
extended to the least common multiple, nothing is rounded, and no counter is taken modulo a period.

Read without importing JAX.
"""

from __future__ import annotations

import dataclasses
import math

from qtwin.errors import Refusal
from qtwin.target_update.rules import TargetUpdate

LARGEST_COUNT = 2**31 - 1  # the counters are int32, inside and outside XLA


@dataclasses.dataclass(frozen=True)
class Rates:
    """The rates of the three processes. With the network and the TD target they define an algorithm.

    Attributes:
      collect: transitions per cycle, over all environments; 0 is offline. [transitions]
      regress: gradient steps per cycle. [gradient steps]
      target_update: the target update rule; its period is in gradient steps.
      warmup: transitions collected with random actions before the first gradient step. [transitions]
    """

    collect: int
    regress: int
    target_update: TargetUpdate
    warmup: int = 0

    def __post_init__(self):
        for name, least in (("collect", 0), ("regress", 1), ("warmup", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST_COUNT:
                raise Refusal(f"{name} is a whole number of at least {least}, not {value}")


@dataclasses.dataclass(frozen=True)
class Cycle:
    """One cycle of the three processes with N environments, in integers.

    Attributes:
      envs: N.
      transitions: transitions collected per cycle, a multiple of N. [transitions]
      gradient_steps: gradient steps per cycle. [gradient steps]
      vector_steps: vector steps of the N environments per cycle. [vector steps]
      warmup_vector_steps: vector steps of the warm-up, the fewest that give ``Rates.warmup``. [vector steps]
    """

    envs: int
    transitions: int
    gradient_steps: int
    vector_steps: int
    warmup_vector_steps: int

    @property
    def warmup(self) -> int:
        """Transitions of the warm-up: ``Rates.warmup``, rounded up to a whole vector step. [transitions]"""
        return self.warmup_vector_steps * self.envs


def cycle_of(rates: Rates, envs: int) -> Cycle:
    """The shortest cycle of N environments with exactly the requested ratio.

    N environments give N transitions at a time, so ``collect`` is extended to the least common multiple of itself and
    N, and ``regress`` by the same factor.
    """
    if not isinstance(envs, int) or isinstance(envs, bool) or envs < 1:
        raise Refusal(
            f"the number of environments is a whole number of at least 1, not {envs}; write for example --envs 8"
        )
    if rates.collect == 0:
        return Cycle(envs, 0, rates.regress, 0, 0)
    transitions = math.lcm(rates.collect, envs)
    gradient_steps = rates.regress * (transitions // rates.collect)
    return Cycle(envs, transitions, gradient_steps, transitions // envs, -(-rates.warmup // envs))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The totals of a run: the whole cycles that fit into a budget.

    Attributes:
      cycle: one cycle.
      cycles: number of cycles.
      transitions: total transitions, including the warm-up. [transitions]
      gradient_steps: total gradient steps. [gradient steps]
      target_updates: total target updates; None if they depend on the regression (``until``). [target updates]
    """

    cycle: Cycle
    cycles: int
    transitions: int
    gradient_steps: int
    target_updates: int | None


def plan(rates: Rates, envs: int, steps: int) -> Plan:
    """Divides a budget of transitions (offline, of gradient steps) into whole cycles.

    Args:
      rates: the three rates.
      envs: N.
      steps: the budget. [transitions]; offline [gradient steps]

    Examples:
      >>> from qtwin.target_update.rules import hard
      >>> spending = plan(Rates(collect=4, regress=1, target_update=hard(250), warmup=1_000), envs=8, steps=100_000)
      >>> spending.transitions, spending.gradient_steps, spending.target_updates
      (100000, 24750, 99)
    """
    cycle = cycle_of(rates, envs)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= LARGEST_COUNT:
        raise Refusal(
            f"the budget is a whole number of steps between 1 and {LARGEST_COUNT}, not {steps}; write --steps 100000"
        )
    if rates.collect == 0:
        cycles, transitions = steps // cycle.gradient_steps, 0
        if cycles == 0:
            raise Refusal(
                f"offline, --steps counts gradient steps, and a budget of {steps} is less than one cycle of"
                f" {cycle.gradient_steps}; write --steps {cycle.gradient_steps} or more"
            )
    else:
        if cycle.warmup >= steps:
            raise Refusal(
                f"a warm-up of {cycle.warmup} transitions out of a budget of {steps} leaves nothing to learn from;"
                f" write a smaller --warmup, or --steps {cycle.warmup + cycle.transitions} or more"
            )
        cycles = (steps - cycle.warmup) // cycle.transitions
        if cycles == 0:
            raise Refusal(
                f"after a warm-up of {cycle.warmup} transitions, a budget of {steps} is too small for one cycle of"
                f" {cycle.transitions} (collect {rates.collect} with {envs} environments);"
                f" write --steps {cycle.warmup + cycle.transitions} or more"
            )
        transitions = cycle.warmup + cycles * cycle.transitions
    gradient_steps = cycles * cycle.gradient_steps
    if gradient_steps > LARGEST_COUNT:
        raise Refusal(f"the budget is {gradient_steps} gradient steps, more than the largest count of {LARGEST_COUNT}")
    return Plan(cycle, cycles, transitions, gradient_steps, target_updates_after(rates.target_update, gradient_steps))


def target_updates_after(rule: TargetUpdate, gradient_steps: int) -> int | None:
    """Target updates after ``gradient_steps`` gradient steps; None if they depend on the regression (``until``)."""
    return rule.moves_in(gradient_steps)
