"""The public surface is clean for type checkers (pyright, basic), as pyproject.toml lists it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed")
def test_the_public_surface_is_clean():
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
        cwd=Path(__file__).parents[1], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_come_with_the_package():
    assert (Path(__file__).parents[1] / "qtwin" / "py.typed").exists()
