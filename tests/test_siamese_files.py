"""Images out of files that somebody else has written: scaled by their type or refused, their sizes checked first."""

import io
import os
import signal
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from qtwin.errors import Refusal
from qtwin.siamese import data, judge
from qtwin.siamese.arrays import as_classes, as_images
from qtwin.siamese.sizes import open_regular

TYPES = ("bool", "uint8", "uint16", "floating-point")


@pytest.fixture(autouse=True)
def nothing_hangs():
    """A named pipe that is opened to be read waits for ever: the alarm ends that."""

    def ring(number, frame):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def of_array(tmp_path, images, **more):
    np.savez(tmp_path / "a.npz", images=images, **more)
    return data.load_images(str(tmp_path / "a.npz"))


def refused(path, **options):
    """The sentence of a refusal, and that it took no memory to speak of. [bytes]"""
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as refusal:
            data.load_images(str(path), **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20, f"{path}: {peak:,} bytes"
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


# How numbers become images


@pytest.mark.parametrize(
    ("numbers", "light"),
    [
        (np.array([0, 51, 255], np.uint8), [0, 51, 255]),  # as they are: 255 is 1 where they are looked at
        (np.array([0, 1000, 65_535], np.uint16), [0, 1000 / 65_535, 1]),
        (np.array([0, 1000, 65_535], ">u2"), [0, 1000 / 65_535, 1]),
        (np.array([1, 1, 1], np.uint16), [1 / 65_535] * 3),  # by its type: these are not 0 and 1
        (np.array([False, True, True]), [0, 1, 1]),
        (np.array([0, 0.25, 1], np.float16), [0, 0.25, 1]),
        (np.array([0, 0.1, 1], np.float64), [0, 0.1, 1]),
        (np.array([0, 0.5, 1 + 2e-7], np.float32), [0, 0.5, 1]),  # a rounding beyond 1
    ],
)
def test_an_array_is_scaled_by_its_type(numbers, light, tmp_path):
    images = np.tile(numbers, (2, 2, 1))  # [M, H, W]
    found = of_array(tmp_path, images).train
    assert found.dtype == (np.uint8 if numbers.dtype == np.uint8 else np.float32)
    np.testing.assert_allclose(found, np.tile(light, (2, 2, 1))[..., None], rtol=1e-6)
    assert 0 <= found.min() <= found.max() <= (255 if found.dtype == np.uint8 else 1)


@pytest.mark.parametrize(
    "kind",
    [
        "int8", "int16", "int32", "int64", "uint32", "uint64", "complex64", "complex128", "datetime64[s]",
        "timedelta64[s]", "U1", "S3", "V8", [("a", "u1"), ("b", "f4")], ("u1", (2,)),
    ],
)  # fmt: skip
def test_an_array_whose_type_does_not_say_what_white_is_is_refused(kind, tmp_path):
    images = np.zeros((3, 4, 4), kind) if kind not in ("U1", "S3") else np.full((3, 4, 4), "1", kind)
    if kind == ("u1", (2,)):
        kind, images = "uint8", images[..., None]  # numpy unfolds it: five dimensions
    with pytest.raises(Refusal, match=r"\[3, 4, 4, 2, 1\]" if kind == "uint8" else "uint8, uint16, bool or floating"):
        of_array(tmp_path, images)


@pytest.mark.parametrize(
    ("worst", "says"),
    [(255.0, "0 to 255 came"), (-0.5, "-0.5 to 0 came"), (np.nan, "image 1"), (-np.inf, "image 1"), (1e300, "to inf")],
)
def test_floating_point_numbers_outside_of_0_to_1_are_refused(worst, says, tmp_path):
    images = np.zeros((3, 4, 4))
    images[1, 2, 2] = worst
    with pytest.raises(Refusal, match=says):
        of_array(tmp_path, images)


def test_an_encoder_takes_the_same_numbers_as_it_learned_from():
    """`Encoder` scales with the same function; here without a network."""
    from qtwin.run.siamese.encoder import Encoder

    encoder = Encoder((2, 2, 1), 0, None, lambda variables, images: images)
    deep = np.full((1, 2, 2, 1), 1000, np.uint16)
    np.testing.assert_allclose(encoder(deep), 1000 / 65_535)
    assert encoder(deep.astype(np.uint8)).dtype == np.uint8
    assert encoder(np.zeros((0, 2, 2, 1))).shape == (0, 2, 2, 1)
    for wrong in (deep.astype(int), deep.astype(complex), deep.astype(float)):
        with pytest.raises(Refusal, match="what the encoder takes"):
            encoder(wrong)


def test_labels_are_categories_whatever_whole_numbers_they_are(tmp_path):
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    for labels, classes in (
        ([0, 1, 2, 3, 2**62], [0, 1, 2, 3, 4]),
        (np.array([2**64 - 1, 7, 7, 2**63, 0], np.uint64), [3, 1, 1, 2, 0]),
        ([2**31, 2**31, 5, 5, 2**32], [1, 1, 0, 0, 2]),  # 2^32 is 0 in 32 bits
        ([True, False, True, True, False], [1, 0, 1, 1, 0]),
    ):
        found = of_array(tmp_path, images, labels=np.asarray(labels))
        shown = np.concatenate([found.train, found.test])[:, 0, 0, 0]
        given = np.concatenate([found.train_labels, found.test_labels])
        assert [int(given[shown == image][0]) for image in range(5)] == classes
    # And so a label of two thousand million costs no two thousand million votes.
    votes = judge.nearest_neighbours(np.eye(3), as_classes("here", np.array([2**31 - 1, 5, 5])), np.eye(3), k=1)
    assert list(votes) == [1, 0, 0]
    for labels, says in (
        ([0, 1, -1, 0, 1], "-1 came (label 2)"),
        ([0.0, 1, 2, 3, 4], "float64"),
        (["a"] * 5, "<U1"),
        ([0, 1], "5 labels"),
        ([[0], [1], [2], [3], [4]], "5 labels"),
    ):
        with pytest.raises(Refusal) as refusal:
            of_array(tmp_path, images, labels=np.asarray(labels))
        assert says in str(refusal.value)


# How pictures become images


def pictures(folder, **saved):
    """A folder of pictures; each is a `PIL.Image`, or the bytes of a file. ``a_png`` is called a.png."""
    folder.mkdir(exist_ok=True)
    for name, picture in saved.items():
        file = folder / name.replace("_", ".")
        file.write_bytes(picture) if isinstance(picture, bytes) else picture.save(file)
    return str(folder)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, depth, kind, rows=None):
    """The bytes of a PNG; without ``rows`` of a header alone."""
    body = b"" if rows is None else zlib.compress(b"".join(b"\0" + row for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_picture_of_16_bits_keeps_them(tmp_path):
    deep = np.array([[0, 256, 1000], [4095, 65_280, 65_535]], np.uint16)
    found = data.load_images(pictures(tmp_path / "deep", a_png=Image.fromarray(deep))).train
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.repeat(deep[None, ..., None] / 65_535, 3, axis=3), rtol=1e-6)
    # Beside one of 8 bits, both mean the same light.
    grey = Image.fromarray(np.full((2, 3), 51, np.uint8))
    found = data.load_images(pictures(tmp_path / "both", a_png=Image.fromarray(deep), b_png=grey)).train
    np.testing.assert_allclose(found[1], 0.2, rtol=1e-6)
    np.testing.assert_allclose(found[0, 1, 0], 4095 / 65_535, rtol=1e-6)
    # In colour Pillow itself gives their upper 8 bits.
    row = struct.pack(">6H", 0x1234, 0xFFFF, 0, 0x00FF, 0x0100, 0x8000)
    found = data.load_images(pictures(tmp_path / "colour", a_png=png(2, 1, 16, 2, [row]))).train
    np.testing.assert_array_equal(found[0, 0], [[0x12, 0xFF, 0], [0, 1, 0x80]])
    assert found.dtype == np.uint8


def test_what_is_transparent_shows_white_behind_it(tmp_path):
    colours = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 128]]], np.uint8)
    picture, seen = Image.fromarray(colours), [[255] * 3, [10, 20, 30], [127] * 3]  # 0 x 128 + 255 x 127, over 255
    found = data.load_images(pictures(tmp_path / "rgba", a_png=picture, b_webp=png_in_webp(picture))).train
    np.testing.assert_array_equal(found, [[seen], [seen]])
    grey = Image.fromarray(colours[..., [0, 3]], "LA")
    np.testing.assert_array_equal(
        data.load_images(pictures(tmp_path / "la", a_png=grey)).train[0, 0, :, 0], [255, 10, 127]
    )
    with_key = Image.fromarray(np.array([[7, 8]], np.uint8))
    file = tmp_path / "key" / "a.png"
    file.parent.mkdir()
    with_key.save(file, transparency=7)
    assert data.load_images(str(file.parent)).train[0, 0, :, 0].tolist() == [255, 8]
    palette = with_key.convert("P")
    palette.save(file, transparency=7)
    assert data.load_images(str(file.parent)).train[0, 0, :, 0].tolist() == [255, 8]
    Image.fromarray(np.array([[700, 8]], np.uint16)).save(file, transparency=700)
    np.testing.assert_allclose(data.load_images(str(file.parent)).train[0, 0, :, 0], [1, 8 / 65_535])


def png_in_webp(picture):
    out = io.BytesIO()
    picture.save(out, "WEBP", lossless=True, exact=True)
    return out.getvalue()


@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_brought_upright(orientation, tmp_path):
    """As Pillow itself does it; 0 and 9 mean nothing."""
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = picture.getexif()
    exif[0x0112] = orientation
    folder = tmp_path / "turned"
    folder.mkdir()
    picture.save(folder / "a.png", exif=exif)
    found = data.load_images(str(folder)).train[0, ..., 0]
    np.testing.assert_array_equal(found, np.asarray(ImageOps.exif_transpose(Image.open(folder / "a.png"))))
    if orientation == 6:  # by hand: the camera was turned to the left, so the first column is the last row's
        np.testing.assert_array_equal(found, [[120, 0], [160, 40], [200, 80]])


def test_other_kinds_of_pictures(tmp_path):
    levels = np.array([[0, 100], [200, 255]], np.uint8)
    grey = Image.fromarray(levels)
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - levels)]}
    (tmp_path / "moving").mkdir()
    grey.save(tmp_path / "moving" / "a.gif", **frames)
    moving = data.load_images(str(tmp_path / "moving")).train
    assert len(moving) == 1, "the first frame"
    np.testing.assert_array_equal(moving[0, ..., 1], levels)
    ink = Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), "CMYK")
    (tmp_path / "ink").mkdir()
    ink.save(tmp_path / "ink" / "a.jpg", quality=100)
    found = data.load_images(str(tmp_path / "ink")).train[0, 0, :, 0]
    assert found[0] > 250 > 5 > found[1]
    found = data.load_images(pictures(tmp_path / "bits", a_png=grey.convert("1", dither=0), b_bmp=grey.convert("P")))
    assert sorted(np.unique(found.train[0])) == [0, 255]
    np.testing.assert_array_equal(found.train[1, ..., 0], levels)
    one = data.load_images(pictures(tmp_path / "one", a_png=Image.new("L", (1, 1), 9)))
    assert one.train.shape == (1, 1, 1, 3)


# What is refused before memory is taken for it


def test_a_picture_too_large_is_refused_by_its_header(tmp_path):
    for name, (width, height) in {"wide": (12_000, 12_000), "long": (1, 2**25), "vast": (2**31 - 1, 2**31 - 1)}.items():
        folder = pictures(tmp_path / name, a_png=png(width, height, 8, 0))
        assert "16,777,216" in refused(folder), name


def test_the_sum_of_the_pictures_is_held_against_the_limit_before_one_is_decoded(tmp_path):
    """Headers alone: were one decoded, it would be refused as cut short. 100 of 1000 x 1000 x 3 bytes are 0.28 GiB."""
    folder = pictures(tmp_path / "many", **{f"{i}_png": png(1000, 1000, 8, 2) for i in range(100)})
    assert "more" not in refused(folder, limit=0.3)
    said = refused(folder, limit=0.25)
    assert "at most 0.25 GiB" in said
    assert "--data-limit" in said
    # One of 16 bits makes all of them four times as large.
    (tmp_path / "many" / "x.png").write_bytes(png(10, 10, 16, 0))
    assert "1.12 GiB" in refused(folder, limit=0.3)


def test_only_regular_files_are_opened(tmp_path):
    made = {
        "pipe": (os.mkfifo, "named pipe"),
        "zero": (lambda f: os.symlink("/dev/zero", f), "a device"),
        "loop": (lambda f: os.symlink(f.name, f), "cannot be opened"),
        "away": (lambda f: os.symlink("nowhere", f), "cannot be opened"),
        "link": (lambda f: os.symlink(".", f), "directory"),
    }
    for suffix in (".png", ".npy", ".npz", ".safetensors"):
        for name, (make, says) in made.items():
            file = tmp_path / f"{name}{suffix}" / f"a{suffix}"
            file.parent.mkdir()
            make(file)
            if suffix == ".png" and name == "link":
                continue  # folders are not pictures, and links to them are not followed
            said = refused(file.parent if suffix == ".png" else file)
            assert says in said, (suffix, name, said)
    for name in ("data_batch_1.bin", "data_batch_2.bin"):
        os.mkfifo(tmp_path / name)
    assert "named pipe" in refused(tmp_path)
    with pytest.raises(Refusal, match="5 bytes, and at most 4"):
        open_regular(pictures(tmp_path / "five", a_png=b"12345") + "/a.png", 4)
    with pytest.raises(Refusal, match="cannot be opened"):
        open_regular("a\0b", 4)


def test_folders_that_are_called_as_pictures_are_and_folders_in_a_circle(tmp_path):
    folder = tmp_path / "odd"
    (folder / "a.png").mkdir(parents=True)
    assert "there is none" in refused(folder)
    os.symlink("..", folder / "a.png" / "up")
    pictures(folder / "a.png", b_png=Image.new("L", (2, 2), 5))
    assert data.load_images(str(folder)).train.shape == (1, 2, 2, 3)


def test_names_that_no_file_can_have_are_refused():
    for name in ("a\0b", "x" * 5000, "x" * 5000 + ".npy", "x" * 5000 + ".safetensors", "", "a\0.npz"):
        with pytest.raises(Refusal):
            data.load_images(name)


def header(shape, descr="'|u1'", length=None):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive(file, body, name="images.npy", how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(file, "w", how) as opened:
        opened.writestr(name, body)
    return file


def test_an_array_file_is_held_against_the_limit_and_against_itself(tmp_path):
    """Each in a file of its own and in an archive."""
    lies = {
        "78 GB": (header((10**8, 28, 28)) + bytes(100), "100 follow it"),
        "more than there is": (header((2**62, 4, 4)), "0 follow it"),
        "less than there is": (header((1, 4, 4)) + bytes(17), "17 follow it"),
        "negative": (header((-1, -4, 4)) + bytes(16), "says [-1, -4, 4]"),
        "a header of a GB": (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**30) + b" " * 2**20, "1,073,741,824"),
        "version 3": (b"\x93NUMPY\x03\x00" + header((1, 4, 4))[8:] + bytes(16), "numpy.save"),
        "code": (b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + b"(" * 118, "cannot be read"),
        "a type of a GB": (header((1, 4, 4), "'|V1073741824'"), "follow it"),
        "nothing": (b"", "numpy.save"),
        "5-d": (header((1, 1, 1, 1, 1)) + b"1", "[1, 1, 1, 1, 1] came"),
        "no images": (header((0, 4, 4)), "[0, 4, 4] came"),
    }
    for name, (body, says) in lies.items():
        (tmp_path / f"{name}.npy").write_bytes(body)
        for file in (tmp_path / f"{name}.npy", archive(tmp_path / f"{name}.npz", body)):
            said = refused(file)
            assert says in said, (file.name, said)


def test_an_archive_that_inflates_is_refused_before_it_does(tmp_path):
    """64 MiB of zeros are 64 KiB; what counts is what is learned from, and what is in the file."""
    images = np.zeros((16, 2048, 2048), np.uint8)
    np.savez_compressed(tmp_path / "bomb.npz", images=images)
    assert (tmp_path / "bomb.npz").stat().st_size < 2**17
    said = refused(tmp_path / "bomb.npz", limit=0.06)
    assert "0.06 GiB of memory, and at most 0.06" in said
    assert "--data-limit 1" in said
    assert data.load_images(str(tmp_path / "bomb.npz"), limit=0.0625).train.nbytes == 2**26
    for kind, each in (("bool", 4), ("uint16", 4), ("float32", 4), ("float64", 8), ("float16", 4)):
        np.save(tmp_path / "a.npy", np.zeros((1, 256, 1024), kind))
        assert "needs 0.00 GiB" in refused(tmp_path / "a.npy", limit=(each - 0.1) * 2**18 / 2**30)
        assert data.load_images(str(tmp_path / "a.npy"), limit=each * 2**18 / 2**30).train.dtype == np.float32


def test_labels_count_as_well(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((1000, 1, 1), np.uint8), labels=np.zeros(1000, np.int64))
    assert "(labels) needs" in refused(tmp_path / "a.npz", limit=7999 / 2**30)
    assert len(data.load_images(str(tmp_path / "a.npz"), limit=8000 / 2**30).train) == 800


def test_an_array_of_fortran_s_order_and_other_arrays_beside_it(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(tmp_path / "a.npz", images=np.asfortranarray(images), other=np.zeros(3, complex))
    np.testing.assert_array_equal(data.load_images(str(tmp_path / "a.npz")).train[..., 0], images)
    assert not as_images("here", images).flags.owndata or as_images("here", images) is images


def test_archives_that_lie(tmp_path):
    good = header((1, 4, 4)) + bytes(16)
    cases = {
        "encrypted": (lambda: marked(archive(tmp_path / "a.npz", good), flags=1), "encrypted"),
        "bzip2": (lambda: archive(tmp_path / "b.npz", good, how=zipfile.ZIP_BZIP2), "numpy.savez"),
        "another name": (lambda: archive(tmp_path / "c.npz", good, "pictures.npy"), "holds pictures"),
        "no array": (lambda: archive(tmp_path / "d.npz", good, "images"), "holds none"),
        "larger than it can be": (lambda: marked(archive(tmp_path / "e.npz", good), size=2**31), "which cannot be"),
        "no archive": (lambda: written(tmp_path / "f.npz", good), "plain arrays"),
        "a list of contents of 2 GB": (lambda: listed(archive(tmp_path / "g.npz", bytes(2**21))), "list of contents"),
        "damaged": (lambda: flipped(archive(tmp_path / "h.npz", header((1, 64, 64)) + bytes(4096))), "cannot be read"),
        "labels that lie": (lambda: beside(tmp_path / "i.npz", good, header((10**9,), "'<i8'")), "follow it"),
        "labels of objects": (lambda: beside(tmp_path / "j.npz", good, header((1,), "'|O'")), "1 labels"),
    }
    for name, (make, says) in cases.items():
        said = refused(make())
        assert says in said, (name, said)


def written(file, body):
    file.write_bytes(body)
    return file


def marked(file, flags=None, size=None):
    """The archive with other flags, or another uncompressed size, in both of the places that say them."""
    body = bytearray(file.read_bytes())
    central = body.index(b"PK\x01\x02")
    for at, offset in ((0, 6), (central, 8)):
        if flags is not None:
            struct.pack_into("<H", body, at + offset, flags)
        if size is not None:
            struct.pack_into("<I", body, at + offset + 16, size)
    return written(file, bytes(body))


def listed(file):
    """The archive with a list of contents that is said to begin with the file."""
    body = bytearray(file.read_bytes() + bytes(0))
    end = body.rindex(b"PK\x05\x06")
    body[end:end] = bytes(2**21)  # so that the file is as long as the list is said to be
    struct.pack_into("<I", body, body.rindex(b"PK\x05\x06") + 12, 2**21)
    return written(file, bytes(body))


def flipped(file):
    body = bytearray(file.read_bytes())
    body[60] ^= 0xFF
    return written(file, bytes(body))


def beside(file, images, labels):
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("images.npy", images)
        opened.writestr("labels.npy", labels)
    return file


def test_cifar_files_of_another_size_are_not_read(tmp_path):
    with open(tmp_path / "data_batch_1.bin", "wb") as file:
        file.truncate(2**40)  # a hole of a terabyte
    assert f"{2**40:,} came" in refused(tmp_path)
    with open(tmp_path / "frames.safetensors", "wb") as file:
        file.truncate(2**40)
    assert "needs 256.00 GiB" in refused(tmp_path / "frames.safetensors")
    with open(tmp_path / "a.npy", "wb") as file:
        file.write(header((2**30, 16, 64)))
        file.truncate(file.tell() + 2**40)
    assert "needs 1,024.00 GiB" in refused(tmp_path / "a.npy")
    (tmp_path / "big").mkdir()
    with open(tmp_path / "big" / "a.png", "wb") as file:
        file.truncate(2**40)
    assert "268,435,456 are expected" in refused(tmp_path / "big")
