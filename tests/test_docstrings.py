"""Public docstrings: their examples run and print what they say, and the shapes that they name are contracts."""

import doctest
import importlib
from pathlib import Path

import jax.numpy as jnp
import pytest

from qtwin.acting import exploration
from qtwin.td import distributions, losses, targets

ONES, VALUES = jnp.ones(3), jnp.ones((3, 2))
PACKAGE = Path(__file__).parents[1] / "qtwin"
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module(module):
    told = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert told.attempted, module
    assert not told.failed, module


def test_there_are_examples():
    assert len(MODULES) >= 4, MODULES


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (targets.max_target, (ONES[:, None], ONES, VALUES)),  # would broadcast to [B, B]
        (targets.max_target, (ONES, ONES, VALUES[0])),
        (targets.double_target, (ONES, ONES, VALUES, VALUES[:, :1])),
        (targets.value_target, (ONES, ONES, ONES[:2])),
        (targets.lambda_returns, (ONES, ONES, ONES, ONES, 0.5)),
        (targets.q_of_action, (VALUES, ONES[:, None])),
        (losses.regression, ("mse", VALUES)),
        (losses.regression, ("mse", ONES, VALUES)),
        (distributions.of_action, (VALUES, ONES)),
        (distributions.categorical_target, (ONES, ONES, VALUES, ONES)),
        (exploration.epsilon_greedy, (VALUES[0], 0.1, None)),
    ],
)
def test_shapes_are_contracts(function, arguments):
    """Where numpy would broadcast to something of another meaning, a public function says so."""
    with pytest.raises(AssertionError, match=r"shape|rank"):
        function(*arguments)
