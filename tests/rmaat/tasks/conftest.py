"""Official files of the Long Range Arena, tiny and in the exact format, and writers of them."""

import csv

import numpy as np
import pytest
from PIL import Image

from rmaat.tasks.dataset import SPLITS
from rmaat.tasks.listops import END, MIN, SM, VOCABULARY
from rmaat.tasks.lra.release import LISTOPS
from rmaat.tasks.pathfinder.task import LRA, Pathfinder


def source_of(tokens):
    """The release's text form: left-nested binary pairs in parentheses, such as ``( ( ( [MAX 2 ) 9 ) ] )``."""
    stack = [[]]
    for token in tokens:
        if MIN <= token <= SM:
            stack.append([VOCABULARY[token]])
        elif token == END:
            operator, *arguments = stack.pop()
            pairs = "".join(f" {argument} )" for argument in arguments)
            stack[-1].append(f"{'( ' * (len(arguments) + 1)}{operator}{pairs} ] )")
        else:
            stack[-1].append(VOCABULARY[token])
    return stack[0][0]


def listops_release(folder, task):
    """Write basic_train.tsv, basic_val.tsv and basic_test.tsv as the LRA's generator writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in SPLITS:
        split = task.split(name)
        paths.append(folder / LISTOPS[name])
        with paths[-1].open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t")  # its line end is \r\n, as in the release
            writer.writerow(["Source", "Target"])
            writer.writerows([source_of(split.sequence(i)), int(split.labels[i])] for i in range(len(split)))
    return paths


def pathfinder_release(folder, source, n_images, per_folder=1000):
    """Write images and metadata in the layout of lra_release (``folder`` is a curv_contour_length_14, say).

    ``imgs/<k>/sample_<i>.png`` and ``metadata/<k>.npy``, which in the release is plain text: a line of eleven fields
    per image (subpath, filename, index, label, continuity, contour_length, distractor_length, paddle_length,
    paddle_thickness, paddle_margin, n_contrasts).
    """
    p = source.parameters
    (folder / "metadata").mkdir(parents=True)
    for k in range(-(-n_images // per_folder)):
        (folder / "imgs" / str(k)).mkdir(parents=True)
        lines = []
        for i in range(min(per_folder, n_images - k * per_folder)):
            image, label, margin = source.draw(k * per_folder + i)
            Image.fromarray(image).save(folder / "imgs" / str(k) / f"sample_{i}.png")
            dash = (p.continuity, p.contour_length, p.distractor_length, p.paddle_length, p.paddle_thickness)
            lines.append(" ".join(map(str, (f"imgs/{k}", f"sample_{i}.png", i, label, *dash, margin, 1))))
        (folder / "metadata" / f"{k}.npy").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def to_source():
    return source_of


@pytest.fixture(scope="session")
def write_listops():
    return listops_release


@pytest.fixture(scope="session")
def write_pathfinder():
    return pathfinder_release


@pytest.fixture
def pathfinder(tmp_path):
    folder = tmp_path / "pathfinder32" / "curv_contour_length_14"
    pathfinder_release(folder, Pathfinder(LRA[32]), 20, per_folder=10)
    return folder


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


@pytest.fixture
def aan_file(tmp_path):
    def write(name, *rows):
        folder = tmp_path / "tsv_data"
        folder.mkdir(exist_ok=True)
        (folder / f"new_aan_pairs.{name}.tsv").write_bytes("".join(row + "\n" for row in rows).encode())

    return write


@pytest.fixture(scope="session")
def cifar_records():
    def draw(n, seed):
        rng = np.random.default_rng(seed)
        records = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
        records[:, 0] = rng.integers(0, 10, n)
        return records

    return draw


@pytest.fixture
def cifar(tmp_path, cifar_records):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i in range(1, 6):
        cifar_records(20, i).tofile(folder / f"data_batch_{i}.bin")
    cifar_records(8, 6).tofile(folder / "test_batch.bin")
    return folder
