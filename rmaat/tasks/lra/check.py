"""Report on the Long Range Arena's official files in a data folder: what is there, missing or damaged."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from rmaat.tasks.dataset import TaskError
from rmaat.tasks.images import CIFAR_RECORD
from rmaat.tasks.lra.downloads import OFFICIAL, MissingError, find, holds, lacking, look, require, verify
from rmaat.tasks.lra.release import LISTOPS, read_metadata
from rmaat.tasks.text import AAN


@dataclass(frozen=True)
class Finding:
    """One line of `check`: a task, whether its files are "ok", "missing" or "damaged", and a sentence."""

    task: str
    state: Literal["ok", "missing", "damaged"]
    message: str


def check(data_dir: Path) -> list[Finding]:
    """What official files a folder holds, how much of the official amount, and what is missing or damaged.

    Rows and images are counted, not parsed: a bad one is named when its task is loaded.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise TaskError(f"data_dir must be a folder, got {data_dir}")
    verified, findings = cache(_verified), []  # an archive of several tasks is read once
    for task, count in _COUNTS.items():
        archive = data_dir / OFFICIAL[task].archive
        try:
            if look(task, data_dir) is None and archive.exists():
                message = _unpackable(task, archive, verified(archive))
            else:
                message = count(find(task, data_dir))
            findings.append(Finding(task, "ok", message))
        except MissingError as error:
            findings.append(Finding(task, "missing", str(error)))
        except (TaskError, OSError) as error:
            findings.append(Finding(task, "damaged", str(error)))
    return findings


def _verified(archive: Path) -> list[str] | TaskError | OSError:
    try:
        return verify(archive)
    except (TaskError, OSError) as error:
        return error


def _unpackable(task: str, archive: Path, members: list[str] | TaskError | OSError) -> str:
    if isinstance(members, Exception):
        raise members
    if not holds(task, members):
        raise lacking(task, archive)
    return f"{archive} is whole ({len(members)} members); loading the task unpacks it"


def _lines(path: Path) -> int:
    with require(path, "rows").open("rb") as file:
        return sum(1 for _ in file)


def _counted(folder: Path, found: list[int], official: list[int], what: str) -> str:
    if 0 in found:
        raise TaskError(f"{folder} must hold {what} in every file or split, got {' + '.join(map(str, found))}")
    expected = f"the official files have {' + '.join(map(str, official))}"
    beside = "as the official files" if found == official else expected
    return f"{folder} holds {' + '.join(map(str, found))} {what}, {beside}"


def _count_listops(folder: Path) -> str:
    return _counted(folder, [_lines(folder / name) - 1 for name in LISTOPS.values()], [96_000, 2_000, 2_000], "rows")


def _count_retrieval(folder: Path) -> str:
    return _counted(folder, [_lines(folder / name) for name in AAN.values()], [147_086, 18_090, 17_437], "pairs")


def _count_pathfinder(folder: Path) -> str:
    sentences = []
    for subset in sorted(folder.glob("pathfinder*/curv_*")):
        rows, images = list(read_metadata(subset)), sum(1 for _ in subset.glob("imgs/*/*.png"))
        if images < len(rows):
            raise TaskError(f"{subset} must hold the {len(rows)} images that its metadata list, got {images}")
        sentences.append(_counted(subset, [len(rows)], [200_000], "images"))
    return "; ".join(sentences)


def _count_text(folder: Path) -> str:
    counts = []
    for split in ("train", "test"):
        if (folder / "train").is_dir():
            places = [require(folder / split / name, "reviews") for name in ("neg", "pos")]
            counts.append(sum(1 for place in places for _ in place.glob("*.txt")))
        else:
            counts.append(_lines(folder / f"{split}.tsv"))
    return _counted(folder, counts, [25_000, 25_000], "reviews")


def _count_image(folder: Path) -> str:
    files = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    sizes = [require(folder / name, "CIFAR-10 records").stat().st_size for name in files]
    if cut := [name for name, size in zip(files, sizes, strict=True) if size % CIFAR_RECORD]:
        raise TaskError(f"{folder / cut[0]} must be whole records of {CIFAR_RECORD} bytes, got a part; unpack it again")
    return _counted(folder, [sum(sizes[:5]) // CIFAR_RECORD, sizes[5] // CIFAR_RECORD], [50_000, 10_000], "images")


_COUNTS: dict[str, Callable[[Path], str]] = {
    "listops": _count_listops,
    "text": _count_text,
    "retrieval": _count_retrieval,
    "image": _count_image,
    "pathfinder": _count_pathfinder,
}
