"""Readers of the release's ListOps and Pathfinder files; every damage named in one sentence."""

import pickle

import numpy as np
import pytest
from PIL import Image

from rmaat.tasks import TaskError, load_task
from rmaat.tasks.lra.release import read_listops_file, read_metadata
from rmaat.tasks.pathfinder.task import LRA, Pathfinder

ROW = "( ( ( ( [MAX 2 ) 9 ) ( ( ( [MIN 4 ) 7 ) ] ) ) ] )"


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


def test_listops_round_trip(tmp_path, write_listops):
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


def test_pathfinder_sizes_in_two_places(tmp_path, pathfinder, write_pathfinder):
    """Each size and difficulty is found where it is."""
    other = tmp_path / "lra_release" / "lra_release" / "pathfinder64" / "curv_contour_length_14"
    write_pathfinder(other, Pathfinder(LRA[64]), 10)
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
    with pytest.raises(TaskError, match=r"0.npy must be an array of strings, got .* objects"):
        load_task("pathfinder32-release", tmp_path)
    metadata.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(TaskError, match=r"0.npy must be text or a NumPy array, got"):
        load_task("pathfinder32-release", tmp_path)
    metadata.write_bytes(b"")
    with pytest.raises(TaskError, match=r"0.npy must hold lines of metadata, got an empty file"):
        load_task("pathfinder32-release", tmp_path)


def test_pathfinder_metadata_beyond_unicode(tmp_path):
    """NumPy takes any 32 bits for a character; Python fails where such a string is used."""
    (tmp_path / "metadata").mkdir()
    row = np.array([["imgs/0", "sample_0.png", "0", "1"]])
    row.view(np.uint32)[0, 5] = 0x1000030
    np.save(tmp_path / "metadata" / "0.npy", row)
    with pytest.raises(TaskError, match=r"0.npy must be an array of strings, got characters beyond Unicode"):
        list(read_metadata(tmp_path))
