"""What a preset is: a recipe with its source, and what cannot be followed of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

from qtwin.config import Config
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal

KINDS = {"*": "any environment", "ALE/*": "Atari", "*-MinAtar": "MinAtar"}


@dataclasses.dataclass(frozen=True)
class Preset:
    """A recipe by name.

    Attributes:
      name: as written after --preset.
      made_for: environments without their home, or a kind of them (a key of ``KINDS``).
      config: the recipe; the first one where the environment picks the row.
      source: where the numbers stand.
      note: what else there is to know.
      rows: recipes by environment, where there is one for each.
      frames: emulator frames behind one transition, None where there is no emulator.
      itself: what the library itself does with N environments, where that differs from this house (which keeps the
        ratios): ``(N, config) -> (transitions per gradient step, gradient steps between moves of the target)``.
      because: why it does.
    """

    name: str
    made_for: tuple[str, ...]
    config: Config
    source: str
    note: str = ""
    rows: tuple[Config, ...] = ()
    frames: int | None = None
    itself: Callable[[int, Config], tuple[Fraction, Fraction]] | None = None
    because: str = ""

    def config_for(self, env: EnvSpec) -> Config:
        """The recipe for ``env``; refuses one that has no row, where the environment picks it."""
        if not self.rows:
            return self.config
        rows = {row.env.removeprefix("gym:"): row for row in self.rows}
        plain = env.id.partition(":")[2]
        if plain not in rows:
            raise Refusal(
                f"the preset '{self.name}' has a recipe for each of {', '.join(rows)} and none for {env.id};"
                " name one of them, or another preset"
            )
        return rows[plain]

    def fits(self, env: EnvSpec) -> bool:
        """Was it made for ``env``?"""
        plain = env.id.partition(":")[2]
        kinds = {"*": True, "ALE/*": plain.startswith("ALE/"), "*-MinAtar": plain.endswith("-MinAtar")}
        return any(kinds.get(kind, plain == kind) for kind in self.made_for)

    @property
    def made_for_words(self) -> str:
        """``made_for`` in words."""
        return ", ".join(KINDS.get(kind, kind) for kind in self.made_for)
