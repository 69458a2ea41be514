"""The house: every import runs downward, no two files import each other, and plain data is read without JAX."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "qtwin"
FILES = sorted(PACKAGE.rglob("*.py"))
ENTRIES = 28  # at the package's root, `__main__.py`, `py.typed` and `__init__.py` apart
LONGEST_FILE, LONGEST_FUNCTION = 300, 60  # lines, of a function without its docstring

# What the command line reads before it knows that a request makes sense.
PLAIN_ROOMS = ("cli", "config", "request", "storage", "target_update")
PLAIN = "without importing JAX"

BLOCKED = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jax", "jaxlib", "flax", "optax", "chex"):
            raise ImportError(f"{name} is imported")

sys.meta_path.insert(0, Blocked())
for name in sys.stdin.read().split():
    importlib.import_module(name)
"""


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_imports_run_downward_and_nowhere_in_a_circle():
    """The contracts in pyproject.toml."""
    pytest.importorskip("importlinter")
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_command_line_reads_needs_no_jax():
    plain = []
    for file in FILES:
        room = file.relative_to(PACKAGE).parts[0]
        if room in PLAIN_ROOMS or PLAIN in (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""):
            plain.append(module_of(file))
    assert len(plain) > 60
    done = subprocess.run([sys.executable, "-c", BLOCKED], input="\n".join(plain), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@functools.cache
def names_of(module: str) -> set[str]:
    """What can be imported from a module of the package: what stands at its top, and its submodules."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.exists():
        return set()
    found = {entry.stem for entry in path.iterdir()} if path.is_dir() else set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def test_every_import_of_the_package_leads_somewhere():
    """In functions too, which nothing else looks at until they run; `make_exports.py` is for a commit of before."""
    wrong = []
    for file in [
        *FILES,
        *(file for base in ("benchmarks", "examples", "tests") for file in (ROOT / base).rglob("*.py")),
    ]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))) if file.name != "make_exports.py" else ():
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "qtwin":
                there = names_of(node.module)
                wrong += [f"{file.name}: {node.module}.{alias.name}" for alias in node.names if alias.name not in there]
    assert not wrong, wrong


def test_the_root_shows_the_house():
    entries = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith(("__", "py.typed"))}
    assert len(entries) <= ENTRIES, sorted(entries)
    assert {"twin", "rates", "algorithm", "processes"} <= entries


@pytest.mark.parametrize("kind", ["files", "functions"])
def test_what_is_read_at_a_stretch_is_short(kind):
    long = []
    for file in FILES:
        text = file.read_text("utf-8")
        if kind == "files" and text.count("\n") > LONGEST_FILE:
            long.append(f"{file.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)) if kind == "functions" else ():
            if isinstance(node, ast.FunctionDef):
                told = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (told.count("\n") + 1 if told else 0)
                if lines > LONGEST_FUNCTION:
                    long.append(f"{file.relative_to(ROOT)}: {node.name}: {lines} lines")
    assert not long, long
