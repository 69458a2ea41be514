"""Do the tests notice a wrong line? Mutants of the modules that hold the mathematics, each run against their tests.

    python benchmarks/reliability/mutants.py              at most two hours; called again, goes on where it stopped
    python benchmarks/reliability/mutants.py --again      tries what was not killed, with the tests as they are now
    python benchmarks/reliability/mutants.py --show       prints the committed result
    python benchmarks/reliability/mutants.py --smoke      seconds: one mutant that arithmetic by hand kills

The mutants are those of cosmic-ray's operators. It runs in an environment of its own (`requirements-mutants.txt`), made
at the first call. Left out before the draw, because no test can or need tell them apart:

* what stands in a type annotation, in a ``raise`` statement (its message), or under ``if TYPE_CHECKING``;
* an operator that becomes one of another kind: arithmetic stays arithmetic (``+ - * / // % **``), bitwise stays
  ``& | ^``, comparisons stay ``== != < <= > >=``, ``is`` becomes ``is not``; and of unary operators only the removal.
  The others nearly always raise a TypeError at once, and would make the score better than it is.

The draw has a fixed seed. It is stratified a little: ten mutants of each module, so that the short ones are looked at
too, and the rest uniformly from the mutants of all modules together. Every mutant is run on a copy of the committed
tree, never on the checkout. It is killed where a test fails or cannot be imported, timed out where its tests take a
minute and six times what they take without a mutant (ten minutes at most). Verdicts go to a file of JSON lines as they
come. A module whose code has changed since the draw is left as it was, until a new draw is made (remove runs/mutants).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import io
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from contest import interpreter
from script import RESULTS, ROOT, absent, options, parse, read, skipped, where_from, write_result
from tables import table

HERE, WORK = Path(__file__).resolve().parent, ROOT / "runs" / "mutants"


def deselected(file: str, *names: str) -> list[str]:
    return [word for name in names for word in ("--deselect", f"{file}::{name}")]


# The tests that hold each module, the quick ones first: the first that fails ends a mutant.
TESTS = {
    "qtwin/rates.py": ("tests/test_rates.py",),
    "qtwin/target_update/rules.py": (
        "tests/test_diagnostics.py::test_age_of_what_a_target_knows", "tests/test_update_target.py",
        *deselected("tests/test_update_target.py", "test_law_5_tied_is_hard_1_is_soft_1",
                    "test_until_moves_each_seed_at_its_own_time"),
        "tests/test_rates.py",
    ),
    "qtwin/td/targets.py": (
        "tests/test_targets_losses.py", "tests/test_bootstrap.py",
        "tests/test_value_losses.py::test_lambda_returns_are_rlaxs_and_stop_where_an_episode_does",
    ),
    "qtwin/td/bootstrap.py": ("tests/test_bootstrap.py",),
    "qtwin/twin.py": (
        "tests/test_update_target.py", "tests/test_bootstrap.py", "tests/test_parts.py",
        *deselected("tests/test_parts.py", "test_law_7_with_an_actor", "test_the_warm_up_acts_uniformly",
                    "test_the_optimisers_hold_no_target_leaf_and_every_part_learns"),
        "tests/test_self_predict.py::test_two_targets_each_move_at_their_own_rate",
        "tests/test_self_predict.py::test_a_sibling_that_is_tied_is_one_that_copies_at_every_step",
        "tests/test_self_predict.py::test_law_6_for_the_sibling",
    ),
    "qtwin/replay/nstep.py": ("tests/test_replay.py",),
    "qtwin/measure/diagnostics.py": (
        "tests/test_diagnostics.py",
        *deselected("tests/test_diagnostics.py", "test_over_estimation_equals_what_is_known"),  # of another module
    ),
    "qtwin/measure/statistics.py": ("tests/test_statistics.py",),
    "qtwin/siamese/augment.py": ("tests/test_augment.py",),
    "qtwin/siamese/views.py": ("tests/test_augment.py", "tests/test_siamese_passes.py", "tests/test_siamese_data.py"),
    "qtwin/replay/priority.py": (
        "tests/test_priority.py", "tests/test_replay.py",
        "tests/test_frames.py::test_priorities_over_frames_are_of_the_complete_transitions_and_of_no_other",
    ),
    "qtwin/replay/sum_tree.py": ("tests/test_priority.py",),
}  # fmt: skip
KINDS = (
    {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"},
    {"BitAnd", "BitOr", "BitXor"},
    {"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"},
    {"Is", "IsNot"},
)
LEAST = 10  # of each module
# What the tests import that is no part of this tree and begins no backend: loaded once for all mutants.
LIBRARIES = (
    "numpy", "jax", "jax.numpy", "jax.scipy.ndimage", "flax.nnx", "optax", "gymnasium", "scipy.stats", "PIL.Image",
    "safetensors.numpy", "matplotlib", "rich.console", "rich.progress", "hypothesis",
)  # fmt: skip
SMOKE = ("qtwin/rates.py", "ReplaceBinaryOperator_Mul_Add", "warmup", "tests/test_rates.py::test_cycles_by_hand")


def made(python: str, sources: dict[str, str], wanted: list | None = None) -> dict:
    """What `cosmic.py` answers: all mutants of the sources, or the texts of those that are wanted."""
    asked = json.dumps({"sources": sources, "wanted": wanted})
    words, env = [python, "-c", "import cosmic; cosmic.main()"], os.environ | {"PYTHONPATH": str(HERE)}
    done = subprocess.run(words, input=asked, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def left_out(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where no mutant counts: annotations, raise statements, what is for type checkers alone."""
    spans, lines = [], source.splitlines()

    def column(line: int, offset: int) -> int:  # ast counts bytes, cosmic-ray characters
        return len(lines[line - 1].encode()[:offset].decode())

    for node in ast.walk(ast.parse(source)):
        inner = [getattr(node, name, None) for name in ("annotation", "returns")]
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        inner += [node] if isinstance(node, ast.Raise) or checking else []
        for one in filter(None, inner):
            start, end = (one.lineno, one.col_offset), (one.end_lineno, one.end_col_offset)
            spans.append(((start[0], column(*start)), (end[0], column(*end))))
    return spans


def counts(operator: str) -> bool:
    """Whether an operator's mutants are of the kind that is drawn from."""
    kind, _, change = operator.partition("_")
    old, _, new = change.partition("_")
    if kind in ("ReplaceBinaryOperator", "ReplaceComparisonOperator"):
        return any({old, new} <= alike for alike in KINDS)
    return kind != "ReplaceUnaryOperator" or old == "Delete"


def broken(python: str, sources: dict[str, str], mutants: list) -> list:
    """Those that are no Python: now and then cosmic-ray takes the stars of ``{**these}`` for a power."""
    found = []
    for mutant, text in zip(mutants, made(python, sources, [m[:3] for m in mutants])["texts"], strict=True):
        try:
            ast.parse(text)
        except SyntaxError:
            found.append(mutant)
    return found


def drawn(python: str, sources: dict[str, str], count: int, seed: int) -> dict:
    """The mutants to try, in the order of the modules; how many there are in all."""
    answer = made(python, sources)
    spans = {path: left_out(source) for path, source in sources.items()}
    kept = [
        m for m in answer["mutants"]
        if counts(m[1]) and not any(start <= tuple(m[3]) < end for start, end in spans[m[0]])
    ]  # fmt: skip
    chance, chosen = random.Random(seed), []
    for path in sources:
        mine = [m for m in kept if m[0] == path]
        chosen += chance.sample(mine, min(LEAST, len(mine)))
    rest = [m for m in kept if m not in chosen]
    chosen += chance.sample(rest, max(0, min(count - len(chosen), len(rest))))
    while bad := broken(python, sources, chosen):
        rest = [m for m in rest if m not in chosen]
        chosen = [m for m in chosen if m not in bad]
        chosen += chance.sample(rest, min(len(bad), len(rest)))
    of = {path: sum(m[0] == path for m in kept) for path in sources}
    mutants = sorted(chosen, key=lambda m: (list(TESTS).index(m[0]), m[3], m[1], m[2]))
    return {"tool": f"cosmic-ray {answer['version']}", "seed": seed, "made": len(answer["mutants"]), "of": of,
            "mutants": [[*m[:3], m[3][0], m[5]] for m in mutants]}  # fmt: skip


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout


def commit_of_head() -> str | None:
    try:
        return git("rev-parse", "HEAD").decode().strip()
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None


def copied(commit: str, to: Path) -> None:
    """The tree of a commit."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as archive:
        archive.extractall(to, filter="data")


@contextlib.contextmanager
def forks(tree: Path, libraries: tuple[str, ...] = LIBRARIES):
    """`forks.py` in a tree, for `tried`."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPATH": os.pathsep.join([str(tree), str(HERE)]), "QTWIN_TESTS_CACHE": str(tree / ".programs")}
    process = subprocess.Popen(
        [sys.executable, "-c", "import forks; forks.main()", *libraries], cwd=tree, env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        yield process
        process.stdin.close()


def tried(process: subprocess.Popen, tests: tuple[str, ...], limit: float, bytecode: bool = False) -> tuple[str, str]:
    """Runs tests to the first that fails: "killed", "timed out" or "survived", and by which test."""
    words = ["-x", "-p", "no:xdist", "-o", "addopts=-q", "--tb=line", *tests]
    print(json.dumps({"words": words, "limit": limit, "bytecode": bytecode}), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline() or "null")
    if answer is None:
        raise SystemExit("the process that runs the tests ended")
    code, told = answer["code"], answer["told"]
    if code is None:
        return "timed out", ""
    if code == 0:
        return "survived", ""
    if code not in (1, 2, 4) and code > 0:  # 4: a test that cannot be found, since its module cannot be imported
        raise SystemExit(f"pytest ended with exit code {code}:\n{told[-3000:]}")
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", told, re.MULTILINE)
    return "killed", found[1] if found else f"exit code {code}"


def mutated(tree: Path, path: str, text: str, number: int) -> None:
    """Writes a module with a time of its own, so that no compiled file of another is taken for it."""
    (tree / path).write_text(text)
    os.utime(tree / path, (1e9 + number, 1e9 + number))


def verdicts(file: Path) -> dict[tuple, list[dict]]:
    """Every verdict on a mutant, in the order in which they came."""
    found: dict[tuple, list[dict]] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        one = json.loads(line)
        found.setdefault(tuple(one["mutant"]), []).append(one)
    return found


def summary(draw: dict, known: dict[tuple, list[dict]]) -> dict:
    """What is committed: numbers by module and every mutant that was not killed at first, with what became of it."""
    modules, survivors = {}, []
    for path, of in draw["of"].items():
        mine = [known[tuple(m[:3])] for m in draw["mutants"] if m[0] == path and tuple(m[:3]) in known]
        first, last = ([ran[i]["verdict"] for ran in mine] for i in (0, -1))
        modules[path] = {"mutants": of, "tried": len(mine)}
        modules[path] |= {verdict: first.count(verdict) for verdict in ("killed", "timed out", "survived")}
        modules[path]["survive now"] = last.count("survived")
    for mutant in draw["mutants"]:
        ran = known.get(tuple(mutant[:3]), [])
        if ran and ran[0]["verdict"] != "killed":
            about = {"module": mutant[0], "line": mutant[3], "where": mutant[4], "diff": ran[0]["diff"]}
            survivors.append(about | {"now": ran[-1]["verdict"], "by": ran[-1]["by"], "commit": ran[-1]["commit"]})
    commits = list(dict.fromkeys(one["commit"] for ran in known.values() for one in ran))
    about = {"drawn_at": draw["commit"][:12], "tests_of": [one[:12] for one in commits]}
    return about | {k: draw[k] for k in ("tool", "seed", "made")} | {"modules": modules, "survivors": survivors}


def show(file: Path) -> None:
    print(where_from(file))
    if not (result := read(file)):
        return
    columns = ("mutants", "tried", "killed", "timed out", "survived", "survive now")
    rows = [(path, *(str(numbers[c]) for c in columns)) for path, numbers in result["modules"].items()]
    total = ("together", *(str(sum(numbers[c] for numbers in result["modules"].values())) for c in columns))
    print(f"{result['tool']}, seed {result['seed']}, drawn at {result['drawn_at']}\n")
    print(table(("module", *columns), [*rows, total]))
    for one in result["survivors"]:
        print(f"\n{one['module']}:{one['line']} {one['where']}: {one['now']} {one['by']}\n{one['diff']}", end="")


def difference(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return "".join(f"{line}\n" for line in lines if not line.startswith(("---", "+++", "@@")))


def sources_of(commit: str) -> dict[str, str]:
    return {path: git("show", f"{commit}:{path}").decode() for path in TESTS}


def code(source: str) -> str:
    """What is run of a source: not its comments and docstrings, in which a draw may grow old."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def begun(python: str, work: Path, count: int, seed: int, commit: str) -> dict:
    """The draw that stands in ``work``, else a new one of this commit."""
    file = work / "drawn.json"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        draw = drawn(python, sources_of(commit), count, seed) | {"commit": commit, "count": count}
        file.write_text(json.dumps(draw))
    draw = json.loads(file.read_text())
    if (draw["count"], draw["seed"]) != (count, seed):
        raise SystemExit(f"{file} was drawn with other options; write them, or remove {work} to begin anew")
    return draw


def batch(asked: argparse.Namespace) -> None:
    """Tries what has no verdict yet, or what was not killed."""
    python, commit = interpreter("mutants", asked.mutants_python), commit_of_head()
    if commit is None:
        raise SystemExit("mutants are tried on a copy of a commit, and this is no checkout")
    draw = begun(python, asked.work, asked.count, asked.seed, commit)
    sources, present = sources_of(draw["commit"]), sources_of(commit)
    file, began = asked.work / "verdicts.jsonl", time.monotonic()
    known, limits = verdicts(file), {}
    if changed := [path for path in TESTS if code(sources[path]) != code(present[path])]:
        print(f"changed since the draw, so left as they are: {', '.join(changed)}", flush=True)
    todo = [m for m in draw["mutants"] if m[0] not in changed and (asked.only is None or m[0] in asked.only)]
    if asked.again:
        ran = {k: v[-1] for k, v in known.items()}
        todo = [m for m in todo if (one := ran.get(tuple(m[:3]))) and one["verdict"] != "killed"
                and one["commit"] != commit]  # fmt: skip
    else:
        todo = [m for m in todo if tuple(m[:3]) not in known]
    texts = made(python, sources, [m[:3] for m in todo])["texts"]
    with contextlib.ExitStack() as stack:
        tree = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qtwin-mutants-")))
        out = stack.enter_context(open(file, "a", encoding="utf-8"))
        copied(commit, tree)
        process = stack.enter_context(forks(tree))
        for number, (mutant, text) in enumerate(zip(todo, texts, strict=True)):
            path = mutant[0]
            if time.monotonic() - began > 60 * asked.minutes:
                break
            if path not in limits:
                limits[path] = unharmed(process, path)
            mutated(tree, path, text, number)
            start = time.monotonic()
            verdict, by = tried(process, TESTS[path], limits[path])
            mutated(tree, path, sources[path], -1)
            about = {"mutant": mutant[:3], "line": mutant[3], "verdict": verdict, "by": by, "commit": commit}
            about |= {"seconds": round(time.monotonic() - start, 1), "diff": difference(sources[path], text)}
            print(json.dumps(about), file=out, flush=True)
            print(
                f"{number + 1}/{len(todo)} {about['seconds']} s {path}:{mutant[3]} {mutant[1]}: {verdict} {by}",
                flush=True,
            )
    write_result(asked.out, summary(draw, verdicts(file)))
    show(asked.out)


def unharmed(process: subprocess.Popen, path: str) -> float:
    """How long a mutant's tests may take; they have to pass without one. [seconds]"""
    start = time.monotonic()
    verdict, by = tried(process, TESTS[path], 1800.0, bytecode=True)
    if verdict != "survived":
        raise SystemExit(f"the tests of {path} fail without a mutant: {verdict} {by}")
    return min(60.0 + 6.0 * (time.monotonic() - start), 600.0)


def smoke(given: str | None) -> None:
    """One mutant of the rates, killed by arithmetic by hand; nothing is made, installed or written."""
    own = ROOT / ".venv-bench" / "mutants" / "bin" / "python"
    here = None if absent("cosmic_ray") else sys.executable
    python = given or here or (str(own) if own.exists() else None)
    if python is None:
        return skipped("cosmic-ray is not installed; without --smoke an environment for it is made")
    if commit_of_head() is None:
        return skipped("this is no checkout, from which a tree could be copied")
    path, operator, where, test = SMOKE
    with tempfile.TemporaryDirectory(prefix="qtwin-mutants-") as folder:
        tree = Path(folder)
        copied("HEAD", tree)
        source = (tree / path).read_text()
        mutants = made(python, {path: source})["mutants"]
        mutant = next(m for m in mutants if m[1] == operator and m[5] == where)
        text = made(python, {path: source}, [mutant[:3]])["texts"][0]
        with forks(tree, ()) as process:
            before = tried(process, (test,), 120.0)
            mutated(tree, path, text, 0)
            after = tried(process, (test,), 120.0)
    print(f"{difference(source, text)}without: {before[0]}; with: {after[0]} by {after[1]}")
    if (before[0], after[0]) != ("survived", "killed"):
        raise SystemExit("the mutant was expected to be killed, and the tests to pass without it")


def main() -> None:
    parser = options(__doc__, RESULTS / "reliability_mutants.json")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=120.0, help="no mutant is begun after so many")
    parser.add_argument("--only", nargs="+", metavar="MODULE", choices=list(TESTS))
    parser.add_argument("--again", action="store_true", help="what was not killed, with the tests as committed")
    parser.add_argument("--mutants-python", help="an interpreter with cosmic-ray, instead of making one")
    parser.add_argument("--work", type=Path, default=WORK, help="where the draw and the verdicts are kept")
    asked = parse(parser)
    if asked.show:
        show(asked.out)
    elif asked.smoke:
        smoke(asked.mutants_python)
    else:
        batch(asked)


if __name__ == "__main__":
    main()
