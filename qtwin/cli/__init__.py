"""The command line; `main` is its entry point."""

from qtwin.cli.dispatch import main as main
