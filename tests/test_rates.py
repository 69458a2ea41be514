"""Law 2: the ratios are exact for any number of environments; and the rate card by hand arithmetic."""

import dataclasses
import math
from fractions import Fraction

import pytest

from qtwin.cli.rate_card import describe
from qtwin.config.config import Config
from qtwin.config.rates_of import budget
from qtwin.errors import Refusal
from qtwin.rates import Cycle, Rates, cycle_of, plan
from qtwin.target_update.rules import frozen, hard, soft, tied
from qtwin.target_update.specs import parse

ENVS = (1, 3, 8, 10, 64)
RATES = ((1, 1, 1), (4, 1, 2500), (10, 1, 50), (7, 3, 11), (256, 128, 10))


def woven(rates, envs, steps):
    """The three counters, one vector step and one gradient step at a time."""
    transitions = gradient_steps = moves = age = 0
    while transitions < rates.warmup:
        transitions += envs
    while True:
        fresh = 0
        while fresh == 0 or fresh % rates.collect:  # a cycle ends where whole collects and whole vector steps meet
            fresh += envs
        if transitions + fresh > steps:
            return transitions, gradient_steps, moves
        transitions += fresh
        for _ in range(fresh // rates.collect * rates.regress):
            gradient_steps, age = gradient_steps + 1, age + 1
            if age >= rates.target_update.every:
                moves, age = moves + 1, 0


@pytest.mark.parametrize("envs", ENVS)
@pytest.mark.parametrize(("collect", "regress", "every"), RATES)
def test_the_ratios_are_exact_for_any_number_of_environments(collect, regress, every, envs):
    rates = Rates(collect, regress, hard(every))
    cycle = cycle_of(rates, envs)
    assert cycle.vector_steps * envs == cycle.transitions
    assert cycle.transitions * regress == cycle.gradient_steps * collect
    assert not any(  # no shorter cycle has whole vector steps and whole gradient steps in the asked ratio
        (steps * envs) % collect == 0 for steps in range(1, cycle.vector_steps)
    )
    # A budget that every one of these numbers of environments spends to the last transition.
    budget = math.lcm(*(cycle_of(rates, each).transitions for each in ENVS)) * 3
    spent = plan(rates, envs, budget)
    assert spent.transitions == budget
    assert spent.gradient_steps == Fraction(budget * regress, collect)
    assert spent.target_updates == budget * regress // collect // every


@pytest.mark.parametrize("warmup", [0, 1, 100])
@pytest.mark.parametrize("envs", ENVS)
@pytest.mark.parametrize(("collect", "regress", "every"), RATES)
def test_a_plan_is_what_the_woven_processes_count(collect, regress, every, envs, warmup):
    rates = Rates(collect, regress, hard(every), warmup)
    steps = 5_000
    spent = plan(rates, envs, steps)
    assert (spent.transitions, spent.gradient_steps, spent.target_updates) == woven(rates, envs, steps)
    assert steps - spent.cycle.transitions < spent.transitions <= steps


def test_cycles_by_hand():
    assert cycle_of(Rates(4, 1, hard(2500)), 8).transitions == 8
    assert cycle_of(Rates(4, 1, hard(2500)), 8).gradient_steps == 2
    assert cycle_of(Rates(10, 1, hard(50)), 64).transitions == 320
    assert cycle_of(Rates(10, 1, hard(50)), 64).gradient_steps == 32
    assert cycle_of(Rates(7, 3, hard(11)), 3).transitions == 21
    assert cycle_of(Rates(7, 3, hard(11)), 3).gradient_steps == 9
    assert cycle_of(Rates(256, 128, hard(10)), 3).transitions == 768
    assert cycle_of(Rates(1, 1, tied(), warmup=100), 64).warmup == 128


def test_offline_the_budget_counts_gradient_steps():
    spent = plan(Rates(0, 2000, hard(500)), 1, 10_500)
    assert (spent.transitions, spent.gradient_steps, spent.target_updates) == (0, 10_000, 20)
    # nothing is collected: no vector steps, and no warm-up, even where one was asked for
    assert cycle_of(Rates(0, 2000, hard(500), warmup=7), 3) == Cycle(3, 0, 2000, 0, 0)


def test_what_was_counted_cannot_be_changed():
    rates = Rates(4, 1, hard(5))
    for record, field in (
        (rates, "collect"), (cycle_of(rates, 8), "envs"), (plan(rates, 8, 100), "cycles"),
        (describe(rates, 8, 100, 32), "batch"),
    ):  # fmt: skip
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field, 3)


def test_the_largest_count_is_that_of_an_int32():
    most = 2**31 - 1
    assert Rates(most, 1, hard(1), warmup=most).collect == most
    assert plan(Rates(1, 1, hard(1)), 1, most).transitions == most
    for name in ("collect", "regress", "warmup"):
        with pytest.raises(Refusal, match=name):
            Rates(**{"collect": 1, "regress": 1, "target_update": hard(1), name: most + 1})


def test_the_card_of_cleanrl_by_hand():
    card = describe(Rates(10, 1, hard(50), warmup=10_000), envs=8, steps=500_000, batch=128)
    # cycles of 40 transitions and 4 gradient steps: 490,000 / 40 = 12,250 of them
    assert (card.cycle_transitions, card.cycle_gradient_steps, card.warmup) == (40, 4, 10_000)
    assert (card.transitions, card.gradient_steps, card.target_updates) == (500_000, 49_000, 980)
    assert card.samples_per_transition == 12.8
    assert (card.gradient_steps_per_target_update, card.transitions_per_target_update) == (50, 500.0)
    assert (card.mean_age_gradient_steps, card.mean_age_transitions) == (24.5, 245.0)
    assert card.frames is None
    assert card.half_life_gradient_steps is None


def test_the_card_of_nature_by_hand():
    card = describe(Rates(4, 1, hard(2500), warmup=50_000), 1, 50_000_000, 32, frames_per_transition=4)
    assert (card.frames, card.transitions) == (200_000_000, 50_000_000)
    assert (card.gradient_steps, card.target_updates) == (12_487_500, 4_995)
    assert (card.samples_per_transition, card.transitions_per_target_update) == (8.0, 10_000.0)
    assert (card.mean_age_gradient_steps, card.mean_age_transitions) == (1249.5, 4998.0)


def test_the_card_of_a_soft_target_by_hand():
    card = describe(Rates(2, 1, soft(0.005)), 1, 1_000, 64)
    assert card.target_updates == card.gradient_steps == 500
    assert card.mean_age_gradient_steps == pytest.approx(199.0)  # (1 - tau) / tau
    assert card.mean_age_transitions == pytest.approx(398.0)
    assert card.half_life_gradient_steps == pytest.approx(math.log(2) / 0.005, rel=0.01)
    every_ten = describe(Rates(2, 1, soft(0.005, 10)), 1, 1_000, 64)
    assert every_ten.target_updates == 50
    assert every_ten.half_life_gradient_steps == pytest.approx(10 * card.half_life_gradient_steps)


@pytest.mark.parametrize("rule", [soft(0.5), soft(0.1), soft(0.1, 3), hard(1), hard(7), tied()])
def test_the_mean_age_is_the_mean_age_of_a_simulated_target(rule):
    """The age of a mix is the mix of the ages; averaged over the moments at which a gradient step reads the target."""
    age, ages = 0.0, []
    for step in range(1, 20_000):
        ages.append(age)
        age += 1
        if step % rule.every == 0:
            age = (1 - rule.tau) * age
    assert sum(ages[-10_500:]) / 10_500 == pytest.approx(rule.mean_age, abs=1e-2)


def test_a_target_that_never_moves_and_one_that_decides_itself():
    never = describe(Rates(4, 1, frozen()), 1, 1_000, 32)
    assert (never.target_updates, never.gradient_steps_per_target_update, never.mean_age_gradient_steps) == (
        0,
        None,
        None,
    )
    decides = describe(Rates(4, 1, parse("until:0.01/200")), 1, 1_000, 32)
    assert (decides.target_updates, decides.gradient_steps_per_target_update) == (None, 200)
    # periods that grow have no common length: moves after 100, 250 and 475 of 475 gradient steps
    grows = describe(Rates(4, 1, parse("geometric:100:1.5")), 1, 1_900, 32)
    assert (grows.gradient_steps, grows.target_updates) == (475, 3)
    assert grows.gradient_steps_per_target_update is grows.transitions_per_target_update is None


@pytest.mark.parametrize(
    ("rates", "envs", "steps", "says"),
    [
        (Rates(4, 1, hard(1), warmup=100), 1, 100, "a warm-up of 100"),
        (Rates(4, 1, hard(1), warmup=100), 1, 103, "too small for one cycle of 4"),
        (Rates(4, 1, hard(1)), 0, 100, "number of environments"),
        (Rates(4, 1, hard(1)), 1, 0, "between 1 and 2147483647"),
        (Rates(4, 1, hard(1)), 1, 2**31, "between 1 and 2147483647"),
        (Rates(1, 100, hard(1)), 1, 2**30, "the largest count of"),
        (Rates(0, 100, hard(1)), 1, 99, "less than one cycle of 100"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(rates, envs, steps, says):
    with pytest.raises(Refusal, match=says):
        plan(rates, envs, steps)


def test_a_budget_in_gradient_steps():
    config = Config("CartPole-v1", collect=10, regress=2, warmup=1_000, steps=11_000)
    assert budget(config) == 2_000  # 10,000 transitions, 2 for every 10
    for steps, gradient_steps in ((1_009, 1), (1_004, 1), (1_015, 3)):  # 18, 8 and 30 tenths, rounded down; at least 1
        assert budget(dataclasses.replace(config, steps=steps)) == gradient_steps
    # offline, steps are gradient steps
    assert budget(dataclasses.replace(config, collect=0, warmup=0, steps=500)) == 500
