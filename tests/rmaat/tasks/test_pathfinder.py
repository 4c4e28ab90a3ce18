"""Pathfinder: the port against the original's drawing rules over again, statistics, labels, release layout, speed."""

import numpy as np
import pytest
from PIL import Image

from rmaat.tasks import TaskError, load_task
from rmaat.tasks.pathfinder.dashes import DashShape, make_stamps
from rmaat.tasks.pathfinder.task import LRA, Pathfinder, PathfinderParameters, lra_parameters


def shape_of(p: PathfinderParameters) -> DashShape:
    return DashShape(p.antialias_scale, p.paddle_length, p.paddle_thickness, p.marker_radius)


def original_disc(size, y, x, radius, scale):
    """draw_circle of snakes2.py, with the resize of old SciPy (to 0..255, then Lanczos)."""
    yy, xx = np.ogrid[-y * scale : (size - y) * scale, -x * scale : (size - x) * scale]
    fine = np.where(xx**2 + yy**2 <= (radius * scale) ** 2, 255, 0).astype(np.uint8)
    return np.asarray(Image.fromarray(fine).resize((size, size), Image.Resampling.LANCZOS)) / 255


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_disc_is_the_originals_away_from_the_border(size):
    p = LRA[size]
    disc = make_stamps(shape_of(p), p.paddle_margins[0]).disc
    reach = len(disc) // 2
    y, x = size // 2, size // 2 + 1
    whole = original_disc(size, y, x, p.marker_radius, p.antialias_scale)
    assert np.array_equal(whole[y - reach : y + reach + 1, x - reach : x + reach + 1], disc)
    assert whole.sum() == pytest.approx(disc.sum())
    assert disc.sum() == pytest.approx(np.pi * p.marker_radius**2, rel=0.12)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_dashes_have_length_thickness_and_margin(size):
    p = LRA[size]
    margin = p.paddle_margins[0]
    stamps = make_stamps(shape_of(p), margin)
    areas = stamps.line.sum(axis=(1, 2))
    assert areas.mean() == pytest.approx((p.paddle_length + 0.5) * p.paddle_thickness, rel=0.25)
    assert stamps.mask[stamps.line > 0.7 * stamps.line.max()].min() > 0.9  # the mask covers the line
    wider = stamps.mask.sum(axis=(1, 2)).mean()
    assert wider == pytest.approx((p.paddle_length + 2 * margin) * (p.paddle_thickness + 2 * margin), rel=0.25)
    distance = np.hypot(*stamps.turn.T)
    assert (np.abs(distance - (p.paddle_length + margin)) < 1.5).all()
    assert len(np.unique(stamps.turn, axis=0)) == len(stamps.turn)


def test_turns_are_the_pixels_of_the_originals_circle():
    """get_coords_cmf of snakes.py about a pivot in the middle of a large image."""
    step, pivot = 3, 100
    degrees = np.arange(0, 360, 360.0 / (2 * step * np.pi)) * np.pi / 180
    coords = np.stack([pivot + step * np.sin(degrees), pivot + step * np.cos(degrees)], axis=1).astype(int)
    expected = np.unique(coords, axis=0) - pivot
    assert np.array_equal(make_stamps(shape_of(LRA[32]), 1).turn, expected)


def test_images_are_a_function_of_seed_and_index():
    source, other = Pathfinder(LRA[32], 1), Pathfinder(LRA[32], 2)
    first, label, margin = source.draw(7)
    source.draw(3)
    again, label_again, _ = source.draw(7)
    assert np.array_equal(first, again) and label == label_again and margin == 1
    assert not np.array_equal(first, other.draw(7)[0])
    assert first.dtype == np.uint8 and first.shape == (32, 32)
    assert first.min() == 0 and first.max() == 255  # scaled from minimum to maximum, as the original saves


def test_statistics_of_the_32_pixel_set():
    """Balanced labels, and the ink of two contours, distractors and two discs."""
    source = Pathfinder(LRA[32], 0)
    drawn = [source.draw(i) for i in range(400)]
    labels = np.array([label for _, label, _ in drawn])
    assert abs(labels.mean() - 0.5) < 5 * 0.5 / 20
    ink = np.array([(image > 0).mean() for image, _, _ in drawn])
    assert 0.35 < ink.mean() < 0.55
    by_label = [ink[labels == label].mean() for label in (0, 1)]
    assert abs(by_label[0] - by_label[1]) < 0.01  # amount of ink says nothing about the label


@pytest.mark.parametrize("size", [64, 128, 256])
def test_larger_images(size):
    image, label, margin = Pathfinder(LRA[size], 0).draw(0)
    assert image.shape == (size, size) and label in (0, 1) and margin in LRA[size].paddle_margins
    padding = LRA[size].padding
    assert (image[padding + 8 : -padding - 8] > 0).any()


def connected(image, start):
    """Pixels that a dashed contour reaches from `start` (y, x) by steps of at most two dark pixels."""
    lit, seen, stack = image > 60, np.zeros(image.shape, bool), [start]
    while stack:
        y, x = stack.pop()
        if seen[y, x]:
            continue
        seen[y, x] = True
        window = lit[max(0, y - 5) : y + 6, max(0, x - 5) : x + 6]
        stack += [(max(0, y - 5) + dy, max(0, x - 5) + dx) for dy, dx in np.argwhere(window)]
    return seen


def test_label_says_whether_the_discs_are_joined():
    """Without distractors, and with contours far apart, the discs are connected if and only if the label is 1."""
    parameters = PathfinderParameters(
        size=256,
        paddle_thickness=2.0,
        paddle_margins=(1,),
        marker_radius=5.0,
        seed_distance=60,
        contour_length=4,
        distractor_budget=0,
        snake_contrast=0.4,
        continuity=3.0,
    )
    source, right, decided = Pathfinder(parameters, 0), 0, 0
    for i in range(30):
        image, label, _ = source.draw(i)
        discs = np.argwhere(image > 200)  # discs are 1, dashes 0.4 of the brightness
        first = discs[0]
        far = discs[np.hypot(*(discs - first).T) > 13]
        if len(far) == 0:
            continue
        joined = connected(image, tuple(first))[tuple(far[len(far) // 2])]
        decided += 1
        right += joined == bool(label)
    assert decided >= 25 and right == decided


@pytest.mark.parametrize(("difficulty", "length"), [("easy", 6), ("intermediate", 9), ("hard", 14)])
def test_difficulty(difficulty, length):
    assert lra_parameters(32, difficulty).contour_length == length


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lra_parameters(48), "size must be one of 32, 64, 128, 256, got 48"),
        (
            lambda: lra_parameters(32, "nightmare"),
            "difficulty must be one of easy, intermediate, hard, got 'nightmare'",
        ),
        (lambda: load_task("pathfinder32", n_train=0), "n_train must be at least 1, got 0"),
        (lambda: PathfinderParameters(**vars(LRA[32]) | {"contour_length": 2}), "contour_length must be at least 3"),
        (lambda: PathfinderParameters(**vars(LRA[32]) | {"size": 29}), "size must be above 4"),
        (lambda: PathfinderParameters(**vars(LRA[32]) | {"paddle_thickness": 0.3}), "paddle_thickness must be whole"),
    ],
)
def test_parameters_that_make_no_image(call, message):
    with pytest.raises(TaskError, match=message):
        call()


def test_task(tmp_path):
    options = {"n_train": 20, "n_validation": 4, "n_test": 4}
    task = load_task("pathfinder32", tmp_path, **options)
    assert (task.n_classes, task.vocab_size, task.max_len) == (2, 257, 1024)
    assert (task.train.lengths == 1024).all() and task.train.tokens.min() == 1 and task.train.tokens.max() == 256
    image, label, _ = Pathfinder(LRA[32], 0).draw(21)
    assert np.array_equal(task.validation.sequence(1), image.ravel().astype(int) + 1)
    assert task.validation.labels[1] == label
    assert load_task("pathfinder32", tmp_path, **options).card == task.card


def lra_reader(folder):
    """The reading loop of the LRA's TFDS builder, without TensorFlow."""
    for path in sorted((folder / "metadata").glob("*.npy")):
        for line in path.read_bytes().decode("utf-8").split("\n")[:-1]:
            fields = line.split(" ")
            yield folder / fields[0] / fields[1], int(fields[3]), fields


def test_release_layout_is_read_by_the_lra_and_by_us(tmp_path, write_pathfinder):
    folder = tmp_path / "pathfinder32" / "curv_contour_length_14"
    source = Pathfinder(LRA[32], 4)
    write_pathfinder(folder, source, 30, per_folder=12)
    assert sorted(path.name for path in (folder / "metadata").iterdir()) == ["0.npy", "1.npy", "2.npy"]
    rows = list(lra_reader(folder))
    assert len(rows) == 30 and all(len(fields) == 11 for *_, fields in rows)
    for i, (path, label, _) in enumerate(rows):
        image, expected, _ = source.draw(i)
        with Image.open(path) as stored:
            assert stored.mode == "L" and np.array_equal(np.asarray(stored), image)
        assert label == expected
    assert rows[13][2] == f"imgs/1 sample_1.png 1 {rows[13][1]} 1.0 14 4 2 0.5 1 1".split(" ")
    task = load_task("pathfinder32-release", tmp_path)
    assert task.card["samples"] == {"train": 24, "validation": 3, "test": 3}
    ours = sorted(
        split.sequence(i).tobytes() for split in (task.train, task.validation, task.test) for i in range(len(split))
    )
    assert ours == sorted((source.draw(i)[0].ravel().astype(np.uint16) + 1).tobytes() for i in range(30))
