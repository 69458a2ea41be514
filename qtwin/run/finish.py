"""The end of a run: the final evaluation, the policy, the curve and ``summary.json``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qtwin.config.config import Config
from qtwin.config.option_specs import self_predict_choice
from qtwin.config.rates_of import budget
from qtwin.engine.played import cut_in_words
from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.envs.spec import EnvSpec
from qtwin.rates import target_updates_after
from qtwin.storage.console import console, safe
from qtwin.target_update.specs import parse

if TYPE_CHECKING:
    from qtwin.engine.fleet import Fleet
    from qtwin.engine.played import Played
    from qtwin.run.kind import Took
    from qtwin.run.logs import Screen
    from qtwin.types import Variables


class Finished(NamedTuple):
    """What a run has come to.

    Attributes:
      last: each seed's online network.
      played: each seed's greedy episodes with it.
    """

    last: dict[int, Variables]
    played: list[Played]


def judge(play: Callable[[Variables, int], Played], fleet: Fleet, name: str, screen: Screen) -> Finished:
    """The final evaluation; says how many of its episodes were cut.

    Args:
      play: ``variables, seed -> Played``.
      fleet: the seeds.
      name: the environment's.
      screen: is told.

    Raises:
      Broken: a return is no finite number.
    """
    from qtwin.processes.nonfinite import finite_returns

    last = {seed: fleet.variables(i) for i, seed in enumerate(fleet.seeds)}
    played = [play(variables, seed) for seed, variables in last.items()]
    finite_returns(np.stack([each.returns for each in played]), name)
    cut = np.concatenate([each.cut for each in played])
    if said := cut_in_words(int(cut.sum()), len(cut), fleet.eval_max_steps):
        screen.say(said)
    return Finished(last, played)


def export(out: Path, spec: EnvSpec, config: Config, finished: Finished) -> None:
    """Writes each seed's policy."""
    from qtwin.run import policy

    policy.export(out / "policy", spec, config, finished.last)


def draw(out: Path, spec: EnvSpec, config: Config, points: list[dict]) -> None:
    """Draws the learning curve."""
    from qtwin.run import curve

    title = f"{config.agent} on {spec.id}, target {config.target}"
    judged = f"protocol {PREPROCESSINGS[spec.preprocessing].protocol}" if spec.preprocessing else "greedy"
    curve.draw(points, title, out / "curve.png", judged)


def summarise(spec: EnvSpec, config: Config, fleet: Fleet, played: list[Played], took: Took) -> dict:
    """What ``summary.json`` holds; counts are for each seed, the speed is of all of them together.

    ``transitions_per_second`` counts the seconds in the three processes: compilation and evaluation are left out.
    """
    from qtwin.measure.statistics import interval, iqm, method
    from qtwin.run.log_point import moves

    clocks, beside = fleet.clocks(), {}
    if config.self_predict:
        rule = parse(self_predict_choice(config).target, budget(config))
        moved = target_updates_after(rule, clocks[0].gradient_steps)
        beside = {"self_predict_target": rule.spec, "self_predict_target_updates": moved}
    if spec.frames_per_transition:
        beside["emulator_frames"] = clocks[0].transitions * spec.frames_per_transition
        beside["preprocessing"] = spec.preprocessing
    cut = [int(each.cut.sum()) for each in played]
    means, seconds = np.array([each.returns.mean() for each in played]), max(took.train_seconds, 1e-9)
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
        "eval_episodes": len(played[0].returns),
        **({"eval_cut": cut} if any(cut) else {}),
        "eval_return_iqm": float(iqm(means)),
        "eval_return_interval": list(interval(means)) if name else [None, None],
        "eval_return_interval_method": name,
        "wall_seconds": round(time.perf_counter() - took.began, 3),
        "compile_seconds": round(took.compile_seconds, 3),
        "train_seconds": round(took.train_seconds, 3),
        "transitions_per_second": round(clocks[0].transitions * len(fleet.seeds) / seconds, 1),
        "gradient_steps_per_second": round(clocks[0].gradient_steps * len(fleet.seeds) / seconds, 1),
    }


def report(summary: dict, out: str) -> None:
    """What is shown of a run that has ended.

    Args:
      summary: what ``summary.json`` holds.
      out: the run directory, as it is to be shown.
    """
    import shlex

    from qtwin.measure.statistics import LEAST, described

    say, returns = console().print, summary["eval_return"]
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
    curve, policy = Path(out) / "curve.png", Path(out) / "policy"
    say(safe(f"curve   {curve}\npolicy  {policy}\nagain   qtwin eval {shlex.quote(out)}"), soft_wrap=True)
