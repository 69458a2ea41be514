"""Can the laws still fail? Wrong lines of the package, each with tests that have to notice it.

    python tests/named_mutants.py [NAME ...]

Each is made in a copy of the tree, and its tests run until the first fails. `benchmarks/reliability/mutants.py` draws
hundreds at random; these were chosen, from all parts, and are looked at when it is the tests that are changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("qtwin", "tests", "examples", "benchmarks", "docs", "pyproject.toml", "README.md", "CONTRIBUTING.md")


class Mutant(NamedTuple):
    """One wrong line: what stands in ``file``, what would stand there, and the tests that notice."""

    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


MUTANTS = {
    "twin: the target learns as the online network does": Mutant(
        "qtwin/twin.py",
        "return dataclasses.replace(self, online=online, target_variables=target_variables)",
        "return dataclasses.replace(self, online=online, target_variables=target_variables and online)",
        ("tests/test_update_target.py", "-k", "law_5_hard"),
    ),
    "target update: a soft target moves by the fraction that is to be kept": Mutant(
        "qtwin/target_update/rules.py",
        "return memory, mixed(tau, online, target)",
        "return memory, mixed(1 - tau, online, target)",
        ("tests/test_update_target.py", "-k", "law_5"),
    ),
    "rates: a cycle of several environments is rounded": Mutant(
        "qtwin/rates.py",
        "transitions = math.lcm(rates.collect, envs)",
        "transitions = max(rates.collect, envs) // envs * envs",
        ("tests/test_engine.py", "-k", "law_2"),
    ),
    "replay: of n steps the first alone is discounted": Mutant(
        "qtwin/replay/nstep.py",
        "gamma**k * data.reward[here]",
        "gamma**min(k, 1) * data.reward[here]",
        ("tests/test_probes.py", "-k", "3-step"),
    ),
    "replay: the oldest transition is never drawn again once the ring is full": Mutant(
        "qtwin/replay/ring.py",
        "return (state.head - state.size + age_rank) % self.capacity",
        "return (state.head + age_rank) % self.capacity",
        ("tests/test_replay.py", "tests/test_probes.py", "-k", "sample or 3-step"),
    ),
    "TD target: the action is valued by the network that chose it": Mutant(
        "qtwin/td/targets.py",
        "value = jnp.take_along_axis(q_next, chosen[:, None], axis=-1)[:, 0]",
        "value = jnp.take_along_axis(q_next_online, chosen[:, None], axis=-1)[:, 0]",
        ("tests/test_targets_losses.py",),
    ),
    "TD target: what is terminal is worth something": Mutant(
        "qtwin/td/targets.py",
        "return jax.lax.stop_gradient(reward + discount * value_next)",
        "return jax.lax.stop_gradient(reward + jnp.maximum(discount, 0.9) * value_next)",
        ("tests/test_continuous_probes.py", "-k", "best_actions and ddpg"),
    ),
    "loss: errors are clipped at another size": Mutant(
        "qtwin/td/losses.py",
        "inside = jnp.minimum(size, 1.0)",
        "inside = jnp.minimum(size, 2.0)",
        ("tests/test_targets_losses.py",),
    ),
    "actor: the critics' weights shrink at each step of it": Mutant(
        "qtwin/processes/regress.py",
        "pair = pair.learn(Variables({**pair.online.params, **improved}, stats))",
        "pair = pair.learn(Variables({k: optax.tree.scale(0.999, v) for k, v in pair.online.params.items()}"
        " | improved, stats))",
        ("tests/test_continuous_probes.py", "-k", "best_actions and crossq"),
    ),
    "engine: the target moves one gradient step late": Mutant(
        "qtwin/processes/update_target.py",
        "return Target(rule, lambda s: rule.due(s.memory, s.clock), move, read, write)",
        "return Target(rule, lambda s: rule.due(s.memory, s.clock._replace(age=s.clock.age - 1)), move, read, write)",
        ("tests/test_engine.py", "-k", "law_2"),
    ),
    "hosted engine: its counter of transitions falls behind": Mutant(
        "qtwin/engine/hosted.py",
        "done += turn.transitions",
        "done += turn.envs",
        ("tests/test_hosted.py", "-k", "law_7 and CartPole"),
    ),
    "resume: the log begins anew": Mutant(
        "qtwin/run/carry_out.py",
        "start if options.resume else None",
        "None if options.resume else None",
        ("tests/test_survive.py", "-k", "killed_at_any_moment and CartPole and more2"),
    ),
    "resume: a run that was killed begins anew": Mutant(
        "qtwin/run/checkpoint_manager.py",
        "return self._restore(*found, again=False)",
        "return self._restore(*found, again=False) * 0",
        ("tests/test_survive.py", "-k", "killed_at_any_moment and probe and more0"),
    ),
    "resume: a stopped run ends with exit code 0": Mutant(
        "qtwin/interrupts.py",
        "self.exit_code = 128 + signal_number",
        "self.exit_code = 0 * signal_number",
        ("tests/test_train.py", "-k", "law_8 and more0"),
    ),
    "policy: every seed's file holds the first seed's weights": Mutant(
        "qtwin/run/export.py",
        "network = acting(config, online)",
        "network = acting(config, next(iter(variables.values())))",
        ("tests/test_policy_in_numpy.py", "tests/test_train.py", "-k", "not law_8 and not preset"),
    ),
    "supervised environments: what was under way when one was lost is stored": Mutant(
        "qtwin/envs/supervised.py",
        '"lost": which}',
        '"lost": which & False}',
        ("tests/test_supervised.py",),
    ),
    "command line: a wrong request ends as a broken run does": Mutant(
        "qtwin/cli/dispatch.py",
        "        told(refusal)\n        return 2",
        "        told(refusal)\n        return 1",
        ("tests/test_cli.py",),
    ),
}  # fmt: skip


def noticed(mutant: Mutant, copy: Path) -> tuple[bool, str]:
    """Whether a test fails, and the last line that pytest says."""
    file = copy / mutant.file
    before = file.read_text(encoding="utf-8")
    assert before.count(mutant.right) == 1, f"{mutant.file} has not one line with: {mutant.right}"
    file.write_text(before.replace(mutant.right, mutant.wrong), encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=-q", "-x"]
    try:
        done = subprocess.run(
            [*words, *mutant.tests],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
        )
    finally:
        file.write_text(before, encoding="utf-8")
    assert done.returncode in (0, 1, 2), done.stdout + done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode != 0, (told or done.stdout.splitlines())[-1]


def main() -> int:
    chosen, missed = [name for name in MUTANTS if not sys.argv[1:] or any(w in name for w in sys.argv[1:])], 0
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, folder)
        for name in chosen:
            began = time.perf_counter()
            found, told = noticed(MUTANTS[name], Path(folder))
            missed += not found
            print(
                f"{'noticed' if found else 'MISSED'} in {time.perf_counter() - began:.0f} s: {name}\n    {told}",
                flush=True,
            )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
