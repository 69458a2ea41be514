"""Every preset moves its target, and its actor, as often as the library it is named after: its own rule, counted."""

import dataclasses
import math
from fractions import Fraction

import pytest

from qtwin.agents.catalog import AGENTS, becoming
from qtwin.cli import rate_card
from qtwin.config import option_specs
from qtwin.config.option_specs import explore_choice, optimiser_choice
from qtwin.envs.catalog import resolve
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.rates import Rates, plan
from qtwin.request.presets import PRESETS
from qtwin.request.presets.discrete import ZOO_SPELLING
from qtwin.target_update.specs import parse

ATARI = EnvSpec(
    "ale:Breakout", (84, 84, 4), "uint8", 4, frames_per_transition=4, stack=4, preprocessing="nature", engine="hosted"
)

ACTOR_CRITICS = ("ddpg", "td3", "sac", "redq", "droq", "tqc", "crossq")

# Each library's own loop, from the moment learning has begun, as a stream of events: "t" a transition, "g" a gradient
# step, "c" a move of the target, "a" a gradient step of the actor. `n` is the number of environments.


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


def spr(n):
    """replay_ratio 64 at a batch of 32: round(64 / 32) updates for each transition, each moves the target by tau 1."""
    while True:
        yield "t"
        yield from "gc" * round(64 / 32)


def curl(n):
    """Learns before it looks at the clock, once for each T."""
    t = 0
    while True:
        t += 1
        yield from "tg"
        if t % 2_000 == 0:
            yield "c"


def ddpg(n):
    while True:
        yield from "tgac"


def td3(n):
    """Fujimoto's train(), once for each transition; the target moves inside the delayed actor's step."""
    total_it = 0
    while True:
        yield "t"
        total_it += 1
        yield "g"
        if total_it % 2 == 0:
            yield from "ac"


def cleanrl_td3(n):
    """CleanRL's DDPG too, and with many environments global_step counts vector steps."""
    global_step = 0
    while True:
        yield from "t" * n
        yield "g"
        if global_step % 2 == 0:
            yield from "ac"
        global_step += 1


def cleanrl_sac(n):
    global_step = 0
    while True:
        yield from "t" * n
        yield "g"
        if global_step % 2 == 0:
            yield from "a" * 2
        yield "c"
        global_step += 1


def cleanrl_sac_atari(n):
    global_step = 0
    while True:
        yield "t"
        if global_step % 4 == 0:
            yield from "ga"
        if global_step % 8_000 == 0:
            yield "c"
        global_step += 1


def softlearning(n):
    while True:
        yield from "tgac"


def redq(n):
    """Twenty updates for each transition, the actor in the last of them; every update moves the target."""
    while True:
        yield "t"
        for update in range(20):
            yield "g"
            if (update + 1) % 20 == 0:
                yield "a"
            yield "c"


def droq(n):
    while True:
        yield "t"
        yield from "gc" * 20
        yield "a"


def crossq(n):
    """Its target is moved with tau 1 at every update, and never read."""
    updates = 0
    while True:
        yield from "t" * n
        updates += 1
        yield from "gc"
        if updates % 3 == 0:
            yield "a"


def sb3_actor_critic(train_freq, gradient_steps, delay, together):
    """SB3's learn() and train(): ``together``, as its TD3 has it, the target moves in the delayed actor's step."""

    def loop(n):
        updates = 0
        while True:
            yield from "t" * (train_freq * n)
            for _ in range(gradient_steps):
                updates += 1
                yield "g"
                if updates % delay == 0:
                    yield "a"
                if updates % delay == 0 or not together:
                    yield "c"

    return loop


def pqn(steps, epochs, minibatches):
    """The target of a tied twin is new after every gradient step; the returns are computed before the epochs."""

    def loop(n):
        while True:
            yield from "t" * (steps * n)
            for _ in range(epochs):
                yield from "gc" * minibatches

    return loop


def streaming(n):
    while True:
        yield from "tgc"


LOOPS = {
    **dict.fromkeys(("dopamine-c51", "dopamine-rainbow", "dopamine-quantile", "dopamine-iqn", "rainbow"), dopamine),
    "pqn-cartpole": pqn(64, 4, 16),
    "pqn-minatar": pqn(32, 2, 32),
    "stream-q": streaming,
    "stream-q-minatar": streaming,
    "nature": nature,
    "dqn-zoo": dqn_zoo,
    "dopamine": dopamine,
    "sb3": sb3(10_000, 4, 1),
    "sbx": sb3(1_000, 4, 1),
    "cleanrl": cleanrl(10, 500),
    "cleanrl-atari": cleanrl(4, 1_000),
    "atari-quick": learner_period(4, 500),
    "acme": learner_period(8, 100),
    "rllib": rllib,
    "d3rlpy": learner_period(1, 8_000),
    "skrl": skrl,
    "rejax": rejax,
    "stoix": stoix,
    "minatar": learner_period(1, 1_000),
    "spr": spr,
    "curl": curl,
    "ddpg": ddpg,
    "td3": td3,
    "sfujim-td3": td3,
    "sac": softlearning,
    "redq": redq,
    "droq": droq,
    "tqc": softlearning,
    "crossq": crossq,
    "cleanrl-ddpg": cleanrl_td3,
    "cleanrl-td3": cleanrl_td3,
    "cleanrl-sac": cleanrl_sac,
    "cleanrl-sac-atari": cleanrl_sac_atari,
    "sb3-ddpg": sb3_actor_critic(1, 1, 1, True),
    "sb3-td3": sb3_actor_critic(1, 1, 2, True),
    "sb3-sac": sb3_actor_critic(1, 1, 1, False),
    "sb3-tqc": sb3_actor_critic(1, 1, 1, False),
    "sb3-crossq": sb3_actor_critic(1, 1, 3, False),
}
# rl-baselines3-zoo's actor-critics by row, as SB3 writes them: (train_freq, gradient_steps, policy_delay); the others
# have the default of their agent.
ZOO_ACTOR_CRITICS = {
    "sb3-zoo-ddpg": ({}, (1, 1, 1), True),
    "sb3-zoo-td3": ({}, (1, 1, 2), True),
    "sb3-zoo-sac": ({"MountainCarContinuous-v0": (32, 32, 1), "BipedalWalker-v3": (64, 64, 1)}, (1, 1, 1), False),
    "sb3-zoo-tqc": ({"MountainCarContinuous-v0": (32, 32, 1), "BipedalWalker-v3": (64, 64, 1)}, (1, 1, 1), False),
    "sb3-zoo-crossq": ({"MountainCarContinuous-v0": (32, 32, 2), "Pendulum-v1": (1, 1, 2)}, (1, 1, 3), False),
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
        elif event == "c" and fresh:
            done, fresh = done + begun, 0
            if done == moves:
                return transitions, gradient_steps
            begun = True


def actors_share(loop, envs, gradient_steps):
    """Gradient steps of the actor among so many of the critics, to the next whole transition."""
    actor = critic = 0
    for event in loop(envs):
        if event == "t" and critic >= gradient_steps:
            return Fraction(actor, critic)
        actor, critic = actor + (event == "a"), critic + (event == "g")


def recipes():
    for name, loop in LOOPS.items():
        for recipe, config in PRESETS[name].recipes.items():
            yield recipe, config, loop
    for name, (rows, rest, together) in ZOO_ACTOR_CRITICS.items():
        for recipe, config in PRESETS[name].recipes.items():
            yield recipe, config, sb3_actor_critic(*rows.get(recipe.split()[1], rest), together)
    for config in PRESETS["sb3-zoo"].rows:
        plain = config.env.removeprefix("gym:")
        yield f"sb3-zoo {plain}", config, sb3(*ZOO_SPELLING[plain])


RECIPES = {name: (config, loop) for name, config, loop in recipes()}


def test_every_preset_has_its_own_loop_here():
    assert set(LOOPS) | set(ZOO_ACTOR_CRITICS) | {"sb3-zoo"} == set(PRESETS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_preset_copies_as_often_as_its_library(name):
    config, loop = RECIPES[name]
    rule, envs = parse(config.target), config.envs
    # So many moves that whole bursts, whole intervals and whole cycles come out even.
    moves = 320 if rule.every <= 500 else 32
    transitions, gradient_steps = count(loop, envs, moves)
    assert gradient_steps == moves * rule.every
    assert Fraction(transitions, gradient_steps) == Fraction(config.collect, config.regress)
    spent = plan(Rates(config.collect, config.regress, rule), envs, transitions)
    assert (spent.transitions, spent.gradient_steps, spent.target_updates) == (transitions, gradient_steps, moves)


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name][0].agent in ACTOR_CRITICS])
def test_an_actor_learns_as_often_as_its_library_s(name):
    config, loop = RECIPES[name]
    assert actors_share(loop, config.envs, 60 * config.actor_every * config.regress) == Fraction(1, config.actor_every)


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
    said = {name: config.target for name, (config, _) in RECIPES.items() if config.agent == "dqn"}
    assert said == {
        "nature": "hard:2500", "dqn-zoo": "hard:2500", "dopamine": "hard:2000", "sb3": "hard:2500", "sbx": "hard:250",
        "cleanrl": "hard:50", "cleanrl-atari": "hard:250", "acme": "hard:100", "rllib": "hard:500",
        "atari-quick": "hard:500",
        "d3rlpy": "hard:8000", "skrl": "soft:0.005/10", "rejax": "soft:0.01", "stoix": "soft:0.005",
        "minatar": "hard:1000", "spr": "hard:1", "curl": "hard:2000",
        "sb3-zoo CartPole-v1": "hard:128", "sb3-zoo MountainCar-v0": "hard:300",
        "sb3-zoo Acrobot-v1": "hard:250", "sb3-zoo LunarLander-v3": "hard:250",
    }  # fmt: skip


def test_the_published_numbers_of_self_prediction():
    fields = ("n_step", "warmup", "explore", "replay", "regress", "self_predict", "self_predict_target", "augment")
    shared = ("batch", "learning_rate", "optimiser", "max_gradient_norm", "discount", "bootstrap", "collect", "steps")
    spr, curl = (PRESETS[name].config for name in ("spr", "curl"))
    assert [getattr(spr, f) for f in shared] == [getattr(curl, f) for f in shared]
    assert [getattr(spr, f) for f in shared] == [32, 1e-4, "adam:1.5e-4", 10.0, 0.99, "double", 1, 100_000]
    assert [getattr(spr, f) for f in fields] == [10, 2_000, "1:0:2001", 1_000_000, 2, "simsiam", "tied", "shift:4"]
    assert [getattr(curl, f) for f in fields] == [20, 1_600, "0", 100_000, 1, "curl", "soft:0.001", "shift:4"]
    assert (spr.self_predict_steps, spr.self_predict_weight, curl.self_predict_weight) == (5, 2.0, 1.0)
    assert [option_specs.self_predict_choice(c)[1:] for c in (spr, curl)] == [
        ("tied", 2.0, True),
        ("soft:0.001", 1.0, False),
    ]


def test_the_targets_of_actor_critics():
    """With a delayed actor the target moves at every second gradient step; CrossQ has none."""
    said = {name: config.target for name, (config, _) in RECIPES.items() if config.agent in ACTOR_CRITICS}
    slow = {"ddpg": "soft:0.001", "cleanrl-ddpg": "soft:0.005/2", "cleanrl-sac-atari": "hard:2000"}
    faster = {"MountainCarContinuous-v0": "soft:0.01", "LunarLanderContinuous-v3": "soft:0.01"}
    faster["BipedalWalker-v3"] = "soft:0.02"
    for name, target in said.items():
        preset, _, env = name.partition(" ")
        config = RECIPES[name][0]
        expected = {"td3": "soft:0.005/2", "crossq": "tied"}.get(config.agent, "soft:0.005")
        if preset in ("sb3-zoo-sac", "sb3-zoo-tqc"):
            expected = faster.get(env, expected)
        assert target == slow.get(preset, expected)


def test_the_published_numbers_of_actor_critics():
    """One line for each recipe: networks, learning rates, batch, discount, warm-up, noise, temperature, ensemble."""
    fields = ("net", "actor_net", "learning_rate", "actor_learning_rate", "batch", "discount", "warmup", "explore")
    fields += ("critics", "subset", "smoothing", "temperature", "target_entropy", "drop", "loss", "optimiser")

    def told(name, agent=None):
        config = RECIPES[name][0]
        default = becoming(RECIPES[agent or "sb3-sac"][0], config.agent)
        both = [f for f in fields if hasattr(config, f)]
        return {f: getattr(config, f) for f in both if getattr(config, f) != getattr(default, f)}

    assert told("sac") == {"warmup": 10_000}
    assert told("sb3-zoo-sac Pendulum-v1") == {"learning_rate": 1e-3}
    assert told("sb3-zoo-sac HalfCheetah-v4") == {"warmup": 10_000}
    assert told("sb3-zoo-sac Swimmer-v4") == {"warmup": 10_000, "discount": 0.999}
    assert told("sb3-zoo-sac MountainCarContinuous-v0") == {
        "net": "mlp:64,64", "temperature": "0.1", "discount": 0.9999, "warmup": 0, "batch": 512,
    }  # fmt: skip
    assert told("cleanrl-sac") == {
        "learning_rate": 1e-3, "actor_learning_rate": 3e-4, "warmup": 5_000, "loss": "mse",
    }  # fmt: skip
    assert told("redq Hopper-v5") == {
        "critics": 10, "subset": 2, "warmup": 5_000, "target_entropy": "-1", "loss": "mse",
    }  # fmt: skip
    assert told("droq Ant-v5") == {
        "net": "mlp:256,256+layernorm+dropout=0.01", "actor_net": "mlp:256,256", "warmup": 5_000,
        "target_entropy": "-4", "loss": "mse",
    }  # fmt: skip
    assert told("tqc") == {
        "net": "mlp:512,512,512", "actor_net": "mlp:256,256", "critics": 5, "warmup": 256,
    }  # fmt: skip
    assert [RECIPES[f"tqc{env}"][0].drop for env in ("", " Hopper-v5", " HalfCheetah-v5")] == [2, 5, 0]
    assert told("sb3-zoo-tqc Hopper-v4") == {"drop": 5, "warmup": 10_000}
    assert told("crossq") == {
        "net": "mlp:2048,2048+batchrenorm", "actor_net": "mlp:256,256+batchrenorm", "learning_rate": 1e-3,
        "warmup": 5_000, "optimiser": "adam:1e-8:0.5",
    }  # fmt: skip
    assert told("sb3-zoo-crossq Humanoid-v4", "crossq") == {}
    assert told("td3", "sb3-td3") == {"batch": 100, "warmup": 1_000, "explore": "0.1"}
    assert told("td3 HalfCheetah-v5", "sb3-td3") == {"batch": 100, "warmup": 10_000, "explore": "0.1"}
    assert told("sfujim-td3", "cleanrl-td3") == {}
    assert told("sfujim-td3", "sb3-td3") == {
        "net": "mlp:256,256", "learning_rate": 3e-4, "warmup": 25_000, "explore": "0.1",
    }  # fmt: skip
    assert told("sb3-zoo-td3 Pendulum-v1", "sb3-td3") == {"discount": 0.98, "warmup": 10_000, "explore": "0.1"}
    assert told("sb3-td3", "sb3-ddpg") == {"smoothing": "0.2:0.5"}
    assert RECIPES["sb3-td3"][0].critics == 2  # and DDPG has the one
    assert told("ddpg", "sb3-ddpg") == {
        "actor_learning_rate": 1e-4, "batch": 64, "warmup": 64, "explore": "0.2",
    }  # fmt: skip
    entropy = 0.89 * math.log(9)
    assert float(PRESETS["cleanrl-sac-atari"].config.target_entropy) == pytest.approx(entropy, abs=5e-5)


def test_where_the_epsilon_of_rmsprop_stands():
    assert optimiser_choice(PRESETS["minatar"].config.optimiser)[:3] == ("rmsprop", 0.01, False)
    # The Nature code adds 0.01 inside the root to the square of a gradient summed over 32 transitions.
    assert optimiser_choice(PRESETS["nature"].config.optimiser)[:3] == ("rmsprop", 0.01 / 32**2, True)


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


def test_a_row_serves_all_versions_of_its_environment_and_a_paper_s_own_recipe_all_others():
    def robot(name):
        return EnvSpec(f"gym:{name}", (11,), "float32", None, action_low=(-1.0,) * 3, action_high=(1.0,) * 3)

    assert PRESETS["sb3-zoo-td3"].config_for(robot("Swimmer-v5")).discount == 0.9999
    assert PRESETS["redq"].config_for(robot("Walker2d-v4")).target_entropy == "-3"
    assert PRESETS["redq"].config_for(robot("Pusher-v5")).target_entropy == "auto"
    assert not PRESETS["sb3-zoo-td3"].fits(robot("Swimmer-v5"))
    with pytest.raises(Refusal, match="none for gym:Pusher-v5"):
        PRESETS["sb3-zoo-td3"].config_for(robot("Pusher-v5"))


def test_every_preset_gives_a_rate_card():
    for preset in PRESETS.values():
        for name, config in preset.recipes.items():
            column = rate_card.column(name, config, preset)
            assert column.card.target == config.target
            assert not column.itself  # one environment, as published: what the library does is what is done here
    zoo = PRESETS["sb3-zoo-sac"]
    many = rate_card.column(zoo.name, dataclasses.replace(zoo.config, envs=8), zoo)
    assert "a gradient step per 8 transitions (here 1)" in many.itself
    assert len(rate_card.remarks([many, many])) == 3  # said once


def test_every_agent_has_settings_of_its_own():
    for name, record in AGENTS.items():
        config = record.defaults
        assert config.agent == name
        plan(Rates(config.collect, config.regress, parse(config.target), config.warmup), config.envs, config.steps)
    fqi = AGENTS["fqi"].defaults
    assert fqi.regress % parse(fqi.target).every == 0 or fqi.target.startswith("until")
    assert dataclasses.replace(AGENTS["dqn"].defaults, envs=1) == PRESETS["cleanrl"].config
