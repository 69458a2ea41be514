"""Row 3 of docs/reliability.md: checkpoints damaged at random; each has to be found before an array is used.

    python benchmarks/reliability/damage.py [--trials 500]

A short run leaves three checkpoints. Each trial damages one or two files of the newest, in one trial of four those of
the one before it as well, and asks for the newest good one: it has to be the right one, with the bytes that were saved,
and each that was passed over has to be named with a file and a reason.
"""

from __future__ import annotations

import collections
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, options, parse, show, write_result

from qtwin.cli import main as qtwin
from qtwin.run import checkpoint
from qtwin.storage import block_store

RUN = [
    "train", "CartPole-v1", "--net", "mlp:16", "--steps", "1300", "--warmup", "100", "--batch", "8", "--replay", "500",
    "--log-points", "1", "--checkpoints", "3", "--keep", "last:3", "--eval-episodes", "1", "--seeds", "2", "--quiet",
]  # fmt: skip
KINDS = ("a bit flipped", "cut short", "zeroed", "emptied", "deleted", "other bytes", "bytes added", "a newer version")


def spoil(rng: random.Random, file: Path, kind: str) -> bool:
    """Damages a file; False where its bytes came out as they were."""
    before = file.read_bytes()
    data, place = bytearray(before), rng.randrange(len(before))
    if kind == "a bit flipped":
        data[place] ^= 1 << rng.randrange(8)
    elif kind == "cut short":
        del data[place:]
    elif kind == "zeroed":
        data[place : place + 512] = bytes(len(data[place : place + 512]))
    elif kind == "emptied":
        data.clear()
    elif kind == "other bytes":
        data = bytearray(rng.randbytes(len(data)))
    elif kind == "bytes added":
        data += rng.randbytes(rng.randint(1, 512))
    elif kind == "a newer version":
        manifest = json.loads(data) | {"format": checkpoint.FORMAT + rng.randint(1, 9)}
        data = json.dumps(manifest | {"closing": checkpoint.closing(manifest)}).encode()
    if kind == "deleted":
        file.unlink()
    else:
        file.write_bytes(data)
    return kind == "deleted" or bytes(data) != before


def bytes_of(path: Path, manifest: dict) -> str:
    """One hash over all that a checkpoint consists of."""
    whole = hashlib.sha256()
    for file in sorted(
        [*path.iterdir(), *(path.parent / "blocks" / name for name in sorted(block_store._names([manifest])))]
    ):
        whole.update(file.read_bytes())
    return whole.hexdigest()


def main() -> None:
    parser = options(__doc__, RESULTS / "reliability_damage.json")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parse(parser)
    if not args.show:
        block, block_store.BLOCK_BYTES = (
            block_store.BLOCK_BYTES,
            1024,
        )  # so that a replay this small is cut into blocks as well
        try:
            write_result(args.out, damaged(4 if args.smoke else args.trials, args.seed))
        finally:
            block_store.BLOCK_BYTES = block
    show(args.out)


def damaged(trials: int, seed: int) -> dict:
    """Damages the checkpoints of one run so many times; what was found."""
    rng, kinds, found, began = random.Random(seed), collections.Counter(), collections.Counter(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run, copy = Path(folder) / "run", Path(folder) / "copy"
        if qtwin([*RUN, "--out", str(run)]):
            raise SystemExit("the run failed")
        paths = sorted((run / "checkpoints").glob("cycle-*"))
        manifests = [checkpoint.read_manifest(path) for path in paths]
        needed = [block_store._names([manifest]) for manifest in manifests]
        good = [bytes_of(*pair) for pair in zip(paths, manifests, strict=True)]
        trial = 0
        while trial < trials:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(run / "checkpoints", copy)
            bad, changed = (2, 1) if rng.random() < 0.25 else (2,), []
            for which in bad:
                older = set().union(*needed[:which]) if which == min(bad) else needed[0]
                own = sorted(needed[which] - older)
                files = [file.name for file in paths[which].iterdir()]
                for _ in range(rng.choice([1, 1, 2])):
                    kind = rng.choice(KINDS)
                    block = own and rng.random() < 0.3 and kind != "a newer version"
                    name = "manifest.json" if kind == "a newer version" else rng.choice(own if block else files)
                    file = copy / ("blocks" if block else paths[which].name) / name
                    if file not in [each for _, _, each in changed] and spoil(rng, file, kind):
                        changed.append((which, kind, file))
            if {which for which, _, _ in changed} != set(bad):
                continue  # nothing was changed after all
            told: list[str] = []
            taken = checkpoint.newest(copy, told)
            right = taken is not None and taken[0].name == paths[min(bad) - 1].name
            right = right and bytes_of(*taken) == good[min(bad) - 1] and len(told) == len(bad)
            named = all(any(str(file) in reason for _, _, file in changed) for reason in told)
            kinds.update(kind for _, kind, _ in changed)
            found["found, and the newest good one taken with its bytes"] += right
            found["named with file and reason"] += right and named
            if not (right and named):
                print(f"trial {trial}: {changed}: {told}", flush=True)
            trial += 1
    table = {"trials": trial, "asked_for_by_default": 500, **found, "damages": dict(sorted(kinds.items()))}
    return table | {"seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    main()
