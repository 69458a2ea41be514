"""From options to a request: every check that needs no JAX, made before JAX is imported or anything is written."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from qtwin.agents.catalog import AGENTS, agent_of, fits, readers_of, reads
from qtwin.config import option_specs
from qtwin.config.config import Config
from qtwin.config.options import number, option, read_settings, whole
from qtwin.config.rates_of import horizon, rates_of
from qtwin.envs.catalog import resolve
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
from qtwin.request.presets import Preset, preset_of
from qtwin.request.retention import CHECKPOINTS, KEEP, parse_checkpoints, parse_keep
from qtwin.request.run_config import MAY_CHANGE, as_before, read_config, same_run
from qtwin.request.run_directory import place_of, seeds_of
from qtwin.request.schedules import check_schedules, used_up, with_schedules_of

ENGINES = ("auto", "fused", "hosted")
FRAMES = ("memory", "disk")
MANY = 7  # agents that are still named where a setting is for them alone


@dataclasses.dataclass(frozen=True)
class Request:
    """What ``qtwin train`` is to do, checked as far as it can be without JAX.

    Attributes:
      config: the run.
      seeds: which seeds, trained side by side.
      out: the run directory, which holds nothing yet, or the run to go on with.
      resume: go on with the run in ``out``.
      eval_episodes: greedy episodes at the end, for each seed.
      log_points: how many times on the way the agent is evaluated and logged.
      overlap: hosted engine: collect while the regression runs. It pays where environments are slow; with quick ones
        the two only take each other's time, and seeds run side by side already fill the cores.
      quiet: say nothing.
      engine: "auto", "fused" or "hosted".
      checkpoints: how many, or ``every:N`` (`qtwin.request.retention.parse_checkpoints`).
      keep: which of them stay (`qtwin.request.retention.parse_keep`).
      env_timeout: seconds after which a step of Python environments that has not come back ends the process, or
        (``env_mode`` "async") that environment; 0 never.
      env_mode, on_nan: what else is done about them (`qtwin.envs.guard.Care`).
      notes: lines worth telling that are no refusals.
      frames: where the images that a replay remembers lie, "memory" or "disk" (in the run directory).
      diagnose: the twin is measured at every so manieth log point; 0 never; None at each in a run that is long enough.
      eval_max_steps: steps after which an evaluation episode is cut; 0 for the environment's own time limit, at least
        `qtwin.engine.played.EVAL_MAX_STEPS`. [transitions]
    """

    config: Config
    seeds: tuple[int, ...]
    out: str
    resume: bool
    eval_episodes: int
    log_points: int
    overlap: bool
    quiet: bool
    engine: str
    checkpoints: str = CHECKPOINTS
    keep: str = KEEP
    env_timeout: float = 0.0
    env_mode: str = "sync"
    on_nan: str = "stop"
    notes: tuple[str, ...] = ()
    frames: str = "memory"
    diagnose: int | None = None
    eval_max_steps: int = 0


def build(
    env: str,
    *,
    agent: str | None = None,
    preset: str | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    out: str | None = None,
    resume: bool = False,
    eval_episodes: int = 100,
    log_points: int = 20,
    engine: str = "auto",
    overlap: bool = False,
    checkpoints: str | int | None = None,
    keep: str | int | None = None,
    env_timeout: float | str = 0.0,
    env_mode: str = "sync",
    on_nan: str = "stop",
    frames: str | None = None,
    quiet: bool = False,
    diagnose: int | None = None,
    eval_max_steps: int | None = None,
    settings: dict[str, Any] | None = None,
) -> Request:
    """Puts a request together: a setting said aloud, before the preset's, before the agent's default.

    With ``resume`` and neither an agent nor a preset named, what is not said aloud is what the run in ``out`` had.

    Args:
      env: the environment's name.
      agent: the algorithm; ``dqn``, or the preset's, if None.
      preset: settings by name.
      seeds: how many seeds; 1 if None.
      seed: the first of them; 0 if None.
      out: the run directory; a fresh one under ``runs/`` if None.
      resume: go on with the run in ``out``.
      eval_episodes, log_points, engine, overlap, quiet, diagnose: see `Request`.
      checkpoints, keep, env_timeout, env_mode, on_nan: likewise; 5 in a run, and the last 2, if None.
      frames: likewise; "memory", or as before, if None.
      eval_max_steps: likewise; 0, or as before, if None.
      settings: fields of `Config` by name, as values or as the text an option holds.

    Raises:
      Refusal: what was asked for makes no sense.
    """
    spec = resolve(env)
    one_of("engine", engine, ENGINES)
    if engine == "fused" and spec.engine != "fused":
        raise Refusal(
            f"the engine 'fused' needs an environment written in JAX, and {spec.id} is not; write --engine hosted"
        )
    eval_episodes = whole(eval_episodes, "--eval-episodes", 1)
    log_points = whole(log_points, "--log-points", 1)
    diagnose = None if diagnose is None else whole(diagnose, "--diagnose", 0)
    chosen = preset_of(preset) if preset else None
    notes = ()
    keep = KEEP if keep is None else str(keep)
    parse_keep(keep)
    env_timeout = number(env_timeout, "--env-timeout")
    one_of("way to step environments", env_mode, MODES)
    one_of("answer to a number that is not finite", on_nan, ON_NAN)
    fused = spec.engine == "fused" and engine != "hosted"
    if env_mode == "async" and not spec.id.startswith("gym:"):
        raise Refusal(
            f"--env-mode async replaces environments of Gymnasium, and {spec.id} is none; leave it out, or write"
            " gym:..."
        )
    if on_nan == "drop" and not (fused or spec.id.startswith("gym:")):
        raise Refusal(
            f"--on-nan drop replaces environments of Gymnasium and those of the fused engine, and {spec.id} is none of"
            " them here; leave it out"
        )
    if checkpoints is not None:
        parse_checkpoints(str(checkpoints))
    saved = _saved(out, env, spec) if resume else None
    if saved and not (agent or preset):
        base, saved_seeds = saved[0], saved[1]
    else:
        base, saved_seeds = base_config(agent, chosen, spec), None
    if chosen and not chosen.fits(spec):
        notes = (f"the preset '{chosen.name}' was made for {chosen.made_for_words}, not for {spec.id}",)
    check_read(base, settings or {})
    config = dataclasses.replace(base, env=base.env if saved_seeds else env, **read_settings(settings or {}, base))
    spec = resolve(config.env, config.preprocessing)
    check(config, spec)
    if saved:
        config = with_schedules_of(saved[0], config, "schedule_steps" in (settings or {}))
    if saved_seeds and seeds is None and seed is None:
        picked = saved_seeds
    else:
        picked = seeds_of(seeds, seed)
    run = {"engine": engine, "overlap": overlap, "checkpoints": checkpoints, "frames": None}
    run["eval_max_steps"] = None if eval_max_steps is None else whole(eval_max_steps, "--eval-max-steps", 0)
    if saved:
        run = as_before(run, saved[2]["run"])
        # The environment may be written in another way: `_saved` has seen that it is the same.
        again = dataclasses.replace(config, env=saved[0].env)
        same_run(Path(str(out)), saved[2], again, picked, run, MAY_CHANGE)
    run["checkpoints"] = str(run["checkpoints"] or CHECKPOINTS)
    run["frames"] = one_of("place of frames", frames or run["frames"] or "memory", FRAMES)
    run["eval_max_steps"] = whole(run["eval_max_steps"] or 0, "--eval-max-steps", 0)
    if run["frames"] == "disk":
        check_frames(config, spec)
    notes += () if saved or not (note := used_up(config)) else (note,)
    stem = f"{spec.id.partition(':')[2]}-{config.agent}"
    place = place_of(out, resume, stem)
    return Request(
        config, picked, place, resume, eval_episodes, log_points, quiet=quiet, keep=keep, notes=notes,
        diagnose=diagnose, env_timeout=env_timeout, env_mode=env_mode, on_nan=on_nan, **run,
    )  # fmt: skip


def base_config(agent: str | None, preset: Preset | None, spec: EnvSpec) -> Config:
    """What a preset or an agent runs on ``spec`` when nothing else is asked for."""
    if agent is not None:
        agent_of(agent)
    if preset is None:
        return AGENTS[agent or ("sac" if spec.continuous else "dqn")].defaults
    config = preset.config_for(spec)
    if agent not in (None, config.agent):
        raise Refusal(
            f"the preset '{preset.name}' is a recipe for the agent {config.agent}, not {agent}; leave out --agent or"
            " --preset"
        )
    return config


def check_read(base: Config, said: dict[str, Any]) -> None:
    """Refuses a setting that means nothing to the agent of ``base``, where it is not what the recipe has anyway."""
    for field, value in said.items():
        readers = readers_of(field)
        if not readers or reads(base.agent, field):
            continue
        if hasattr(base, field) and str(value) == str(getattr(base, field)):
            continue
        whose = f", which is for {' or '.join(readers)}" if len(readers) <= MANY else ""
        raise Refusal(f"the agent {base.agent} has no use for {option(field)}{whose}; leave it out")


def check(c: Config, spec: EnvSpec) -> None:
    """Refuses a config that makes no sense for ``spec``: its words, its rates, its memory."""
    fits(c.agent, spec)
    parse_net(c.net, spec)
    one_of("initialisation", c.init, option_specs.INIT_NAMES)
    if c.init == "sparse":
        for net in (c.net, getattr(c, "actor_net", "") or c.net):
            _check_sparse(parse_net(net, spec), spec)
    one_of("loss", c.loss, option_specs.LOSS_NAMES)
    option_specs.optimiser_choice(c.optimiser)
    option_specs.explore_choice(c.explore, horizon(c))
    check_target(c)
    check_values(c, spec)
    one_of("normalisation", c.normalise, option_specs.NORMALISE_NAMES)
    if c.normalise == "running" and spec.num_states is not None:
        raise Refusal(
            f"--normalise running needs observations that have a mean, and {spec.id} gives the index of a state; leave"
            " it out"
        )
    check_self_prediction(c, spec)
    if not 0.0 <= c.discount <= 1.0:
        raise Refusal(f"--discount is a number between 0 and 1, not {c.discount:g}; write for example --discount 0.99")
    if not c.learning_rate > 0:
        raise Refusal(f"--lr is a number greater than 0, not {c.learning_rate:g}; write for example --lr 0.00025")
    if c.n_step < 1:
        raise Refusal(f"--n-step is a whole number of at least 1, not {c.n_step}; write --n-step 1")
    rates = rates_of(c)
    cycle = plan(rates, c.envs, c.steps).cycle
    check_schedules(c)
    if c.data:
        check_data(c, spec)
    elif c.collect == 0:
        raise Refusal("a --collect of 0 learns offline and needs a recording; write --data FILE, or --collect 1")
    else:
        check_memory(c, cycle.transitions, cycle.warmup)


def _check_sparse(net: NetName, spec: EnvSpec) -> None:
    """Refuses a hidden layer that sparse initialisation leaves without a weight, behind a ReLU: it would stay at 0."""
    features = spec.num_states or math.prod(spec.obs_shape)
    narrowest = min((features, *net.widths[:-1]))
    if net.kind == "mlp" and not net.leaky and math.ceil(SPARSE * narrowest) >= narrowest:
        raise Refusal(
            f"--init sparse leaves each unit a tenth of its inputs, and a layer here has {narrowest}: none is left, and"
            " a ReLU lets no gradient through; write +leaky behind the network's name, or another --init"
        )


def _saved(out: str | None, env: str, spec: EnvSpec) -> tuple[Config, tuple[int, ...], dict]:
    saved = read_config(Path(place_of(out, True)))
    kind = AGENTS[saved["config"]["agent"]].config
    known = {field.name for field in dataclasses.fields(kind)}
    config = kind(**{name: value for name, value in saved["config"].items() if name in known})
    if resolve(config.env).id != spec.id:
        raise Refusal(
            f"the run in {out} learns {config.env}, not {env}; write qtwin train {config.env} --resume --out {out}"
        )
    return config, tuple(saved["seeds"]), saved
