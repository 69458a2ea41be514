"""A run's directory while the run is under way. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from qtwin.errors import Broken
from qtwin.request.run_config import write_json
from qtwin.run.lock import Lock
from qtwin.storage.console import reserve
from qtwin.storage.files import read_json


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Where a run writes; made again where somebody has removed it in the middle of the run.

    Attributes:
      lock: held on it; its ``out`` is the absolute path.
      described: what ``config.json`` holds.
      say: is told, in a sentence, of what has been made again.
    """

    lock: Lock
    described: dict
    say: Callable[[str], None]

    @property
    def out(self) -> Path:
        return self.lock.out

    def begin(self, goes_on: bool = True) -> None:
        """Writes ``config.json``; a summary of a smaller budget goes where the run ``goes_on`` from there."""
        write_json(self.out / "config.json", self.described)
        if goes_on:
            (self.out / "summary.json").unlink(missing_ok=True)

    def ensure(self) -> bool:
        """Makes the directory and its ``config.json`` again if they are gone; returns whether they were.

        Raises:
          Broken: another run has begun there since, or has been there; nothing of it is touched.
        """
        reserve()  # an environment may close the standard descriptors
        file = self.out / "config.json"
        there = file.is_file()
        if there and self.lock.held():
            return False
        if there and not self._ours(file):
            raise Broken(f"{self.out} was removed during the run, and another run is there now; this one has ended")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            self.lock.again()
            if there:
                return False  # only the lock's file was gone
            self.begin()
        except OSError:
            return False  # the checkpoint that cannot be written is told; this is tried again in a moment
        self.say(
            f"{self.out} was removed during the run: it has been made again with its config.json, and a checkpoint is"
            " written now; what else lay there is lost"
        )
        return True

    def _ours(self, file: Path) -> bool:
        try:
            return read_json(file) == json.loads(json.dumps(self.described))
        except (OSError, ValueError):
            return False
