"""Row 8 of docs/reliability.md: no false alarm. Tries out every environment that can be made here, as a run does first.

    python benchmarks/reliability/zoo.py        a minute or two; more environments with the extras atari, mujoco, box2d

Gymnasium's own of the newest version, ale-py's games through Gymnasium, and gymnax's.
"""

from __future__ import annotations

import collections
import json
import os
from pathlib import Path

import gymnasium as gym

from qtwin.envs.catalog import GYMNAX, resolve
from qtwin.envs.make import make, try_out
from qtwin.envs.trial import try_jax
from qtwin.errors import Refusal

RESULT = Path(__file__).resolve().parent.parent / "results" / "reliability_zoo.json"


def main() -> None:
    import warnings

    warnings.simplefilter("ignore")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    try:
        import ale_py

        gym.register_envs(ale_py)
    except ImportError:
        print("ale-py is not installed: none of its games are tried")
    newest = {}
    for name, spec in gym.registry.items():
        if not name.startswith("GymV") and (spec.namespace or "") in ("", "ALE"):
            family = (spec.namespace, spec.name)
            newest[family] = max(newest.get(family, (-1, "")), (spec.version or 0, name))
    tried, refused, left_out = collections.Counter(), {}, {}
    for _, name in sorted(newest.values(), key=lambda pair: pair[1]):
        home = "ALE" if name.startswith("ALE/") else "Gymnasium"
        try:
            spec = resolve(f"gym:{name}")
        except Refusal as reason:  # a package that is missing, spaces that no agent here takes
            left_out[name] = str(reason)
            continue
        try:
            tried[home] += 1
            try_out(spec)
        except Refusal as reason:
            refused[name] = str(reason)
    for name in GYMNAX:
        tried["gymnax"] += 1
        try:
            try_jax(make(resolve(f"gymnax:{name}")))
        except Refusal as reason:
            refused[name] = str(reason)
    result = {"tried": dict(tried), "refused": refused, "cannot_be_made_here": left_out}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
