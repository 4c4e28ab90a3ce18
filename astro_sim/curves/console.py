"""Shared by both command lines: parsing with tyro, and errors as one line with an exit status."""

import contextlib
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import Any

EXPECTED = (ValueError, TypeError, OSError, RuntimeError, MemoryError)


def run_command(
    command: Callable[[list[str]], int], argv: Sequence[str] | None, interrupted: str = "interrupted"
) -> int:
    """Exit status of a command line; an error is one line on standard error, or a traceback with --debug."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            with on_sigterm(signal.default_int_handler):  # as Ctrl-C: everything is written or nothing
                return command([word for word in argv if word != "--debug"])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # head, say, has read enough; what is left to write at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that SIGPIPE ended
    except EXPECTED as error:
        if "--debug" in argv:
            traceback.print_exc()
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return 130


@contextlib.contextmanager
def on_sigterm(handler: Callable[..., object]) -> Iterator[None]:
    """Answer SIGTERM with `handler` meanwhile; outside the main thread, which alone gets signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def deferred(function: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    """A function with the same options that returns the call instead of making it, so that parsing comes first."""
    return wraps(function)(lambda *args, **options: partial(function, *args, **options))


def parse(parser: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a parser of tyro; what it would draw as a box on standard error becomes the one line of a ValueError."""
    drawn = io.StringIO()
    try:
        with contextlib.redirect_stderr(drawn):
            return parser(*args, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        inside = drawn.getvalue().translate(dict.fromkeys(map(ord, "╭╮╰╯│"), " "))
        parts = [" ".join(part.split()).rstrip(".") for part in re.split("[-─]{3,}", inside)]
        raise ValueError("; ".join(filter(None, parts[1:]))) from None  # the first is the heading of the box
