"""Training, from a request to a run directory."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qtwin.config import Config
from qtwin.engine.devices import free_memory, prepare
from qtwin.envs.guard import Care
from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.names import self_predict_choice
from qtwin.processes.target_specs import parse
from qtwin.rates import Plan, budget, plan, target_updates_after
from qtwin.replay.size import replay_bytes, room_for, room_on_disk
from qtwin.run.keep import parse_keep
from qtwin.run.lock import Lock
from qtwin.run.saved import bound, description_of, write_json
from qtwin.schedules import in_words
from qtwin.value_check import outside_support

if TYPE_CHECKING:
    from qtwin.engine.fleet import Fleet
    from qtwin.request import Request

MUCH = 10**8  # bytes of replays, from which on what their checkpoints take of the disk is told
JUDGED = ("eval_return", "train_return", "train_length")  # what every log point holds for each seed
PERIODIC_EPISODES = 10  # greedy episodes at a log point, for each seed


def run(request: Request) -> int:
    """Trains as asked, writes the run directory, tells the terminal; returns the exit code."""
    from qtwin.run.loop import Stopped

    try:
        summary = execute(request)
    except OSError as error:
        print(f"qtwin: {error.filename or request.out} cannot be written ({error.strerror or error})", file=sys.stderr)
        return 1
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
    with Lock(Path(request.out)):  # before JAX is imported: a second run is turned away at once
        if not request.resume and (Path(request.out) / "config.json").exists():
            raise Refusal(f"--out {request.out} holds another run; write another --out, or --resume to go on with it")
        return _execute(request)


def _execute(request: Request) -> dict:
    began = time.perf_counter()
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import make, try_out
    from qtwin.run.logs import Logs, Screen
    from qtwin.run.loop import Watch, loop, marks

    config, out = request.config, Path(request.out)
    spec = resolve(config.env, config.preprocessing)
    care = Care(request.env_timeout or None, request.env_mode, request.on_nan)
    if not config.data:
        try_out(spec, care)
    prepare(len(request.seeds))
    import jax

    from qtwin.agents import algorithm as build
    from qtwin.engine.fleet import fleet_of
    from qtwin.processes.sound import finite_returns
    from qtwin.replay.mapped import check_device
    from qtwin.run import policy
    from qtwin.run.curve import draw
    from qtwin.run.diagnose import Diagnosis, diagnose_every, looks, reading_marks
    from qtwin.run.evaluate import greedy_player
    from qtwin.run.saver import Saver

    if request.frames == "disk":
        check_device(jax.devices()[0])
    algorithm = build(spec, config)
    spending = plan(algorithm.rates, config.envs, config.steps)
    pauses = marks(spending, request.log_points, request.checkpoints)
    rooms = _rooms(request, spec, len(pauses.checkpoints)) if config.replay and not config.data else ()
    env = make(spec, request.engine, care)
    frames = out if request.frames == "disk" else None
    drop = request.on_nan == "drop"
    fleet = fleet_of(algorithm, env, config.envs, request.seeds, PERIODIC_EPISODES, request.overlap, frames, drop)
    screen = Screen(spending.cycles, 0, request.quiet)
    try:
        screen.say(
            f"{spec.id}  {config.agent}  target {config.target}  {span(request.seeds)}  "
            f"{'resumed in' if request.resume else 'to'} {out}"
        )
        if spec.preprocessing:
            screen.say(f"preprocessing {spec.preprocessing}: {PREPROCESSINGS[spec.preprocessing].about}")
        for room in rooms:
            screen.say(room)
        compile_seconds = fleet.compile()
        screen.say(f"compiled in {compile_seconds:.1f} s")
        saver = Saver(out / "checkpoints", fleet, screen, parse_keep(request.keep))
        start = saver.go_on() if request.resume else 0
        if request.resume and (line := in_words(config, *fleet.clocks()[0][:2])):
            screen.say(line)
        if start > spending.cycles:
            done = fleet.clocks()[0]
            raise Refusal(
                f"the run in {out} has come to {done.transitions:,} transitions and {done.gradient_steps:,} gradient"
                f" steps, and a budget of {config.steps:,} steps came; write --steps with more"
            )
        described = description_of(config, request.seeds, env=spec.id, run=bound(request))
        write_json(out / "config.json", described)
        saver.logs = logs = Logs(out, request.seeds, start if request.resume else None, JUDGED)
        if logs.gaps:
            screen.say(logs.gaps)

        rule = algorithm.rates.target_update
        every = diagnose_every(request.diagnose, spending)
        readings = reading_marks(pauses.logs) if every else frozenset()
        diagnosis = Diagnosis(fleet, rule, config, out, logs.points, start, readings, screen.say, every)
        pauses = pauses._replace(looks=looks(spending, rule) | readings if every else frozenset())

        warned = False

        def warn_once() -> None:
            nonlocal warned
            if not warned and (warning := outside_support(config, logs.points)):
                screen.say(warning)
                warned = True

        def extra(transitions: int) -> dict:
            warn_once()
            return present(transitions) | diagnosis(transitions)

        def present(transitions: int) -> dict:
            now = float(algorithm.explore(np.int32(transitions)))
            if algorithm.improvement is None:
                return {"epsilon": now}
            logs = [fleet.variables(i).params.get("temperature") for i in range(len(fleet.seeds))]
            return {"explore": now} | ({} if logs[0] is None else {"temperature": [float(np.exp(t)) for t in logs]})

        watch = Watch(saver.save, saver.go_back)
        seconds = loop(fleet, spending, pauses, screen, logs, watch, start, extra, look=diagnosis.look)
        warn_once()  # of the last point, too
        screen.close()
        play = greedy_player(algorithm.agent.act, env, request.eval_episodes, drop)
        returns = np.stack([play(fleet.variables(i), seed) for i, seed in enumerate(fleet.seeds)])
        finite_returns(returns, spec.id)
        policy.export(out / "policy", spec, config, {s: fleet.variables(i) for i, s in enumerate(fleet.seeds)})
        title = f"{config.agent} on {spec.id}, target {config.target}"
        judged = f"protocol {PREPROCESSINGS[spec.preprocessing].protocol}" if spec.preprocessing else "greedy"
        draw(logs.points, title, out / "curve.png", judged)
        summary = summarise(spec, config, fleet, spending, returns, seconds, compile_seconds, began)
        write_json(out / "summary.json", summary)
        logs.close()
        return summary
    finally:
        screen.close()
        fleet.close()


def _rooms(request: Request, spec: EnvSpec, checkpoints: int) -> tuple[str, ...]:
    """What the replay takes of the memory, and where that is much, of the disk; refuses what does not fit."""
    config, on_disk, seeds = request.config, request.frames == "disk", len(request.seeds)
    memory = room_for(spec, config, seeds, free_memory(), on_disk)
    if seeds * replay_bytes(spec, config) < MUCH and not on_disk:
        return (memory,)
    there = next(folder for folder in (Path(request.out), *Path(request.out).absolute().parents) if folder.exists())
    had = (Path(request.out) / "checkpoints" / "blocks").glob("*")
    free = shutil.disk_usage(there).free + sum(file.stat().st_size for file in had)
    kept, apart = parse_keep(request.keep).at_once(checkpoints), config.steps // checkpoints
    return memory, room_on_disk(spec, config, seeds, free, kept, apart, request.out, on_disk)


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
    from qtwin.lab.statistics import interval, iqm, method
    from qtwin.run.loop import moves

    clocks, beside = fleet.clocks(), {}
    if config.self_predict:
        rule = parse(self_predict_choice(config).target, budget(config))
        moved = target_updates_after(rule, clocks[0].gradient_steps)
        beside = {"self_predict_target": rule.spec, "self_predict_target_updates": moved}
    if spec.frames_per_transition:
        beside["emulator_frames"] = clocks[0].transitions * spec.frames_per_transition
        beside["preprocessing"] = spec.preprocessing
    means = returns.mean(axis=1)
    name = method(len(means))
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
        "eval_return_interval": list(interval(means)) if name else [None, None],
        "eval_return_interval_method": name,
        "wall_seconds": round(time.perf_counter() - began, 3),
        "compile_seconds": round(compile_seconds, 3),
        "train_seconds": round(seconds, 3),
        "transitions_per_second": round(clocks[0].transitions * len(fleet.seeds) / max(seconds, 1e-9), 1),
        "gradient_steps_per_second": round(clocks[0].gradient_steps * len(fleet.seeds) / max(seconds, 1e-9), 1),
    }


def span(seeds: tuple[int, ...]) -> str:
    """``seed 0``, or ``seeds 0 to 4``."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def _report(summary: dict, out: Path) -> None:
    from rich.console import Console

    from qtwin.lab.statistics import LEAST, described

    say = Console(highlight=False, markup=False).print
    returns = summary["eval_return"]
    each = ", ".join(f"{value:.1f}" for value in returns)
    spread = f"  interquartile mean {described(returns)}" if len(returns) >= LEAST else ""
    moved = summary["target_updates"]
    frames = f" ({summary['emulator_frames']:,} emulator frames)" if "emulator_frames" in summary else ""
    judged = "greedy return"
    if "preprocessing" in summary:
        judged = f"return by the protocol {PREPROCESSINGS[summary['preprocessing']].protocol}"
    say(f"{judged} over {summary['eval_episodes']} episodes: {each}{spread}")
    say(
        f"{summary['transitions']:,} transitions{frames}, {summary['gradient_steps']:,} gradient steps,"
        f" {moved if isinstance(moved, list) else format(moved, ',')} target updates for each seed;"
        f" {summary['transitions_per_second']:,.0f} transitions a second,"
        f" compiled in {summary['compile_seconds']:.1f} s, {summary['wall_seconds']:.1f} s in all"
    )
    say(f"curve   {out / 'curve.png'}\npolicy  {out / 'policy'}\nagain   qtwin eval {out}", soft_wrap=True)
