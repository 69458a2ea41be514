"""Training, from a request to a run directory."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qtwin.config import Config
from qtwin.engine.devices import prepare
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.names import self_predict_choice
from qtwin.processes.target_specs import parse
from qtwin.rates import Plan, budget, plan, target_updates_after

if TYPE_CHECKING:
    from qtwin.engine.fleet import Fleet
    from qtwin.request import Request

CHECKPOINTS = 5  # per run
PERIODIC_EPISODES = 10  # greedy episodes at a log point, for each seed


def run(request: Request) -> int:
    """Trains as asked, writes the run directory, tells the terminal; returns the exit code."""
    from qtwin.run.loop import Stopped

    try:
        summary = execute(request)
    except Stopped as stop:
        print(f"qtwin: {stop}; go on with --resume --out {request.out}", file=sys.stderr)
        return stop.exit_code
    if not request.quiet:
        _report(summary, Path(request.out))
    return 0


def execute(request: Request) -> dict:
    """Trains as asked and writes the run directory.

    Returns:
      what ``summary.json`` holds.

    Raises:
      Refusal: the request was wrong; nothing is left behind.
      qtwin.run.loop.Stopped: a signal came; the checkpoint is written.
    """
    began = time.perf_counter()
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import make
    from qtwin.run.logs import Logs, Screen
    from qtwin.run.loop import loop, marks

    config, out = request.config, Path(request.out)
    spec = resolve(config.env)
    prepare(len(request.seeds))
    from qtwin.agents import algorithm as build
    from qtwin.engine.fleet import fleet_of
    from qtwin.run import checkpoint, policy
    from qtwin.run.curve import draw
    from qtwin.run.evaluate import greedy_player

    algorithm = build(spec, config)
    spending = plan(algorithm.rates, config.envs, config.steps)
    saved = saved_run(out, config, request.seeds, ("steps",)) if request.resume else None
    env = make(spec, request.engine)
    fleet = fleet_of(algorithm, env, config.envs, request.seeds, PERIODIC_EPISODES, request.overlap)
    screen = Screen(spending.cycles, saved[1]["cycles"] if saved else 0, request.quiet)
    try:
        screen.say(
            f"{spec.id}  {config.agent}  target {config.target}  {span(request.seeds)}  "
            f"{'resumed in' if saved else 'to'} {out}"
        )
        compile_seconds = fleet.compile()
        screen.say(f"compiled in {compile_seconds:.1f} s")
        boundary, start = 0, 0
        if saved:
            path, manifest = saved
            start, boundary = manifest["cycles"], manifest["boundary"] + 1
            fleet.restore(checkpoint.read(path, manifest, [fleet.snapshot(i) for i in range(len(fleet.seeds))]))
            fleet.re_make(manifest["boundary"])
        else:
            out.mkdir(parents=True, exist_ok=True)
        write_json(out / "config.json", description_of(config, request.seeds, env=spec.id))
        logs = Logs(out, request.seeds, start if saved else None)
        pauses = marks(spending.cycles, request.log_points, CHECKPOINTS)

        def save(cycles: int) -> None:
            nonlocal boundary
            states = [fleet.snapshot(i) for i in range(len(fleet.seeds))]
            try:
                checkpoint.write(out / "checkpoints", cycles, boundary, fleet.seeds, states)
            except OSError as error:
                screen.say(f"the checkpoint at cycle {cycles:,} could not be written ({error}); training goes on")
            fleet.re_make(boundary)
            boundary += 1

        def extra(transitions: int) -> dict:
            now = float(algorithm.explore(np.int32(transitions)))
            if algorithm.improvement is None:
                return {"epsilon": now}
            logs = [fleet.variables(i).params.get("temperature") for i in range(len(fleet.seeds))]
            return {"explore": now} | ({} if logs[0] is None else {"temperature": [float(np.exp(t)) for t in logs]})

        seconds = loop(fleet, spending, pauses, screen, logs, save, start, extra)
        screen.close()
        play = greedy_player(algorithm.agent.act, env, request.eval_episodes)
        returns = np.stack([play(fleet.variables(i), seed) for i, seed in enumerate(fleet.seeds)])
        policy.export(out / "policy", spec, config, {s: fleet.variables(i) for i, s in enumerate(fleet.seeds)})
        title = f"{config.agent} on {spec.id}, target {config.target}"
        draw(logs.points, title, out / "curve.png")
        summary = summarise(spec, config, fleet, spending, returns, seconds, compile_seconds, began)
        write_json(out / "summary.json", summary)
        logs.close()
        return summary
    finally:
        screen.close()
        fleet.close()


def summarise(
    spec: EnvSpec,
    config: Config,
    fleet: Fleet,
    spending: Plan,
    returns: np.ndarray,
    seconds: float,
    compile_seconds: float,
    began: float,
) -> dict:
    """What ``summary.json`` holds; counts are for each seed, the speed is of all of them together.

    ``transitions_per_second`` counts the seconds in the three processes: compilation and evaluation are left out.
    """
    from qtwin.run.curve import interval, iqm
    from qtwin.run.loop import moves

    clocks, beside = fleet.clocks(), {}
    if config.self_predict:
        rule = parse(self_predict_choice(config).target, budget(config))
        moved = target_updates_after(rule, clocks[0].gradient_steps)
        beside = {"self_predict_target": rule.spec, "self_predict_target_updates": moved}
    means = returns.mean(axis=1)
    low, high = interval(means)
    return {
        "env": spec.id,
        "agent": config.agent,
        "target": config.target,
        "seeds": list(fleet.seeds),
        "transitions": clocks[0].transitions,
        "gradient_steps": clocks[0].gradient_steps,
        "target_updates": moves(clocks),
        **beside,
        "eval_return": [float(m) for m in means],
        "eval_episodes": int(returns.shape[1]),
        "eval_return_iqm": float(iqm(means)),
        "eval_return_interval": [low, high],
        "wall_seconds": round(time.perf_counter() - began, 3),
        "compile_seconds": round(compile_seconds, 3),
        "train_seconds": round(seconds, 3),
        "transitions_per_second": round(clocks[0].transitions * len(fleet.seeds) / max(seconds, 1e-9), 1),
        "gradient_steps_per_second": round(clocks[0].gradient_steps * len(fleet.seeds) / max(seconds, 1e-9), 1),
    }


def saved_run(out: Path, config: Any, seeds: tuple[int, ...], free: tuple[str, ...] = ()) -> tuple[Path, dict]:
    """The newest good checkpoint of the run in ``out``, after a look at whether it is the same run.

    Args:
      out: the run directory.
      config: what is asked for now, a `Config` or another kind of run's.
      seeds: likewise.
      free: fields that may differ.
    """
    from qtwin.run.checkpoint import newest

    saved = read_config(out, type(config))
    for field in dataclasses.fields(config):
        before, now = saved["config"][field.name], getattr(config, field.name)
        if before != now and field.name not in free:
            raise Refusal(
                f"the run in {out} was started with {field.name} {before!r} and is asked to go on with {now!r};"
                f" leave that option out, or train to another --out"
            )
    if list(seeds) != saved["seeds"]:
        raise Refusal(f"the run in {out} holds the seeds {saved['seeds']} and is asked to go on with {list(seeds)}")
    found = newest(out / "checkpoints")
    if found is None:
        raise Refusal(f"the run in {out} has no checkpoint that can be read; train anew to another --out")
    return found


def read_config(out: Path, kind: type = Config) -> dict:
    """A run's ``config.json``: ``{"config": {...}, "seeds": [...], ...}``, checked field by field.

    Args:
      out: the run directory.
      kind: the dataclass that its "config" holds.
    """
    file = out / "config.json"
    try:
        saved = json.loads(file.read_text())
        # A run of an earlier version has no settings that came later, and goes on without them.
        settings = [field for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING]
        saved["config"] = {field.name: field.default for field in settings} | saved["config"]
        if kind is Config and "method" in saved["config"]:
            raise Refusal(
                f"the run in {out} is one of qtwin siamese, which has an encoder and no policy; write qtwin siamese to"
                " go on with it, or qtwin.load_encoder to use it"
            )
        for field in dataclasses.fields(kind):
            if type(saved["config"][field.name]) is not type(field.default) and field.name != "env":
                raise Refusal(f"{file}: '{field.name}' has the wrong type ({saved['config'][field.name]!r})")
        list(saved["seeds"])
    except OSError:
        raise Refusal(f"there is no run at {out} to go on with ({file.name} is missing); leave --resume out") from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{file} is damaged ({type(error).__name__}: {error}); train anew to another --out") from None
    return saved


def description_of(config: Any, seeds: tuple[int, ...], **more: str) -> dict:
    """What ``config.json`` holds: the settings, the seeds, the versions, and ``more``."""
    versions = {
        name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "gymnax", "gymnasium", "numpy")
    }
    return {
        "config": dataclasses.asdict(config),
        **more,
        "seeds": list(seeds),
        "versions": {"python": sys.version.split()[0], **versions},
    }


def write_json(file: Path, value: dict) -> None:
    """``value`` as a file."""
    file.write_text(json.dumps(value, indent=1) + "\n")


def span(seeds: tuple[int, ...]) -> str:
    """``seed 0``, or ``seeds 0 to 4``."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def _report(summary: dict, out: Path) -> None:
    from rich.console import Console

    say = Console(highlight=False).print
    each = ", ".join(f"{value:.1f}" for value in summary["eval_return"])
    low, high = summary["eval_return_interval"]
    spread = f"  interquartile mean {summary['eval_return_iqm']:.1f} [{low:.1f}, {high:.1f}]"
    moved = summary["target_updates"]
    say(f"greedy return over {summary['eval_episodes']} episodes: {each}{spread if len(summary['seeds']) > 2 else ''}")
    say(
        f"{summary['transitions']:,} transitions, {summary['gradient_steps']:,} gradient steps,"
        f" {moved if isinstance(moved, list) else format(moved, ',')} target updates for each seed;"
        f" {summary['transitions_per_second']:,.0f} transitions a second,"
        f" compiled in {summary['compile_seconds']:.1f} s, {summary['wall_seconds']:.1f} s in all"
    )
    say(f"curve   {out / 'curve.png'}\npolicy  {out / 'policy'}\nagain   qtwin eval {out}", soft_wrap=True)
