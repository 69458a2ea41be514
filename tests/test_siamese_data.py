"""Images to learn from: what they look like, and one sentence for whatever cannot be read."""

import numpy as np
import pytest
from PIL import Image

from qtwin.cli import main
from qtwin.errors import Refusal
from qtwin.siamese import data, judge
from qtwin.siamese.views import as_floats


def test_scattered_digits_are_hard_for_raw_pixels_and_the_same_for_the_same_seed():
    digits = data.load_images("digits")
    assert digits.train.shape == (1437, 28, 28, 1)
    assert digits.test.shape == (360, 28, 28, 1)
    assert digits.train.dtype == np.float32
    assert 0.0 <= digits.train.min() <= digits.train.max() <= 1.0
    found = judge.nearest_neighbours(digits.train.reshape(1437, -1), digits.train_labels, digits.test.reshape(360, -1))
    assert 0.45 < (found == digits.test_labels).mean() < 0.65  # FACTS: 54 %, and 98 % as they come
    assert set(digits.test_labels) == set(range(10))
    np.testing.assert_array_equal(digits.train[:5], data.scattered_digits(0).train[:5])
    assert (digits.train[:5] != data.scattered_digits(1).train[:5]).any()


def test_scattered_digits_lie_everywhere_on_the_canvas():
    images = data.scattered_digits(0).train[..., 0]
    weight = images.sum(axis=(1, 2))
    for axis in (1, 2):
        centre = (images.sum(axis=3 - axis) * np.arange(28)).sum(axis=1) / weight
        assert centre.min() < 10.5
        assert centre.max() > 17.5
        assert abs(np.median(centre) - 13.5) < 1.0
    inked = (images > 0.2).sum(axis=(1, 2))
    assert 60 < np.median(inked) < 250  # doubled in size: about four times the ink of 8x8


def test_an_array_file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), np.uint8)
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "b.npz", images=images, labels=np.arange(20) % 3)
    plain = data.load_images(str(tmp_path / "a.npy"))
    np.testing.assert_array_equal(plain.train, images)  # as they are, a quarter of what floats would take
    np.testing.assert_allclose(as_floats(plain.train), images / 255.0, rtol=1e-6)
    assert plain.train_labels is None
    assert len(plain.test) == 0
    labelled = data.load_images(str(tmp_path / "b.npz"))
    assert len(labelled.train) == 16
    assert len(labelled.test) == 4
    every = np.concatenate([labelled.train, labelled.test])
    assert {i.tobytes() for i in every} == {i.tobytes() for i in plain.train}


def test_a_folder_of_pictures_with_labels(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(5):
            Image.new("RGB", (8, 6), (i, 0, 200 * (label == "dog"))).save(tmp_path / label / f"{i}.png")
    found = data.load_images(str(tmp_path))
    assert found.train.shape == (8, 6, 8, 3)
    blue = np.concatenate([found.train, found.test])[:, 0, 0, 2] > 127
    np.testing.assert_array_equal(np.concatenate([found.train_labels, found.test_labels]), blue.astype(int))


def test_cifar_in_its_binary_version(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CIFAR_IMAGES", 4)
    rng = np.random.default_rng(0)
    for name in (*data.CIFAR_TRAIN, *data.CIFAR_TEST):
        rows = rng.integers(0, 256, (4, data.CIFAR_ROW)).astype(np.uint8)
        rows[:, 0] = [0, 9, 3, 1]
        rows.tofile(tmp_path / name)
    found = data.load_images(str(tmp_path))
    assert found.train.shape == (20, 32, 32, 3)
    np.testing.assert_array_equal(found.test_labels, [0, 9, 3, 1])
    np.testing.assert_array_equal(found.test[0, :, :, 0], rows[0, 1 : 1 + 1024].reshape(32, 32))


def test_recorded_frames_are_images(tmp_path):
    file = str(tmp_path / "frames.safetensors")
    assert main(["record", "minatar:Breakout", "--steps", "40", "--out", file]) == 0
    found = data.load_images(file)
    assert found.name == "Breakout-MinAtar"
    assert found.train.shape == (40, 10, 10, 4)
    assert set(np.unique(found.train)) == {0.0, 1.0}
    assert found.train_labels is None
    other = str(tmp_path / "poles.safetensors")
    assert main(["record", "CartPole-v1", "--steps", "40", "--out", other]) == 0
    with pytest.raises(Refusal, match="not images"):
        data.load_images(other)


def refusals(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    Image.new("L", (8, 6)).save(tmp_path / "mixed" / "a.png")
    Image.new("L", (8, 7)).save(tmp_path / "mixed" / "b.png")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.png").write_text("no picture", encoding="utf-8")
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "data_batch_1.bin").write_bytes(b"123")
    np.save(tmp_path / "flat.npy", rng.uniform(size=(4, 3)))
    np.save(tmp_path / "wide.npy", rng.uniform(size=(4, 3, 3)) * 300)
    np.save(tmp_path / "nan.npy", np.full((4, 3, 3), np.nan))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.savez(tmp_path / "other.npz", pictures=np.zeros((2, 3, 3)))
    np.savez(tmp_path / "labels.npz", images=np.zeros((2, 3, 3)), labels=np.zeros(3, int))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "wide.npy").read_bytes()[:150])
    return {
        "digit": "did you mean 'digits'", "empty": "there is none", "mixed": "6x8 and b.png 7x8",
        "text": "a.png cannot be read", "short": "3 came", "flat.npy": "[4, 3] came", "wide.npy": "divide",
        "nan.npy": "image 0", "objects.npy": "plain arrays", "other.npz": "'images'", "labels.npz": "2 labels",
        "cut.npy": "cannot be read", "missing.npy": "no file",
    }  # fmt: skip


def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path):
    for name, says in refusals(tmp_path).items():
        with pytest.raises(Refusal) as refusal:
            data.load_images(name if name == "digit" else str(tmp_path / name))
        assert says in str(refusal.value), name
        assert "\n" not in str(refusal.value)
