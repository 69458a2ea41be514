"""From options to a request: every check that needs no JAX, made before JAX is imported or anything is written."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from qtwin.agents import handed_in
from qtwin.agents.catalog import agent_of, check_read, fits
from qtwin.config import option_specs
from qtwin.config.config import Config
from qtwin.config.options import flag, number, read_settings, whole
from qtwin.config.rates_of import budget, horizon, rates_of
from qtwin.envs.catalog import home_of, resolve
from qtwin.envs.guard import MODES, ON_NAN
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, one_of
from qtwin.nets.names import SPARSE, NetName
from qtwin.nets.names import parse as parse_net
from qtwin.rates import plan
from qtwin.request.check_replay import check_data, check_frames, check_memory
from qtwin.request.check_self_prediction import check_self_prediction
from qtwin.request.check_target import check_target
from qtwin.request.check_values import check_values
from qtwin.request.handed_in import asked_of, check_agent, same_version
from qtwin.request.presets import Preset, preset_of
from qtwin.request.run_config import MAY_CHANGE, SavedRun, saved_run
from qtwin.request.run_options import RunOptions, go_on, placed, read_options
from qtwin.request.schedules import check_schedules, used_up, with_schedules_of
from qtwin.target_update.specs import parse as parse_target
from qtwin.types import OWN, HandedIn, stands_alone

ENGINES = ("auto", "fused", "hosted")
FRAMES = ("memory", "disk")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunOptions):
    """What ``qtwin train`` is to do, checked as far as it can be without JAX; how it is carried out is `RunOptions`.

    Attributes:
      config: the run.
      eval_episodes: greedy episodes at the end, for each seed.
      overlap: hosted engine: collect while the regression runs. It pays where environments are slow; with quick ones
        the two only take each other's time, and seeds run side by side already fill the cores.
      engine: "auto", "fused" or "hosted".
      env_timeout: seconds after which a step of Python environments that has not come back ends the process, or
        (``env_mode`` "async") that environment; 0 never.
      env_mode, on_nan: what else is done about them (`qtwin.envs.guard.Care`).
      notes: lines worth telling that are no refusals.
      frames: where the images that a replay remembers lie, "memory" or "disk" (in the run directory).
      diagnose: run diagnostics at every K-th log point; 0 never; None at each one in a run that is long enough.
      eval_max_steps: steps after which an evaluation episode is cut; 0 for the environment's own time limit, at least
        `qtwin.engine.played.EVAL_MAX_STEPS`. [transitions]
      version: of what was handed in, whose code cannot be compared when the run is resumed; "" for none.
    """

    config: Config
    eval_episodes: int
    overlap: bool
    engine: str
    env_timeout: float = 0.0
    env_mode: str = "sync"
    on_nan: str = "stop"
    notes: tuple[str, ...] = ()
    frames: str = "memory"
    diagnose: int | None = None
    eval_max_steps: int = 0
    version: str = ""


def build(
    env: Any = None,
    *,
    agent: Any = None,
    preset: str | None = None,
    eval_episodes: int = 100,
    engine: str = "auto",
    overlap: bool = False,
    env_timeout: float | str = 0.0,
    env_mode: str = "sync",
    on_nan: str = "stop",
    frames: str | None = None,
    diagnose: int | None = None,
    eval_max_steps: int | None = None,
    version: str = "",
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> Request:
    """Builds a request: explicit settings override the preset's, and those the agent's defaults.

    With ``resume`` and neither an agent nor a preset named, settings that are left out are those of the run in ``out``.

    Args:
      env: the environment: its name, or the thing itself (`qtwin.envs.handed_in`); a resumed run's if None.
      agent: the algorithm: its name, an `Algorithm`, or a function (EnvSpec, Config) -> Algorithm; ``dqn``, or the
        preset's, if None.
      preset: settings by name.
      eval_episodes, engine, overlap, diagnose: see `Request`.
      env_timeout, env_mode, on_nan: likewise.
      frames: likewise; "memory", or as before, if None.
      eval_max_steps: likewise; 0, or as before, if None.
      version: see `Request`.
      settings: fields of `Config` by name, as values or as the text an option holds; networks and a target update may
        be handed in.
      **options: seeds, seed, out, resume, log_points (20), quiet, checkpoints, keep: see
        `qtwin.request.run_options.Given`.

    Raises:
      Refusal: what was asked for makes no sense.
    """
    given = read_options(options, log_points=20)
    saved = saved_run(given.out) if given.resume else None
    env, env_kwargs, agent, settings = asked = asked_of(env, agent, settings or {}, saved)
    check_agent(None if preset else agent, settings, saved)
    spec = asked.spec
    _check_engine(engine, spec)
    eval_episodes = whole(eval_episodes, "--eval-episodes", 1)
    diagnose = None if diagnose is None else whole(diagnose, "--diagnose", 0)
    chosen = preset_of(preset) if preset else None
    notes = _misfit(chosen, spec) if chosen else ()
    env_timeout = number(env_timeout, "--env-timeout")
    _check_care(spec, engine, env_mode, on_nan)
    _same_things(saved, given.out, env, spec, agent)
    goes_on = saved is not None and not preset and agent in (None, saved.config.agent if is_own(agent) else None)
    base = saved.config if goes_on else base_config(agent, chosen, spec)
    if is_own(agent):
        base = handed_in.config_of(agent, base)
    check_read(base, settings)
    named = base.env if goes_on and not is_own(env) else env
    config = dataclasses.replace(base, env=named, **{"env_kwargs": env_kwargs} | read_settings(settings, base))
    spec = spec_of(config)
    check(config, spec)
    if saved:
        config = with_schedules_of(saved.config, config, "schedule_steps" in settings)
        notes += same_version(config, version, saved)
    run = {"engine": engine, "overlap": flag(overlap, "--overlap")}
    run["eval_max_steps"] = None if eval_max_steps is None else whole(eval_max_steps, "--eval-max-steps", 0)
    # The environment may be written in another way: `_same_things` has seen that it is the same.
    again = dataclasses.replace(config, env=saved.config.env) if saved else config
    seeds, run = go_on(given, again, run, saved, MAY_CHANGE, seeds_as_before=goes_on)
    run["frames"] = one_of("place of frames", frames or run["frames"], FRAMES)
    run["eval_max_steps"] = whole(run["eval_max_steps"], "--eval-max-steps", 0)
    if run["frames"] == "disk":
        check_frames(config, spec, given.files)
    notes += () if saved or handed_in.is_finished(config.agent) or not (note := used_up(config)) else (note,)
    stem = f"{spec.id.partition(':')[2]}-{config.agent.removeprefix(OWN)}"
    return Request(
        config=config, eval_episodes=eval_episodes, diagnose=diagnose, notes=notes,
        env_timeout=env_timeout, env_mode=env_mode, on_nan=on_nan, version=version,
        **run | placed(given, seeds, run["checkpoints"], stem),
    )  # fmt: skip


def _misfit(preset: Preset, spec: EnvSpec) -> tuple[str, ...]:
    """What is noted of a preset that was made for something else."""
    if preset.fits(spec):
        return ()
    return (f"the preset '{preset.name}' was made for {preset.made_for_words}, not for {spec.id}",)


def _check_engine(engine: str, spec: EnvSpec) -> None:
    one_of("engine", engine, ENGINES)
    if engine == "fused" and spec.engine != "fused":
        raise Refusal(
            f"the engine 'fused' needs an environment written in JAX, and {spec.id} is not; write --engine hosted"
        )


def _check_care(spec: EnvSpec, engine: str, env_mode: str, on_nan: str) -> None:
    """Refuses a way to deal with environments that go wrong which those of ``spec`` do not have."""
    one_of("way to step environments", env_mode, MODES)
    one_of("answer to a number that is not finite", on_nan, ON_NAN)
    fused, home = spec.engine == "fused" and engine != "hosted", home_of(spec)[0]
    replaces = home is not None and home.replaces
    if env_mode == "async" and not replaces:
        raise Refusal(
            f"--env-mode async replaces environments of Gymnasium, and {spec.id} is none; leave it out, or write"
            " gym:..."
        )
    if on_nan == "drop" and not (fused or replaces):
        raise Refusal(
            f"--on-nan drop replaces environments of Gymnasium and those of the fused engine, and {spec.id} is none of"
            " them here; leave it out"
        )


def is_own(name: str | None) -> bool:
    """Does the name carry something that the caller handed in?"""
    return isinstance(name, HandedIn)


def spec_of(c: Config) -> EnvSpec:
    """The environment of a config."""
    return resolve(c.env, c.preprocessing, c.env_kwargs)


def base_config(agent: str | None, preset: Preset | None, spec: EnvSpec) -> Config:
    """What a preset or an agent runs on ``spec`` when nothing else is asked for."""
    if agent is not None:
        agent_of(agent)
    if preset is None:
        return agent_of(agent or ("sac" if spec.continuous else "dqn")).defaults
    config = preset.config_for(spec)
    if agent not in (None, config.agent):
        raise Refusal(
            f"the preset '{preset.name}' is a recipe for the agent {config.agent}, not {agent}; leave out --agent or"
            " --preset"
        )
    return config


def check(c: Config, spec: EnvSpec) -> None:
    """Refuses a config that makes no sense for ``spec``: its words, its rates, its memory."""
    fits(c.agent, spec)
    if not handed_in.is_finished(c.agent):
        _check_words(c, spec)
    if not c.agent.startswith(OWN):
        check_target(c)
        check_values(c, spec)
        check_self_prediction(c, spec)
    cycle = plan(rates_of(c), c.envs, c.steps).cycle
    if handed_in.is_finished(c.agent):
        return
    check_schedules(c)
    if c.data:
        check_data(c, spec)
    elif c.collect == 0:
        raise Refusal("a --collect of 0 learns offline and needs a recording; write --data FILE, or --collect 1")
    elif not c.agent.startswith(OWN):
        check_memory(c, cycle.transitions, cycle.warmup)


def _check_words(c: Config, spec: EnvSpec) -> None:
    """Refuses settings that mean nothing by themselves."""
    parse_net(c.net, spec)
    one_of("initialisation", c.init, option_specs.INIT_NAMES)
    if c.init == "sparse":
        for net in (c.net, getattr(c, "actor_net", "") or c.net):
            _check_sparse(parse_net(net, spec), spec)
    one_of("loss", c.loss, option_specs.LOSS_NAMES)
    option_specs.optimiser_choice(c.optimiser)
    option_specs.explore_choice(c.explore, horizon(c))
    parse_target(c.target, budget(c))
    one_of("normalisation", c.normalise, option_specs.NORMALISE_NAMES)
    if c.normalise == "running" and spec.num_states is not None:
        raise Refusal(
            f"--normalise running needs observations that have a mean, and {spec.id} gives the index of a state; leave"
            " it out"
        )
    if not 0.0 <= c.discount <= 1.0:
        raise Refusal(f"--discount is a number between 0 and 1, not {c.discount:g}; write for example --discount 0.99")
    if not c.learning_rate > 0:
        raise Refusal(f"--lr is a number greater than 0, not {c.learning_rate:g}; write for example --lr 0.00025")
    if c.n_step < 1:
        raise Refusal(f"--n-step is a whole number of at least 1, not {c.n_step}; write --n-step 1")


def _check_sparse(net: NetName, spec: EnvSpec) -> None:
    """Refuses a hidden layer that sparse initialisation leaves without a weight, behind a ReLU: it would stay at 0."""
    features = spec.num_states or math.prod(spec.obs_shape)
    narrowest = min((features, *net.widths[:-1]))
    if net.kind == "mlp" and not net.leaky and math.ceil(SPARSE * narrowest) >= narrowest:
        raise Refusal(
            f"--init sparse leaves each unit a tenth of its inputs, and a layer here has {narrowest}: none is left, and"
            " a ReLU lets no gradient through; write +leaky behind the network's name, or another --init"
        )


def _same_agent(saved: SavedRun, out: str | None, agent: str | None) -> None:
    """Refuses another algorithm than the run's where one of the two was handed in: they have no settings in common."""
    before = saved.config.agent
    if agent not in (None, before) and (is_own(agent) or before.startswith(OWN)):
        raise Refusal(
            f"the run in {out} learns by {before.removeprefix(OWN)}, not by {agent.removeprefix(OWN)}; hand in"
            f" {'that' if before.startswith(OWN) else 'nothing as agent'}, or train to another out"
        )


def _same_things(saved: SavedRun | None, out: str | None, env: str, spec: EnvSpec, agent: str | None) -> None:
    """Refuses to go on with a run in another environment, or with another algorithm of the caller's own."""
    if saved:
        _same_env(saved, out, env, spec)
        _same_agent(saved, out, agent)


def _same_env(saved: SavedRun, out: str | None, env: str, spec: EnvSpec) -> None:
    """Refuses another environment than the one that the run in ``out`` learns in."""
    before = saved.config.env
    if stands_alone(before):
        if is_own(env) and env == before:
            return
        own = before.removeprefix(OWN)
        raise Refusal(
            f"the run in {out} learns in an environment that was handed in from Python, {own}; hand it in again, as"
            f" env={own}" + (f", not {env}" if env != before else "")
        )
    if is_own(env) or resolve(before, env_kwargs=saved.config.env_kwargs).id != spec.id:
        raise Refusal(f"the run in {out} learns {before}, not {env}; write qtwin train {before} --resume --out {out}")
