"""The report on what official files a data folder holds."""

import pytest

from rmaat.__main__ import main
from rmaat.tasks import TaskError, load_task
from rmaat.tasks.lra.check import check


def test_check_of_a_whole_folder(tmp_path, pathfinder, imdb, cifar, aan_file, write_listops):
    task = load_task("listops", n_train=4, n_validation=2, n_test=2, min_length=4, max_length=20)
    write_listops(tmp_path / "listops-1000", task)
    for name in ("train", "eval", "test"):
        aan_file(name, "1.0\ta\tb\tx\ty")
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
