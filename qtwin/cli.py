"""The command line. What is wrong with a request is said in one line, with exit code 2, before JAX is imported."""

from __future__ import annotations

# First what handles signals: one that comes while the rest is imported ends the process without a traceback.
try:
    from qtwin.run.interrupts import Abandoned, importing
except KeyboardInterrupt:
    raise SystemExit(130) from None

with importing():
    import argparse
    import dataclasses
    import json
    import signal
    import sys
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, NamedTuple, NoReturn

    from qtwin.config_file import config_option, said
    from qtwin.errors import Broken, Diverged, Refusal, nearest, one_of
    from qtwin.lab.command import compare, compare_options, report, report_options
    from qtwin.listing import LISTS
    from qtwin.run.eval_command import eval_options, evaluate
    from qtwin.run.record_command import record, record_options
    from qtwin.settings import SETTINGS, option, read_settings
    from qtwin.streams import outliving, safe

if TYPE_CHECKING:
    from qtwin.request import Request

ENV_TIMEOUT = "60"  # seconds


class Parser(argparse.ArgumentParser):
    """argparse, but what it objects to is a `Refusal` in one sentence."""

    def error(self, message: str) -> NoReturn:
        what, _, complaint = message.partition(": ")
        if complaint.startswith("expected"):
            name = what.removeprefix("argument ").split("/")[-1]
            raise Refusal(f"{name} needs a value and none came; see {self.prog} --help")
        if message.startswith("the following arguments are required"):
            example = {"ENV": "CartPole-v1", "RUN": "runs/CartPole-v1-dqn-1", "--out": "--out data.safetensors"}
            example["METHOD"] = "simsiam"
            missing = complaint.split(", ")[0]
            raise Refusal(
                f"{self.prog} needs {missing} and none came; write {self.prog} {example.get(missing, missing)}"
            )
        if complaint.startswith("ignored explicit argument"):
            raise Refusal(f"{what.removeprefix('argument ')} takes no value; see {self.prog} --help")
        raise Refusal(f"{message}; see {self.prog} --help")

    def options(self) -> list[str]:
        """Every option there is."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


class Command(NamedTuple):
    """A sub-command: what it is for, its options, what it does.

    Attributes:
      quick: it only reads and prints: a signal ends it at once.
    """

    summary: str
    options: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], int]
    quick: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Returns:
      the exit code: 0 done, 1 diverged or broken, 2 refused, 129/130/143 ended by SIGHUP, SIGINT or SIGTERM. What is
      shown and cannot be, because nobody reads it any more, changes nothing about it.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with importing() as phase, outliving():
        code = _code(words, phase)
    if argv is None:  # the process ends now: a signal must not show a traceback out of the interpreter's last moments
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return code


def _code(words: list[str], phase: importing) -> int:
    def told(why: BaseException | str) -> None:
        print("qtwin: " + safe(" ".join(str(why).split())), file=sys.stderr)

    try:
        return dispatch(words, phase)
    except Refusal as refusal:
        told(refusal)
        return 2
    except (Diverged, Broken) as diverged:
        told(diverged)
        return 1
    except (KeyboardInterrupt, Abandoned):
        return 130
    except SystemExit as exit:  # whoever asked for the end of the process, the command has not come to its own
        told(f"something in this process raised SystemExit({exit.code}) before the command had ended")
        return 1


def dispatch(words: list[str], phase: importing) -> int:
    """Finds the sub-command and hands it its options; all that comes before it works belongs to ``phase``."""
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] == "--version":
        import qtwin

        print(f"qtwin {qtwin.__version__}")
        return 0
    if words[0] not in COMMANDS:
        raise Refusal(f"unknown command '{words[0]}'{nearest(words[0], COMMANDS)}")
    command = COMMANDS[words[0]]
    parser = Parser(prog=f"qtwin {words[0]}", description=command.summary, allow_abbrev=False)
    command.options(parser)
    try:
        arguments, odd = parser.parse_known_args(words[1:])
    except SystemExit as done:  # --help has been printed
        return int(done.code or 0)
    if odd:
        known = parser.options()
        strange = next((word for word in odd if word.startswith("-")), None)
        if strange is None:
            raise Refusal(f"{parser.prog} does not know what to do with '{odd[0]}'; see {parser.prog} --help")
        raise Refusal(f"unknown option '{strange}' of {parser.prog}{nearest(strange.partition('=')[0], known)}")
    return command.run(arguments) if command.quick else phase.paused(lambda: command.run(arguments))


def overview() -> str:
    """What ``qtwin --help`` says."""
    lines = [f"  {name:<8}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: qtwin COMMAND ...",
            "",
            "Deep Q-learning as two networks and three processes.",
            "",
            *lines,
            "",
            "qtwin train CartPole-v1            trains an agent; qtwin COMMAND --help tells more",
        ]
    )


def setting_options(parser: Parser) -> None:
    """The options that set fields of `Config`."""
    group = parser.add_argument_group("settings", "over the preset's, over the agent's own")
    for field, (takes, means) in SETTINGS.items():
        group.add_argument(option(field), dest=field, metavar=takes, help=means)


def settings_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that were said aloud, by the names of `Config`'s fields."""
    said = {field: getattr(arguments, field, None) for field in (*SETTINGS, "data")}
    return {field: value for field, value in said.items() if value is not None}


def train_options(parser: Parser) -> None:
    parser.add_argument("env", metavar="ENV", nargs="?", help="the environment, as CartPole-v1 (qtwin list envs)")
    config_option(parser)
    parser.add_argument("--agent", metavar="NAME", help="the algorithm (qtwin list agents)")
    parser.add_argument("--preset", metavar="NAME", help="settings by name (qtwin list presets)")
    parser.add_argument("--seeds", metavar="K", default=None, help="how many seeds, trained side by side")
    parser.add_argument("--seed", metavar="S", default=None, help="the first of them")
    parser.add_argument("--out", metavar="DIR", help="the run directory; a fresh one under runs/ if left out")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--data", metavar="FILE", help="learn offline from a recording (qtwin record)")
    parser.add_argument("--eval-episodes", metavar="N", help="greedy episodes at the end, for each seed (100)")
    parser.add_argument("--eval-max-steps", metavar="N", help="cut an evaluation episode after N steps (10,000)")
    parser.add_argument("--log-points", metavar="N", help="evaluations on the way (20)")
    parser.add_argument("--engine", metavar="E", help="auto, fused (in JAX) or hosted (in Python)")
    parser.add_argument("--overlap", action="store_true", help="hosted: collect while the regression runs")
    parser.add_argument("--diagnose", metavar="K", help="measure the twin at every Kth of them; 0 never")
    parser.add_argument("--checkpoints", metavar="N", help="so many in the run (5), or every:N transitions one")
    parser.add_argument("--frames", metavar="WHERE", help="remembered images: memory, or disk (in the run directory)")
    parser.add_argument("--env-timeout", metavar="S", help="seconds for a step in Python (60); 0 is for ever")
    parser.add_argument("--env-mode", metavar="HOW", help="sync, or async: apart, and replaced if they die or hang")
    parser.add_argument("--on-nan", metavar="HOW", help="from an environment: stop, or drop it and go on with another")
    parser.add_argument("--keep", metavar="HOW", help="which stay: last:2, every:10, best:1, or several with commas")
    parser.add_argument("--quiet", action="store_true", help="say nothing")
    setting_options(parser)


def request_of(arguments: argparse.Namespace) -> Request:
    """What ``qtwin train`` was asked for, checked."""
    from qtwin.request import build

    asked = said(arguments)
    if "env" not in asked:
        raise Refusal("qtwin train needs ENV and none came; write qtwin train CartPole-v1")
    settings = {field: asked.pop(field) for field in (*SETTINGS, "data") if field in asked}
    return build(**{"env_timeout": ENV_TIMEOUT} | asked, settings=settings)


def train(arguments: argparse.Namespace) -> int:
    with importing():
        request = request_of(arguments)
        from qtwin.run.train import run
    for note in () if request.quiet else request.notes:
        print(f"note: {safe(note)}", file=sys.stderr)
    return run(request)


def rates_options(parser: Parser) -> None:
    parser.add_argument("--preset", metavar="NAME", nargs="+", help="recipes side by side (qtwin list presets)")
    parser.add_argument("--agent", metavar="NAME", nargs="+", help="agents' own settings side by side")
    parser.add_argument("--json", action="store_true", help="for programs")
    setting_options(parser)


def rates(arguments: argparse.Namespace) -> int:
    from qtwin import card
    from qtwin.agents import AGENTS
    from qtwin.presets import AGENT_DEFAULTS, preset_of

    if arguments.preset and arguments.agent:
        raise Refusal("a rate card is of presets or of agents, and both came; leave out --agent or --preset")
    recipes = []
    for preset in map(preset_of, arguments.preset or ()):
        recipes += [(name, config, preset) for name, config in preset.recipes.items()]
    if not recipes:
        agents = arguments.agent or ["online_q", "dqn", "fqi"]  # the three settings of the three rates
        recipes = [(agent, AGENT_DEFAULTS[one_of("agent", agent, AGENTS)], None) for agent in agents]
    said = settings_of(arguments)
    columns = [
        card.column(name, dataclasses.replace(config, **read_settings(said, config)), preset)
        for name, config, preset in recipes
    ]
    if arguments.json:
        print(json.dumps(card.as_json(columns), indent=1))
    else:
        card.show(columns)
    return 0


def list_options(parser: Parser) -> None:
    parser.add_argument("what", metavar="WHAT", help="one of " + ", ".join(LISTS))
    parser.add_argument("--json", action="store_true", help="for programs")


def list_names(arguments: argparse.Namespace) -> int:
    from qtwin.listing import listing

    found = listing(arguments.what)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    width = max(len(name) for name in found)
    for name, about in found.items():
        print(f"{name:<{width}}  {about}")
    return 0


def siamese_options(parser: Parser) -> None:
    from qtwin.siamese import command

    command.siamese_options(parser)


def siamese(arguments: argparse.Namespace) -> int:
    from qtwin.siamese import command

    return command.siamese(arguments)


COMMANDS = {
    "train": Command("train an agent on an environment", train_options, train),
    "eval": Command("play greedy episodes with a run's policies", eval_options, evaluate),
    "compare": Command("what a choice does: a grid of settings, measured side by side", compare_options, compare),
    "report": Command("the table and the page of a comparison, finished or not", report_options, report),
    "rates": Command("the rate card: how often each of the three processes runs", rates_options, rates, True),
    "list": Command(
        "agents, targets, bootstraps, envs, presets, nets, ..., one line each", list_options, list_names, True
    ),
    "record": Command("record a data set to learn from offline", record_options, record),
    "siamese": Command("features of images without labels: SimSiam, BYOL, MoCo, SimCLR", siamese_options, siamese),
}
