"""The rate card, as a table and as JSON. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

from qtwin.agents.catalog import agent_of
from qtwin.config.config import Config
from qtwin.config.rates_of import rates_of
from qtwin.rates import Rates, plan
from qtwin.request.presets import Preset
from qtwin.request.schedules import used_up
from qtwin.storage.console import console

SIDE_BY_SIDE = 3  # columns that fit into 80 characters beside the row names


@dataclasses.dataclass(frozen=True)
class Column:
    """One recipe on the card.

    Attributes:
      name: of the preset or agent, with the environment where the preset differs by environment.
      config: the recipe, with the explicit settings.
      card: its numbers.
      preset: its source; None for an agent's defaults.
    """

    name: str
    config: Config
    card: Card
    preset: Preset | None

    @property
    def itself(self) -> str:
        """What the original library does with this many environments, where that differs."""
        if self.preset is None or self.preset.itself is None:
            return ""
        per_step, between = self.preset.itself(self.config.envs, self.config)
        ours = (
            Fraction(self.config.collect, self.config.regress),
            Fraction(self.card.gradient_steps_per_target_update or 0),
        )
        if (per_step, between) == ours:
            return ""
        plural = "" if per_step == 1 else "s"
        return (
            f"with {self.config.envs} environments the original library takes a gradient step per {_number(per_step)}"
            f" transition{plural} (here {_number(ours[0])}) and updates its target every {_number(between)} gradient"
            f" steps (here {_number(ours[1])}), since {self.preset.because}"
        )


def column(name: str, config: Config, preset: Preset | None) -> Column:
    """Computes a column of the card."""
    frames = preset.frames if preset else None
    return Column(name, config, describe(rates_of(config), config.envs, config.steps, config.batch, frames), preset)


def rows(columns: list[Column]) -> list[tuple[str, list[str]]]:
    """The rows of the card: a label, and the number in each column ("-" where there is none)."""
    cards = [column.card for column in columns]
    at_most = ["at most " if card.target_updates is None else "" for card in cards]  # updates on convergence

    def of(field: str, prefix: list[str] | None = None) -> list[str]:
        numbers = [_number(getattr(card, field)) for card in cards]
        return [p + n for p, n in zip(prefix, numbers, strict=True)] if prefix else numbers

    moves = ["on convergence" if card.target_updates is None else _number(card.target_updates) for card in cards]
    played = [column.config.preprocessing or "-" for column in columns]
    return [
        ("target", [card.target for card in cards]),
        ("environments", of("envs")),
        *([("preprocessing", played)] if any(column.config.preprocessing for column in columns) else []),
        *([("emulator frames", of("frames"))] if any(card.frames for card in cards) else []),
        ("transitions", of("transitions")),
        ("  of which warm-up", of("warmup")),
        ("gradient steps", of("gradient_steps")),
        *([("actor steps", _actor_steps(columns))] if any(map(_has_actor, columns)) else []),
        ("target updates", moves),
        ("per cycle: transitions", of("cycle_transitions")),
        ("per cycle: gradient steps", of("cycle_gradient_steps")),
        ("samples per transition", of("samples_per_transition")),
        ("gradient steps per target update", of("gradient_steps_per_target_update", at_most)),
        ("transitions per target update", of("transitions_per_target_update", at_most)),
        ("mean age, gradient steps", of("mean_age_gradient_steps", at_most)),
        ("mean age, transitions", of("mean_age_transitions", at_most)),
        ("half-life, gradient steps", of("half_life_gradient_steps")),
    ]


def _has_actor(column: Column) -> bool:
    return agent_of(column.config.agent).acts


def _actor_steps(columns: list[Column]) -> list[str]:
    return [_number(c.card.gradient_steps // c.config.actor_every) if _has_actor(c) else "-" for c in columns]


def remarks(columns: list[Column]) -> list[str]:
    """Notes below the numbers: the source of each preset, warm-ups that use up the exploration schedule, and
    differences from the original library."""
    presets = {each.preset.name: each.preset for each in columns if each.preset}
    lines = []
    for name, preset in presets.items():
        lines += [f"{name}: made for {preset.made_for_words}; {preset.source}", f"{name}: {preset.note}"]
    lines += [f"{each.name}: {note}" for each in columns if (note := used_up(each.config))]
    said: dict[tuple[str, str], list[str]] = {}
    for each in columns:
        if each.itself:
            said.setdefault((each.preset.name, each.itself), []).append(each.name)
    # A note that holds for several rows of a preset is printed once.
    return lines + [f"{names[0] if len(names) == 1 else name}: {text}" for (name, text), names in said.items()]


def show(columns: list[Column]) -> None:
    """Prints the card, a few columns at a time, and the notes."""
    from rich import box
    from rich.table import Table

    shown = console()
    for start in range(0, len(columns), SIDE_BY_SIDE):
        some = columns[start : start + SIDE_BY_SIDE]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        table.add_column("totals of the run", no_wrap=True)
        for each in some:
            table.add_column(each.name, justify="right", overflow="fold")
        for name, numbers in rows(some):
            table.add_row(name, *numbers)
        shown.print(table)
    for line in remarks(columns):
        shown.print(line, soft_wrap=not shown.is_terminal)


def as_json(columns: list[Column]) -> list[dict]:
    """The card as JSON objects, one per column, with null where there is no number."""
    return [
        {
            "name": each.name,
            "agent": each.config.agent,
            "preset": each.preset.name if each.preset else None,
            "env": each.config.env,
            "made_for": each.preset.made_for_words if each.preset else None,
            "source": each.preset.source if each.preset else None,
            "note": " ".join(line for line in (each.preset.note, each.itself) if line) if each.preset else "",
            "preprocessing": each.config.preprocessing,
            "collect": each.config.collect,
            "regress": each.config.regress,
            "actor_every": each.config.actor_every if _has_actor(each) else None,
            "steps": each.config.steps,
            **dataclasses.asdict(each.card),
        }
        for each in columns
    ]


def _number(value: float | Fraction | None) -> str:
    if value is None:
        return "-"
    if value == int(value):
        return f"{int(value):,}"
    return f"{float(value):,.4g}" if value < 100 else f"{float(value):,.1f}"


@dataclasses.dataclass(frozen=True)
class Card:
    """The rate card: the rates of an algorithm's three processes, in every common unit.

    Attributes (totals of the run unless stated otherwise):
      frames: emulator frames; None without an emulator. [frames]
      transitions: environment steps. [transitions]
      gradient_steps: [gradient steps]
      target_updates: None where the target is updated on convergence. [target updates]
      cycle_transitions, cycle_gradient_steps: per cycle, with these environments.
      warmup: random transitions before the first gradient step. [transitions]
      samples_per_transition: replay ratio, how often a transition is sampled on average: batch x gradient steps /
        transitions after the warm-up; None offline.
      gradient_steps_per_target_update: None where the target never changes.
      transitions_per_target_update: None where the target never changes, or offline.
      mean_age_gradient_steps, mean_age_transitions: mean age of the target's parameters; None where it is
        unbounded.
      half_life_gradient_steps: of a soft target; None for other rules.
    """

    envs: int
    batch: int
    target: str
    frames: int | None
    transitions: int
    gradient_steps: int
    target_updates: int | None
    cycle_transitions: int
    cycle_gradient_steps: int
    warmup: int
    samples_per_transition: float | None
    gradient_steps_per_target_update: int | None
    transitions_per_target_update: float | None
    mean_age_gradient_steps: float | None
    mean_age_transitions: float | None
    half_life_gradient_steps: float | None


def describe(rates: Rates, envs: int, steps: int, batch: int, frames_per_transition: int | None = None) -> Card:
    """Computes the rate card.

    Args:
      rates: the three rates.
      envs: number of parallel environments.
      steps: the budget. [transitions]; offline [gradient steps]
      batch: minibatch size; 0 for the whole data set. [transitions]
      frames_per_transition: emulator frames per transition; None without an emulator.
    """
    spent, rule = plan(rates, envs, steps), rates.target_update
    per_step = Fraction(rates.collect, rates.regress)  # transitions per gradient step
    age, half_life = rule.mean_age, rule.half_life
    every = 0 if rule.falls and rule.counts is not None else rule.every  # no even period
    return Card(
        envs=envs,
        batch=batch,
        target=rule.spec,
        frames=None if frames_per_transition is None else spent.transitions * frames_per_transition,
        transitions=spent.transitions,
        gradient_steps=spent.gradient_steps,
        target_updates=spent.target_updates,
        cycle_transitions=spent.cycle.transitions,
        cycle_gradient_steps=spent.cycle.gradient_steps,
        warmup=spent.cycle.warmup,
        samples_per_transition=float(batch / per_step) if per_step and batch else None,
        gradient_steps_per_target_update=every or None,
        transitions_per_target_update=float(every * per_step) if per_step and every else None,
        mean_age_gradient_steps=age if math.isfinite(age) else None,
        mean_age_transitions=float(age * per_step) if per_step and math.isfinite(age) else None,
        half_life_gradient_steps=half_life if half_life is not None and math.isfinite(half_life) else None,
    )
