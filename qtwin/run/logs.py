"""What a run tells: one object per log point in ``metrics.jsonl``, TensorBoard events, and a line on the terminal."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from qtwin.storage import rotating_log
from qtwin.storage.console import Outliving, safe
from qtwin.storage.schemas import log_point


class Logs:
    """Writes log points as they come; a resumed run goes on where its checkpoint stands.

    A disk that is full costs no point: what could not be written is written with the next one.

    Attributes:
      points: the log points so far.
      gaps: what of the log of a resumed run is damaged and left out, in words; "" where nothing is.
    """

    def __init__(self, out: Path, seeds: tuple[int, ...], resumed_at: int | None, needs: tuple[str, ...] = ()):
        """Opens the files.

        Args:
          out: the run directory.
          seeds: which seeds, in the order of every list in a log point.
          resumed_at: cycles at the checkpoint that the run goes on from; later log points are dropped, they will come
            again. None for a new run.
          needs: lists that a log point must hold; one that lacks them is damaged.
        """
        self._file, self._events, self._seeds = out / "metrics.jsonl", out / "tensorboard", seeds
        log = (
            rotating_log.Log([])
            if resumed_at is None
            else rotating_log.read_log(self._file, log_point(len(seeds), needs))
        )
        self.gaps = rotating_log.told(log)
        self._begin([point for point in log.points if point["cycles"] <= resumed_at])

    def _begin(self, points: list[dict]) -> None:
        """Both records with exactly these points."""
        self.points, self._board, self._waiting, self._whole = points, None, [], False
        self._shown = 0
        self._write()

    def write(self, point: dict) -> None:
        """Adds one log point; lists in it hold one number per seed, None where there is none or it is not finite."""
        self.points.append({name: _finite(value) for name, value in point.items()})
        self._waiting.append(self.points[-1])
        self._write()

    def go_back(self, cycles: int) -> None:
        """Drops the points after ``cycles``; they will come again."""
        self._close()
        self._begin([point for point in self.points if point["cycles"] <= cycles])

    def close(self) -> None:
        self._write()
        self._close()

    def _write(self) -> None:
        if self._whole and not self._file.exists():  # somebody has removed it: all of it is written again
            self._whole = False
            self._close()
            self._shown = 0
        try:
            if self._whole:
                rotating_log.append(self._file, "".join(json.dumps(point) + "\n" for point in self._waiting))
            else:
                rotating_log.anew(self._file, (json.dumps(point) + "\n" for point in self.points))
            self._whole, self._waiting = True, []
        except OSError:
            self._whole = False  # half a line may stand there: the whole file is written the next time
        try:
            self._show()
        except OSError:
            self._close()
            self._board, self._shown = None, 0

    def _show(self) -> None:
        """TensorBoard's events, written here and now: no thread that a full disk kills, and no point twice."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        if self._board is None:
            self._events.mkdir(exist_ok=True)
            for old in self._events.glob("events*.out.tfevents.*"):
                old.unlink()  # of the run before it was stopped; its points come again
            self._board, self._written, self._boards = EventsWriter(str(self._events / "events")), 0, 1
        for point in self.points[self._shown :]:
            step = point["transitions"] or point["gradient_steps"]
            for name, number in _scalars(point, self._seeds):
                event = Event(wall_time=time.time(), step=step, summary=scalar(name, number))
                self._board.write_event(event)
                self._written += event.ByteSize()
        self._shown = len(self.points)
        self._board.flush()
        if self._written > rotating_log.LARGEST:  # TensorBoard reads all the files of a folder, one after another
            self._board.close()
            self._board = EventsWriter(str(self._events / f"events-{self._boards:04}"))
            self._written, self._boards = 0, self._boards + 1

    def _close(self) -> None:
        try:
            if self._board is not None:
                self._board.close()
        except OSError:
            pass
        self._board = None


class Points:
    """Log points that are kept in memory only.

    Attributes:
      points: the log points so far.
    """

    def __init__(self):
        self.points: list[dict] = []

    def write(self, point: dict) -> None:
        """Adds one log point, as `Logs.write` does."""
        self.points.append({name: _finite(value) for name, value in point.items()})


def _scalars(point: dict, seeds: tuple[int, ...]) -> list[tuple[str, float]]:
    found = []
    for name, value in point.items():
        if isinstance(value, list):
            named = zip((f"{name}/seed-{seed}" for seed in seeds), value, strict=True)
            found += [(each, number) for each, number in named if number is not None]
        elif isinstance(value, (int, float)):
            found.append((name, value))
    return found


def _finite(value):
    """``value`` with None for every number that JSON cannot hold."""
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_points(file: Path, seeds: int | None = None) -> list[dict]:
    """The log points of a ``metrics.jsonl`` with its parts, without damaged lines (`rotating_log.read_log`).

    Args:
      file: the newest part.
      seeds: how many numbers a list in a point has; None takes any.
    """
    return rotating_log.read_log(file, log_point(seeds)).points


def mean(values: list) -> float | None:
    """The mean of what is there, None where nothing is."""
    there = [v for v in values if v is not None and math.isfinite(v)]
    return sum(there) / len(there) if there else None


def _counted(count: int | list[int]) -> str:
    return f"{count:,}" if isinstance(count, int) else f"{min(count):,} to {max(count):,}"


class Screen:
    """Progress: the three counters, the return, the speed and the time left."""

    def __init__(self, total_cycles: int, done_cycles: int, quiet: bool, score: str = "return", decimals: int = 1):
        self._quiet, self._score, self._decimals = quiet, score, decimals
        self._console = Console(file=Outliving(lambda: sys.stderr), highlight=False, markup=False, emoji=False)
        self._live = not quiet and self._console.is_terminal
        self._total, self._spoken = total_cycles, 10 * done_cycles // max(total_cycles, 1)
        room_for_a_bar = [BarColumn(bar_width=24)] if self._console.width >= 125 else []
        self._progress = Progress(
            *room_for_a_bar,
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._progress.add_task("", total=total_cycles, completed=done_cycles, text="compiling")
        if self._live:
            self._progress.start()

    def say(self, text: str) -> None:
        """One line, kept."""
        if not self._quiet:
            self._console.print(safe(text), soft_wrap=True)

    def update(self, cycles: int, transitions: int, gradient_steps: int, target_updates, value, speed: float) -> None:
        """Moves the bar; where there is no terminal, a line every tenth of the run."""
        shown = f"{self._score} " + ("-" if value is None else f"{value:.{self._decimals}f}")
        collected = f"{transitions:,} transitions  " if transitions else ""
        text = (
            f"{collected}{gradient_steps:,} gradient steps  {_counted(target_updates)} target updates"
            f"  {shown}  {speed:,.0f}/s"
        )
        if self._live and self._console.width < 100:
            collected = f"{transitions:,} trans. " if transitions else ""
            text = f"{collected}{gradient_steps:,} grad. {_counted(target_updates)} upd. {shown} {speed:,.0f}/s"
            if self._console.width < 80:
                text = f"{collected or f'{gradient_steps:,} grad. '}{shown}"
        self._progress.update(self._task, completed=cycles, text=text)
        tenth = 10 * cycles // max(self._total, 1)
        if not self._live and not self._quiet and tenth > self._spoken:
            self._spoken = tenth
            self.say(f"{100 * cycles // max(self._total, 1):3d}%  {text}")

    def close(self) -> None:
        if self._live:
            self._progress.stop()
        self._console.file.flush()
