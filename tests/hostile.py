"""Loads hostile files under an audit hook and prints what happened; `test_hostile_files.py` runs it on its own.

    python tests/hostile.py DIR

DIR holds a finished run ``good``. Everything is loaded once as it is, so that what is compiled and imported on the way
is there already; then each file is spoilt, and an event that runs code, or writes outside DIR, is written down.
"""

import hashlib
import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from safetensors.numpy import save
from worlds import little_dqn, walk

from qtwin.cli import main
from qtwin.cli.dispatch import COMMANDS
from qtwin.config.siamese import SiameseConfig
from qtwin.engine.fleet import fleet_of
from qtwin.envs.catalog import resolve
from qtwin.errors import Refusal
from qtwin.nets.encoders import encoder_network
from qtwin.records import imported
from qtwin.replay.dataset import load_dataset, save_dataset
from qtwin.request.train import build
from qtwin.run import checkpoint
from qtwin.run.checkpoint_manager import Saver
from qtwin.run.logs import Logs, Screen
from qtwin.run.policy import load
from qtwin.run.siamese.encoder import export, load_encoder
from qtwin.siamese.data import load_images
from qtwin.types import Timestep

RUNS_CODE = (  # not "compile": numpy reads an array's header as a literal, which is parsed and not run
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile", "subprocess.Popen",
    "pickle.find_class", "ctypes.dlopen", "ctypes.dlsym", "socket.connect", "socket.bind", "socket.getaddrinfo",
    "urllib.Request", "webbrowser.open", "code.__new__", "exec", "import", "marshal.loads", "builtins.input",
)  # fmt: skip
CHANGES = (
    "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "shutil.rmtree", "shutil.move", "shutil.copyfile",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Canary:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self):
        return os.mkdir, (str(Path(sys.argv[1]).parent / "ran"),)


PICKLE = pickle.dumps(Canary())
YAML = b"!!python/object/apply:os.mkdir ['ran']\n"
CODE = "__import__('os').mkdir('ran')"
events, watching, allowed = [], False, ""


def hook(event, arguments):
    if not watching:
        return
    if event in RUNS_CODE:
        events.append([event, str(arguments)[:200]])
    elif event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes | os.PathLike) and (flags or 0) & WRITES:
            outside(event, path)
    elif event in CHANGES:
        outside(event, arguments[0])


def outside(event, path):
    if isinstance(path, int):
        return
    real = os.path.realpath(os.fsdecode(path))
    if real != os.devnull and not real.startswith(allowed + os.sep):
        events.append([event, real])


def safetensors_lies():
    """Files whose header says what is not so."""
    body = np.zeros(4, np.float32).tobytes()

    def made(header):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + body

    leaf = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return {
        "pickle": PICKLE,
        "yaml": YAML,
        "empty": b"",
        "header of 2^63": struct.pack("<Q", 2**63) + b"{}",
        "header that is no JSON": made(b"{]"),
        "header nested deeply": made(b"[" * 50_000),
        "offsets beyond the file": made({"a": leaf | {"data_offsets": [0, 2**40]}}),
        "offsets that run backwards": made({"a": leaf | {"data_offsets": [16, 0]}}),
        "offsets that overlap": made({"a": leaf, "b": leaf}),
        "a shape of 2^62 numbers": made({"a": leaf | {"shape": [2**31, 2**31]}}),
        "an unknown type": made({"a": leaf | {"dtype": "OBJ"}}),
        "a type numpy lacks": made({"a": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}}),
        "a name that leads out": save({"../../ran": np.zeros(4, np.float32)}),
        "a name that is code": save({CODE: np.zeros(4, np.float32)}),
    }


def json_lies(good, fields):
    """A JSON file and what a hostile one may say in each of its fields."""
    plain = {"pickle": PICKLE, "yaml": YAML, "deep": b"[" * 200_000, "digits": b"9" * 10_000, "list": b"[]"}
    values = [CODE, "../../ran", [], None, -1, 2**62, [2**62], ["../../ran"], 1e308]
    for field in fields:
        for i, value in enumerate(values):
            plain[f"{field} {i}"] = json.dumps(good | {field: value}).encode()
    return plain


def spoilt(home, file, data):
    """A copy of a directory with other bytes in one file."""
    global watching
    watching, copy = False, home.parent / "spoilt"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy, copy_function=os.link)
    (copy / file).unlink()
    (copy / file).write_bytes(data)
    watching = True
    return copy


def cases(here):
    """``(name, how to load it)``, the good ones first."""
    good, spec = here / "good", resolve("gym:CartPole-v1")
    yield "good policy", lambda: load(good)(np.zeros(4, np.float32))
    for name, data in safetensors_lies().items():
        yield f"policy weights: {name}", lambda data=data: load(spoilt(good, "policy/seed-0.safetensors", data))
    described = json.loads((good / "policy" / "policy.json").read_text(encoding="utf-8"))
    for name, data in json_lies(described, described).items():
        yield f"policy.json: {name}", lambda data=data: load(spoilt(good, "policy/policy.json", data))
    yield (
        "policy: a network of 10^18 weights",
        lambda: load(
            spoilt(good, "policy/policy.json", json.dumps(described | {"net": "mlp:1000000000,1000000000"}).encode())
        ),
    )

    variables = encoder_network((12, 12, 1), "conv:4")[0].init(jax.random.key(0))
    whole = type(variables)({"encoder": variables.params}, {"encoder": variables.stats})
    export(here / "siamese" / "encoder", SiameseConfig(method="byol", encoder="conv:4"), (12, 12, 1), {0: whole})
    yield "good encoder", lambda: load_encoder(here / "siamese")
    for name, data in safetensors_lies().items():
        yield (
            f"encoder weights: {name}",
            lambda data=data: load_encoder(spoilt(here / "siamese", "encoder/seed-0.safetensors", data)),
        )
    told = json.loads((here / "siamese" / "encoder" / "encoder.json").read_text(encoding="utf-8"))
    for name, data in json_lies(told, told).items():
        yield (
            f"encoder.json: {name}",
            lambda data=data: load_encoder(spoilt(here / "siamese", "encoder/encoder.json", data)),
        )

    rows = np.zeros((3, 4), np.float32)
    steps = Timestep(
        rows, np.zeros(3, np.int32), np.ones(3, np.float32), np.ones(3, np.float32), rows, np.ones(3, bool)
    )
    (here / "data").mkdir()
    save_dataset(here / "data" / "d.safetensors", steps, spec, "random", 0)
    yield "good data set", lambda: load_dataset(here / "data" / "d.safetensors", spec)
    arrays = {name: np.ascontiguousarray(column) for name, column in steps._asdict().items()}
    lies = safetensors_lies()
    for field, value in [("env", CODE), ("obs_shape", CODE), ("obs_shape", "[1e9]"), ("obs_dtype", "O"), ("seed", "x")]:
        metadata = {
            "format": "qtwin-dataset-1", "env": spec.id, "obs_shape": "[4]", "obs_dtype": "float32", "num_actions": "2",
            "num_states": "", "transitions": "3", "behaviour": "random", "seed": "0",
        }  # fmt: skip
        lies[f"{field} is {value}"] = save(arrays, metadata | {field: value})
    for name, data in lies.items():
        yield (
            f"data set: {name}",
            lambda data=data: load_dataset(spoilt(here / "data", "d.safetensors", data) / "d.safetensors", spec),
        )

    plain, pictures = np.zeros((5, 8, 8, 1), np.float32), here / "data" / "pictures"
    pictures.mkdir()
    np.savez(here / "data" / "plain.npz", images=plain)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(pictures / "a.png")
    Image.init()
    yield "good images", lambda: (load_images(str(here / "data" / "plain.npz")), load_images(str(pictures)))
    objects = np.array([Canary()], dtype=object)
    np.save(here / "data" / "objects.npy", objects, allow_pickle=True)
    np.savez(here / "data" / "objects.npz", images=objects)
    huge = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    huge += b"{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904, 2, 2), }".ljust(117) + b"\n"
    code = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + CODE.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(here / "data" / "out.npz", "w") as archive:
        archive.writestr("../../ran.npy", huge)
        archive.writestr("images.npy", code)
    for name, data in [("huge", huge), ("code", code), ("pickle", PICKLE), ("zip", b"PK\x03\x04" + b"\0" * 30)]:
        for ending in ("npy", "npz"):
            (here / "data" / f"{name}.{ending}").write_bytes(data)
    (pictures / "a.png").write_bytes(PICKLE)
    for file in sorted((here / "data").glob("*.np[yz]")):
        yield f"images: {file.name}", lambda file=file: load_images(str(file))
    yield "images: pictures", lambda: load_images(str(pictures))

    yield "good config", lambda: resumed(good)
    yield "good names", lambda: resolve("no such environment")
    yield "good log points", lambda: Logs(spoilt(good, "metrics.jsonl", b""), (0,), 10).close()
    config = json.loads((good / "config.json").read_text(encoding="utf-8"))
    for name, data in json_lies(config, config).items():
        yield f"config.json: {name}", lambda data=data: resumed(spoilt(good, "config.json", data))
    for field in config["config"]:
        for value in (CODE, "../../ran", "os:system", "gym:os:system", "module:Class-v0"):
            if isinstance(config["config"][field], str):
                data = json.dumps(config | {"config": config["config"] | {field: value}}).encode()
                yield f"config.json: {field} {value}", lambda data=data: resumed(spoilt(good, "config.json", data))
    for data in (PICKLE, YAML, CODE.encode()):
        for ending in ("json", "toml", "yaml"):
            (here / "data" / f"request.{ending}").write_bytes(data)
            yield (
                f"--config {ending}",
                lambda ending=ending: refused(["train", "--config", str(here / "data" / f"request.{ending}")]),
            )
    for link in ("checkpoints", "policy", "metrics.jsonl", ".lock"):
        yield (
            f"a link at {link}",
            lambda link=link: refused(
                ["train", "gym:CartPole-v1", "--resume", "--out", str(linked(good, link)), "--quiet"]
            ),
        )

    fleet = fleet_of(little_dqn(replay=64), walk(), 4, (0,))
    states = [fleet.snapshot(0)]
    path = checkpoint.write(here / "saved" / "checkpoints", 1, 0, (0,), states)
    quiet = Screen(1, 0, True)
    yield "good checkpoint", lambda: Saver(path.parent, fleet, quiet).go_on()
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    inside = path.relative_to(here / "saved")
    for name, data in json_lies(manifest, [*manifest, "columns"]).items():
        for honest in (False, True):
            if honest and name.partition(" ")[0] in (*manifest, "columns"):
                lie = json.loads(data)
                data = json.dumps(lie | {"closing": checkpoint.closing(lie)}).encode()
            yield (
                f"manifest: {name}, closed {honest}",
                lambda data=data: Saver(
                    spoilt(here / "saved", inside / "manifest.json", data) / "checkpoints", fleet, quiet
                ).go_on(),
            )
    for name, data in safetensors_lies().items():
        yield f"checkpoint: {name}", lambda data=data: signed(here, inside, data, fleet, quiet)
    for name, data in {
        "pickle": PICKLE,
        "yaml": YAML,
        "deep": b"[" * 200_000,
        "list": b"[1]\n",
        "number": b"7",
    }.items():
        yield f"metrics.jsonl: {name}", lambda data=data: Logs(spoilt(good, "metrics.jsonl", data), (0,), 10).close()


def signed(here, inside, data, fleet, quiet):
    """A checkpoint of hostile bytes whose hashes are right."""
    copy = spoilt(here / "saved", inside / "seed-0.safetensors", data) / inside
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["sha256"] = {"seed-0.safetensors": hashlib.sha256(data).hexdigest()}
    (copy / "manifest.json").write_text(
        json.dumps(manifest | {"closing": checkpoint.closing(manifest)}), encoding="utf-8"
    )
    return Saver(copy.parent, fleet, quiet).go_on()


def linked(good, name):
    """A run directory with a link in it that leads out."""
    global watching
    copy = spoilt(good, "metrics.jsonl", b"")
    elsewhere, watching = Path(sys.argv[1]).resolve().parent / "elsewhere", False
    elsewhere.mkdir(exist_ok=True)
    there = copy / name
    shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)
    there.symlink_to(elsewhere if name in ("checkpoints", "policy") else elsewhere / "file")
    watching = True
    return copy


def resumed(out):
    """The request to go on with a run, up to where JAX would be needed."""
    return build("gym:CartPole-v1", resume=True, out=str(out))


def refused(words):
    code = main(words)
    if code == 2:
        raise Refusal("exit code 2")
    return code


def run():
    global watching, allowed
    here = Path(sys.argv[1]).resolve()
    allowed = str(here)
    for command in COMMANDS.values():  # what a command imports when it is asked for is no doing of a file
        imported(command.options), imported(command.run)
    sys.addaudithook(hook)
    tried, ends, happened = 0, {}, []
    for name, how in cases(here):
        watched = not name.startswith("good")
        for _ in range(1 if watched else 2):
            watching = watched
            try:
                how()
                end = "loaded"
            except Refusal:
                end = "refused"
            except Exception as error:
                end = f"{type(error).__name__}: {str(error)[:200]}"
            watching = False
        happened += [[name, *event] for event in events if watched]
        events.clear()
        tried += watched
        ends.setdefault(end, []).append(name)
    return {"tried": tried, "ends": ends, "events": happened}


if __name__ == "__main__":
    print(json.dumps(run()))
