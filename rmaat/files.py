"""Files are written whole or not at all; one that cannot be read is named."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, which is free again when this process ends, however it does.

    Where the file system has no locks, as some that are shared between machines, nobody is kept out.

    Raises
    ------
    BlockingIOError
        Without `wait`, if another process holds it.
    """
    import fcntl  # Windows has none; a model can be used there all the same

    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in WITHOUT_LOCKS:
                    raise
            if not _is_at(lock, path):  # whoever held it has removed it meanwhile
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(file: IO[Any], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def replacing(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary neighbour of `path` that takes its place when all went well; otherwise nothing is left of it.

    Raises
    ------
    OSError
        If the file cannot be written, with the path and the reason in one sentence.
    """
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.chmod(name, 0o644)
        text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        name = None
    except OSError as error:
        raise OSError(f"{cannot_write(path, error)}; nothing was kept of it") from error
    finally:
        if name is not None:
            Path(name).unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> str:
    """The sentence that names the file and the reason."""
    return f"{path} must be writable, on a disk with room, got {error.strerror or error}"


def write_text(path: Path, text: str) -> Path:
    """Write `text` and return the path."""
    with replacing(path, "w") as file:
        file.write(text)
    return path


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
