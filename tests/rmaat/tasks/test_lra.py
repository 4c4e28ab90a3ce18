"""Readers of the official files, on tiny files in the exact format; every damage named in one sentence."""

import gzip
import io
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from rmaat.__main__ import main
from rmaat.tasks import TaskError, load_task
from rmaat.tasks.images import to_grey
from rmaat.tasks.lra.check import check
from rmaat.tasks.lra.downloads import unpack
from rmaat.tasks.lra.release import read_listops_file, write_listops
from rmaat.tasks.pathfinder.task import LRA, Pathfinder, write_release

ROW = "( ( ( ( [MAX 2 ) 9 ) ( ( ( [MIN 4 ) 7 ) ] ) ) ] )"


# --- ListOps -----------------------------------------------------------------------------------------------------


def listops_file(tmp_path, *rows, header="Source\tTarget", end="\r\n"):
    path = tmp_path / "listops-1000" / "basic_train.tsv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(end.join([header, *rows, ""]).encode())
    return path


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_listops_rows(tmp_path, end):
    split = read_listops_file(listops_file(tmp_path, f"{ROW}\t9", "( ( ( [SM 8 ) 7 ) ] )\t5", end=end))
    assert [split.sequence(i).tolist() for i in (0, 1)] == [[12, 3, 10, 11, 5, 8, 15, 15], [14, 9, 8, 15]]
    assert split.labels.tolist() == [9, 5]


def test_listops_round_trip(tmp_path):
    task = load_task("listops", n_train=60, n_validation=20, n_test=20, min_length=30, max_length=90)
    paths = write_listops(tmp_path / "lra_release" / "lra_release" / "listops-1000", task)
    assert [path.name for path in paths] == ["basic_train.tsv", "basic_val.tsv", "basic_test.tsv"]
    read = load_task("listops-release", tmp_path)
    for name in ("train", "validation", "test"):
        for part in ("tokens", "offsets", "labels"):
            assert np.array_equal(getattr(read.split(name), part), getattr(task.split(name), part))
    assert read.card["majority_rate"] == task.card["majority_rate"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW, ":3 must be Source<tab>Target, got 1 columns"),
        (f"{ROW}\t9\t9", ":3 must be Source<tab>Target, got 3 columns"),
        (f"{ROW}\t10", ":3 must have a target 0..9, got '10'"),
        (f"{ROW}\t", ":3 must have a target 0..9, got ''"),
        (f"{ROW}\t7", ":3 must hold an expression whose value is 7, got value 9"),
        ("( ( [MAX 2 ) ] \t2", None),  # parentheses carry nothing
        ("( ( ( [FIRST 2 ) 9 ) ] )\t2", r":3 must hold ListOps tokens only, got '\[FIRST'"),
        ("( ( ( [MAX 2 ) 93 ) ] )\t9", ":3 must hold ListOps tokens only, got '93'"),
        ("( ( ( [MAXI 2 ) 3 ) ] )\t3", r":3 must hold ListOps tokens only, got '\[MAXI'"),
        ("( ( [MAX 2 ) 9 )\t9", ":3 must hold an expression whose value is 9, got an error at token 3"),
        ("\t9", ":3 must hold an expression whose value is 9, got an error at token 0"),
    ],
)
def test_listops_bad_rows(tmp_path, row, message):
    path = listops_file(tmp_path, f"{ROW}\t9", row)
    if message is None:
        assert len(read_listops_file(path)) == 2
        return
    with pytest.raises(TaskError, match=f"basic_train.tsv{message}"):
        read_listops_file(path)


def test_listops_files_that_are_none(tmp_path):
    with pytest.raises(TaskError, match=r"basic_train.tsv:1 must be the header Source<tab>Target, got b'a\\tb'"):
        read_listops_file(listops_file(tmp_path, header="a\tb"))
    with pytest.raises(TaskError, match=r"x.tsv must exist \(ListOps.*got no such file"):
        read_listops_file(tmp_path / "x.tsv")
    listops_file(tmp_path).write_bytes(b"")
    with pytest.raises(TaskError, match=r"basic_train.tsv must hold ListOps.*got an empty file"):
        read_listops_file(tmp_path / "listops-1000" / "basic_train.tsv")
    for name in ("basic_train.tsv", "basic_val.tsv", "basic_test.tsv"):
        (tmp_path / "listops-1000" / name).write_bytes(b"Source\tTarget\r\n")
    with pytest.raises(TaskError, match=r"basic_train.tsv must hold at least one expression behind its header"):
        load_task("listops-release", tmp_path)
    with pytest.raises(TaskError, match=r"data_dir must be a folder with the files of listops, got None"):
        load_task("listops-release")


# --- Pathfinder --------------------------------------------------------------------------------------------------


@pytest.fixture
def pathfinder(tmp_path):
    folder = tmp_path / "pathfinder32" / "curv_contour_length_14"
    write_release(folder, Pathfinder(LRA[32]), 20, per_folder=10)
    return folder


def test_pathfinder_metadata_as_an_array(tmp_path, pathfinder):
    """The generator itself writes a NumPy array of strings; both are read alike."""
    text = load_task("pathfinder32-release", tmp_path)
    for path in (pathfinder / "metadata").iterdir():
        rows = np.array([line.split(" ") for line in path.read_text().splitlines()])
        np.save(path, rows)
    array = load_task("pathfinder32-release", tmp_path / "pathfinder32" / "..")
    assert array.card == text.card


def test_pathfinder_metadata_with_other_blanks(tmp_path, pathfinder):
    before = load_task("pathfinder32-release", tmp_path).card
    for path in (pathfinder / "metadata").iterdir():
        path.write_text(path.read_text().replace(" ", "  ") + "\n\n")
    assert load_task("pathfinder32-release", tmp_path).card == before


def test_pathfinder_order_is_numerical(tmp_path, pathfinder):
    """metadata/10.npy comes after 2.npy."""
    before = load_task("pathfinder32-release", tmp_path).card
    (pathfinder / "metadata" / "1.npy").rename(pathfinder / "metadata" / "10.npy")
    (pathfinder / "metadata" / "0.npy").rename(pathfinder / "metadata" / "2.npy")
    assert load_task("pathfinder32-release", tmp_path).card == before


def test_pathfinder_leaves_empty_images_out(tmp_path, pathfinder):
    """The release has one: curv_baseline/imgs/0/sample_172.png."""
    (pathfinder / "imgs" / "0" / "sample_3.png").write_bytes(b"")
    card = load_task("pathfinder32-release", tmp_path).card
    assert sum(card["samples"].values()) == 19 and "1 empty images left out" in card["source"]


def test_pathfinder_metadata_as_bytes(tmp_path, pathfinder):
    before = load_task("pathfinder32-release", tmp_path).card
    for path in (pathfinder / "metadata").iterdir():
        np.save(path, np.array([line.split(" ") for line in path.read_text().splitlines()], dtype="S"))
    assert load_task("pathfinder32-release", tmp_path).card == before


def test_pathfinder_image_cut_after_it_was_kept(tmp_path, pathfinder):
    load_task("pathfinder32-release", tmp_path)
    image = pathfinder / "imgs" / "0" / "sample_3.png"
    image.write_bytes(image.read_bytes()[:-40])
    with pytest.raises(TaskError, match=r"sample_3.png must be a PNG image, got"):
        load_task("pathfinder32-release", tmp_path)


def test_pathfinder_sizes_in_two_places(tmp_path, pathfinder):
    """Each size and difficulty is found where it is."""
    other = tmp_path / "lra_release" / "lra_release" / "pathfinder64" / "curv_contour_length_14"
    write_release(other, Pathfinder(LRA[64]), 10)
    assert load_task("pathfinder64-release", tmp_path).max_len == 64**2
    wanted = r"pathfinder64/curv_baseline/ or pathfinder/pathfinder64/curv_baseline/ or lra_release.gz for pathfinder"
    with pytest.raises(TaskError, match=f"must hold {wanted}, got neither"):
        load_task("pathfinder64-release", tmp_path, difficulty="easy")


def test_pathfinder_in_a_folder_that_is_read_only(tmp_path, pathfinder, monkeypatch):
    expected = load_task("pathfinder32-release", tmp_path).card
    for path in tmp_path.glob("*.npz"):
        path.unlink()

    def read_only(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)  # root may write anywhere
    message = r"must be writable to keep pathfinder32-release, got Permission denied; it is built anew each time"
    with pytest.warns(UserWarning, match=message):
        assert load_task("pathfinder32-release", tmp_path).card == expected
    assert not list(tmp_path.glob("*.npz"))


def test_pathfinder_damage(tmp_path, pathfinder):
    image, metadata = pathfinder / "imgs" / "0" / "sample_3.png", pathfinder / "metadata" / "0.npy"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TaskError, match=r"sample_3.png must be a PNG image, got"):
        load_task("pathfinder32-release", tmp_path)
    Image.new("L", (16, 32)).save(image)
    with pytest.raises(TaskError, match=r"sample_3.png must be 32 x 32 pixels, got 16 x 32"):
        load_task("pathfinder32-release", tmp_path)
    image.unlink()
    with pytest.raises(
        TaskError, match=r"sample_3.png must exist, as curv_contour_length_14/metadata/0.npy lists it, got no file"
    ):
        load_task("pathfinder32-release", tmp_path)
    assert not list(tmp_path.glob("*.npz"))
    lines = metadata.read_text().splitlines()
    metadata.write_text("\n".join([*lines[:4], "imgs/0 sample_4.png 4 2 1.0", *lines[5:]]) + "\n")
    with pytest.raises(TaskError, match=r"0.npy:5 must be imgs/<k> sample_<i>.png <i> <label 0 or 1> ..., got 'imgs/0"):
        load_task("pathfinder32-release", tmp_path)
    with metadata.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(TaskError, match=r"0.npy must be an array of strings, got Object arrays"):
        load_task("pathfinder32-release", tmp_path)
    metadata.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(TaskError, match=r"0.npy must be text or a NumPy array, got"):
        load_task("pathfinder32-release", tmp_path)
    metadata.write_bytes(b"")
    with pytest.raises(TaskError, match=r"0.npy must hold lines of metadata, got an empty file"):
        load_task("pathfinder32-release", tmp_path)


# --- Text and Retrieval ------------------------------------------------------------------------------------------


@pytest.fixture
def imdb(tmp_path):
    for split, n in (("train", 20), ("test", 6)):
        for label in ("neg", "pos"):
            folder = tmp_path / "aclImdb" / split / label
            folder.mkdir(parents=True)
            for i in range(n):
                (folder / f"{i}_{9 if label == 'pos' else 2}.txt").write_bytes(f"{label} {split} {i} é".encode())
    (tmp_path / "aclImdb" / "train" / "unsup").mkdir()
    return tmp_path


def text_of(tokens):
    return bytes((tokens - 1).tolist()).decode()


def test_text(imdb):
    task = load_task("text", imdb)
    assert task.card["samples"] == {"train": 36, "validation": 4, "test": 12}
    assert task.kind == "classify" and task.vocab_size == 257
    assert text_of(task.test.sequence(2)) == "neg test 2 é" and task.test.labels[2] == 0
    assert text_of(task.test.sequence(11)) == "pos test 5 é" and task.test.labels[11] == 1
    kept = {task.train.sequence(i).tobytes() for i in range(36)}
    held_out = {task.validation.sequence(i).tobytes() for i in range(4)}
    assert len(kept | held_out) == 40
    other = load_task("text", imdb, seed=1)
    assert held_out != {other.validation.sequence(i).tobytes() for i in range(4)}


def test_text_options(imdb):
    lra = load_task("text", imdb, validation="test", max_len=5)
    assert lra.card["content_sha256"] and np.array_equal(lra.validation.tokens, lra.test.tokens)
    assert len(lra.train) == 40 and lra.train.lengths.max() == 5 and "validation is the test set" in lra.card["split"]
    with pytest.raises(TaskError, match=r"validation must be a share between 0 and 1 or 'test', got 2.0"):
        load_task("text", imdb, validation=2.0)
    for name, length, rule in (("text", 0, "at least 1"), ("retrieval", -1, "at least 1"), ("text", "x", "an integer")):
        with pytest.raises(TaskError, match=rf"^max_len must be {rule}, got {length!r}$"):
            load_task(name, imdb, max_len=length)
    (imdb / "aclImdb" / "test" / "pos" / "x_1.txt").write_text("?")
    with pytest.raises(TaskError, match=r"x_1.txt must be named <id>_<rating>.txt, got x_1.txt"):
        load_task("text", imdb)


def test_a_label_without_reviews(imdb):
    for path in (imdb / "aclImdb" / "test" / "pos").glob("*.txt"):
        path.unlink()
    with pytest.raises(TaskError, match=r"test/pos must hold reviews, <id>_<rating>.txt, got none; unpack the archive"):
        load_task("text", imdb)


def test_text_as_tsv(tmp_path):
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb" / "train.tsv").write_text('1\tgood "quoted\n0\tbad\n' * 10)
    (tmp_path / "imdb" / "test.tsv").write_text("0\tbad\n")
    task = load_task("text", tmp_path)
    assert task.card["samples"] == {"train": 18, "validation": 2, "test": 1}
    (tmp_path / "imdb" / "test.tsv").write_text("0\tbad\npos\tgood\n")
    with pytest.raises(TaskError, match=r"test.tsv:2 must begin with the label 0 or 1, got 'pos'"):
        load_task("text", tmp_path)
    (tmp_path / "imdb" / "test.tsv").write_text("0\tbad\n1 good\n")
    with pytest.raises(TaskError, match=r"test.tsv:2 must have 2 tab-separated columns, got 1"):
        load_task("text", tmp_path)


def aan_file(tmp_path, name, *rows):
    folder = tmp_path / "tsv_data"
    folder.mkdir(exist_ok=True)
    (folder / f"new_aan_pairs.{name}.tsv").write_bytes("".join(row + "\n" for row in rows).encode())


def test_retrieval(tmp_path):
    """No header, no quoting, float labels."""
    aan_file(tmp_path, "train", '1.0\tP05-1\tP04-2\tone "text\tanother', "0.0\ta\tb\tthree\t")
    aan_file(tmp_path, "eval", "1.0\ta\tb\tx\ty")
    aan_file(tmp_path, "test", "0\ta\tb\tx\ty")
    task = load_task("retrieval", tmp_path, max_len=9)
    assert task.kind == "match" and task.train.n_parts == 2 and task.train.labels.tolist() == [1, 0]
    assert text_of(task.train.sequence(0, 0)) == 'one "text'
    assert text_of(task.train.sequence(0, 1)) == "another"
    assert task.train.sequence(1, 1).tolist() == [33]  # an empty document is one space
    assert task.train.lengths.tolist() == [[9, 7], [5, 1]]
    aan_file(tmp_path, "eval", "1.0\ta\tb\tx\ty", "1.0\ta\tb\tx")
    with pytest.raises(TaskError, match=r"new_aan_pairs.eval.tsv:2 must have 5 tab-separated columns, got 4"):
        load_task("retrieval", tmp_path)
    (tmp_path / "tsv_data" / "new_aan_pairs.test.tsv").unlink()
    aan_file(tmp_path, "eval", "1.0\ta\tb\tx\ty")
    with pytest.raises(TaskError, match=r"new_aan_pairs.test.tsv must exist"):
        load_task("retrieval", tmp_path)


# --- Images ------------------------------------------------------------------------------------------------------


def cifar_records(n, seed):
    rng = np.random.default_rng(seed)
    records = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
    records[:, 0] = rng.integers(0, 10, n)
    return records


@pytest.fixture
def cifar(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i in range(1, 6):
        cifar_records(20, i).tofile(folder / f"data_batch_{i}.bin")
    cifar_records(8, 6).tofile(folder / "test_batch.bin")
    return folder


def test_image(tmp_path, cifar):
    task = load_task("image", tmp_path)
    assert task.card["samples"] == {"train": 90, "validation": 10, "test": 8}
    assert (task.vocab_size, task.n_classes, task.max_len) == (257, 10, 1024)
    record = cifar_records(20, 5)[10]
    assert task.validation.labels[0] == record[0]
    red, green, blue = record[1:].reshape(3, 1024).astype(float)
    luma = 0.2989 * red + 0.5870 * green + 0.1140 * blue
    assert np.abs(task.validation.sequence(0) - 1 - luma).max() <= 1


def test_grey_rounds_as_tensorflow_does():
    """rgb_to_grayscale of uint8: to [0, 1], weighted sum, times 255.5, cut off; greys nearly stay."""
    levels = np.arange(256, dtype=np.uint8)
    grey = to_grey(np.stack([levels] * 3)[None])[0]
    assert np.array_equal(grey, np.floor(levels / 255 * 0.9999 * 255.5).astype(np.uint8))
    assert grey[0] == 0 and grey[255] == 255


def test_real_valued_image(tmp_path, cifar):
    task = load_task("image", tmp_path, values="real")
    tokens = load_task("image", tmp_path)
    assert task.train.tokens.dtype == np.float32 and task.vocab_size == 0
    assert np.allclose(task.train.tokens * 0.24 + 0.48, (tokens.train.tokens.astype(float) - 1) / 255, atol=1e-6)
    assert task.train.pad(np.array([0, 1]))["tokens"].dtype == np.float32
    assert task.card["vocabulary"] == "one real number per pixel"
    with pytest.raises(TaskError, match=r"values must be 'tokens' or 'real', got 'x'"):
        load_task("image", tmp_path, values="x")


def test_image_damage(tmp_path, cifar):
    path = cifar / "data_batch_3.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(TaskError, match=r"data_batch_3.bin must be whole records of 3073 bytes, got 19 and a part"):
        load_task("image", tmp_path)
    path.write_bytes(b"\x0b" + whole[1:])
    with pytest.raises(TaskError, match=r"data_batch_3.bin must have labels 0..9, got 11 in record 0"):
        load_task("image", tmp_path)
    path.unlink()
    with pytest.raises(TaskError, match=r"data_batch_3.bin must exist"):
        load_task("image", tmp_path)


def test_digits():
    task = load_task("digits")
    assert sum(task.card["samples"].values()) == 1797
    assert (task.n_classes, task.vocab_size, task.max_len) == (10, 18, 64)
    assert task.train.tokens.min() == 1 and task.train.tokens.max() == 17
    images = {split.sequence(i).tobytes() for split in (task.train, task.test) for i in range(len(split))}
    assert len(images) > 0.98 * (len(task.train) + len(task.test))  # no image of the test split was trained on
    assert load_task("digits", seed=1).card["content_sha256"] != task.card["content_sha256"]


# --- archives, disks, and the report -----------------------------------------------------------------------------


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
        unpack(archive, tmp_path / "in")
    assert not (tmp_path / "escaped").exists()


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing beyond the limit fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from rmaat.tasks import load_task
try:
    load_task("listops-short", sys.argv[1], n_train=2000)
except OSError as error:
    print(error)
"""


@pytest.mark.slow
def test_full_disk_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert ".npz must be writable, on a disk with room, got File too large; nothing was kept of it" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_check_of_a_whole_folder(tmp_path, pathfinder, imdb, cifar):
    task = load_task("listops", n_train=4, n_validation=2, n_test=2, min_length=4, max_length=20)
    write_listops(tmp_path / "listops-1000", task)
    for name in ("train", "eval", "test"):
        aan_file(tmp_path, name, "1.0\ta\tb\tx\ty")
    found = {finding.task: finding for finding in check(tmp_path)}
    assert all(finding.state == "ok" for finding in found.values()) and len(found) == 5
    assert main(["data", "check", str(tmp_path)]) == 0
    assert "holds 4 + 2 + 2 rows, the official files have 96000 + 2000 + 2000" in found["listops"].message
    assert "holds 1 + 1 + 1 pairs" in found["retrieval"].message
    assert "holds 40 + 12 reviews" in found["text"].message
    assert "holds 100 + 8 images" in found["image"].message
    assert "curv_contour_length_14 holds 20 images, the official files have 200000" in found["pathfinder"].message
    (pathfinder / "imgs" / "1" / "sample_0.png").unlink()
    (tmp_path / "listops-1000" / "basic_val.tsv").unlink()
    found = {finding.task: finding for finding in check(tmp_path)}
    assert "must hold the 20 images that its metadata list, got 19" in found["pathfinder"].message
    assert "basic_val.tsv must exist" in found["listops"].message and found["listops"].state == "missing"
    assert main(["data", "check", str(tmp_path)]) == 1


def test_check_of_splits_without_samples(tmp_path, imdb):
    listops = tmp_path / "listops-1000"
    listops.mkdir()
    for name in ("train", "val", "test"):
        (listops / f"basic_{name}.tsv").write_text("Source\tTarget\n" + ("3\t3" if name == "train" else ""))
    for path in (imdb / "aclImdb" / "test" / "pos").iterdir():
        path.unlink()
    found = {finding.task: finding for finding in check(tmp_path)}
    assert found["listops"].state == "damaged" and "must hold rows in every file or split, got 1 + 0 + 0" in str(found)
    assert found["text"].state == "ok" and "holds 40 + 6 reviews" in found["text"].message
    (imdb / "aclImdb" / "test" / "pos").rmdir()
    (text,) = (finding for finding in check(tmp_path) if finding.task == "text")
    assert text.state == "missing" and "test/pos must exist (reviews), got no such file" in text.message


def test_check_of_an_empty_folder(tmp_path):
    findings = check(tmp_path)
    assert [finding.state for finding in findings] == ["missing"] * 5
    assert "must hold aclImdb/ or imdb/ or aclImdb_v1.tar.gz for text, got neither" in findings[1].message
    with pytest.raises(TaskError, match=r"data_dir must be a folder, got"):
        check(tmp_path / "nowhere")
