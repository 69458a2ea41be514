"""What a kind of run hands in; the rest of a run is the same for all of them. Read without importing JAX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from qtwin.engine.fleet import Fleet
    from qtwin.interrupts import Interrupts
    from qtwin.rates import Plan
    from qtwin.run.logs import Logs, Screen
    from qtwin.run.loop import Observer
    from qtwin.run.pauses import Marks
    from qtwin.state import TrainState


class Score(NamedTuple):
    """The number of a log point that the screen shows, and that the best checkpoints are chosen by.

    Attributes:
      name: in the log point, a list with one number per seed.
      label: on the screen.
      decimals: likewise.
    """

    name: str
    label: str
    decimals: int


class Took(NamedTuple):
    """What a run has taken. [seconds]

    Attributes:
      began: when it began, as `time.perf_counter` has it.
      compile_seconds: compiling.
      train_seconds: in the three processes.
    """

    began: float
    compile_seconds: float
    train_seconds: float


class Kind(Protocol):
    """What one kind of run has of its own: `qtwin.run.train.Training` and `qtwin.run.siamese.train.Learning`.

    Attributes:
      fleet: the seeds.
      plan: the whole run.
      pauses: where it pauses.
      score: what is shown of a log point.
      needs: the lists that every log point holds.
    """

    fleet: Fleet
    plan: Plan
    pauses: Marks
    score: Score
    needs: tuple[str, ...]

    def title(self) -> str:
        """What the screen says first, before seeds and directory."""

    def lines(self) -> Iterable[str]:
        """What it says next."""

    def described(self) -> dict:
        """What ``config.json`` holds."""

    def saved(self, state: TrainState) -> TrainState:
        """What of a seed's state a checkpoint holds."""

    def begun(self, interrupts: Interrupts) -> Kind:
        """This, with what is measured of seeds that have not learned yet; all is compiled."""

    def goes_on(self, start: int, screen: Screen) -> None:
        """Tells of a run that goes on after ``start`` cycles; refuses one that has come too far."""

    def observer(self, out: Path, start: int, screen: Screen, logs: Logs) -> Observer:
        """What the loop is watched by."""

    def judge(self, screen: Screen) -> Any:
        """The last evaluation, which a signal breaks off: what the following are handed as ``judged``."""

    def export(self, out: Path, judged: Any) -> None:
        """Writes what has been learned."""

    def draw(self, out: Path, judged: Any, points: list[dict]) -> None:
        """Draws the log points, and what else is shown."""

    def summary(self, judged: Any, points: list[dict], took: Took) -> dict:
        """What ``summary.json`` holds."""
