"""THE THREE RATES: how often each process runs, in exact whole numbers.

Units never mix. Collection is counted in transitions, the target's moves in gradient steps; emulator frames, vector
steps and calls are converted here and nowhere else. The ratios are the same for any number of environments: a cycle
grows to the least common multiple, nothing is rounded, and no counter is taken modulo anything.

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
    """The three processes' rates; with the network and the TD target this is the whole difference between algorithms.

    Attributes:
      collect: transitions per cycle, over all environments; 0 is offline. [transitions]
      regress: gradient steps per cycle. [gradient steps]
      target_update: how the target follows; its period is in gradient steps.
      warmup: transitions gathered at random before the first gradient step. [transitions]
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
    """One turn of the three processes with N environments, in whole numbers.

    Attributes:
      envs: N.
      transitions: collected per cycle, a multiple of N. [transitions]
      gradient_steps: taken per cycle. [gradient steps]
      vector_steps: steps of the N environments together, per cycle. [vector steps]
      warmup_vector_steps: the same for the warm-up, the least that gathers ``Rates.warmup``. [vector steps]
    """

    envs: int
    transitions: int
    gradient_steps: int
    vector_steps: int
    warmup_vector_steps: int

    @property
    def warmup(self) -> int:
        """Transitions the warm-up gathers: ``Rates.warmup``, to the next whole vector step. [transitions]"""
        return self.warmup_vector_steps * self.envs


def cycle_of(rates: Rates, envs: int) -> Cycle:
    """The shortest cycle with exactly the asked ratio that N environments can take.

    N environments give transitions N at a time, so ``collect`` grows to the least common multiple of itself and N, and
    ``regress`` by the same factor.
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
    """What a budget buys: whole cycles only, never more than the budget.

    Attributes:
      cycle: one turn.
      cycles: how many turns.
      transitions: collected in all, warm-up included. [transitions]
      gradient_steps: taken in all. [gradient steps]
      target_updates: moves of the target in all; None where they depend on the regression (``until``). [moves]
    """

    cycle: Cycle
    cycles: int
    transitions: int
    gradient_steps: int
    target_updates: int | None


def plan(rates: Rates, envs: int, steps: int) -> Plan:
    """Spends a budget of transitions (of gradient steps, where collect is 0) in whole cycles.

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
    """Moves of the target after that many gradient steps; None where the regression decides (``until``)."""
    return rule.moves_in(gradient_steps)
