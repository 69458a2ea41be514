"""The end of a run: the final evaluation, the policy, the curve and ``summary.json``."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qtwin.config.config import Config
from qtwin.config.option_specs import self_predict_choice
from qtwin.config.rates_of import budget
from qtwin.engine.played import cut_in_words
from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.envs.spec import EnvSpec
from qtwin.rates import Plan, target_updates_after
from qtwin.request.run_config import write_json
from qtwin.storage.console import console, safe
from qtwin.target_update.specs import parse

if TYPE_CHECKING:
    from qtwin.algorithm import Algorithm
    from qtwin.engine.fleet import Fleet
    from qtwin.engine.played import Played
    from qtwin.interrupts import Interrupts
    from qtwin.request.train import Request
    from qtwin.run.logs import Logs, Screen


def finish(
    request: Request,
    out: Path,
    spec: EnvSpec,
    algorithm: Algorithm,
    env,
    fleet: Fleet,
    spending: Plan,
    logs: Logs,
    screen: Screen,
    interrupts: Interrupts,
    took: dict[str, float],
) -> dict:
    """Evaluates, exports and sums up a run whose budget is spent; ``summary.json`` comes last.

    Args:
      request, out, spec, algorithm, env, fleet, spending, logs, screen: the run's.
      interrupts: breaks the evaluation off; a signal that comes while files are written waits until the next is due.
      took: seconds, by the names that they have in the summary.

    Returns:
      what ``summary.json`` holds.

    Raises:
      qtwin.interrupts.Stopped: a signal came before the summary; resumed, the run does all this again.
    """
    from qtwin.processes.nonfinite import finite_returns
    from qtwin.run import policy
    from qtwin.run.curve import draw
    from qtwin.run.evaluate import greedy_player

    config, drop = request.config, request.on_nan == "drop"
    play = greedy_player(algorithm.agent.act, env, request.eval_episodes, drop, request.eval_max_steps)
    last = {seed: fleet.variables(i) for i, seed in enumerate(fleet.seeds)}
    played = interrupts.breakable(lambda: [play(variables, seed) for seed, variables in last.items()])
    finite_returns(np.stack([each.returns for each in played]), spec.id)
    if cut := cut_in_words(sum(int(each.cut.sum()) for each in played), _episodes(played), fleet.eval_max_steps):
        screen.say(cut)
    policy.export(out / "policy", spec, config, last)
    interrupts.check()
    title = f"{config.agent} on {spec.id}, target {config.target}"
    judged = f"protocol {PREPROCESSINGS[spec.preprocessing].protocol}" if spec.preprocessing else "greedy"
    with undisturbed():
        draw(logs.points, title, out / "curve.png", judged)
        summary = summarise(spec, config, fleet, spending, played, took)
    interrupts.check()
    write_json(out / "summary.json", summary)
    logs.close()
    return summary


class undisturbed(warnings.catch_warnings):
    """``with undisturbed():`` warnings and floating-point errors raise nothing, whatever an environment has set."""

    def __init__(self):
        super().__init__(action="ignore")
        self._numpy = np.errstate(all="ignore")

    def __enter__(self) -> None:
        super().__enter__()
        self._numpy.__enter__()

    def __exit__(self, *exc_info) -> None:
        self._numpy.__exit__(*exc_info)
        super().__exit__(*exc_info)


def _episodes(played: list[Played]) -> int:
    return sum(len(each.returns) for each in played)


def summarise(
    spec: EnvSpec, config: Config, fleet: Fleet, spending: Plan, played: list[Played], took: dict[str, float]
) -> dict:
    """What ``summary.json`` holds; counts are for each seed, the speed is of all of them together.

    ``transitions_per_second`` counts the seconds in the three processes: compilation and evaluation are left out.
    """
    from qtwin.measure.statistics import interval, iqm, method
    from qtwin.run.loop import moves

    clocks, beside = fleet.clocks(), {}
    if config.self_predict:
        rule = parse(self_predict_choice(config).target, budget(config))
        moved = target_updates_after(rule, clocks[0].gradient_steps)
        beside = {"self_predict_target": rule.spec, "self_predict_target_updates": moved}
    if spec.frames_per_transition:
        beside["emulator_frames"] = clocks[0].transitions * spec.frames_per_transition
        beside["preprocessing"] = spec.preprocessing
    cut = [int(each.cut.sum()) for each in played]
    means, seconds = np.array([each.returns.mean() for each in played]), max(took["train_seconds"], 1e-9)
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
        "wall_seconds": round(time.perf_counter() - took["began"], 3),
        "compile_seconds": round(took["compile_seconds"], 3),
        "train_seconds": round(took["train_seconds"], 3),
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
