"""The command line. A wrong request is refused in one line, with exit code 2, before JAX is imported."""

from __future__ import annotations

# Signal handling comes first: a signal during the other imports ends the process without a traceback.
try:
    from qtwin.interrupts import Abandoned, importing
except KeyboardInterrupt:
    raise SystemExit(130) from None

with importing():
    import signal
    import sys
    from collections.abc import Sequence
    from typing import NamedTuple

    from qtwin.errors import Broken, Diverged, Refusal, nearest
    from qtwin.records import imported
    from qtwin.request.imports import import_modules, import_option, split_imports
    from qtwin.request.parser import Parser
    from qtwin.storage.console import outliving, safe


class Command(NamedTuple):
    """A sub-command. Its functions are ``"module:function"``, imported when the command is used.

    Attributes:
      summary: one line about it.
      options: ``parser -> None``, adds its options.
      run: ``arguments -> exit code``.
      quick: it only reads and prints, so a signal ends it at once.
    """

    summary: str
    options: str
    run: str
    quick: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Returns:
      the exit code: 0 done, 1 diverged or broken, 2 refused, 129/130/143 ended by SIGHUP, SIGINT or SIGTERM. A closed
      pipe, whose output nobody reads any more, does not change it.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with importing() as phase, outliving():
        code = _code(words, phase)
    if argv is None:  # the process ends now: a signal must not show a traceback while the interpreter shuts down
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
    except SystemExit as exit:  # raised by somebody else's code: the command itself has not finished
        told(f"something in this process raised SystemExit({exit.code}) before the command had ended")
        return 1


def dispatch(words: list[str], phase: importing) -> int:
    """Finds the sub-command and runs it with its options; everything before it starts working belongs to ``phase``."""
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] == "--version":
        import qtwin

        print(f"qtwin {qtwin.__version__}")
        return 0
    if words[0] not in COMMANDS:
        raise Refusal(f"unknown command '{words[0]}'{nearest(words[0], COMMANDS)}")
    command, (modules, rest) = COMMANDS[words[0]], split_imports(words[1:])
    import_modules(modules)  # what they register has options too
    parser = Parser(prog=f"qtwin {words[0]}", description=command.summary, allow_abbrev=False)
    imported(command.options)(parser)
    import_option(parser)
    try:
        arguments, odd = parser.parse_known_args(rest)
    except SystemExit as done:  # --help has been printed
        return int(done.code or 0)
    if odd:
        known = parser.options()
        strange = next((word for word in odd if word.startswith("-")), None)
        if strange is None:
            raise Refusal(f"{parser.prog} takes no argument '{odd[0]}'; see {parser.prog} --help")
        name, given, value = strange.partition("=")
        after = odd[odd.index(strange) + 1 :][:1]
        value = value if given else "".join(each for each in after if not each.startswith("-"))
        from qtwin.config.synonyms import hint

        raise Refusal(f"unknown option '{strange}' of {parser.prog}{hint(name, known, value, known)}")
    if hasattr(arguments, "imports"):  # of a command that hands them on
        arguments.imports = modules
    run = imported(command.run)
    return run(arguments) if command.quick else phase.paused(lambda: run(arguments))


def overview() -> str:
    """What ``qtwin --help`` says."""
    lines = [f"  {name:<9}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: qtwin COMMAND ...",
            "",
            "Deep Q-learning as two networks and three processes.",
            "",
            *lines,
            "",
            "qtwin train CartPole-v1     train an agent",
            "qtwin COMMAND --help        show the options of a command",
        ]
    )


COMMANDS = {
    "train": Command(
        "train an agent on an environment", "qtwin.request.command_line:train_options", "qtwin.cli.train:train"
    ),
    "eval": Command(
        "evaluate the policies of a run in greedy episodes", "qtwin.cli.evaluate:eval_options",
        "qtwin.cli.evaluate:evaluate",
    ),
    "compare": Command(
        "compare settings: a grid of runs over several seeds, with statistics", "qtwin.cli.compare:compare_options",
        "qtwin.cli.compare:compare",
    ),
    "report": Command(
        "table and HTML page of a comparison, finished or not", "qtwin.cli.compare:report_options",
        "qtwin.cli.compare:report",
    ),
    "rates": Command(
        "rate card: how often each of the three processes runs", "qtwin.cli.rates:rates_options",
        "qtwin.cli.rates:rates", quick=True,
    ),
    "list": Command(
        "list agents, targets, bootstraps, envs, presets, nets, ...", "qtwin.cli.listing:list_options",
        "qtwin.cli.listing:list_names", quick=True,
    ),
    "record": Command(
        "record a data set for offline learning", "qtwin.cli.record:record_options", "qtwin.cli.record:record"
    ),
    "siamese": Command(
        "learn image features without labels: SimSiam, BYOL, MoCo, SimCLR", "qtwin.cli.siamese:siamese_options",
        "qtwin.cli.siamese:siamese",
    ),
}  # fmt: skip
