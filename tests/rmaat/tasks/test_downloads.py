"""Archives are unpacked whole or not at all, by one process at a time; `check` says what loading does."""

import gzip
import io
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rmaat.tasks import TaskError, load_task
from rmaat.tasks.lra import check as official
from rmaat.tasks.lra import downloads
from rmaat.tasks.lra.check import check
from rmaat.tasks.lra.downloads import find, unpack


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


def archive_of(folder, path, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        tar.add(folder, folder.name)


def test_archive_is_unpacked_on_demand(tmp_path, cifar):
    expected = load_task("image", tmp_path).card
    place = tmp_path / "download"
    place.mkdir()
    archive_of(cifar, place / "cifar-10-binary.tar.gz")
    assert check(place)[3].state == "ok" and "loading the task unpacks it" in check(place)[3].message
    assert load_task("image", place).card == expected
    assert (place / "cifar-10-batches-bin").is_dir()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_half_downloaded_archive(tmp_path, cifar, share, mode):
    place = tmp_path / "download"
    place.mkdir()
    archive = place / "cifar-10-binary.tar.gz"  # the release's .gz is a plain tar, too
    archive_of(cifar, archive, mode)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole.rstrip(b"\0")))])
    with pytest.raises(TaskError, match=r"cifar-10-binary.tar.gz must be a whole archive, got .*download it again"):
        load_task("image", place)
    assert [path.name for path in place.iterdir()] == [archive.name]
    (finding,) = [finding for finding in check(place) if finding.task == "image"]
    assert finding.state == "damaged" and "must be a whole archive" in finding.message


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_archive_cut_between_two_members(tmp_path, mode):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(512))
    path = tmp_path / "download" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with tarfile.open(tmp_path / "whole.tar", "w") as tar:
        tar.add(tmp_path / "a", "a")
        tar.add(tmp_path / "b", "b")
    content = (tmp_path / "whole.tar").read_bytes()[: 2 * 1024]  # header and content of each, no end mark
    path.write_bytes(gzip.compress(content) if mode == "w:gz" else content)
    with pytest.raises(TaskError, match=r"must be a whole archive, got no end mark in \d+ bytes; download it again"):
        load_task("image", path.parent)


@pytest.mark.parametrize("at", [-6, -2])  # in the check sum, in the size
def test_archive_whose_content_is_not_what_was_packed(tmp_path, cifar, at):
    place = tmp_path / "download"
    place.mkdir()
    archive = place / "cifar-10-binary.tar.gz"
    archive_of(cifar, archive)
    content = bytearray(archive.read_bytes())
    content[at] ^= 1
    archive.write_bytes(content)
    with pytest.raises(TaskError, match=r"must be a whole archive, got .*(CRC|Incorrect length).*; download it again"):
        load_task("image", place)
    assert [path.name for path in place.iterdir()] == [archive.name]


def test_archive_that_is_none(tmp_path):
    (tmp_path / "aclImdb_v1.tar.gz").write_bytes(gzip.compress(b"<html>not found</html>"))
    with pytest.raises(TaskError, match=r"aclImdb_v1.tar.gz must be a whole archive, got .*download it again"):
        load_task("text", tmp_path)


def test_archive_stays_inside_the_folder(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("../escaped")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "lra_release.gz"
    archive.write_bytes(buffer.getvalue())
    with pytest.raises(TaskError, match=r"must be a whole archive"):
        unpack(archive, tmp_path / "in", "listops")
    assert not (tmp_path / "escaped").exists()


def members(**sizes):
    """A tar of files of zeros under listops-1000/; sizes by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, size in sizes.items():
            info = tarfile.TarInfo(f"listops-1000/basic_{name}.tsv")
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    return buffer.getvalue()


def bomb():
    return gzip.compress(members(train=60_000_000, val=1, test=1))


def bomb_behind_the_end():
    return gzip.compress(members(train=1, val=1, test=1) + bytes(60_000_000))


def bomb_in_a_name():
    content = bytearray(members(train=60_000_000))
    content[156:157] = b"L"  # a GNU long name is read into memory
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 8 * 32 + sum(content[156:512]))
    return gzip.compress(content)


def sparse():
    info = tarfile.TarInfo("listops-1000/basic_train.tsv")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0"}
    info.pax_headers |= {"GNU.sparse.size": str(10**12), "GNU.sparse.name": info.name}
    return info.tobuf(tarfile.PAX_FORMAT) + bytes(10240)


def one_missing():
    return members(train=1, val=1)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (bomb, "must unpack to at most 100 times its size, got more"),
        (bomb_behind_the_end, "must unpack to at most 100 times its size, got more"),
        (bomb_in_a_name, "must unpack to at most 100 times its size, got more"),
        (sparse, "must hold plain files, got a sparse one"),
        (one_missing, "must hold listops-1000/ or listops/ for listops, got an archive without it; get the full one"),
    ],
)
def test_check_refuses_what_loading_refuses_and_nothing_stays(made, message, tmp_path):
    (tmp_path / "lra_release.gz").write_bytes(made())
    (found,) = (finding for finding in check(tmp_path) if finding.task == "listops")
    assert found.state != "ok" and message in found.message
    with pytest.raises(TaskError, match=message):
        find("listops", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lra_release.gz"]
