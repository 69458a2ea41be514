"""How a TD target uses the target network, and what holds the online one back: one record for each. Read without
importing JAX.

A new one is a function in `qtwin.td.bootstrap`, and its record here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from qtwin.errors import Refusal, nearest
from qtwin.records import Catalogue, blanks, dangling


class BootstrapInfo(NamedTuple):
    """Everything that is known about a way to bootstrap by name.

    Attributes:
      name: what is written for it, up to its numbers.
      form: how it is written, for example ``mellowmax:W``.
      about: its formula, in one line.
      paper: where it comes from.
      build: ``(values, *numbers) -> y [B]`` by ``"module:function"`` (`qtwin.td.bootstrap.Values`); "" for one that is
        an agent's own.
      read: ``(what stands after the name, the whole spec) -> numbers``; None where nothing may stand there.
      bare: its numbers may be left out.
      several: its number says how many networks learn side by side.
      compares: it compares the two networks, so they must not be tied.
    """

    name: str
    form: str
    about: str
    paper: str
    build: str
    read: Callable[[str, str], tuple[float, ...]] | None = None
    bare: bool = False
    several: bool = False
    compares: bool = False

    @property
    def line(self) -> str:
        """What ``qtwin list bootstraps`` says of it."""
        return f"{self.about} ({self.paper})" if self.paper else self.about


class RegulariserInfo(NamedTuple):
    """Everything that is known about a regulariser by name.

    Attributes:
      name: what stands before the colon.
      form: how it is written.
      about: what is added to the loss, in one line.
      paper: where it comes from; "" where that needs no saying.
      build: ``(strength, net, twin, batch, q [B]) -> loss []`` by ``"module:function"``.
      example: a spec that makes sense.
      takes_number: its strength stands after the name.
    """

    name: str
    form: str
    about: str
    paper: str
    build: str
    example: str
    takes_number: bool = True

    @property
    def line(self) -> str:
        """What ``qtwin list regularisers`` says of it."""
        return f"{self.about} ({self.paper})" if self.paper else self.about


class Bootstrap(NamedTuple):
    """A way to bootstrap, read.

    Attributes:
      kind: a key of ``BOOTSTRAPS``.
      networks: that learn side by side; 1 for all whose record does not say ``several``.
      numbers: what stood after the name.
    """

    kind: str
    networks: int = 1
    numbers: tuple[float, ...] = ()

    @property
    def info(self) -> BootstrapInfo:
        """Its record."""
        return BOOTSTRAPS[self.kind]


class Regulariser(NamedTuple):
    """A regulariser, read: a key of ``REGULARISERS`` and its number."""

    kind: str
    strength: float = 0.0


def parse(spec: str) -> Bootstrap:
    """Reads ``max``, ``double``, ``maxmin:4``, ``mellowmax:5``, ``munchausen:0.9:0.03:-1``, ... (`BOOTSTRAPS`)."""
    name, colon, rest = spec.partition(":")
    info = BOOTSTRAPS.get(spec) or BOOTSTRAPS.get(name)
    if info is None:
        raise Refusal(f"unknown way to bootstrap '{spec}'{nearest(name, BOOTSTRAPS)}")
    if info.read is None or (info.bare and not colon):
        if info.name != spec:
            controls = [control for control in BOOTSTRAPS if control.startswith(f"{name}:")]
            ending = nearest(spec, controls) if controls else f"; write {name}"
            raise Refusal(f"the way to bootstrap '{name}' takes no '{rest}'{ending}")
        return Bootstrap(info.name)
    numbers = info.read(rest, spec)
    return Bootstrap(info.name, networks=int(numbers[0])) if info.several else Bootstrap(info.name, numbers=numbers)


def parse_regulariser(spec: str) -> Regulariser:
    """Reads ``none``, ``functional:KAPPA`` or ``proximal:C`` (`REGULARISERS`)."""
    name, _, rest = spec.partition(":")
    if name not in REGULARISERS:
        raise Refusal(f"unknown regulariser '{spec}'{nearest(name, REGULARISERS)}")
    info = REGULARISERS[name]
    if not info.takes_number:
        if rest:
            raise Refusal(f"the regulariser '{name}' takes no number, and '{spec}' came; write {info.example}")
        return Regulariser(name)
    strength = _number(rest)
    if strength is None or strength <= 0:
        raise Refusal(f"{info.form} needs a number greater than 0, not '{rest}'; write {info.example}")
    return Regulariser(name, strength)


def problems(info: BootstrapInfo | RegulariserInfo, outside: bool = False) -> list[str]:
    """What is wrong with a record, one line each; nothing for a whole one.

    Args:
      info: the record.
      outside: it is not one of this package's own.
    """
    own = isinstance(info, BootstrapInfo) and info.several  # of an agent with several networks
    needs_paper = isinstance(info, BootstrapInfo) and not outside
    wrong = blanks(info, ("read", *(["build"] * own), *([] if needs_paper else ["paper"])))
    wrong += dangling(info, ("build",), outside)
    if not info.form.startswith(info.name):
        wrong.append("form does not begin with the name")
    if isinstance(info, RegulariserInfo):
        if info.example.partition(":")[0] != info.name or bool(info.example.partition(":")[2]) != info.takes_number:
            wrong.append(f"its example {info.example} is not written {info.form}")
    elif (info.form == info.name) is not (info.read is None):
        wrong.append(f"it is written {info.form}, and read is {'missing' if info.read is None else 'not needed'}")
    elif info.bare and info.read is None:
        wrong.append("bare says that numbers may be left out, and it takes none")
    return wrong


def _networks(rest: str, spec: str) -> tuple[float, ...]:
    if not rest.isdigit() or not 2 <= int(rest) <= 100:
        raise Refusal(
            f"maxmin:K takes the smallest of K networks and needs a whole number K from 2 to 100, not '{rest}';"
            " write for example maxmin:4"
        )
    return (int(rest),)


def _sharpness(rest: str, spec: str) -> tuple[float, ...]:
    sharpness = _number(rest)
    if sharpness is None or sharpness <= 0:
        raise Refusal(
            f"mellowmax:W needs a number W greater than 0 (small is the mean, large the maximum), not '{rest}';"
            " write for example mellowmax:5"
        )
    return (sharpness,)


def _log_policy(rest: str, spec: str) -> tuple[float, ...]:
    numbers = tuple(_number(text) for text in rest.split(":"))
    sound = len(numbers) == 3 and None not in numbers
    if not sound or not (0 <= numbers[0] <= 1 and numbers[1] > 0 >= numbers[2]):
        raise Refusal(
            "munchausen:ALPHA:TAU:L0 needs ALPHA between 0 and 1, TAU greater than 0 and L0 of at most 0, not"
            f" '{spec}'; write munchausen, which is munchausen:0.9:0.03:-1"
        )
    return numbers


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


_BOOTSTRAPS = (
    BootstrapInfo(
        "max", "max", "r + gamma max_a Qbar(s', a): the target network chooses and values", "Mnih 2015",
        "qtwin.td.bootstrap:greedy",
    ),
    BootstrapInfo(
        "double", "double", "r + gamma Qbar(s', argmax_a Q(s', a)): the online network chooses", "van Hasselt 2016",
        "qtwin.td.bootstrap:double",
    ),
    BootstrapInfo(
        "inverse-double", "inverse-double",
        "r + gamma Q(s', argmax_a Qbar(s', a)): the target network chooses, the online one values", "van Hasselt 2018",
        "qtwin.td.bootstrap:inverse_double",
    ),
    BootstrapInfo(
        "online", "online", "r + gamma max_a Q(s', a) behind a stop-gradient: the target network is not used",
        "a control", "qtwin.td.bootstrap:online",
    ),
    BootstrapInfo(
        "minto", "minto", "r + gamma max_a min(Q, Qbar)(s', a): the more cautious of the two", "Hendawy 2025",
        "qtwin.td.bootstrap:minto", compares=True,
    ),
    BootstrapInfo(
        "minto:max", "minto:max", "r + gamma max_a max(Q, Qbar)(s', a)", "minto's control",
        "qtwin.td.bootstrap:minto_max", compares=True,
    ),
    BootstrapInfo(
        "minto:mean", "minto:mean", "r + gamma max_a (Q + Qbar)(s', a) / 2", "minto's control",
        "qtwin.td.bootstrap:minto_mean", compares=True,
    ),
    BootstrapInfo(
        "minto:random", "minto:random", "r + gamma max_a of Q or of Qbar, by the toss of a coin", "minto's control",
        "qtwin.td.bootstrap:minto_random", compares=True,
    ),
    BootstrapInfo(
        "maxmin", "maxmin:K", "r + gamma max_a min_k Qbar_k(s', a) over K networks that learn side by side",
        "Lan 2020", "", _networks, several=True,
    ),
    BootstrapInfo(
        "mellowmax", "mellowmax:W",
        "r + gamma log(mean_a exp(W Qbar(s', a))) / W, a soft maximum; with --target tied DeepMellow", "Kim 2019",
        "qtwin.td.bootstrap:mellowmax", _sharpness,
    ),
    BootstrapInfo(
        "munchausen", "munchausen[:ALPHA:TAU:L0]",
        "r + alpha clip(tau log pi(a|s), l0, 0) + gamma sum_a pi (Qbar - tau log pi)(s', a)", "Vieillard 2020",
        "qtwin.td.bootstrap:munchausen", _log_policy, bare=True,
    ),
    BootstrapInfo(
        "residual", "residual", "r + gamma max_a Q(s', a) with no stop-gradient at all", "Baird 1995, a control",
        "qtwin.td.bootstrap:residual",
    ),
)  # fmt: skip
BOOTSTRAPS = Catalogue("way to bootstrap", BootstrapInfo, _BOOTSTRAPS, "qtwin.config.bootstrap_specs:problems")
_REGULARISERS = (
    RegulariserInfo(
        "none", "none", "nothing beside the TD error", "", "qtwin.td.bootstrap:nothing", "none", takes_number=False
    ),
    RegulariserInfo(
        "functional", "functional:KAPPA",
        "loss + (KAPPA / 2) mean (Q - Qbar)(s, a)^2; with --bootstrap online the target only holds back", "Piche 2021",
        "qtwin.td.bootstrap:functional", "functional:0.5",
    ),
    RegulariserInfo(
        "proximal", "proximal:C", "loss + |theta - thetabar|^2 / (2 C): not far from the target",
        "DQN Pro, Asadi 2022", "qtwin.td.bootstrap:proximal", "proximal:10",
    ),
)  # fmt: skip
REGULARISERS = Catalogue("regulariser", RegulariserInfo, _REGULARISERS, "qtwin.config.bootstrap_specs:problems")
