"""A run that is stepped by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from qtwin.config.options import whole
from qtwin.engine.fleet import Fleet
from qtwin.errors import Refusal, Unusable
from qtwin.interrupts import Interrupts
from qtwin.rates import Rates
from qtwin.request.run_directory import anchored
from qtwin.request.train import Request
from qtwin.run.acting import Policy
from qtwin.run.carry_out import Life, introduce
from qtwin.run.evaluate import greedy_player
from qtwin.run.lock import Lock
from qtwin.run.logs import Points, Screen
from qtwin.run.loop import Course, Turning, begun
from qtwin.run.policy import of_variables
from qtwin.run.replay_view import ReplayView
from qtwin.run.train import build
from qtwin.twin import Twin
from qtwin.types import Clock


class Session:
    """A run that is stepped by hand (`qtwin.session` makes one).

    Attributes:
      path: the run directory, absolute; None where nothing is written.
    """

    def __init__(self, request: Request):
        """Makes and compiles everything; the run stands at its beginning, or where it was stopped.

        Args:
          request: what is asked for.
        """
        self._request, self._seeds = request, request.seeds
        self._ended: Clock | None = None  # the clock as it was when the session was closed
        self.path = None if request.out is None else Path(anchored(request.out))
        self._stack = contextlib.ExitStack()
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise

    def _begin(self) -> None:
        request, began = self._request, time.perf_counter()
        lock = None if self.path is None else self._stack.enter_context(Lock(self.path))
        if lock is not None and not request.resume and (lock.out / "config.json").exists():
            raise Refusal(f"{request.out} holds another run; write another out, or resume=True to go on with it")
        with Interrupts() as interrupts:
            kind: Any = build(request, self.path, interrupts)  # a `Training`
            self._stack.callback(kind.fleet.close)
            screen = Screen(kind.plan.cycles, 0, request.quiet, kind.score.label, kind.score.decimals)
            self._stack.callback(screen.close)
            introduce(kind, request, "in memory" if lock is None else f"to {request.out}", screen)
            interrupts.breakable(kind.fleet.compile)
            if lock is None:
                logs: Any = Points()
                course, watch = Course(kind.plan, kind.pauses), None
                observer = kind.observer(None, 0, screen, logs)
            else:
                course, observer, watch, logs = Life(request, lock, interrupts, began).begin(kind, screen)
                self._stack.callback(logs.close)
            self._kind, self._logs = kind, logs
            self._turning: Turning = begun(kind.fleet, course, observer, watch, interrupts)
        self._asked = self._steps()
        self._saved = course.start if lock is not None and course.start else -1

    @property
    def clock(self) -> Clock:
        """The three counters of each seed (of the first one where the regression decides), and the target's age."""
        return self._ended or self._kind.fleet.clocks()[0]

    @property
    def rates(self) -> Rates:
        """The three rates."""
        return self._kind.algorithm.rates

    @property
    def twin(self) -> Twin:
        """The two networks of the first seed, as numpy arrays; a copy, which changes nothing."""
        return self.twin_of(self._seeds[0])

    def twin_of(self, seed: int) -> Twin:
        """The two networks of one seed, likewise."""
        return self._fleet.snapshot(self._index(seed)).twin

    @property
    def replay(self) -> ReplayView:
        """The replay buffer of the first seed."""
        return self.replay_of(self._seeds[0])

    def replay_of(self, seed: int) -> ReplayView:
        """The replay buffer of one seed."""
        return ReplayView(self._fleet, self._kind.algorithm.replay, self._index(seed))

    @property
    def metrics(self) -> list[dict]:
        """The log points so far; lists in them hold one number per seed."""
        return self._logs.points

    def advance(self, transitions: int) -> Clock:
        """Collects ``transitions`` more, with the gradient steps and target updates that belong to them.

        The three processes run in whole cycles: what is collected beyond the count is part of the next call's. Offline,
        where nothing is collected, the count is of gradient steps.

        Args:
          transitions: how many. [transitions]; offline [gradient steps]

        Raises:
          Refusal: that is beyond the budget, ``steps``.
          qtwin.interrupts.Stopped: a signal came; the session can go on.
        """
        return self.advance_to(self._asked + whole(transitions, "transitions", 1))

    def advance_to(self, transitions: int) -> Clock:
        """The same up to a count from the beginning of the run."""
        self._check_open()
        wanted, steps = whole(transitions, "transitions", 1), self._request.config.steps
        if wanted > steps:
            raise Refusal(
                f"this session has a budget of {steps:,} steps, and {wanted:,} were asked for; begin it with"
                f" steps={wanted} or more"
            )
        plan = self._kind.plan
        cycle, each = plan.cycle, plan.cycle.transitions or plan.cycle.gradient_steps
        beyond = wanted - cycle.warmup if plan.cycle.transitions else wanted
        try:
            with self._running() as turning:
                if beyond <= 0 and turning.done == 0:
                    turning.warm_up(min(-(-wanted // cycle.envs), cycle.warmup_vector_steps))
                elif beyond > 0:
                    turning.go_to(min(-(-beyond // each), plan.cycles))
                    if turning.done == plan.cycles:
                        turning.observer.last()
        except BaseException:  # what was not reached is not asked for any more
            self._asked = max(self._asked, self._steps())
            raise
        finally:
            self._saved = self._turning.done if self._has_saved() else self._saved
        self._asked = max(self._asked, wanted)
        return self.clock

    def evaluate(self, episodes: int = 10, env: Any = None) -> np.ndarray:
        """Greedy returns of each seed, in episodes that leave the run as it is. [K, episodes]

        Args:
          episodes: for each seed; the same ones in every call.
          env: another environment of the same shapes, as for `qtwin.train`; the run's own if left out.
        """
        kind, request, fleet = self._kind, self._request, self._fleet
        games = kind.env if env is None else self._other(env)
        play = greedy_player(
            kind.algorithm.agent.act,
            games,
            whole(episodes, "episodes", 1),
            request.on_nan == "drop",
            request.eval_max_steps,
        )
        return np.stack([play(fleet.variables(i), seed).returns for i, seed in enumerate(self._seeds)])

    def _other(self, env: Any) -> Any:
        from qtwin.envs.catalog import resolve
        from qtwin.envs.fit import mismatch
        from qtwin.envs.handed_in import handed_in
        from qtwin.envs.make import make

        spec, own = resolve(handed_in(env)[0]), self._kind.spec
        if field := mismatch(own, spec):
            raise Refusal(
                f"the session learns in {own.id} with {field} {getattr(own, field)}, and {spec.id} has"
                f" {getattr(spec, field)}; name another env"
            )
        return make(spec)

    def policy(self, seed: int | None = None) -> Policy:
        """The policy as it is now, of the first seed or of ``seed``; it does not change when the session goes on."""
        seed = self._seeds[0] if seed is None else seed
        online = self._fleet.variables(self._index(seed))
        return of_variables(self._kind.algorithm, self._kind.spec, self._request.config, seed, online)

    def save(self) -> Path:
        """Writes a checkpoint, from which `qtwin.train` or a session goes on with ``resume=True``.

        Environments in Python cannot be saved: they are made anew at each checkpoint, so that one more of them changes
        what follows.

        Returns:
          the checkpoint's path; `qtwin.load` takes it.
        """
        self._check_open()
        watch, path = self._turning.watch, self.path
        if watch is None or path is None:
            raise Refusal("this session has no run directory to save to; begin it with out='DIR'")
        with self._running() as turning:
            if turning.done != self._saved and not watch.save(turning.done):
                raise Unusable(f"the checkpoint at cycle {turning.done:,} could not be written")
            self._saved = turning.done
        return path / "checkpoints" / f"cycle-{self._turning.done:012d}"

    def close(self) -> None:
        """Gives back what the environments hold; with a run directory, a checkpoint is written first."""
        if self._ended is not None:
            return
        try:
            if self._turning.watch is not None and self._turning.done > 0:
                self.save()
        finally:
            self._ended = self.clock
            self._stack.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        config, done = self._request.config, self.clock
        state = ", closed" if self._ended else ""
        return (
            f"Session({config.agent} on {self._kind.spec.id}, {done.transitions:,} of {config.steps:,} transitions,"
            f" {done.gradient_steps:,} gradient steps{state})"
        )

    @contextlib.contextmanager
    def _running(self) -> Iterator[Turning]:
        """The loop, with signals handled while it turns."""
        self._check_open()
        with Interrupts() as interrupts:
            interrupts.say = self._turning.observer.screen.say
            self._turning.interrupts = interrupts
            yield self._turning

    @property
    def _fleet(self) -> Fleet:
        self._check_open()
        return self._kind.fleet

    def _check_open(self) -> None:
        if self._ended is not None:
            raise Refusal("this session is closed; begin another one")

    def _has_saved(self) -> bool:
        """Has the loop itself saved where it stands, at a checkpoint that is due or after a signal?"""
        turning = self._turning
        due = turning.done in turning.course.pauses.checkpoints or turning.interrupts.asked is not None
        return turning.watch is not None and turning.done > 0 and due and turning.retry_at is None

    def _steps(self) -> int:
        return self.clock.transitions or self.clock.gradient_steps

    def _index(self, seed: int) -> int:
        if seed not in self._seeds:
            raise Refusal(f"the session has the seeds {', '.join(map(str, self._seeds))}, not {seed}")
        return self._seeds.index(seed)
