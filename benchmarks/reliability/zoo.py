"""Row 8 of docs/reliability.md: no false alarm. Tries out every environment that can be made here, as a run does first.

    python benchmarks/reliability/zoo.py        a minute or two; more environments with the extras atari, mujoco, box2d

Gymnasium's own of the newest version, ale-py's games through Gymnasium, and gymnax's.
"""

from __future__ import annotations

import collections
import os
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, options, parse, show, skipped, write_result


def main() -> None:
    args = parse(options(__doc__, RESULTS / "reliability_zoo.json"))
    if not args.show:
        warnings.simplefilter("ignore")
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        write_result(args.out, tried_out(2 if args.smoke else None))
    show(args.out)


def tried_out(first: int | None) -> dict:
    """Tries out the first so many environments of each home, or all (None)."""
    from qtwin.envs.catalog import resolve
    from qtwin.envs.env_checker import try_jax
    from qtwin.envs.gymnax_specs import GYMNAX
    from qtwin.envs.make import make, try_out
    from qtwin.errors import Refusal

    tried, refused, left_out = collections.Counter(), {}, {}
    for home, names in hosted().items():
        for name in names[:first]:
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
    for name in list(GYMNAX)[:first]:
        tried["gymnax"] += 1
        try:
            try_jax(make(resolve(f"gymnax:{name}")))
        except Refusal as reason:
            refused[name] = str(reason)
    return {"tried": dict(tried), "refused": refused, "cannot_be_made_here": left_out}


def hosted() -> dict[str, list[str]]:
    """The newest version of every environment that Gymnasium has registered, by home."""
    import gymnasium as gym

    try:
        import ale_py

        gym.register_envs(ale_py)
    except ImportError:
        skipped("ale-py is not installed: none of its games are tried")
    newest = {}
    for name, spec in gym.registry.items():
        if not name.startswith("GymV") and (spec.namespace or "") in ("", "ALE"):
            family = (spec.namespace, spec.name)
            newest[family] = max(newest.get(family, (-1, "")), (spec.version or 0, name))
    names = sorted(name for _, name in newest.values())
    return {
        "ALE": [name for name in names if name.startswith("ALE/")],
        "Gymnasium": [name for name in names if not name.startswith("ALE/")],
    }


if __name__ == "__main__":
    main()
