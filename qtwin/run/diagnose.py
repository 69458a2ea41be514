"""Diagnostics of the twin beside a run: into its log points, in words on the screen, and a close look at its middle."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from qtwin.config.config import Config
from qtwin.engine.fleet import Fleet
from qtwin.errors import Refusal, Unusable
from qtwin.measure.alarms import alarms
from qtwin.measure.catalog import per_seed
from qtwin.measure.diagnostics import Readings
from qtwin.measure.overestimation import Judged
from qtwin.rates import Plan
from qtwin.storage import rotating_log, schemas
from qtwin.target_update.rules import TargetUpdate

WORTH = 2_000  # gradient steps from which on a run is measured without being asked
LOOKS = 64  # looks at the twin in the middle of a run, over
PERIODS = 4  # periods of its rule


class Diagnosis:
    """Measures a fleet at its log points and takes looks at the twin between them."""

    def __init__(
        self,
        fleet: Fleet,
        rule: TargetUpdate,
        config: Config,
        out: Path | None,
        points: list[dict],
        start: int,
        readings: frozenset[int],
        say: Callable[[str], None],
        every: int,
    ):
        """Begins, or goes on where a run was stopped.

        Args:
          fleet: the seeds.
          rule: how the target follows.
          config: the run's.
          out: the run directory; ``probe.safetensors`` and ``twin.jsonl`` are written there. None keeps nothing.
          points: log points that there are already.
          start: cycles turned already.
          readings: the cycles at which readings are taken, each for the log point that follows.
          say: tells the terminal.
          every: run diagnostics at every K-th log point; 0 never.
        """
        self._fleet, self._rule, self._config, self._out, self._say = fleet, rule, config, out, say
        self._every, self._count, self._told = every, len(points), set()
        self._reward = max((p.get("largest_reward") or 0.0 for p in points), default=0.0)
        self._probed, self._held, self._readings = False, None, readings
        self._resumed = len(points) >= max(every, 1) or start > 0
        if not every or out is None:
            return
        file = out / "twin.jsonl"
        kept = [
            look
            for look in rotating_log.read_log(file, schemas.look(len(fleet.seeds))).points
            if look["cycles"] <= start
        ]
        rotating_log.anew(file, (json.dumps(look) + "\n" for look in kept))
        logged = points[-1]["cycles"] if points else 0
        for last in rotating_log.read_log(out / "reading.json", schemas.reading(len(fleet.seeds))).points:
            if logged < last["cycles"] <= start:
                self._held = last["point"]

    def __call__(self, transitions: int) -> dict[str, Any]:
        """What a log point holds beside the rest; nothing where this one is left out."""
        self._count += 1
        if not self._due(self._count):
            return {}
        held = self._held or self._read()
        self._held = None
        judged = self._fleet.judged()
        seen = [one.largest_reward for one in judged if one is not None]
        self._reward = max([self._reward, held.pop("seen_reward"), *seen])
        point = held | overestimation_fields(judged) | {"largest_reward": self._reward}
        bound = self._reward / (1 - self._config.discount) if self._config.discount < 1 else None
        if bound and "largest_q" in point:
            point["divergence"] = [q / bound for q in point["largest_q"]]
        found = alarms(point, bound, never_moves=not self._rule.tied and not (self._rule.every and self._rule.tau))
        for kind in sorted(set(found) - self._told):
            self._say(f"alarm: {found[kind]} ({transitions:,} transitions)")
        self._told |= set(found)
        return point | {"alarms": found}

    def look(self, cycles: int) -> None:
        """A reading for the next log point, where one is due, and elsewhere a line of ``twin.jsonl``."""
        if cycles in self._readings:
            if self._due(self._count + 1):
                self._held = self._read()
                self._write_reading(cycles)
            return
        if self._out is None:
            return
        clock = self._fleet.clocks()[0]
        line = {
            "cycles": cycles,
            "transitions": clock.transitions,
            "gradient_steps": clock.gradient_steps,
            "age": self._rule.age_at(clock.gradient_steps, clock.age),
            "distance": [round(d, 9) for d in self._fleet.twin_distances()],
        }
        with contextlib.suppress(OSError):  # a full disk costs a look, not the run
            rotating_log.append(self._out / "twin.jsonl", json.dumps(line) + "\n", flushed=False)

    def _write_reading(self, cycles: int) -> None:
        if self._out is None:
            return
        with contextlib.suppress(OSError):
            reading = {"cycles": cycles, "point": self._held}
            (self._out / "reading.json").write_text(json.dumps(reading), encoding="utf-8")

    def _due(self, count: int) -> bool:
        return bool(self._every) and count % self._every == 0

    def _read(self) -> dict[str, Any]:
        self._hold_probe()
        readings, clock = self._fleet.read(), self._fleet.clocks()[0]
        age = self._rule.age_at(clock.gradient_steps, clock.age)
        point = {"target_age": age, "seen_reward": 0.0, "probed_at": clock.gradient_steps}
        if age is not None and self._config.collect:
            point["target_age_transitions"] = age * self._config.collect / self._config.regress
        if self._config.n_step == 1:  # else the probe holds sums of rewards
            point["seen_reward"] = max(float(one.largest_reward) for one in readings)
        point["probe_distance"] = [float(d) for d in self._fleet.twin_distances()]
        return point | measured(readings)

    def _hold_probe(self) -> None:
        """The probe batch is drawn at the first log point that measures, and kept beside the run for a resume."""
        if self._probed:
            return
        from safetensors.numpy import save

        from qtwin.run.checkpoint import fill, named_leaves
        from qtwin.storage.tensor_files import fits, read_tensors

        drawn = self._fleet.take_probe()
        self._probed = True
        if self._out is None:
            return
        file = self._out / "probe.safetensors"
        if self._resumed and file.exists():
            wanted = named_leaves(drawn)
            try:
                named = read_tensors(file, lambda held: fits(str(file), held, wanted))
                self._fleet.set_probe(fill(drawn, named, str(file)))
            except (OSError, Unusable, Refusal) as error:
                self._say(f"the probe batch cannot be read ({error}) and is drawn anew")
        else:
            with contextlib.suppress(OSError):  # drawn anew by a resume that does not find it
                file.write_bytes(save(named_leaves(drawn)))


def measured(readings: list[Readings]) -> dict[str, Any]:
    """Readings of each seed as a log point holds them: lists with one number per seed."""
    point = {}
    for name in per_seed():
        values = [getattr(one, name) for one in readings]
        if values[0] is not None:
            point[name] = [float(value) for value in values]
    if readings[0].rank_limit is not None:
        point["rank_limit"] = int(readings[0].rank_limit)
    for layer in readings[0].distances:
        point[f"distance/{layer}"] = [float(one.distances[layer]) for one in readings]
    return point | {name: [float(one.outside[name]) for one in readings] for name in readings[0].outside}


def overestimation_fields(judged: list[Judged | None]) -> dict[str, list[float | None]]:
    """What the values of evaluation episodes came to, as a log point holds it."""
    if judged[0] is None:
        return {}
    over = [None if one.said is None else one.said - one.came for one in judged]
    return {
        "predicted_return": [one.said for one in judged],
        "true_return": [one.came for one in judged],
        "over_estimation": over,
    }


def diagnose_every(asked: int | None, plan: Plan) -> int:
    """At every K-th log point: what was asked for, or 1 where the run is long enough to be worth compiling them."""
    if asked is not None:
        return asked
    return 1 if plan.gradient_steps >= WORTH else 0


def reading_marks(logs: frozenset[int]) -> frozenset[int]:
    """A cycle before each log point, at another part of the interval each time.

    Log points come in even intervals, which are often whole multiples of the target's period: read there, a hard target
    would always seem to have just moved.
    """
    marks, before = [], 0
    for k, log in enumerate(sorted(logs)):
        share = (k + 1) * 0.618034 % 1.0  # the golden ratio's multiples fill an interval evenly
        marks.append(log - int(share * 0.9 * (log - before)))
        before = log
    return frozenset(marks)


def looks(plan: Plan, rule: TargetUpdate) -> frozenset[int]:
    """The cycles at which to look: `LOOKS` of them from the middle of the run on, over `PERIODS` of the rule's periods
    where the run is long enough.
    """
    constant = rule.every / rule.tau if rule.tau else 0.0
    steps = PERIODS * constant / LOOKS if not rule.tied and constant else 1.0
    apart = max(1, round(steps / plan.cycle.gradient_steps))
    begin = plan.cycles // 2
    apart = max(1, min(apart, (plan.cycles - begin) // LOOKS))
    return frozenset(int(c) for c in np.arange(begin, plan.cycles + 1, apart)[:LOOKS] if c > 0)
