"""A run ends as it says it ended: signals at every stage, environments that change what the process is."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import qtwin
from qtwin.cli import main
from qtwin.engine.fused_fleet import FusedFleet
from qtwin.engine.hosted_fleet import HostedFleet
from qtwin.errors import Broken
from qtwin.interrupts import Abandoned, Interrupts, Stopped, broken_off, poll
from qtwin.run import evaluate, policy
from qtwin.run.curve import draw
from qtwin.run.directory import RunDirectory
from qtwin.run.lock import Lock
from qtwin.run.logs import read_points
from qtwin.run.siamese import figures
from qtwin.siamese import features
from qtwin.storage.console import Outliving, outliving, reserve, safe

ROOT = Path(__file__).parents[1]
SMALL = ["--net", "linear", "--warmup", "20", "--replay", "100", "--batch", "8", "--diagnose", "0"]
LITTLE = [*SMALL, "--steps", "220", "--log-points", "2", "--checkpoints", "2", "--eval-episodes", "2"]
FUSED = ["train", "probe:action-observation", *LITTLE]


class Short(gym.Env):
    """Ten steps an episode; ``trick`` is done at each of them."""

    observation_space, action_space = Box(-100.0, 100.0, (2,), np.float32), Discrete(2)
    trick = staticmethod(lambda: None)

    def __init__(self, render_mode=None):
        self.t = 0

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        Short.trick()
        return np.full(2, self.t, np.float32), 1.0, False, self.t >= 10, {}


gym.register("Short-v0", Short, max_episode_steps=10)
HOSTED = ["train", "gym:Short-v0", *LITTLE]


def ask(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def first(function, count, number=signal.SIGINT):
    """``function``, asked to stop at its ``count``-th call, before it does anything."""
    calls = []

    def called(*args, **kwargs):
        calls.append(None)
        if len(calls) == count:
            ask(number)
        return function(*args, **kwargs)

    return called


def last_digests(out):
    newest = max((out / "checkpoints").glob("cycle-*"))
    return json.loads((newest / "manifest.json").read_text())["sha256"]


def told(out):
    fields = ("cycles", "eval_return", "train_return", "loss", "episodes")
    return [{name: point[name] for name in fields} for point in read_points(out / "metrics.jsonl")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing stops."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main([*FUSED, "--quiet", "--out", str(out)]) == 0
    return out


STAGES = {
    "compile": (FusedFleet, "compile", 1),
    "last log point": (FusedFleet, "evaluate", 3),  # the first is compiling
    "final evaluation": (evaluate, "greedy_player", 1),
    "export": (policy, "export", 1),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_at_any_stage_is_no_end_and_a_resume_makes_up_for_it(stage, whole, tmp_path, monkeypatch, capsys):
    owner, name, count = STAGES[stage]
    out = tmp_path / "run"
    number = signal.SIGTERM if stage == "export" else signal.SIGINT
    with monkeypatch.context() as patch:
        count -= name == "evaluate"
        patch.setattr(owner, name, first(getattr(owner, name), count, number))
        assert main([*FUSED, "--quiet", "--out", str(out)]) == 128 + number
    assert not (out / "summary.json").exists()
    err = capsys.readouterr().err
    if stage == "compile":
        assert err == "qtwin: stopped by SIGINT; nothing was trained\n"
        assert not out.exists()
        return
    assert f"go on with --resume --out {out}" in err
    assert main([*FUSED, "--quiet", "--out", str(out), "--resume"]) == 0
    assert told(out) == told(whole)
    assert last_digests(out) == last_digests(whole)
    pair = [json.loads((each / "summary.json").read_text()) for each in (out, whole)]
    assert pair[0]["eval_return"] == pair[1]["eval_return"]
    same = [(each / "policy" / "seed-0.safetensors").read_bytes() for each in (out, whole)]
    assert same[0] == same[1]


@pytest.mark.parametrize("swallows", [False, True])
def test_a_signal_in_a_slow_step_of_an_evaluation_is_not_the_environments_fault(
    swallows, tmp_path, monkeypatch, capsys
):
    """The step sleeps for a minute, or catches everything: the evaluation ends at once, with the signal's code."""
    evaluating, steps, play = [], [], HostedFleet.evaluate

    def evaluate_last(self, count):
        if self.clocks()[0].transitions == 220:
            evaluating.append(True)
        return play(self, count)

    def trick():
        if evaluating:
            steps.append(None)
            if len(steps) == 3:
                try:
                    ask(signal.SIGTERM)
                    time.sleep(60)
                except BaseException:
                    if not swallows:
                        raise

    monkeypatch.setattr(HostedFleet, "evaluate", evaluate_last)
    monkeypatch.setattr(Short, "trick", trick)
    out, began = tmp_path / "run", time.monotonic()
    assert main([*HOSTED, "--quiet", "--out", str(out)]) == 143
    assert time.monotonic() - began < 50
    assert len(steps) <= 16
    said = capsys.readouterr().err
    assert "raised" not in said
    assert "stopped by SIGTERM" in said
    assert not (out / "summary.json").exists()
    monkeypatch.undo()
    assert main([*HOSTED, "--quiet", "--out", str(out), "--resume"]) == 0
    assert [point["transitions"] for point in read_points(out / "metrics.jsonl")] == [120, 220]


def test_a_signal_in_a_siamese_runs_last_evaluation(tmp_path, monkeypatch):
    images, labels = np.random.default_rng(0).random((64, 8, 8, 1)).astype(np.float32), np.arange(64) % 2
    np.savez(tmp_path / "a $x^{ b.npz", images=images, labels=labels)
    words = ["siamese", "simsiam", "--data", str(tmp_path / "a $x^{ b.npz"), "--encoder", "conv:4", "--batch", "16"]
    words += ["--projector", "4,4", "--epochs", "2", "--log-points", "2", "--augment", "flip", "--out"]
    words += [str(tmp_path / "run"), "--quiet"]
    for owner, name in ((FusedFleet, "evaluate"), (features, "linear_accuracy")):  # each one's second call is its last
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, first(getattr(owner, name), 2, signal.SIGHUP))
            assert main(words) == 129
        assert not (tmp_path / "run" / "summary.json").exists()
        words += ["--resume"]
    assert len(read_points(tmp_path / "run" / "metrics.jsonl")) == 2  # the resume has made up for the last one


def test_eval_and_record_are_broken_off_by_a_signal(whole, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "greedy_player", first(evaluate.greedy_player, 1, signal.SIGTERM))
        assert main(["eval", str(whole), "--episodes", "2"]) == 143
    assert capsys.readouterr().err == "qtwin: stopped by SIGTERM\n"
    monkeypatch.setattr(Short, "trick", first(Short.trick, 400))
    file = tmp_path / "data.safetensors"
    assert main(["record", "gym:Short-v0", "--steps", "4000", "--out", str(file)]) == 130
    assert list(tmp_path.iterdir()) == []


def test_sighup_is_left_ignored_where_it_was_ignored(tmp_path, monkeypatch):
    """As ``nohup`` has it; else it ends a run as SIGTERM does, and a second one, as terminals send, is nothing new."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            ask(signal.SIGHUP)
            assert interrupts.asked is None
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with Interrupts() as interrupts:
            ask(signal.SIGHUP)
            ask(signal.SIGHUP)
            with pytest.raises(Stopped) as stopped:
                interrupts.check()
            assert stopped.value.exit_code == 129
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_is_no_exception_that_an_environment_could_catch():
    assert not issubclass(Abandoned, Exception)

    def careless():
        for _ in range(1000):
            with contextlib.suppress(BaseException):
                ask()
            poll()

    assert broken_off(careless) == 130

    def blames():
        try:
            ask()
        except BaseException as error:
            raise Broken("the environment raised Abandoned") from error

    assert broken_off(blames) == 130


def test_handlers_that_an_environment_installs_are_replaced_with_a_word():
    said = []
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        interrupts.say = said.append
        for _ in range(2):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            interrupts.hold()
        ask(signal.SIGTERM)
        assert interrupts.asked == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(said) == 1
    assert "SIGTERM was replaced" in said[0]


def test_the_training_loop_takes_its_handlers_back(tmp_path, monkeypatch, capsys):
    advance, calls = FusedFleet.advance, []

    def tricking(self, cycles):
        calls.append(None)
        if len(calls) == 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if len(calls) == 2:
            ask(signal.SIGTERM)
        return advance(self, cycles)

    monkeypatch.setattr(FusedFleet, "advance", tricking)
    assert main([*FUSED, "--out", str(tmp_path / "run")]) == 143
    assert "SIGTERM was replaced" in capsys.readouterr().err


SECOND = """
import hashlib, sys
from qtwin.interrupts import Interrupts
with Interrupts():
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # compiled code, in which Python handles no signal
"""


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def started(*words):
    return subprocess.Popen(
        [sys.executable, *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_second_signal_ends_the_process_while_it_is_in_compiled_code():
    run = started("-c", SECOND)
    assert run.stdout.readline() == "begun\n"
    time.sleep(0.3)  # until it is in compiled code
    run.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    try:
        # -SIGINT where the first one came before the compiled code began: a shell says 130 of that as well.
        assert run.wait(5) in (130, -signal.SIGINT)
    finally:
        run.kill()


# SIGINT comes while a module is imported.
IMPORTING = """
import os, runpy, signal, sys
module, *sys.argv[1:] = sys.argv[1:]
class Hook:
    def find_spec(name, *rest):
        if name == module and Hook in sys.meta_path:
            sys.meta_path.remove(Hook)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Hook)
runpy.run_module("qtwin", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("qtwin.interrupts", "list agents"),
        ("argparse", "list agents"),
        ("qtwin.agents.catalog", "list agents"),
        ("qtwin.request.presets.continuous", "rates"),
        ("numpy", "train CartPole-v1 --out {}"),
        ("qtwin.run.loop", "train CartPole-v1 --out {}"),
        ("jax", "train CartPole-v1 --out {}"),
    ],
)
def test_a_signal_while_modules_are_imported_leaves_no_traceback(module, words, tmp_path):
    run = started("-c", IMPORTING, module, *words.format(tmp_path / "run").split())
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said in ("", "qtwin: stopped by SIGINT; nothing was trained\n")
    assert not (tmp_path / "run").exists()


def test_an_environment_that_changes_directory_splits_no_run(tmp_path, monkeypatch):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    init = Short.__init__

    def leaving(self, render_mode=None):
        init(self)
        os.chdir(elsewhere)

    monkeypatch.setattr(Short, "__init__", leaving)
    monkeypatch.setattr(Short, "trick", lambda: os.chdir(elsewhere))
    assert main([*HOSTED, "--quiet", "--out", "run"]) == 0
    monkeypatch.chdir(here)
    assert main(["eval", "run", "--episodes", "1"]) == 0
    monkeypatch.chdir(here)
    words = ["--steps", "40", "--policy", "run", "--out", "data.safetensors"]
    assert main(["record", "gym:Short-v0", *words]) == 0
    assert list(elsewhere.iterdir()) == []
    assert sorted(each.name for each in here.iterdir()) == ["data.safetensors", "run"]
    there = {each.name for each in (here / "run").iterdir()}
    assert {"checkpoints", "config.json", "curve.png", "metrics.jsonl", "policy", "summary.json"} <= there


def test_a_directory_removed_during_the_run_is_made_again(tmp_path, monkeypatch, capsys):
    out, advance, calls = tmp_path / "run", FusedFleet.advance, []

    def removing(self, cycles):
        advance(self, cycles)
        if self.clocks()[0].transitions >= 150 and not calls:
            calls.append(None)
            shutil.rmtree(out)

    monkeypatch.setattr(FusedFleet, "advance", removing)
    assert main([*FUSED, "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert said.count("was removed during the run") == 1
    assert json.loads((out / "config.json").read_text())["env"] == "probe:action-observation"
    assert len(read_points(out / "metrics.jsonl")) == 2
    assert (out / "summary.json").exists()
    assert main([*FUSED, "--quiet", "--out", str(out), "--resume"]) == 0


def test_a_run_leaves_a_directory_that_another_run_has_taken(tmp_path):
    said, out = [], tmp_path / "run"
    with Lock(out) as lock:
        mine = RunDirectory(lock, {"config": {"env": "a"}}, said.append)
        mine.begin()
        assert not mine.ensure()
        (out / ".lock").unlink()
        assert not mine.ensure()  # taken again
        assert lock.held()
        shutil.rmtree(out)
        with Lock(out), pytest.raises(Broken, match="was removed during the run, and now the run in"):
            mine.ensure()
        with Lock(out) as another:
            RunDirectory(another, {"config": {"env": "b"}}, said.append).begin()
        with pytest.raises(Broken, match="another run is there now"):
            mine.ensure()
        assert json.loads((out / "config.json").read_text()) == {"config": {"env": "b"}}
    assert said == []


def test_an_exit_in_the_middle_of_a_run_is_no_end(tmp_path, monkeypatch, capsys):
    def leaving(self, count):
        raise SystemExit(0)

    monkeypatch.setattr(FusedFleet, "evaluate", leaving)
    out = tmp_path / "run"
    with pytest.raises(Broken, match=r"SystemExit\(0\) before the run had ended"):
        qtwin.train("probe:action-observation", net="linear", steps=220, warmup=20, replay=100, batch=8, out=out)
    monkeypatch.setattr(evaluate, "greedy_player", leaving)
    capsys.readouterr()
    monkeypatch.setattr("qtwin.cli.evaluate.evaluate", lambda _: sys.exit(0))
    assert main(["eval", "run"]) == 1
    assert "SystemExit(0)" in capsys.readouterr().err


def test_names_are_shown_as_they_are(tmp_path, monkeypatch, capsys):
    """No markup, no emoji, no mathematics; what moves the cursor is escaped."""
    monkeypatch.chdir(tmp_path)
    name = "a[/b] :smile: $x^{ \x1b[2J"
    assert main([*FUSED, "--out", name]) == 0
    said = capsys.readouterr()
    for shown in (said.out, said.err):
        assert "a[/b] :smile: $x^{ \\x1b[2J" in shown
        assert "\x1b" not in shown
    assert Path(name, "summary.json").exists()
    assert main(["eval", name, "--env", "pro[/b]\x1b[2J"]) == 2
    assert "pro[/b]\\x1b[2J" in capsys.readouterr().err
    point = {"eval_return": [1.0], "transitions": 1, "gradient_steps": 1}
    draw([point], "a $x^{ b on \\frac{", tmp_path / "curve.png")
    figures.draw_curve([], "a $x^{ b", tmp_path / "curve.png", {"raw pixels": 0.5})
    assert safe("é\n\udce9\t") == "é\n\\udce9\\t"


@pytest.mark.parametrize("words", ["list agents", "rates", "eval --help", "--help"])
def test_output_that_nobody_can_read_changes_no_exit_code(words):
    shell = f'"$0" -m qtwin {words}'
    for where, says in (
        ("> /dev/full", "No space left on device"), (">&-", ""), (">&- 2>&-", ""), ("<&-", ""), ("2> /dev/full", ""),
    ):  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", f"{shell} {where}", sys.executable], capture_output=True, text=True, env=environment()
        )
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (where, done.stderr)
        assert says in done.stderr
    done = subprocess.run(
        ["bash", "-c", f"{shell} | head -0; exit ${{PIPESTATUS[0]}}", sys.executable],
        capture_output=True, text=True, env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_and_an_evaluation_that_cannot_be_shown_end_well(whole, tmp_path, monkeypatch, capfd):
    with (
        open("/dev/full", "w", encoding="utf-8") as full,
        open("/dev/full", "w", encoding="utf-8") as err,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", full)
        patch.setattr(sys, "stderr", err)
        assert main([*FUSED, "--out", str(tmp_path / "run")]) == 0
    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert main(["eval", str(whole), "--episodes", "1"]) == 0
    assert "standard output cannot be written" in capfd.readouterr().err
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["eval", str(whole), "--episodes", "1"]) == 0
    assert qtwin.train("probe:action-observation", out=tmp_path / "api", steps=220, warmup=20, replay=100, batch=8,
                       net="linear", log_points=1, eval_episodes=1).summary  # fmt: skip


def test_a_stream_that_is_lost_stays_lost():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    stream = Outliving(lambda: gone)
    gone = Gone()
    assert stream.write("abc") == 3
    assert isinstance(stream.lost, BrokenPipeError)
    gone = io.StringIO()
    stream.write("abc")
    assert gone.getvalue() == ""
    with outliving():
        print("é \udce9")


def test_closed_descriptors_are_taken():
    """Else the next file opened would be standard error."""
    code = (
        "import os; os.close(2); from qtwin.storage.console import reserve; reserve(); print(open(os.devnull).fileno())"
    )
    assert int(subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment()).stdout) > 2
    before = os.fstat(2)
    reserve()
    assert os.path.samestat(before, os.fstat(2))


def test_a_thread_of_its_own_keeps_its_callers_signals():
    found = []

    def run():
        with Interrupts() as interrupts:
            interrupts.hold()
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]
