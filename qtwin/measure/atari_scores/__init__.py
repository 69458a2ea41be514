"""Published Atari scores, and a run beside them. Where each table comes from stands in README.md beside it.

Read without importing JAX.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources
from typing import NamedTuple

NATURE = "atari_nature_dqn_2015"  # Mnih et al. 2015, Extended Data Table 2
LATER = "atari_random_human_57"  # DQN Zoo's atari_data.py, by which later papers normalise
DOPAMINE = "atari_dopamine_200m"  # Dopamine's baselines, training returns with sticky actions
AT_100K = "atari_100k"  # Cetin et al. 2022, table 5
TABLES = (NATURE, LATER, DOPAMINE, AT_100K)
SPELLINGS = {"montezumasrevenge": "montezumarevenge", "upanddown": "upndown"}


class Row(NamedTuple):
    """One line beside a run.

    Attributes:
      who: the player, and where its score stands.
      score: mean undiscounted return.
      nature: normalised by the random and human players of Mnih et al. 2015; None where they did not play the game.
      later: normalised by those of later papers; None likewise.
    """

    who: str
    score: float
    nature: float | None
    later: float | None


def key(game: str) -> str:
    """A game's name as the tables are looked up: ``MsPacman``, ``ms_pacman`` and ``Ms Pacman`` are ``mspacman``."""
    plain = "".join(letter for letter in game.lower() if letter.isalnum())
    return SPELLINGS.get(plain, plain)


@functools.cache
def table(name: str) -> dict[str, dict[str, float]]:
    """A published table: ``{game's key: {column: score}}``.

    Args:
      name: one of ``TABLES``.
    """
    text = (resources.files(__package__) / f"{name}.csv").read_text(encoding="utf-8")
    return {
        key(row["game"]): {column: float(score) for column, score in row.items() if column != "game"}
        for row in csv.DictReader(text.splitlines())
    }


def human_normalised(score: float, game: str, name: str = LATER) -> float | None:
    """``(score - random) / (human - random)``: 0 plays as the random player does, 1 as the human.

    Args:
      score: mean undiscounted return.
      game: in any spelling.
      name: whose random and human players, ``NATURE``, ``LATER`` or ``AT_100K``.

    Returns:
      None where the table has no such game.
    """
    row = table(name).get(key(game))
    return None if row is None else (score - row["random"]) / (row["human"] - row["random"])


def beside(game: str, scores: dict[str, float]) -> list[Row]:
    """What others publish of a game, and ``scores`` above it.

    Args:
      game: in any spelling.
      scores: by the names they are to go by.
    """
    plain = key(game)
    nature, later = table(NATURE).get(plain, {}), table(LATER).get(plain, {})
    dopamine, at_100k = table(DOPAMINE).get(plain, {}), table(AT_100K).get(plain, {})
    published = {
        "random (Mnih et al. 2015)": nature.get("random"),
        "random (later papers)": later.get("random"),
        "human (Mnih et al. 2015)": nature.get("human"),
        "human (later papers)": later.get("human"),
        "DQN, 200M frames (Mnih et al. 2015)": nature.get("dqn"),
        "DQN, 200M frames, sticky actions (Dopamine)": dopamine.get("dqn"),
        "DQN with Adam, the same (Dopamine)": dopamine.get("dqn_adam_mse"),
        "DrQ, 400k frames (Cetin et al. 2022)": at_100k.get("drq"),
        "SPR, 400k frames (Cetin et al. 2022)": at_100k.get("spr"),
    }
    every = scores | {who: score for who, score in published.items() if score is not None}
    return [
        Row(who, score, human_normalised(score, game, NATURE), human_normalised(score, game, LATER))
        for who, score in every.items()
    ]


def lines(rows: list[Row]) -> list[str]:
    """`beside` as a table for people."""

    def of(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    width = max(len(row.who) for row in rows)
    head = f"{'':<{width}}  {'score':>10}  {'of the human (2015)':>19}  {'(later papers)':>14}"
    return [head, *[f"{r.who:<{width}}  {r.score:>10,.1f}  {of(r.nature):>19}  {of(r.later):>14}" for r in rows]]
