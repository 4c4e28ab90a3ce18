"""Finding official files in a data folder, and unpacking the archives they come in, whole or not at all."""

import fnmatch
import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from astro_sim.curves.files import locked
from rmaat.tasks.dataset import TaskError

MOST_TIMES = 100  # texts and images shrink to a tenth, not to a hundredth

ROOTS = ("", "lra_release", "lra_release/lra_release")  # of the places, relative to the data folder


class Official(NamedTuple):
    """The official files of a task."""

    places: tuple[str, ...]
    """Folders that they may lie in."""
    mark: str
    """A file or folder that shows that it is the right place."""
    files: tuple[str, ...]
    """All files or folders that an archive must hold there."""
    archive: str = "lra_release.gz"
    """The download, a tar, gzipped or not."""


OFFICIAL = {
    "listops": Official(
        ("listops-1000", "listops"),
        "basic_train.tsv",
        ("basic_train.tsv", "basic_val.tsv", "basic_test.tsv"),
    ),
    "retrieval": Official(
        ("tsv_data", "aan"),
        "new_aan_pairs.train.tsv",
        tuple(f"new_aan_pairs.{split}.tsv" for split in ("train", "eval", "test")),
    ),
    "pathfinder": Official(("", "pathfinder"), "pathfinder*/curv_*/metadata", ("pathfinder*/curv_*/metadata",)),
    "text": Official(("aclImdb", "imdb"), "train*", ("train*", "test*"), "aclImdb_v1.tar.gz"),
    "image": Official(
        ("cifar-10-batches-bin",),
        "*.bin",
        (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"),
        "cifar-10-binary.tar.gz",
    ),
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
            unpack(archive, data_dir, task, mark)
    found = look(task, data_dir, mark)
    assert found is not None  # or unpacking would have raised
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
    official = OFFICIAL[task]
    return " or ".join(f"{PurePosixPath(place, mark or official.mark).parent}/" for place in official.places)


def _places(task: str) -> list[PurePosixPath]:
    return [PurePosixPath(root, place) for root in ROOTS for place in OFFICIAL[task].places]


def unpack(archive: Path, folder: Path, task: str, mark: str | None = None) -> None:
    """Unpack a task's tar archive (compressed or not) into `folder`; a damaged or other one leaves nothing behind."""
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
        whole = _whole(task, lambda pattern: next(staging.glob(pattern), None))
        if not whole or look(task, staging, mark) is None:
            raise lacking(task, archive, mark)
        for entry in list(staging.iterdir()):
            entry.rename(folder / entry.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _admit(member: tarfile.TarInfo, place: Path | str, archive: Path, folder: Path) -> tarfile.TarInfo:
    """The member as it may be unpacked, unless it would leave the folder or meet what is there."""
    member = tarfile.data_filter(member, str(place))
    if member.issparse():  # it is larger than what is read of it
        raise TaskError(f"{archive} must hold plain files, got a sparse one, {member.name!r:.60}; get the official one")
    for top in PurePosixPath(member.name).parts[:1]:
        if (folder / top).exists():
            rule = f"{folder / top} must hold what is looked for in {archive.name}, or not be there when it is unpacked"
            raise TaskError(f"{rule}; move it away if it is incomplete")
    return member


class _Bounded:
    """An archive's content, to be read up to a limit: a decompression bomb ends there."""

    def __init__(self, file: Any, archive: Path):
        self._file, self._archive = file, archive
        self._left = MOST_TIMES * archive.stat().st_size + 10_000_000  # a small tar is mostly padding

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            rule = f"{self._archive} must unpack to at most {MOST_TIMES} times its size"
            raise TaskError(f"{rule}, got more; it is none of the official archives, delete it")
        return content


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive as a stream, to be read to its end; damage becomes one sentence."""
    with archive.open("rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if zipped else open)(archive, "rb") as packed:
            file: Any = _Bounded(packed, archive)
            with tarfile.open(fileobj=file, mode="r|") as tar:
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
    """Whether all of a task's files are among the members of an archive."""
    return _whole(task, lambda pattern: fnmatch.filter(members, f"{pattern}*"))


def _whole(task: str, matches: Callable[[str], Any]) -> bool:
    """Whether one of a task's places has all its files, of which `matches` finds those of a pattern."""
    return any(all(matches(str(place / name)) for name in OFFICIAL[task].files) for place in _places(task))


def require(path: Path, what: str) -> Path:
    """Return `path`; TaskError if there is no such file or folder, or an empty file."""
    if not path.exists():
        raise MissingError(f"{path} must exist ({what}), got no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise TaskError(f"{path} must hold {what}, got an empty file")
    return path
