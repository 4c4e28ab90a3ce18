"""Finding official files in a data folder, and unpacking the archives they come in, whole or not at all."""

import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .dataset import TaskError

RELEASE = "lra_release.gz"  # a tar, gzipped or not; unpacks to lra_release/lra_release
ARCHIVES = {
    "listops": RELEASE,
    "retrieval": RELEASE,
    "pathfinder": RELEASE,
    "text": "aclImdb_v1.tar.gz",
    "image": "cifar-10-binary.tar.gz",
}
PLACES = {  # where each task's files may lie, relative to the data folder or to lra_release/lra_release in it
    "listops": ("listops-1000", "listops"),
    "retrieval": ("tsv_data", "aan"),
    "pathfinder": ("", "pathfinder"),
    "text": ("aclImdb", "imdb"),
    "image": ("cifar-10-batches-bin",),
}
MARKS = {  # what shows that it is the right folder
    "listops": "basic_train.tsv",
    "retrieval": "new_aan_pairs.train.tsv",
    "pathfinder": "pathfinder*/curv_*/metadata",
    "text": "train*",
    "image": "*.bin",
}


def find(task: str, data_dir: Path | None) -> Path:
    """The folder with a task's official files, unpacking its archive first if only that is there.

    Raises
    ------
    TaskError
        If neither is there, or the archive is damaged.
    """
    if data_dir is None or not Path(data_dir).is_dir():
        raise TaskError(f"data_dir must be a folder with the files of {task}, got {data_dir}")
    data_dir = Path(data_dir)
    if (found := look(task, data_dir)) is not None:
        return found
    archive = data_dir / ARCHIVES[task]
    if archive.exists():
        unpack(archive, data_dir)
        if (found := look(task, data_dir)) is not None:
            return found
    wanted = " or ".join(f"{place or 'pathfinder32'}/" for place in PLACES[task])
    raise TaskError(
        f"{data_dir} must hold {wanted} or {archive.name} for {task}, got neither; `rmaat data check` helps"
    )


def look(task: str, data_dir: Path) -> Path | None:
    """The folder with a task's official files, if it is there."""
    for root in (data_dir, data_dir / "lra_release", data_dir / "lra_release" / "lra_release"):
        for place in PLACES[task]:
            if (root / place).is_dir() and next((root / place).glob(MARKS[task]), None):
                return root / place
    return None


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive (compressed or not) into `folder`; a damaged one leaves nothing behind.

    Raises
    ------
    TaskError
        If the archive is cut off or no archive.
    OSError
        If the disk is full.
    """
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".unpacking-"))
    try:
        with _opened(archive) as tar:
            try:
                tar.extractall(staging, filter="data")
            except gzip.BadGzipFile:
                raise
            except OSError as error:
                reason = error.strerror or error
                raise OSError(f"{folder} must have room for {archive.name}, got {reason}; nothing was kept") from error
        for entry in staging.iterdir():
            if (folder / entry.name).exists():
                raise TaskError(f"{folder / entry.name} must not exist yet to unpack {archive.name}; move it away")
        for entry in list(staging.iterdir()):
            entry.rename(folder / entry.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive as a stream, to be read to its end; damage becomes one sentence."""
    with archive.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if zipped else open)(archive, "rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            yield tar
            if tar.fileobj.tell() <= tar.offset:  # tarfile takes a cut between two members for the end
                raise EOFError("no end mark")
            while file.read(1 << 20):  # at its end gzip checks the content
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        size = archive.stat().st_size
        raise TaskError(f"{archive} must be a whole archive, got {error} in {size} bytes; download it again") from error


def verify(archive: Path) -> int:
    """Read an archive to its end and return how many members it has.

    Raises
    ------
    TaskError
        If it is cut off or no archive.
    """
    with _opened(archive) as tar:
        return sum(1 for _ in tar)


def require(path: Path, what: str) -> Path:
    """`path` if it exists and is not empty.

    Raises
    ------
    TaskError
        Otherwise.
    """
    if not path.exists():
        raise TaskError(f"{path} must exist ({what}), got no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise TaskError(f"{path} must hold {what}, got an empty file")
    return path
