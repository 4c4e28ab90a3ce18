"""Files that are written whole or not at all, locks, and JSON that is named when it cannot be read."""

import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """The path of a temporary neighbour of `path`, which takes its place if all goes well and vanishes otherwise."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        partial = Path(name)
        try:
            os.chmod(partial, 0o644)
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(f"{cannot_write(path, error)}; nothing was kept of it") from error


def cannot_write(path: Path, error: OSError) -> str:
    """The sentence that names the file and the reason."""
    return f"{path} must be writable, on a disk with room, got {error.strerror or error}"


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write `text` as UTF-8 and return the path."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def read_text(path: str | os.PathLike, kind: str, most: int = 1_000_000) -> str:
    """The text of a regular file of at most `most` bytes; ValueError for a device, a pipe, a larger or another file.

    `kind` names the file in errors, such as "curve file".
    """
    try:
        return read_bytes(path, kind, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {kind} must be UTF-8 text, got {error.reason}; write it again") from error


def read_bytes(path: str | os.PathLike, kind: str, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes; ValueError as for :func:`read_text`."""
    path = Path(path)
    try:
        found = path.stat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # to open a pipe would wait for its writer
            raise ValueError(f"{path}: {kind} must be a regular file, got a pipe or a device; check the path")
        if found.st_size > most:
            raise ValueError(f"{path}: {kind} must have at most {most} bytes, got {found.st_size}")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {kind} must be readable, got {error.strerror}; check the path") from error


def read_json(path: Path, remedy: str = "write it again") -> dict[str, Any]:
    """Read an object from a JSON file; `remedy` is what the user should do about a damaged one."""
    try:
        value = json.loads(read_text(path, "JSON file", most=100_000_000))
    except (json.JSONDecodeError, RecursionError) as error:
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


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, which is free again when this process ends, however it does.

    Where the file system has no locks, as some that are shared between machines, nobody is kept out. Without `wait`,
    BlockingIOError is raised if another process holds it.
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
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        lock.close()  # whoever held it has removed it meanwhile
