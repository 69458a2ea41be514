"""A run and its training loop with a kind of run that only counts, so that each moment of it can be seen."""

import dataclasses
import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from qtwin.errors import Broken, Diverged, Refusal
from qtwin.interrupts import Stopped
from qtwin.rates import Rates, plan
from qtwin.request.run_options import RunOptions
from qtwin.run import lifecycle
from qtwin.run import loop as running
from qtwin.run.kind import Score
from qtwin.run.loop import Course, Observer, Watch, loop
from qtwin.run.pauses import Marks, marks
from qtwin.state import Faults
from qtwin.target_update.rules import hard
from qtwin.types import Clock

PLAN = plan(Rates(collect=2, regress=1, target_update=hard(5)), 2, 40)  # 20 cycles
SOUND = Faults(*[0] * len(Faults._fields))


class Counting:
    """One seed that counts its cycles, as a `Fleet`."""

    def __init__(self):
        self.seeds, self.name, self.turn, self.eval_max_steps = (3,), "test:counting", PLAN.cycle, 10
        self.done, self.happened, self.fault, self.closed, self.on_advance = 0, [], SOUND, False, lambda done: None

    def compile(self):
        return 0.25

    def warm_up(self, vector_steps):
        self.happened.append(f"warm up {vector_steps}")

    def advance(self, cycles):
        self.done += cycles
        self.on_advance(self.done)

    def evaluate(self, count):
        self.happened.append(f"evaluate {count}")
        return np.full((1, 4), float(count))

    def snapshot(self, index):
        return {"done": np.array(self.done)}

    def restore(self, states):
        self.done = int(states[0]["done"])

    def clocks(self):
        return [Clock(2 * self.done, self.done, self.done // 5, 0)]

    def faults(self):
        return [self.fault]

    def wait(self):
        """Nothing is under way."""

    def cut(self):
        return [0]

    def take_tallies(self):
        self.happened.append("tallies")

    def re_make(self, boundary):
        """Nothing to make."""

    def close(self):
        self.closed = True


def told(fleet):
    """A screen whose lines stand among what has happened."""
    return SimpleNamespace(say=lambda text: fleet.happened.append(text), update=lambda *given: None)


def measure(fleet, returns, pace):
    return {
        "cycles": pace.cycles,
        "transitions": 2 * pace.cycles,
        "gradient_steps": pace.cycles,
        "knn": [returns.mean()],
    }


def watched(fleet, **how):
    saves = how.pop("saves", lambda cycles: True)

    def save(cycles):
        fleet.happened.append(f"save {cycles}")
        return saves(cycles)

    return Watch(save, how.pop("go_back", None), **how)


def observed(fleet, **more):
    return Observer(
        told(fleet), measure=measure, score="knn", look=lambda c: fleet.happened.append(f"look {c}"), **more
    )


def test_the_pauses_are_evenly_spaced_and_each_kind_ends_at_the_end():
    assert marks(PLAN, 3, "2") == Marks(frozenset({6, 13, 20}), frozenset({10, 20}))
    assert marks(PLAN, 99, "every:12").checkpoints == {6, 12, 18, 20}
    pauses = marks(PLAN, 3, "2")._replace(looks=frozenset({5}))
    assert [pauses.after(cycles) for cycles in (0, 5, 6, 12, 13, 19)] == [5, 6, 10, 13, 20, 20]


def test_at_a_pause_the_run_looks_then_logs_then_saves():
    fleet = Counting()
    pauses = Marks(frozenset({4, 20}), frozenset({4, 20}), frozenset({4, 7}))
    loop(fleet, Course(PLAN, pauses), observed(fleet, last=lambda: fleet.happened.append("last")), watched(fleet))
    assert fleet.happened == ["look 4", "evaluate 4", "save 4", "look 7", "evaluate 20", "save 20", "last"]
    assert fleet.done == 20


def test_a_signal_saves_where_it_finds_the_loop_and_ends_it():
    fleet = Counting()
    fleet.on_advance = lambda done: done == 3 and signal.raise_signal(signal.SIGTERM)
    pauses = Marks(frozenset({3, 20}), frozenset({20}))
    with pytest.raises(Stopped):  # at a pause, too: the log point is made when the run goes on
        loop(fleet, Course(PLAN, pauses), observed(fleet), watched(fleet))
    assert fleet.happened == ["save 3"]
    fleet.on_advance, fleet.happened = lambda done: None, []
    logs = SimpleNamespace(points=[], write=lambda point: logs.points.append(point))
    settled = watched(fleet, settle=lambda: fleet.happened.append("settle"))
    loop(fleet, Course(PLAN, pauses, start=3), observed(fleet, logs=logs), settled)
    assert fleet.happened == ["evaluate 3", "evaluate 20", "save 20"]
    fleet.happened = []
    loop(fleet, Course(PLAN, pauses, start=20), observed(fleet, logs=logs), settled)
    assert fleet.happened == ["tallies"]  # its log point is there
    del logs.points[1:]
    fleet.happened = []
    loop(fleet, Course(PLAN, pauses, start=20), observed(fleet, logs=logs), settled)
    assert fleet.happened == ["evaluate 20", "settle"]


def test_a_checkpoint_that_could_not_be_written_is_tried_again(monkeypatch):
    monkeypatch.setattr(running, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(running, "PIECE_SECONDS", 0.0)  # one cycle at a time
    fleet, full = Counting(), [True]
    pauses = Marks(frozenset({20}), frozenset({5, 20}))
    loop(fleet, Course(PLAN, pauses), observed(fleet), watched(fleet, saves=lambda cycles: cycles > 7))
    assert fleet.happened == ["save 5", "save 6", "save 7", "save 8", "evaluate 20", "save 20"]
    fleet, gone = Counting(), iter([False, False, True])
    ensured = watched(fleet, ensure=lambda: next(gone, False))
    loop(fleet, Course(PLAN, Marks(frozenset({20}), frozenset({20}))), observed(fleet), ensured)
    assert fleet.happened == ["save 3", "evaluate 20", "save 20"]
    assert full


def test_too_many_faults_in_a_row_go_back_and_without_checkpoints_end_the_run():
    fleet = Counting()

    def go_back(why):
        fleet.happened.append(why.partition(":")[0])
        fleet.done, fleet.fault, fleet.on_advance = 2, SOUND, lambda done: None
        return 2

    def spoil(done):
        if done > 4:
            fleet.fault = SOUND._replace(longest=10)

    fleet.on_advance = spoil
    course = Course(PLAN, Marks(frozenset({20}), frozenset({20})))
    loop(fleet, course, observed(fleet), watched(fleet, go_back=go_back))
    assert fleet.happened == ["seed 3", "evaluate 20", "save 20"]
    fleet = Counting()
    fleet.on_advance = spoil
    with pytest.raises(Diverged, match="10 updates in a row"):
        loop(fleet, course, observed(fleet))
    fleet = Counting()
    fleet.fault = SOUND._replace(skipped=2)
    loop(fleet, course, observed(fleet))
    assert fleet.happened[0].startswith("2 updates were not applied")
    assert len(fleet.happened) == 2  # told once
    with pytest.raises(Broken, match="no finite"):
        loop(Counting(), course, observed(fleet)._replace(check=refusing))


def refusing(returns, name):
    raise Broken(f"{name} gave no finite number")


@dataclasses.dataclass(frozen=True)
class Counts:
    """A kind of run that learns nothing."""

    fleet: Counting
    plan: object = PLAN
    pauses: Marks = dataclasses.field(default_factory=lambda: marks(PLAN, 2, "4"))
    score: Score = dataclasses.field(default_factory=lambda: Score("knn", "score", 2))
    needs: tuple = ("knn",)
    started: str = ""

    def title(self):
        return "counting  target hard:5"

    def lines(self):
        return ["to 20"]

    def described(self):
        return {"config": {"to": 20}, "seeds": [3]}

    def saved(self, state):
        return state

    def begun(self, interrupts):
        return dataclasses.replace(self, started=f"at {self.fleet.done}")

    def goes_on(self, start, screen):
        if start > 15:
            raise Refusal("it has come too far")
        screen.say(f"on from {start}")

    def observer(self, out, start, screen, logs):
        return Observer(screen, logs, measure, score="knn")

    def judge(self, screen):
        screen.say("judged")
        return self.fleet.done

    def export(self, out, judged):
        (out / "learned").write_text(f"{self.started}, {judged}")

    def draw(self, out, judged, points):
        assert len(points) == 2
        assert not (out / "summary.json").exists()

    def summary(self, judged, points, took):
        return {"judged": judged, "points": len(points), "compile_seconds": took.compile_seconds}


def counted(out, fleet, resume=False, quiet=True):
    options = RunOptions(seeds=(3,), out=str(out), resume=resume, log_points=2, quiet=quiet)
    shown = []
    code = lifecycle.run(
        options, lambda: lifecycle.execute(options, lambda *given: Counts(fleet)), lambda *given: shown.append(given)
    )
    assert fleet.closed
    return code, shown


def test_whatever_it_learns_a_run_has_the_same_life(tmp_path, capsys):
    out, fleet = tmp_path / "run", Counting()
    summary = {"judged": 20, "points": 2, "compile_seconds": 0.25}
    assert counted(out, fleet, quiet=False) == (0, [(summary, str(out))])
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == [f"counting  target hard:5  seed 3  to {out}", "to 20", "compiled in 0.2 s"]
    assert said[-1] == "judged"
    assert json.loads((out / "summary.json").read_text()) == summary
    assert json.loads((out / "config.json").read_text()) == {"config": {"to": 20}, "seeds": [3]}
    assert (out / "learned").read_text() == "at 0, 20"
    assert [path.name[-2:] for path in sorted((out / "checkpoints").glob("cycle-*"))] == ["15", "20"]
    with pytest.raises(Refusal, match="holds another run"):
        counted(out, Counting())
    with pytest.raises(Refusal, match="too far"):
        counted(out, Counting(), resume=True)


def test_a_run_of_any_kind_stops_and_goes_on(tmp_path, capsys):
    out, fleet = tmp_path / "run", Counting()
    fleet.on_advance = lambda done: done >= 12 and signal.raise_signal(signal.SIGINT)
    assert counted(out, fleet) == (130, [])
    assert f"go on with --resume --out {out}" in capsys.readouterr().err
    assert not (out / "summary.json").exists()
    again = Counting()
    assert counted(out, again, resume=True, quiet=False)[0] == 0
    said = capsys.readouterr().err
    assert f"resumed in {out}" in said
    assert f"on from {fleet.done}" in said
    assert again.done == 20


def test_what_cannot_be_written_or_asks_for_the_end_is_no_end(tmp_path, capsys):
    def full():
        raise OSError(28, "No space left on device", "a file")

    assert lifecycle.ended(full, "run") == (None, 1)
    assert capsys.readouterr().err == "qtwin: a file cannot be written (No space left on device)\n"
    fleet = Counting()
    fleet.on_advance = lambda done: exit(0)
    with pytest.raises(Broken, match=r"SystemExit\(0\)"):
        counted(tmp_path / "run", fleet)
