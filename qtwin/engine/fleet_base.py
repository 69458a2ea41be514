"""What both engines' fleets do alike: each seed's part of what is measured and counted, as numbers on the host."""

from __future__ import annotations

import abc

import jax
import numpy as np

from qtwin.engine.played import Played
from qtwin.measure.diagnostics import Readings
from qtwin.measure.overestimation import Judged, judged
from qtwin.rates import Cycle
from qtwin.state import Faults, Tally, TrainState
from qtwin.types import Clock, PyTree, Variables


class FleetBase(abc.ABC):
    """K seeds in groups that are computed together, a state and a probe batch for each group.

    An engine's fleet begins the groups (``_states``) and says of them: which part of a group's arrays is one seed's
    (``_part``, ``_clock``), how a group draws its probe batch and reads it (``_draw_probes``, ``_read_groups``), how
    its tally starts anew (``_without_tally``), and how each seed plays its evaluation episodes (``_play``). The rest of
    `qtwin.engine.fleet.Fleet` is its own.

    Args:
      seeds: which seeds.
      name: the environment's id.
      turn: one cycle, in whole numbers.
      eval_max_steps: steps after which an evaluation episode is cut. [transitions]
    """

    def __init__(self, seeds: tuple[int, ...], name: str, turn: Cycle, eval_max_steps: int):
        self.seeds, self.name, self.turn, self.eval_max_steps = seeds, name, turn, eval_max_steps
        self._states: list[TrainState] = []
        self._probes: list[PyTree] = []
        self._played: list[Played] = []  # each seed's, of the last evaluation

    def wait(self) -> None:
        jax.block_until_ready(self._states)

    def clocks(self) -> list[Clock]:
        each = jax.tree.map(np.asarray, [state.clock for state in self._states])
        return [Clock(*map(int, self._clock(each, k))) for k in range(len(self.seeds))]

    def take_tallies(self) -> list[Tally]:
        tallies = self._of_each([state.tally for state in self._states])
        self._states = [self._without_tally(state) for state in self._states]
        return tallies

    def faults(self) -> list[Faults]:
        return [Faults(*map(int, faults)) for faults in self._of_each([state.faults for state in self._states])]

    def evaluate(self, count: int) -> np.ndarray:
        self._played = self._play(count)
        return np.stack([played.returns for played in self._played])

    def cut(self) -> list[int]:
        return [int(played.cut.sum()) for played in self._played] or [0] * len(self.seeds)

    def judged(self) -> list[Judged | None]:
        ledgers = [played.ledger for played in self._played] or [None] * len(self.seeds)
        return [None if ledger is None else judged(ledger) for ledger in ledgers]

    def take_probe(self) -> list[PyTree]:
        self._probes = self._draw_probes()
        return self._of_each(self._probes)

    def read(self) -> list[Readings]:
        return self._of_each(self._read_groups())

    def variables(self, seed_index: int) -> Variables:
        return self._part([state.twin.online for state in self._states], seed_index)

    def _of_each(self, of_groups: list[PyTree]) -> list[PyTree]:
        """Each seed's part, as numpy arrays."""
        whole = jax.tree.map(np.asarray, of_groups)  # one seed's part of an array on a mesh would cost a program each
        return [self._part(whole, k) for k in range(len(self.seeds))]

    @abc.abstractmethod
    def _part(self, of_groups: list[PyTree], k: int) -> PyTree:
        """The k-th seed's part of arrays that belong to the groups, as numpy arrays."""

    @abc.abstractmethod
    def _clock(self, of_groups: list[Clock], k: int) -> Clock:
        """The k-th seed's clock, out of the groups' as numpy arrays."""

    @abc.abstractmethod
    def _without_tally(self, state: TrainState) -> TrainState:
        """A group's state with nothing in its tally."""

    @abc.abstractmethod
    def _draw_probes(self) -> list[PyTree]:
        """Each group's probe batch, drawn from its replay as it stands."""

    @abc.abstractmethod
    def _read_groups(self) -> list[Readings]:
        """Each group's diagnostics on its probe batch."""

    @abc.abstractmethod
    def _play(self, count: int) -> list[Played]:
        """Each seed's greedy episodes, as numpy arrays; the same ``count`` draws the same episodes."""
