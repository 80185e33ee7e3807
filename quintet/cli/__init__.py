"""The command line: ``quintet COMMAND``; every command is a short function over the library.

Results go to standard output, progress and messages to standard error. An error that quintet
raises on purpose is one line and the exit code of its class; ``QUINTET_DEBUG=1`` shows where it
was raised.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from quintet.errors import QuintetError

DEBUG = "QUINTET_DEBUG"
UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code.

    Args:
        argv: the arguments after the program's name; those of the process when absent.
    """
    from quintet.cli.app import app

    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        app(args=arguments, prog_name="quintet", obj=arguments)
    except BrokenPipeError:  # the reader of our output went away, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        sys.exit(_told(error))


def _told(error: Exception) -> int:
    """Say the error in one line on standard error; gives the exit code."""
    from quintet.cli.console import fail

    if isinstance(error, QuintetError):
        fail(str(error))
        return error.exit_code
    if isinstance(error, OSError):
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    fail(f"unexpected {type(error).__name__}: {error}\nset {DEBUG}=1 to see where it was raised")
    return UNEXPECTED
