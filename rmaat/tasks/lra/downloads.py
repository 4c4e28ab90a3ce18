"""Finding official files in a data folder, and unpacking the archives they come in, whole or not at all."""

import fnmatch
import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from astro_sim.curves.files import locked
from rmaat.tasks.dataset import TaskError

ROOTS = ("", "lra_release", "lra_release/lra_release")  # of the places, relative to the data folder


class Official(NamedTuple):
    """The official files of a task."""

    places: tuple[str, ...]
    """Folders that they may lie in."""
    mark: str
    """A file or folder that shows that it is the right place."""
    archive: str = "lra_release.gz"
    """The download, a tar, gzipped or not."""


OFFICIAL = {
    "listops": Official(("listops-1000", "listops"), "basic_train.tsv"),
    "retrieval": Official(("tsv_data", "aan"), "new_aan_pairs.train.tsv"),
    "pathfinder": Official(("", "pathfinder"), "pathfinder*/curv_*/metadata"),
    "text": Official(("aclImdb", "imdb"), "train*", "aclImdb_v1.tar.gz"),
    "image": Official(("cifar-10-batches-bin",), "*.bin", "cifar-10-binary.tar.gz"),
}


class MissingError(TaskError):
    """A task's files are not there; what is there may be whole."""


def find(task: str, data_dir: Path | None, mark: str | None = None) -> Path:
    """The folder with a task's official files, unpacking its archive first if only that is there.

    `mark` is what shows that it is the right folder, by default the task's in `OFFICIAL`; a task of one size and
    difficulty looks for its own. MissingError if neither files nor archive are there.
    """
    if data_dir is None or not Path(data_dir).is_dir():
        raise TaskError(f"data_dir must be a folder with the files of {task}, got {data_dir}")
    data_dir = Path(data_dir)
    if (found := look(task, data_dir, mark)) is not None:
        return found
    archive = data_dir / OFFICIAL[task].archive
    if not archive.exists():
        wanted = f"{_wanted(task, mark)} or {archive.name}"
        raise MissingError(f"{data_dir} must hold {wanted} for {task}, got neither")
    with locked(data_dir / ".unpacking.lock"):
        if look(task, data_dir, mark) is None:  # another process may have unpacked it meanwhile
            unpack(archive, data_dir)
    if (found := look(task, data_dir, mark)) is None:
        raise lacking(task, archive, mark)
    return found


def look(task: str, data_dir: Path, mark: str | None = None) -> Path | None:
    """The folder with a task's official files, if it is there."""
    for place in _places(task):
        if (data_dir / place).is_dir() and next((data_dir / place).glob(mark or OFFICIAL[task].mark), None):
            return data_dir / place
    return None


def lacking(task: str, archive: Path, mark: str | None = None) -> MissingError:
    """The error of a whole archive without a task's files."""
    wanted = _wanted(task, mark)
    return MissingError(f"{archive} must hold {wanted} for {task}, got an archive without it; get the full one")


def _wanted(task: str, mark: str | None) -> str:
    places, own_mark, _ = OFFICIAL[task]
    return " or ".join(f"{PurePosixPath(place, mark or own_mark).parent}/" for place in places)


def _places(task: str) -> list[PurePosixPath]:
    return [PurePosixPath(root, place) for root in ROOTS for place in OFFICIAL[task].places]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive (compressed or not) into `folder`; a damaged one leaves nothing behind."""
    staging = folder / ".unpacking"
    shutil.rmtree(staging, ignore_errors=True)  # what a killed process left
    staging.mkdir()
    try:
        with _opened(archive) as tar:
            try:
                tar.extractall(staging, filter=lambda member, place: _admit(member, place, archive, folder))
            except gzip.BadGzipFile:
                raise
            except OSError as error:
                reason = error.strerror or error
                raise OSError(f"{folder} must have room for {archive.name}, got {reason}; nothing was kept") from error
        for entry in list(staging.iterdir()):
            entry.rename(folder / entry.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _admit(member: tarfile.TarInfo, place: Path | str, archive: Path, folder: Path) -> tarfile.TarInfo:
    """The member as it may be unpacked, unless it would leave the folder or meet what is there."""
    member = tarfile.data_filter(member, str(place))
    for top in PurePosixPath(member.name).parts[:1]:
        if (folder / top).exists():
            rule = f"{folder / top} must hold what is looked for in {archive.name}, or not be there when it is unpacked"
            raise TaskError(f"{rule}; move it away if it is incomplete")
    return member


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive as a stream, to be read to its end; damage becomes one sentence."""
    with archive.open("rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
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


def verify(archive: Path) -> list[str]:
    """Names of an archive's members; TaskError unless it is whole and could be unpacked beside itself."""
    folder = archive.parent
    with _opened(archive) as tar:
        return [str(PurePosixPath(_admit(member, folder, archive, folder).name)) for member in tar]


def holds(task: str, members: list[str]) -> bool:
    """Whether a task's files are among the members of an archive."""
    return any(fnmatch.filter(members, f"{place / OFFICIAL[task].mark}*") for place in _places(task))


def require(path: Path, what: str) -> Path:
    """Return `path`; TaskError if there is no such file or folder, or an empty file."""
    if not path.exists():
        raise MissingError(f"{path} must exist ({what}), got no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise TaskError(f"{path} must hold {what}, got an empty file")
    return path
