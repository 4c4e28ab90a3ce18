"""Archives are unpacked whole or not at all, by one process at a time; `check` says what loading does."""

import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rmaat.tasks import TaskError
from rmaat.tasks.lra import check as official
from rmaat.tasks.lra import downloads
from rmaat.tasks.lra.check import check
from rmaat.tasks.lra.downloads import find


@pytest.fixture
def archive(tmp_path):
    """A folder `data` whose lra_release.gz holds ListOps alone."""
    place = tmp_path / "lra_release" / "lra_release" / "listops-1000"
    place.mkdir(parents=True)
    for name in ("train", "val", "test"):
        (place / f"basic_{name}.tsv").write_text("Source\tTarget\r\n3\t3\r\n")
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / "lra_release.gz", "w:gz") as tar:
        tar.add(tmp_path / "lra_release", "lra_release")
    return tmp_path / "data" / "lra_release.gz"


def findings(archive):
    return {finding.task: finding for finding in check(archive.parent)}


def test_archive_without_the_task(archive):
    message = "lra_release.gz must hold tsv_data/ or aan/ for retrieval, got an archive without it; get the full one"
    checked = findings(archive)
    assert checked["retrieval"].state == "missing" and checked["retrieval"].message.endswith(message)
    assert (
        checked["listops"].state == "ok"
        and "is whole (6 members); loading the task unpacks it" in checked["listops"].message
    )
    with pytest.raises(TaskError, match=message):
        find("retrieval", archive.parent)
    assert find("listops", archive.parent).name == "listops-1000"


def test_archive_beside_what_it_unpacks_to(archive):
    find("listops", archive.parent)
    checked = findings(archive)
    assert checked["listops"].state == "ok"
    with pytest.raises(TaskError, match=r"lra_release must hold what is looked for in lra_release.gz, or not be") as e:
        find("retrieval", archive.parent)
    assert checked["retrieval"].message == str(e.value) and checked["retrieval"].state == "damaged"


def test_damaged_archive_is_read_once_and_not_called_missing(archive, monkeypatch):
    archive.write_bytes(archive.read_bytes()[:-20])
    read, verify = [], downloads.verify
    monkeypatch.setattr(official, "verify", lambda path: read.append(path) or verify(path))
    checked = findings(archive)
    assert read == [archive]
    assert [checked[task].state for task in ("listops", "retrieval", "pathfinder")] == ["damaged"] * 3
    assert checked["text"].state == "missing"


def test_two_processes_unpack_at_once(archive, monkeypatch):
    """Both have seen that there is nothing yet."""
    look, both, own = downloads.look, threading.Barrier(2), threading.local()

    def look_together(*place):
        found = look(*place)
        if not hasattr(own, "looked"):
            own.looked = both.wait(10)
        return found

    monkeypatch.setattr(downloads, "look", look_together)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(find, ["listops"] * 2, [archive.parent] * 2))
    assert found[0] == found[1] == look("listops", archive.parent)
    assert sorted(path.name for path in archive.parent.iterdir()) == ["lra_release", "lra_release.gz"]


KILLED = """
import os, sys, tarfile
from pathlib import Path
from rmaat.tasks.lra.downloads import find

def extractall(self, staging, **options):
    (Path(staging) / "half").write_text("")
    os.kill(os.getpid(), 9)

tarfile.TarFile.extractall = extractall
find("listops", Path(sys.argv[1]))
"""


def test_what_a_killed_process_left_is_cleared(archive):
    subprocess.run([sys.executable, "-c", KILLED, str(archive.parent)], timeout=120)
    assert list(archive.parent.rglob("half"))
    find("listops", archive.parent)
    assert sorted(path.name for path in archive.parent.iterdir()) == ["lra_release", "lra_release.gz"]
