"""``qtwin siamese`` from the command line: runs, resumed runs, what they leave behind, and what is refused."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

import qtwin
from qtwin.cli import main
from qtwin.siamese.catalog import METHODS

RNG = np.random.default_rng(0)
SETTINGS = {"encoder": "conv:4,8", "projector": "8,8", "batch": 16, "epochs": 4, "augment": "shift:2+flip"}
QUICK = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """80 images of 12x12 with labels: a bright half, left or right."""
    labels = RNG.integers(0, 2, 80)
    images = RNG.random((80, 12, 12, 1)).astype(np.float32) * 0.2
    for image, label in zip(images, labels, strict=True):
        image[:, 6 * label : 6 * label + 6] += 0.7
    file = tmp_path_factory.mktemp("pictures") / "halves.npz"
    np.savez(file, images=images, labels=labels)
    return str(file)


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory):
    """A finished run of SimSiam."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return qtwin.train_encoder("simsiam", pictures, out=out, quiet=True, **SETTINGS).path


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_from_the_command_line(method, pictures, tmp_path, capsys):
    out = tmp_path / "run"
    assert (
        main(["siamese", method, "--data", pictures, *QUICK, "--queue", "32", "--seeds", "2", "--out", str(out)]) == 0
    )
    told = capsys.readouterr()
    assert "nearest neighbours" in told.out
    assert "4 passes of 4 gradient steps, 16 images each" in told.out + told.err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["gradient_steps"] == 16  # 64 images to learn from are 4 batches of 16, 4 times
    assert summary["target_updates"] == 16
    assert len(summary["knn"]) == len(summary["linear"]) == len(summary["untrained_knn"]) == 2
    assert {"config.json", "metrics.jsonl", "curve.png", "features.png", "encoder", "checkpoints"} <= {
        path.name for path in out.iterdir()
    }
    points = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert points[-1]["gradient_steps"] == 16
    assert all(np.isfinite(points[-1]["loss"]))


def test_an_encoder_comes_back_in_three_lines_and_in_plain_numpy(pictures, finished):
    images = np.load(pictures)["images"][:5]
    encoder = qtwin.load_encoder(finished)
    features = encoder(images)
    assert features.shape == (5, 8)
    # The same in numpy, with what stands in the files alone.
    weights = load_file(finished / "encoder" / "seed-0.safetensors")
    x = images
    for i in range(2):
        size = x.shape[1] // 2
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel = weights[f"convs.{i}.kernel"]
        shape = (len(x), size, size, kernel.shape[-1])
        x = np.zeros(shape, np.float32)
        for row in range(3):
            for column in range(3):
                part = padded[:, row : row + 2 * size : 2, column : column + 2 * size : 2]
                x = x + part @ kernel[row, column]
        mean, var = weights[f"stats.norms.{i}.mean"], weights[f"stats.norms.{i}.var"]
        x = (x - mean) / np.sqrt(var + 1e-5) * weights[f"norms.{i}.scale"] + weights[f"norms.{i}.bias"]
        x = np.maximum(x, 0)
    np.testing.assert_allclose(features, x.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    with pytest.raises(qtwin.Refusal, match="takes images"):
        encoder(images[..., 0])


def test_law_8_stop_and_resume_is_never_stopped(pictures, tmp_path, monkeypatch):
    """With all that is carried from step to step: a queue of keys, and a target whose rule counts its moves."""
    from qtwin.request.siamese import build
    from qtwin.run import loop as running
    from qtwin.run.loop import Stopped
    from qtwin.run.siamese import train as siamese_run

    def request(out, resume=False):
        settings = SETTINGS | {"epochs": 5, "target": "cosine:0.1", "queue": 32}
        return build("moco", data=pictures, seeds=2, out=str(out), resume=resume, quiet=True, settings=settings)

    siamese_run.execute(request(tmp_path / "whole"))
    count, advance = 0, running.Logs.write

    def stop_after_seven(self, point):
        nonlocal count
        advance(self, point)
        count += 1
        if count == 7:
            running.signal.raise_signal(running.signal.SIGTERM)

    monkeypatch.setattr(running.Logs, "write", stop_after_seven)
    with pytest.raises(Stopped):
        siamese_run.execute(request(tmp_path / "cut"))
    monkeypatch.undo()
    siamese_run.execute(request(tmp_path / "cut", resume=True))
    for seed in (0, 1):
        whole, cut = (load_file(tmp_path / run / "encoder" / f"seed-{seed}.safetensors") for run in ("whole", "cut"))
        for name, leaf in whole.items():
            np.testing.assert_array_equal(leaf, cut[name], err_msg=name)


def refused(words, capsys):
    assert main(["siamese", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("qtwin: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["simsima"], "did you mean 'simsiam'"),
        ([], "write for example qtwin siamese simsiam"),
        (["byol", "--target", "cosine:0.996"], "cosine:0.004"),
        (["simclr", "--target", "soft:0.01"], "no target"),
        (["byol", "--stop-gradient", "no"], "an ablation of simsiam with --target tied"),
        (["simsiam", "--stop-gradient", "maybe"], "yes or no"),
        (["simsiam", "--batch", "1"], "at least two images per batch, not 1"),
        (["simsiam", "--batch", "5000"], "1,437 images"),
        (["simsiam", "--encoder", "convs:8"], "unknown encoder"),
        (["simsiam", "--encoder", "conv:8,8,8,8,8,8,8"], "28x28"),
        (["simsiam", "--projector", "8,x"], "write 128,128"),
        (["simsiam", "--predictor", "learnt"], "did you mean 'learned'"),
        (["simsiam", "--batch-norm", "hiden"], "did you mean 'hidden'"),
        (["simsiam", "--augment", "crop:0.3+filp"], "did you mean 'flip'"),
        (["simsiam", "--augment", "shift"], "shift:PIXELS"),
        (["simsiam", "--epochs", "0"], "--epochs"),
        (["simsiam", "--lr", "0"], "greater than 0"),
        (["moco", "--queue", "8"], "--queue"),
        (["moco", "--predictor", "learned"], "no predictor"),
        (["simsiam", "--data", "no-such-folder"], "no-such-folder"),
        (["simsiam", "--resume"], "--out DIR"),
        (["simsiam", "--colour", "yes"], "unknown option"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(words, says, capsys):
    assert says in refused(words, capsys)


def test_a_refusal_does_not_import_jax():
    code = (
        "import sys; from qtwin.cli import main; code = main(['siamese', 'simsiam', '--batch', '1']);"
        " sys.exit(code if 'jax' not in sys.modules else 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 2


def test_images_that_cannot_be_learned_from_are_refused(tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there is none" in refused(["simsiam", "--data", str(empty)], capsys)
    images = RNG.random((40, 8, 8, 1)).astype(np.float32)
    images[7, 2, 2, 0] = np.nan
    np.save(tmp_path / "nan.npy", images)
    assert "image 7" in refused(["simsiam", "--data", str(tmp_path / "nan.npy")], capsys)


def test_a_run_of_another_method_or_other_settings_is_not_resumed(pictures, finished, capsys):
    out = str(finished)
    assert "one of simsiam" in refused(["byol", "--resume", "--out", out], capsys)
    assert "started with epochs" in refused(["simsiam", "--resume", "--out", out, "--epochs", "9"], capsys)
    assert "holds another run" in refused(["simsiam", "--data", pictures, *QUICK, "--out", out], capsys)
    for words in (["eval", out], ["train", "CartPole-v1", "--resume", "--out", out]):
        assert main(words) == 2
        assert "has an encoder and no policy" in capsys.readouterr().err


@pytest.fixture(name="begun")
def a_run_that_was_begun(pictures, tmp_path):
    """The ``config.json`` of a run with settings of its own."""
    config = {"method": "byol", "data": pictures, "target": "hard:3", "stop_gradient": True, **SETTINGS}
    run = {"checkpoints": "every:4"}
    out = tmp_path / "begun"
    out.mkdir()
    (out / "config.json").write_text(json.dumps({"config": config, "run": run, "seeds": [3, 4], "versions": {}}))
    return out


def test_resume_asks_for_nothing_that_nobody_set_by_the_command_line_and_by_python(begun, pictures, monkeypatch):
    """Both are one implementation: what is not said is what the run had, its data, seeds and checkpoints too."""
    asked = []
    monkeypatch.setattr("qtwin.run.siamese.train.execute", lambda request: asked.append(request) or {})
    monkeypatch.setattr("qtwin.run.siamese.train.run", lambda request: asked.append(request) or 0)
    qtwin.train_encoder("byol", out=begun, resume=True)
    assert main(["siamese", "byol", "--resume", "--out", str(begun)]) == 0
    qtwin.train_encoder("byol", pictures, out=begun, resume=True, seeds=2, seed=3, target="hard:3", checkpoints=5)
    for request in asked:
        found = dataclasses.asdict(request.config)
        assert found | SETTINGS | {"method": "byol", "data": pictures, "target": "hard:3"} == found
        assert (request.seeds, request.checkpoints, request.resume) == ((3, 4), "every:4", True)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "simsiam"}, "one of byol, not simsiam"),
        ({"target": "hard:4"}, "started with target 'hard:3', not 'hard:4': leave that out"),
        ({"epochs": 9, "seeds": 1}, "epochs 4, not 9; seeds [3, 4], not [0]: leave those out"),
        ({"data": "digits"}, "not 'digits'"),
        ({"checkpoints": 2}, "checkpoints 'every:4', not '2'"),
        ({"out": None}, 'out="DIR"'),
    ],
)
def test_resume_under_other_settings_is_refused_from_python_too(given, says, begun):
    with pytest.raises(qtwin.Refusal) as refusal:
        qtwin.train_encoder(**{"method": "byol", "out": begun, "resume": True} | given)
    assert says in str(refusal.value)


def test_what_images_may_take_can_be_raised(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.zeros((64, 64, 64), np.uint8))  # 2^18 bytes: 0.000244 GiB
    words = ["simsiam", "--data", str(tmp_path / "a.npy"), "--batch", "65", "--data-limit"]
    assert "at most 0.0002 GiB is allowed" in refused([*words, "0.0002"], capsys)
    assert "64 images" in refused([*words, "0.0003"], capsys)
    assert "--data-limit is a number" in refused([*words, "-1"], capsys)
    with pytest.raises(qtwin.Refusal, match="data_limit=1"):
        qtwin.train_encoder("simsiam", tmp_path / "a.npy", data_limit=0.0002)


def test_weights_that_are_no_regular_file_or_larger_than_the_encoder_are_refused(finished, tmp_path):
    weights = tmp_path / "encoder" / "seed-0.safetensors"
    shutil.copytree(finished / "encoder", tmp_path / "encoder")
    assert qtwin.load_encoder(tmp_path).seed == 0
    with open(weights, "ab") as file:
        file.truncate(2**40)
    with pytest.raises(qtwin.Refusal, match=f"{2**40:,} bytes"):
        qtwin.load_encoder(tmp_path)
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(qtwin.Refusal, match="named pipe"):
        qtwin.load_encoder(tmp_path)


def test_a_siamese_run_saves_as_often_and_keeps_as_many_as_it_is_asked_to(pictures, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["siamese", "simsiam", "--data", pictures, *QUICK, "--log-points", "1", "--quiet", "--out", str(out)]
    assert main([*words, "--checkpoints", "every:4", "--keep", "last:3"]) == 0
    assert [path.name[-2:] for path in sorted((out / "checkpoints").glob("cycle-*"))] == ["08", "12", "16"]
    assert main([*words, "--resume", "--checkpoints", "2"]) == 2
    assert "checkpoints 'every:4', not '2'" in capsys.readouterr().err
    assert main(["siamese", "--config", str(out), "--checkpoints", "0", "--out", str(tmp_path / "other")]) == 2
    assert "--checkpoints" in capsys.readouterr().err
