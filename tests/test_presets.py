"""Every preset copies its target as often as the library it is named after: that library's own rule, counted."""

import dataclasses
from fractions import Fraction

import pytest

from qtwin.envs.catalog import resolve
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.names import explore_choice, optimiser_choice
from qtwin.presets import AGENT_DEFAULTS, AGENTS, PRESETS, ZOO_SPELLING
from qtwin.processes.update_target import parse
from qtwin.rates import Rates, plan

ATARI = EnvSpec("gym:ALE/Breakout-v5", (84, 84, 4), "uint8", 4, frames_per_transition=4, engine="hosted")

# Each library's own loop, from the moment learning has begun, as a stream of events: "t" a transition, "g" a gradient
# step, "c" a move of the target. `n` is the number of environments.


def nature(n):
    steps = 0
    while True:
        yield "t"
        if steps % 4 == 0:
            yield "g"
        steps += 1
        if steps % 10_000 == 1:
            yield "c"


def dqn_zoo(n):
    frame = 0
    while True:
        if frame % 4 == 0:
            yield "t"
        if frame % 16 == 0:
            yield "g"
        if frame % 40_000 == 0:
            yield "c"
        frame += 1


def dopamine(n):
    steps = 0
    while True:
        yield "t"
        if steps % 4 == 0:
            yield "g"
        if steps % 8_000 == 0:
            yield "c"
        steps += 1


def sb3(interval, train_freq, gradient_steps):
    def loop(n):
        calls = 0
        while True:
            for _ in range(train_freq):
                calls += 1
                yield from "t" * n
                if calls % max(interval // n, 1) == 0:
                    yield "c"
            yield from "g" * (gradient_steps if gradient_steps >= 0 else train_freq * n)

    return loop


def cleanrl(train, target):
    def loop(n):
        step = 0
        while True:
            yield "t"
            if step % train == 0:
                yield "g"
            if step % target == 0:
                yield "c"
            step += 1

    return loop


def learner_period(observations_per_step, period):
    """A learner step per so many observations; the learner counts its own steps (Acme, d3rlpy, MinAtar)."""

    def loop(n):
        observations = steps = 0
        while True:
            yield "t"
            observations += 1
            if observations % observations_per_step == 0:
                steps += 1
                yield "g"
                if steps % period == 0:
                    yield "c"

    return loop


def rllib(n):
    sampled = last = 0
    while True:
        yield from "t" * n
        sampled += n
        yield "g"
        if sampled - last >= 500:
            yield "c"
            last = sampled


def skrl(n):
    updates = 0
    while True:
        yield from "t" * n
        updates += 1
        yield "g"
        if not updates % 10:
            yield "c"


def rejax(n):
    step = 0
    while True:
        before, step = step, step + n
        yield from "t" * n
        yield "g"
        if step // 1 > before // 1:
            yield "c"


def stoix(n):
    while True:
        yield from "t" * (2 * n)  # a rollout of 2 vector steps
        for _ in range(16):
            yield "g"
            yield "c"


LOOPS = {
    "nature": nature,
    "dqn-zoo": dqn_zoo,
    "dopamine": dopamine,
    "sb3": sb3(10_000, 4, 1),
    "sbx": sb3(1_000, 4, 1),
    "cleanrl": cleanrl(10, 500),
    "cleanrl-atari": cleanrl(4, 1_000),
    "acme": learner_period(8, 100),
    "rllib": rllib,
    "d3rlpy": learner_period(1, 8_000),
    "skrl": skrl,
    "rejax": rejax,
    "stoix": stoix,
    "minatar": learner_period(1, 1_000),
}


def count(loop, envs, moves):
    """(transitions, gradient steps) between the first copy that changes the target and the one ``moves`` later.

    A copy with no gradient step before it copies what is there already and does not count.
    """
    transitions = gradient_steps = done = fresh = 0
    begun = False
    for event in loop(envs):
        if event == "t":
            transitions += begun
        elif event == "g":
            gradient_steps += begun
            fresh += 1
        elif fresh:
            done, fresh = done + begun, 0
            if done == moves:
                return transitions, gradient_steps
            begun = True


def recipes():
    for name, loop in LOOPS.items():
        yield name, PRESETS[name].config, loop
    for config in PRESETS["sb3-zoo"].rows:
        plain = config.env.removeprefix("gym:")
        yield f"sb3-zoo {plain}", config, sb3(*ZOO_SPELLING[plain])


RECIPES = {name: (config, loop) for name, config, loop in recipes()}


def test_every_preset_has_its_own_loop_here():
    assert set(LOOPS) | {"sb3-zoo"} == set(PRESETS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_preset_copies_as_often_as_its_library(name):
    config, loop = RECIPES[name]
    rule, envs = parse(config.target), config.envs
    # So many moves that whole bursts, whole intervals and whole cycles come out even.
    moves = 160 if rule.every <= 500 else 32
    transitions, gradient_steps = count(loop, envs, moves)
    assert gradient_steps == moves * rule.every
    assert Fraction(transitions, gradient_steps) == Fraction(config.collect, config.regress)
    spent = plan(Rates(config.collect, config.regress, rule), envs, transitions)
    assert (spent.transitions, spent.gradient_steps, spent.target_updates) == (transitions, gradient_steps, moves)


@pytest.mark.parametrize("name", [name for name in RECIPES if PRESETS[name.split()[0]].itself])
@pytest.mark.parametrize("envs", [1, 3, 8, 64])
def test_what_a_library_itself_does_with_many_environments(name, envs):
    config, loop = RECIPES[name]
    per_step, between = PRESETS[name.split()[0]].itself(envs, config)
    moves = 200
    transitions, gradient_steps = count(loop, envs, moves)
    # Give or take the burst and the rollout under way at the two ends.
    assert abs(gradient_steps - moves * between) <= config.regress * envs
    assert abs(transitions - gradient_steps * per_step) <= 2 * config.collect * envs


def test_the_figures_that_are_known():
    assert [PRESETS["sb3"].itself(n, PRESETS["sb3"].config)[1] for n in (1, 8)] == [2500, Fraction(625, 2)]
    said = {name: config.target for name, (config, _) in RECIPES.items()}
    assert said == {
        "nature": "hard:2500", "dqn-zoo": "hard:2500", "dopamine": "hard:2000", "sb3": "hard:2500", "sbx": "hard:250",
        "cleanrl": "hard:50", "cleanrl-atari": "hard:250", "acme": "hard:100", "rllib": "hard:500",
        "d3rlpy": "hard:8000", "skrl": "soft:0.005/10", "rejax": "soft:0.01", "stoix": "soft:0.005",
        "minatar": "hard:1000", "sb3-zoo CartPole-v1": "hard:128", "sb3-zoo MountainCar-v0": "hard:300",
        "sb3-zoo Acrobot-v1": "hard:250", "sb3-zoo LunarLander-v3": "hard:250",
    }  # fmt: skip


def test_where_the_epsilon_of_rmsprop_stands():
    assert optimiser_choice(PRESETS["minatar"].config.optimiser) == ("rmsprop", 0.01, False)
    # The Nature code adds 0.01 inside the root to the square of a gradient summed over 32 transitions.
    assert optimiser_choice(PRESETS["nature"].config.optimiser) == ("rmsprop", 0.01 / 32**2, True)


@pytest.mark.parametrize("name", RECIPES)
def test_every_number_of_a_preset_can_be_read(name):
    config, _ = RECIPES[name]
    optimiser_choice(config.optimiser)
    explore_choice(config.explore, config.steps)
    rates = Rates(config.collect, config.regress, parse(config.target), config.warmup)
    for envs in (1, 3, 8, 10, 64):
        plan(rates, envs, config.steps)


def test_presets_say_what_they_were_made_for():
    for preset in PRESETS.values():
        assert preset.made_for
        assert preset.source
        assert (preset.frames == 4) == (preset.made_for == ("ALE/*",))
    cartpole, breakout = resolve("CartPole-v1"), resolve("minatar:Breakout")
    assert PRESETS["cleanrl"].fits(cartpole)
    assert not PRESETS["cleanrl"].fits(breakout)
    assert PRESETS["minatar"].fits(breakout)
    assert not PRESETS["nature"].fits(cartpole)
    assert PRESETS["nature"].fits(ATARI)


def test_the_environment_picks_the_row_of_the_zoo():
    zoo = PRESETS["sb3-zoo"]
    assert zoo.config_for(resolve("gymnax:MountainCar-v0")).discount == 0.98
    assert zoo.config_for(resolve("Acrobot-v1")).regress == 4
    with pytest.raises(Refusal, match=r"CartPole-v1, MountainCar-v0, Acrobot-v1, LunarLander-v3 and none for"):
        zoo.config_for(resolve("Catch"))


def test_every_agent_has_settings_of_its_own():
    assert set(AGENT_DEFAULTS) == set(AGENTS)
    for name, config in AGENT_DEFAULTS.items():
        assert config.agent == name
        plan(Rates(config.collect, config.regress, parse(config.target), config.warmup), config.envs, config.steps)
    fqi = AGENT_DEFAULTS["fqi"]
    assert fqi.regress % parse(fqi.target).every == 0 or fqi.target.startswith("until")
    assert dataclasses.replace(AGENT_DEFAULTS["dqn"], envs=1) == PRESETS["cleanrl"].config
