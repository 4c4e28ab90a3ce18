"""Shared by both command lines: parsing with tyro, and errors as one line with an exit status."""

import contextlib
import gc
import io
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial, wraps
from typing import Any

EXPECTED = (ValueError, TypeError, OSError, RuntimeError, MemoryError)

INTERRUPTED = 128 + signal.SIGINT  # the status of a program that Ctrl-C ended


def run_command(command: Callable[[list[str]], int], argv: Sequence[str] | None, resumed: Collection[str] = ()) -> int:
    """Exit status of a command line; an error is one line on standard error, or a traceback with --debug.

    `resumed` are the commands, such as "train" or "bench lra", that go on from what an interrupted one has saved.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        if stopped:
            os._exit(INTERRUPTED)
        stopped.append(number)
        logging.disable()  # libraries comment on half-made objects when they are freed
        raise KeyboardInterrupt

    with on_signal(signal.SIGINT, stop), on_signal(signal.SIGTERM, stop):
        try:
            try:
                return command([word for word in argv if word != "--debug"])
            finally:
                sys.stdout.flush()
        except BrokenPipeError:  # head, say, has read enough; what is left to write at exit must not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141  # as of a program that SIGPIPE ended
        except KeyboardInterrupt:
            pass
        except Exception as error:
            if not stopped:  # else a library has made its own error of the interrupt
                if "--debug" in argv:
                    traceback.print_exc()
                elif not isinstance(error, EXPECTED):
                    raise
                sys.stderr.write(f"error: {sentence(error)}\n")
                return 2
        goes_on = any(" ".join(argv).startswith(name) for name in resumed)
        sys.stderr.write(
            f"interrupted; the same command {'goes on from what is saved' if goes_on else 'starts anew'}\n"
        )
        logging.disable(logging.NOTSET)
        gc.freeze()  # else Python visits every object before it ends, for seconds
        return INTERRUPTED


def sentence(error: Exception) -> str:
    """What an error says, in one line without control characters, which a foreign file may have brought in.

    One of the operating system says what must be otherwise.
    """
    said = str(error)
    if isinstance(error, OSError) and error.strerror is not None:
        what = "the temporary directory and the output folder" if error.filename is None else error.filename
        said = f"{what} must be there and writable, on a disk with room, got {error.strerror}"
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(said.split()))
    return plain if len(plain) < 1000 else f"{plain[:900]} ..."


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """End the process with one sentence on Ctrl-C and SIGTERM while the modules of a command load.

    An exception would not do: libraries that are half loaded may swallow it, or add tracebacks of their own.
    """

    def leave(*_: object) -> None:
        os.write(2, b"interrupted before anything was done; start the same command again\n")
        os._exit(INTERRUPTED)

    with on_signal(signal.SIGINT, leave), on_signal(signal.SIGTERM, leave):
        yield


@contextlib.contextmanager
def on_signal(number: signal.Signals, handler: Callable[..., object]) -> Iterator[None]:
    """Answer a signal with `handler` meanwhile; outside the main thread, which alone gets signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


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
        said = [f"{part:.200}" for part in parts[1:] if part]  # the first is the heading of the box
        raise ValueError("; ".join(said)) from None
