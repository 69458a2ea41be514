"""Where environments live: one record for each home, and the environment that a name means.

Read without importing JAX, gymnax or (until needed) Gymnasium. A new home is its functions, and its record here.
"""

from __future__ import annotations

from typing import NamedTuple

from qtwin.envs.brax_specs import BRAX
from qtwin.envs.registered import called, listed, resolved
from qtwin.envs.spec import EnvSpec
from qtwin.envs.spelling import nearest_env
from qtwin.errors import Refusal, nearest
from qtwin.records import Catalogue, blanks, dangling, imported
from qtwin.types import OWN, HandedIn, stands_alone

ENGINES = ("fused", "hosted")


class EnvHomeInfo(NamedTuple):
    """Everything that is known about a home of environments. Functions are ``"module:function"``, imported when used.

    Attributes:
      prefix: what stands before the colon of an environment's name.
      form: how a name in this home is written, for example ``brax:NAME``.
      about: what the home is, in one line.
      engine: "fused" for environments written in JAX, "hosted" for those that live in Python.
      resolve: ``name -> EnvSpec``, the name without its prefix; ``(name, preprocessing) -> EnvSpec`` where the home
        ``preprocesses``.
      make: ``(spec, name) -> JaxEnv`` for the fused engine, ``(spec, name, care) -> (envs -> HostEnv)`` for the hosted.
      extra: of qtwin, what is to be installed for it (``pip install 'qtwin[EXTRA]'``); "" where nothing is.
      names: ``() -> {name to write: EnvSpec}`` of a home whose environments are listed one by one; else "".
      remark: ``name -> text`` that is listed beside such a name; "" for none.
      more: what is listed after ``about`` where environments are not listed one by one.
      plain: ``name -> bool``: has the home that name where no prefix is written? "" where a prefix is always needed.
      known: ``() -> names`` without a prefix that are offered where one is misspelt; "" for none.
      try_out: ``(name, care) -> None``, plays a few steps before a run; "" for what need not be tried.
      outcomes: ``name -> rows``, the model of a finite environment (`qtwin.envs.models`); "" where none is known.
      preprocesses: its frames go through a preprocessing that can be chosen.
      replaces: one of its environments that fails can be replaced, and each can have a process of its own.
    """

    prefix: str
    form: str
    about: str
    engine: str
    resolve: str
    make: str
    extra: str = ""
    names: str = ""
    remark: str = ""
    more: str = ""
    plain: str = ""
    known: str = ""
    try_out: str = ""
    outcomes: str = ""
    preprocesses: bool = False
    replaces: bool = False

    @property
    def line(self) -> str:
        """What ``qtwin list envs`` says of the home as a whole."""
        install = f" (pip install 'qtwin[{self.extra}]')" if self.extra else ""
        return f"{self.about}{self.more}{install}"


# In this order a plain id is looked for: the fastest home first.
_HOMES = (
    EnvHomeInfo(
        "gymnax", "gymnax:NAME", "environments written in JAX (gymnax): the whole training loop runs as one"
        " program", "fused",
        "qtwin.envs.gymnax_specs:gymnax_resolve", "qtwin.envs.gymnax_envs:gymnax_env",
        names="qtwin.envs.gymnax_specs:gymnax_names", remark="qtwin.envs.gymnax_specs:gymnax_remark",
        plain="qtwin.envs.gymnax_specs:has_plain", known="qtwin.envs.gymnax_specs:known_plain",
        outcomes="qtwin.envs.models:of_gymnax",
    ),
    EnvHomeInfo(
        "minatar", "minatar:GAME",
        "the five MinAtar games: minatar:Breakout is gymnax's version, minatar:Breakout-v0 the original rules", "fused",
        "qtwin.envs.gymnax_specs:minatar_resolve", "qtwin.envs.gymnax_envs:minatar_env",
        names="qtwin.envs.gymnax_specs:minatar_names", remark="qtwin.envs.gymnax_specs:minatar_remark",
    ),
    EnvHomeInfo(
        "brax", "brax:NAME", "rigid-body environments of Brax, written in JAX", "fused",
        "qtwin.envs.brax_specs:brax_resolve",
        "qtwin.envs.brax_envs:brax_env", extra="brax", more=f": {', '.join(BRAX)}",
    ),
    EnvHomeInfo(
        "ale", "ale:GAME", "Atari games (ale-py), stepped by C++ threads", "hosted", "qtwin.envs.ale_envs:ale_spec",
        "qtwin.envs.ale_envs:ale_make", extra="atari", more=": ale:Pong, ale:MsPacman, ...", preprocesses=True,
    ),
    EnvHomeInfo(
        "gym", "gym:ID", "any Gymnasium environment with Discrete or bounded Box actions and Box or Discrete"
        " observations",
        "hosted", "qtwin.envs.gym_home:gym_resolve", "qtwin.envs.gym_home:gym_make",
        more="; also the home of plain ids that no other home has", plain="qtwin.envs.gym_home:has_plain",
        known="qtwin.envs.gym_home:known_plain", try_out="qtwin.envs.gym_home:gym_try_out",
        outcomes="qtwin.envs.models:of_gymnasium", replaces=True,
    ),
    EnvHomeInfo(
        "envpool", "envpool:ID",
        "any envpool environment with such spaces, stepped by C++ threads", "hosted",
        "qtwin.envs.envpool_envs:envpool_spec", "qtwin.envs.envpool_envs:envpool_make", extra="envpool",
    ),
    EnvHomeInfo(
        "probe", "probe:NAME", "tiny environments whose values are known exactly", "fused",
        "qtwin.envs.probe_specs:probe_resolve", "qtwin.envs.continuous_probes:probe_env",
        names="qtwin.envs.probe_specs:probe_names", remark="qtwin.envs.probe_specs:probe_remark",
        outcomes="qtwin.envs.models:of_probe",
    ),
)  # fmt: skip
HOMES = Catalogue("environment home", EnvHomeInfo, _HOMES, "qtwin.envs.catalog:problems")


# Stands for the home of environments that the caller hands in (`qtwin.envs.handed_in`); no name leads to it.
_HANDED_IN = EnvHomeInfo("own", "own:NAME", "handed in from Python", "hosted", "", "")


def resolve(name: str, preprocessing: str = "", env_kwargs: str = "") -> EnvSpec:
    """The environment that ``name`` means: a plain id takes the fastest home it has, a prefix decides.

    Args:
      name: ``CartPole-v1``, ``gymnax:Catch-bsuite``, ``minatar:Breakout``, ``ale:Pong``, ``gym:LunarLander-v3``,
        ``envpool:HalfCheetah-v5``, ``brax:ant``, ``probe:NAME``.
      preprocessing: of Atari's frames, a key of `qtwin.envs.preprocessing.PREPROCESSINGS`; "" is the home's own.
      env_kwargs: keyword arguments that a Gymnasium environment is made with, as JSON; "" for none.

    Raises:
      Refusal: no such environment (the nearest name over all homes is offered), none that can be made here, or a
        preprocessing or arguments for one that takes none.
    """
    if isinstance(name, HandedIn):
        if preprocessing:
            raise Refusal(
                f"a preprocessing is for Atari's frames, and {name} came with '{preprocessing}'; leave it out"
            )
        return name.thing.spec
    if stands_alone(name):
        raise Refusal(
            f"'{name}' is the name of an environment that was handed in from Python; hand it in again, as env=..., or"
            " write the name of a registered one"
        )
    if env_kwargs:
        return _with_kwargs(name, preprocessing, env_kwargs)
    prefix, colon, rest = name.partition(":")
    home = HOMES.get(prefix) if colon else None
    if home and home.preprocesses:
        return imported(home.resolve)(rest, preprocessing)
    if preprocessing:
        raise Refusal(
            f"--preprocessing is for Atari games, not for {name}; leave it out, or write for example ale:Pong"
        )
    if not colon:
        return _plain(name)
    if home is None:
        raise Refusal(f"unknown home '{prefix}:' in '{name}'{nearest(prefix, HOMES, close=0.7)}")
    return resolved(home, rest)


def home_of(spec: EnvSpec | str) -> tuple[EnvHomeInfo | None, str]:
    """The home of an environment, and its name there.

    Args:
      spec: the environment, or its full name.

    Returns:
      None for the home of an environment that the user has made, or where the name has no prefix.
    """
    full = spec if isinstance(spec, str) else spec.id
    if isinstance(full, HandedIn):
        own = full.thing
        return _HANDED_IN._replace(engine=own.spec.engine, replaces=own.replaces), full
    prefix, colon, name = full.partition(":")
    return (HOMES.get(prefix), name) if colon else (None, full)


def names() -> dict[str, EnvSpec]:
    """Every environment that needs no further installation, by the name to write, the fastest home first."""
    return {name: spec for home in HOMES.values() for name, spec in listed(home).items()}


def problems(home: EnvHomeInfo, outside: bool = False) -> list[str]:
    """What is wrong with a home's record, one line each; nothing for a whole one.

    Args:
      home: the record.
      outside: it is not one of this package's own.
    """
    functions = ("resolve", "make", "names", "remark", "plain", "known", "try_out", "outcomes")
    wrong = blanks(home, ("extra", "more", *functions[2:])) + dangling(home, functions, outside)
    if outside and f"{home.prefix}:" == OWN:
        wrong.append(f"{OWN} stands before the names of what is handed in from Python; choose another prefix")
    if outside and home.extra:
        wrong.append("extra is of qtwin's own packages; say in about what is to be installed")
    if home.engine not in ENGINES:
        wrong.append(f"engine is one of {', '.join(ENGINES)}, not {home.engine}")
    if home.form.partition(":")[0] != home.prefix or not home.form.partition(":")[2]:
        wrong.append("form is not written prefix:NAME")
    if home.remark and not home.names:
        wrong.append("remark is of names that are listed one by one, and names is empty")
    if home.more and home.names:
        wrong.append("more is of a home whose names are not listed one by one, and names is not empty")
    if bool(home.plain) is not bool(home.known):
        wrong.append("plain and known go together: names without a prefix")
    return wrong


def _with_kwargs(name: str, preprocessing: str, env_kwargs: str) -> EnvSpec:
    """An environment of Gymnasium that is made with arguments of its own."""
    prefix, colon, rest = name.partition(":")
    if preprocessing or (colon and prefix != "gym"):
        raise Refusal(
            f"env_kwargs are for environments of Gymnasium, and {name} came with them; write gym:ID, or leave them out"
        )
    return imported("qtwin.envs.gym_home:resolved_with")(rest if colon else name, env_kwargs)


def _plain(name: str) -> EnvSpec:
    takes_plain = [home for home in HOMES.values() if home.plain]
    for home in takes_plain:
        if called(home, "plain", name):
            return resolved(home, name)
    known = [each for home in takes_plain for each in called(home, "known")]
    raise Refusal(f"unknown environment '{name}'{nearest_env(name, [*names(), *known])}")
