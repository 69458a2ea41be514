"""The laboratory from Python: `qtwin.compare`. Read without importing JAX."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qtwin.config.dialect import python_dialect
from qtwin.config.options import number, whole
from qtwin.errors import Refusal, nearest
from qtwin.interrupts import Stopped
from qtwin.request.handed_in import asked_of
from qtwin.types import OWN, HandedIn

HANDED_IN = ("net", "actor_net", "target")  # settings of which the thing itself can stand for its name


class Comparison(NamedTuple):
    """A comparison that has been run.

    Attributes:
      path: its directory, with ``compare.json`` and ``report.html``.
      results: what ``compare.json`` holds.
    """

    path: Path
    results: dict

    @property
    def eval_return(self) -> dict[str, list[float]]:
        """By cell, each seed's mean greedy return at the end; only cells that have run to their end."""
        return {cell["label"]: cell["final"]["seeds"] for cell in self.results["cells"] if "final" in cell}

    @property
    def table(self) -> str:
        """The table that the command line shows."""
        from qtwin.lab.table import table

        return table(self.results)

    def __repr__(self) -> str:
        done = sum(cell["status"] == "done" for cell in self.results["cells"])
        return f"Comparison({done} of {len(self.results['cells'])} cells done, {str(self.path)!r})"


@python_dialect()
def compare(
    env: Any,
    *,
    agents: Any = None,
    preset: Any = None,
    seeds: int = 5,
    seed: int = 0,
    out: str | Path | None = None,
    budget: float | None = None,
    eval_episodes: int = 100,
    eval_max_steps: int = 0,
    log_points: int = 20,
    engine: str = "auto",
    quiet: bool = False,
    version: str = "",
    **settings: Any,
) -> Comparison:
    """Trains every combination of some settings and measures what the choice does: ``qtwin compare`` as a function.

        qtwin.compare("CartPole-v1", target=["hard:50", "soft:0.02", "tied"], steps=100_000)

    A setting with a list of values is varied, any other is shared by all cells. Cells run as processes over the cores;
    those with something that was handed in run in this process, one after another, their seeds side by side, and so do
    all of them where this process has registered records of its own (`qtwin.register`).

    Args:
      env: the environment, as for `qtwin.train`.
      agents: one algorithm or a list of them, each as for `qtwin.train`. A function (EnvSpec, Config) -> Algorithm is
        varied by every setting; of an `Algorithm` only the target update and the rates can be.
      preset: one or a list of presets.
      seeds: seeds of each cell.
      seed: the first of them.
      out: the comparison's directory; named by its content under ``runs/`` if left out. The same call continues it.
      budget: refuse a grid that would take longer. [minutes]
      eval_episodes, eval_max_steps, log_points, engine, version: as for `qtwin.train`.
      quiet: print nothing.
      **settings: as for `qtwin.train`, each with one value or a list of values.

    Returns:
      the comparison, whose cells may have failed: ``results`` says which.

    Raises:
      Refusal: a combination makes no sense, there is nothing to compare, or it would take longer than the budget.
      qtwin.interrupts.Stopped: a signal came; the same call goes on from the last checkpoints.
    """
    from qtwin.agents.catalog import every_setting
    from qtwin.lab import compare as lab
    from qtwin.lab.grid import PLAN, Protocol, cells_of, default_folder
    from qtwin.lab.results import collect

    if "agent" in settings:
        if agents is not None:
            raise Refusal("agent and agents are the same argument here, and both came; leave one of them out")
        agents = settings.pop("agent")
    kwargs = settings.pop("env_kwargs", None)
    shared = asked_of(env, None, {} if kwargs is None else {"env_kwargs": kwargs}, None)
    given = {"agent": agents, "preset": preset} | settings | shared.settings
    options = {name: _names(name, value) for name, value in given.items() if value is not None}
    protocol = Protocol(
        shared.env,
        whole(seeds, "seeds", 1),
        whole(seed, "seed", 0),
        whole(eval_episodes, "eval_episodes", 1),
        whole(log_points, "log_points", 1),
        engine,
        whole(eval_max_steps, "eval_max_steps", 0),
        version=version,
    )
    known = every_setting()
    for name in options:
        if name not in known and name not in ("agent", "preset"):
            raise Refusal(f"there is no setting '{name}' to compare{nearest(name, known)}")
    cells = cells_of(protocol, options)
    folder = Path(out) if out is not None else default_folder(protocol, cells)
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"out is a directory, and {folder} is a file; write another out")
    if not version and not quiet and (folder / PLAN).exists():
        _note_code(cells)
    minutes = None if budget is None else number(budget, "budget")
    code = lab.run(folder, protocol, cells, _call(protocol, options), minutes, quiet)
    if code >= 128:
        raise Stopped(code - 128)
    return Comparison(folder, collect(folder))


def _note_code(cells: list[Any]) -> None:
    """Says whose code nobody can compare, in a comparison that goes on."""
    from qtwin.lab.grid import is_own

    own = {str(value) for cell in cells for value in vars(cell.request.config).values() if is_own(value)}
    if own:
        print(
            f"note: whether {' and '.join(sorted(own))} is still what the comparison began with cannot be checked;"
            " cells that are done are taken as they are (version='...' tells versions of your code apart)",
            file=sys.stderr,
        )


def _names(option: str, value: Any) -> list[str]:
    """The values of an option as names; two things of one name are told apart by their places."""
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    values = list(value) if isinstance(value, (list, set, range, Iterator)) or _plain_tuple(value) else [value]
    named: list[Any] = []
    for each in values:
        name: Any = _name(option, each)
        if isinstance(name, HandedIn):
            others = [other for other in named if isinstance(other, HandedIn)]
            same = [other for other in others if other.partition("#")[0] == name]
            if same and all(other.thing is not name.thing for other in others):
                name = HandedIn(f"{name}#{len(same) + 1}", name.thing, name.module)
        named.append(name)
    return named


def _name(option: str, value: Any) -> str:
    if option in ("agent", "agents"):
        return asked_of("", value, {}, None).agent or ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, np.generic):
        return _name(option, value.item())
    if value is None or (option not in HANDED_IN and not isinstance(value, str)):
        raise Refusal(f"{option} takes one value or a list of them, and {value!r:.100} came as a value")
    name = asked_of("", None, {option: value}, None).settings[option]
    return name if name.startswith(OWN) else str(name)  # a target update that its spec says all of


def _plain_tuple(value: Any) -> bool:
    """A tuple of values, and no NamedTuple that is a value itself (an `Algorithm`, a `Net`, a `TargetUpdate`)."""
    return isinstance(value, tuple) and not hasattr(value, "_fields")


def _call(protocol: Any, options: Mapping[str, Sequence[str]]) -> str:
    """The call in Python, as the report shows it."""
    given = {name: [_shown(each) for each in values] for name, values in options.items()}
    lists = {name: values[0] if len(values) == 1 else f"[{', '.join(values)}]" for name, values in given.items()}
    words = [f"{name}={values}" for name, values in lists.items()]
    return f"qtwin.compare({', '.join([_shown(protocol.env), *words, f'seeds={protocol.seeds}'])})"


def _shown(name: str) -> str:
    """A value as the call has it: a name in quotes, something that was handed in without."""
    return name.removeprefix(OWN) if isinstance(name, HandedIn) and name.startswith(OWN) else repr(str(name))
