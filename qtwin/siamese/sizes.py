"""Images that somebody else may have written: regular files only, and every size held against a limit before memory is
taken for it. Read without importing JAX."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from qtwin.errors import Refusal, Unusable
from qtwin.storage import files

LIMIT = 1.0  # memory that images may take, where nothing else is asked for [GiB]
GIB = 2**30
# What Pillow, zipfile and numpy raise when a file is not what it says it is.
DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, tokenize.TokenError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def open_regular(path: str | Path, limit: int) -> BinaryIO:
    """Opens a regular file to be read, or what a link to one leads to; never waits for a named pipe.

    Args:
      path: the file.
      limit: its largest size. [bytes]

    Raises:
      Refusal: it is missing, cannot be opened, is no regular file, or is larger.
    """
    try:
        return files.open_regular(path, limit)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have, or what files.open_regular says
        if isinstance(error, Unusable):
            raise Refusal(str(error)) from None
        raise Refusal(f"{path} cannot be opened ({getattr(error, 'strerror', None) or error})") from None


def check_size(where: str, size: int, limit: float) -> None:
    """Refuses images that need more memory than they may.

    Args:
      where: what they are in.
      size: what they need. [bytes]
      limit: what they may take. [GiB]
    """
    if size > limit * GIB:
        raise Refusal(
            f"{where} needs {size / GIB:,.2f} GiB of memory, and at most {limit:g} GiB is allowed; use"
            f" fewer or smaller images, or raise the limit: --data-limit {math.ceil(size / GIB)}"
        )


def reason_of(error: BaseException) -> str:
    """An error's first line, or its name where it says nothing."""
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
