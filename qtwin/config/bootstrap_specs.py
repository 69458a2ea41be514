"""Bootstrap targets, and regularisers towards the target network: one record for each. Read without importing JAX.

A new one is a function in `qtwin.td.bootstrap`, and its record here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from qtwin.errors import Refusal, nearest
from qtwin.records import Catalogue, blanks, dangling


class BootstrapInfo(NamedTuple):
    """All facts about a bootstrap target.

    Attributes:
      name: its spec without numbers.
      form: the form of its spec, for example ``mellowmax:W``.
      about: its formula, in one line.
      paper: the source.
      build: ``(values, *numbers) -> y [B]`` by ``"module:function"`` (`qtwin.td.bootstrap.Values`); "" where an
        agent has its own.
      read: ``(the part after the name, the whole spec) -> numbers``; None where it takes no numbers.
      bare: its numbers are optional.
      several: its number is the number of networks trained in parallel.
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
    """All facts about a regulariser.

    Attributes:
      name: the part of its spec before the colon.
      form: the form of its spec.
      about: what is added to the loss, in one line.
      paper: the source, or "".
      build: ``(strength, net, twin, batch, q [B]) -> loss []`` by ``"module:function"``.
      example: a valid spec.
      takes_number: its spec ends with its strength.
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
    """A parsed bootstrap target.

    Attributes:
      kind: a key of ``BOOTSTRAPS``.
      networks: number of networks trained in parallel; 1 unless the record says ``several``.
      numbers: the numbers of the spec.
    """

    kind: str
    networks: int = 1
    numbers: tuple[float, ...] = ()

    @property
    def info(self) -> BootstrapInfo:
        """Its record."""
        return BOOTSTRAPS[self.kind]


class Regulariser(NamedTuple):
    """A parsed regulariser: a key of ``REGULARISERS`` and its strength."""

    kind: str
    strength: float = 0.0


def parse(spec: str) -> Bootstrap:
    """Reads ``max``, ``double``, ``maxmin:4``, ``mellowmax:5``, ``munchausen:0.9:0.03:-1``, ... (`BOOTSTRAPS`)."""
    name, colon, rest = spec.partition(":")
    info = BOOTSTRAPS.get(spec) or BOOTSTRAPS.get(name)
    if info is None:
        raise Refusal(f"unknown bootstrap target '{spec}'{nearest(name, BOOTSTRAPS)}")
    if info.read is None or (info.bare and not colon):
        if info.name != spec:
            controls = [control for control in BOOTSTRAPS if control.startswith(f"{name}:")]
            ending = nearest(spec, controls) if controls else f"; write {name}"
            raise Refusal(f"the bootstrap target '{name}' takes no '{rest}'{ending}")
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
            raise Refusal(f"the regulariser '{name}' takes no number, got '{spec}'; write {info.example}")
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
            f"maxmin:K minimises over K networks, where K is a whole number from 2 to 100, not '{rest}';"
            " write for example maxmin:4"
        )
    return (int(rest),)


def _sharpness(rest: str, spec: str) -> tuple[float, ...]:
    sharpness = _number(rest)
    if sharpness is None or sharpness <= 0:
        raise Refusal(
            f"mellowmax:W needs a number W greater than 0 (small W is near the mean, large W near the maximum), not"
            f" '{rest}';"
            " write for example mellowmax:5"
        )
    return (sharpness,)


def _log_policy(rest: str, spec: str) -> tuple[float, ...]:
    numbers = tuple(_number(text) for text in rest.split(":"))
    sound = len(numbers) == 3 and None not in numbers
    if not sound or not (0 <= numbers[0] <= 1 and numbers[1] > 0 >= numbers[2]):
        raise Refusal(
            "munchausen:ALPHA:TAU:L0 needs ALPHA between 0 and 1, TAU greater than 0 and L0 at most 0, not"
            f" '{spec}'; write munchausen, short for munchausen:0.9:0.03:-1"
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
        "max", "max", "r + gamma max_a Qbar(s', a): the target network selects and evaluates the action", "Mnih 2015",
        "qtwin.td.bootstrap:greedy",
    ),
    BootstrapInfo(
        "double", "double", "r + gamma Qbar(s', argmax_a Q(s', a)): the online network selects the action",
        "van Hasselt 2016",
        "qtwin.td.bootstrap:double",
    ),
    BootstrapInfo(
        "inverse-double", "inverse-double",
        "r + gamma Q(s', argmax_a Qbar(s', a)): the target network selects, the online network evaluates",
        "van Hasselt 2018",
        "qtwin.td.bootstrap:inverse_double",
    ),
    BootstrapInfo(
        "online", "online", "r + gamma max_a Q(s', a) behind a stop-gradient: the target network is not used",
        "a control", "qtwin.td.bootstrap:online",
    ),
    BootstrapInfo(
        "minto", "minto", "r + gamma max_a min(Q, Qbar)(s', a): the smaller of both networks", "Hendawy 2025",
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
        "minto:random", "minto:random", "r + gamma max_a of Q or of Qbar, chosen at random", "minto's control",
        "qtwin.td.bootstrap:minto_random", compares=True,
    ),
    BootstrapInfo(
        "maxmin", "maxmin:K", "r + gamma max_a min_k Qbar_k(s', a) over K networks trained in parallel",
        "Lan 2020", "", _networks, several=True,
    ),
    BootstrapInfo(
        "mellowmax", "mellowmax:W",
        "r + gamma log(mean_a exp(W Qbar(s', a))) / W, a soft maximum; DeepMellow with --target tied", "Kim 2019",
        "qtwin.td.bootstrap:mellowmax", _sharpness,
    ),
    BootstrapInfo(
        "munchausen", "munchausen[:ALPHA:TAU:L0]",
        "r + alpha clip(tau log pi(a|s), l0, 0) + gamma sum_a pi (Qbar - tau log pi)(s', a)", "Vieillard 2020",
        "qtwin.td.bootstrap:munchausen", _log_policy, bare=True,
    ),
    BootstrapInfo(
        "residual", "residual", "r + gamma max_a Q(s', a) without a stop-gradient", "Baird 1995, a control",
        "qtwin.td.bootstrap:residual",
    ),
)  # fmt: skip
BOOTSTRAPS = Catalogue("way to bootstrap", BootstrapInfo, _BOOTSTRAPS, "qtwin.config.bootstrap_specs:problems")
_REGULARISERS = (
    RegulariserInfo(
        "none", "none", "no regularisation", "", "qtwin.td.bootstrap:nothing", "none", takes_number=False
    ),
    RegulariserInfo(
        "functional", "functional:KAPPA",
        "loss + (KAPPA / 2) mean (Q - Qbar)(s, a)^2; with --bootstrap online the target network only regularises",
        "Piche 2021",
        "qtwin.td.bootstrap:functional", "functional:0.5",
    ),
    RegulariserInfo(
        "proximal", "proximal:C", "loss + |theta - thetabar|^2 / (2 C): stays near the target parameters",
        "DQN Pro, Asadi 2022", "qtwin.td.bootstrap:proximal", "proximal:10",
    ),
)  # fmt: skip
REGULARISERS = Catalogue("regulariser", RegulariserInfo, _REGULARISERS, "qtwin.config.bootstrap_specs:problems")
