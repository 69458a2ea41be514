"""The record of a preset: hyperparameters, their source, and differences from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

from qtwin.config.config import Config
from qtwin.config.rates_of import budget
from qtwin.envs.gymnax_specs import is_minatar
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.target_update.specs import parse

KINDS = {"*": "any environment", "ALE/*": "Atari", "*-MinAtar": "MinAtar"}


@dataclasses.dataclass(frozen=True)
class Preset:
    """Named hyperparameters.

    Attributes:
      name: as written after --preset.
      made_for: names of environments without their prefix, or a kind of environments (a key of ``KINDS``).
      config: the hyperparameters. With ``rows`` it is the first row, or, for a preset made for any environment, the
        hyperparameters of all environments without a row.
      source: the paper or file with the numbers.
      note: differences from the source, and conversions of units.
      rows: hyperparameters per environment, valid for all its versions.
      frames: emulator frames per transition; None for environments without an emulator.
      itself: what the library does with N environments, if it differs from qtwin (which keeps the ratios):
        ``(N, config) -> (transitions per gradient step, gradient steps between target updates)``.
      because: the reason for that difference.
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
        """The hyperparameters for ``env``.

        Raises:
          Refusal: the preset has no row for ``env``, or it is for preprocessed Atari frames and ``env`` gives the
            screens of the emulator.
        """
        plain = env.id.partition(":")[2]
        if self.frames and plain.startswith("ALE/"):
            game = plain.removeprefix("ALE/").partition("-")[0]
            raise Refusal(
                f"the preset '{self.name}' is for frames as papers make them, and {env.id} gives the emulator's own"
                f" screens, {list(env.obs_shape)}; write ale:{game}"
            )
        if not self.rows:
            config = self.config
            return config if env.preprocessing else dataclasses.replace(config, preprocessing="")
        rows = {row.env.removeprefix("gym:"): row for row in self.rows}
        found = rows.get(plain) or {_stem(name): row for name, row in rows.items()}.get(_stem(plain))
        if found is None and "*" not in self.made_for:
            raise Refusal(
                f"the preset '{self.name}' has a recipe for each of {', '.join(rows)} and none for {env.id};"
                " name one of them, or another preset"
            )
        return found or self.config

    def fits(self, env: EnvSpec) -> bool:
        """Whether the preset is made for ``env``."""
        plain = env.id.partition(":")[2]
        atari = env.id.startswith("ale:") or plain.startswith("ALE/")
        kinds = {"*": True, "ALE/*": atari, "*-MinAtar": is_minatar(env)}
        return any(kinds.get(kind, plain == kind) for kind in self.made_for)

    @property
    def made_for_words(self) -> str:
        """``made_for`` as text."""
        return ", ".join(KINDS.get(kind, kind) for kind in self.made_for)

    @property
    def recipes(self) -> dict[str, Config]:
        """All configs by their names on a rate card, which include the environment for presets with rows."""
        rows = {f"{self.name} {row.env.removeprefix('gym:')}": row for row in self.rows}
        return rows if rows and "*" not in self.made_for else {self.name: self.config} | rows


VECTOR_STEPS = "its training frequency counts vector steps"


def per_vector_step(envs: int, c: Config) -> tuple[Fraction, Fraction]:
    """`Preset.itself` for a library whose training frequency counts vector steps."""
    return Fraction(c.collect * envs, c.regress), Fraction(parse(c.target, budget(c)).every)


def _stem(name: str) -> str:
    """``HalfCheetah`` of ``HalfCheetah-v5``."""
    return name.rpartition("-v")[0] or name
