"""How a command ends: everything written has gone out, or it is said why not."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable

from groundplane.core.errors import OutputError

__all__ = ["finish"]


def finish(command: Callable[[], int]) -> int:
    """Run a command and give its exit code, once all that it wrote has gone out.

    Raises:
        OutputError: If there is no room left for what it wrote.
    """
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name that is no text, or a terminal without the letter, is no error.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command()
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # What is left in the buffer must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.ENOSPC:
            raise OutputError(f"stdout cannot be written: {error.strerror}") from error
        # The reader has gone (`| head`): nothing is left to say, and to nobody.
        return 128 + signal.SIGPIPE
    return code


def _open_closed() -> None:
    """Let what was closed before the start (`>&-`) take words and drop them.

    Python has None in its place, and the descriptor would go to the next file that is opened.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8"))
