"""Report on the Long Range Arena's official files in a data folder: what is there, missing or damaged."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from rmaat.tasks.dataset import TaskError
from rmaat.tasks.images import CIFAR_FILES, CIFAR_RECORD
from rmaat.tasks.lra.downloads import OFFICIAL, MissingError, find, holds, lacking, look, require, verify
from rmaat.tasks.lra.release import LISTOPS, read_metadata
from rmaat.tasks.text import AAN

AMOUNTS = {  # in each file or split of the official ones
    "listops": ([96_000, 2_000, 2_000], "rows"),
    "text": ([25_000, 25_000], "reviews"),
    "retrieval": ([147_086, 18_090, 17_437], "pairs"),
    "image": ([50_000, 10_000], "images"),
    "pathfinder": ([200_000], "images"),
}


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
    for task in AMOUNTS:
        archive = data_dir / OFFICIAL[task].archive
        try:
            if look(task, data_dir) is None and archive.exists():
                message = _unpackable(task, archive, verified(archive))
            else:
                message = _count(task, find(task, data_dir))
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


def _count(task: str, folder: Path) -> str:
    if task == "pathfinder":
        return "; ".join(_count_images(subset) for subset in sorted(folder.glob("pathfinder*/curv_*")))
    if task == "listops":
        found = [_lines(folder / name) - 1 for name in LISTOPS.values()]
    elif task == "retrieval":
        found = [_lines(folder / name) for name in AAN.values()]
    elif task == "image":
        sizes = {name: require(folder / name, "CIFAR-10 records").stat().st_size for name in CIFAR_FILES}
        if cut := [name for name, size in sizes.items() if size % CIFAR_RECORD]:
            rule = f"{folder / cut[0]} must be whole records of {CIFAR_RECORD} bytes"
            raise TaskError(f"{rule}, got a part; unpack it again")
        *train, test = (size // CIFAR_RECORD for size in sizes.values())
        found = [sum(train), test]
    elif (folder / "train").is_dir():
        places = [[require(folder / split / name, "reviews") for name in ("neg", "pos")] for split in ("train", "test")]
        found = [sum(1 for place in both for _ in place.glob("*.txt")) for both in places]
    else:
        found = [_lines(folder / f"{split}.tsv") for split in ("train", "test")]
    return _beside(folder, found, *AMOUNTS[task])


def _count_images(subset: Path) -> str:
    rows, images = list(read_metadata(subset)), sum(1 for _ in subset.glob("imgs/*/*.png"))
    if images < len(rows):
        raise TaskError(f"{subset} must hold the {len(rows)} images that its metadata list, got {images}")
    return _beside(subset, [len(rows)], *AMOUNTS["pathfinder"])


def _lines(path: Path) -> int:
    with require(path, "rows").open("rb") as file:
        return sum(1 for _ in file)


def _beside(folder: Path, found: list[int], official: list[int], what: str) -> str:
    numbers = " + ".join(map(str, found))
    if 0 in found:
        raise TaskError(f"{folder} must hold {what} in every file or split, got {numbers}")
    expected = f"the official files have {' + '.join(map(str, official))}"
    return f"{folder} holds {numbers} {what}, {'as the official files' if found == official else expected}"
