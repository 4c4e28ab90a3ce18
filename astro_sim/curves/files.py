"""Files that are written whole or not at all, locks, and JSON that is named when it cannot be read."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """The path of a temporary neighbour of `path`, which takes its place if all goes well and vanishes otherwise.

    Raises
    ------
    OSError
        If the file cannot be written, with the path and the reason in one sentence.
    """
    path, partial = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        partial = Path(name)
        os.chmod(partial, 0o644)
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
        partial = None
    except OSError as error:
        raise OSError(f"{cannot_write(path, error)}; nothing was kept of it") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> str:
    """The sentence that names the file and the reason."""
    return f"{path} must be writable, on a disk with room, got {error.strerror or error}"


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write `text` as UTF-8 and return the path."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def read_json(path: Path, remedy: str = "write it again") -> dict[str, Any]:
    """Read an object from a JSON file; `remedy` is what the user should do about a damaged one.

    Raises
    ------
    ValueError
        If the file is missing, cut off, or holds anything else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} must be a readable JSON file, got {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} must be a whole JSON file, got {error}; {remedy}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, got {value!r:.40}; {remedy}")
    return value


def read_if_there(path: Path) -> dict[str, Any]:
    """The object of a JSON file, {} if there is no such file."""
    return read_json(path) if path.exists() else {}


def add_metrics(folder: str | os.PathLike, metrics: Mapping[str, Any]) -> Path:
    """Add entries to ``FOLDER/metrics.json``; those of its ``seconds`` (stage to wall time) are merged likewise."""
    path = Path(folder) / "metrics.json"
    before = read_if_there(path)
    seconds = {**before.get("seconds", {}), **metrics.get("seconds", {})}
    return write_text(path, json.dumps({**before, **metrics, "seconds": seconds}, indent=2) + "\n")


def record_seconds(folder: str | os.PathLike, stage: str, seconds: float) -> Path:
    """Add the wall time of a stage to ``FOLDER/metrics.json``."""
    return add_metrics(folder, {"seconds": {stage: round(seconds, 2)}})


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, which is free again when this process ends, however it does.

    Where the file system has no locks, as some that are shared between machines, nobody is kept out.

    Raises
    ------
    BlockingIOError
        Without `wait`, if another process holds it.
    OSError
        If the folder cannot be made or written, with its path and the reason in one sentence.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _take(path, wait)
    except BlockingIOError:
        raise
    except OSError as error:
        raise OSError(cannot_write(path.parent, error)) from error
    with lock:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _take(path: Path, wait: bool) -> IO[Any]:
    import fcntl  # Windows has none; a model can be used there all the same

    while True:
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                lock.close()
                raise
        if _is_at(lock, path):
            return lock
        lock.close()  # whoever held it has removed it meanwhile


def _is_at(file: IO[Any], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
