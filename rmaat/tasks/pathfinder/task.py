"""Pathfinder 32, 64, 128 and 256 as the Long Range Arena generates it, seeded.

Two long dashed contours ("snakes") start `seed_distance` pixels apart and grow dash by dash ("paddles"); short ones
are added as distractors; two discs are drawn, one at the beginning of a snake, the other at the end of the same snake
(label 1) or of the other (label 0). The rules and quirks are those of drewlinsley/pathfinder (snakes.py, snakes2.py;
Linsley et al. 2018, Kim et al. 2020) with the LRA's parameters (its data/pathfinder.py).

The next dash's far end is drawn from the pixels of a circle of radius length + margin about the pivot, with weight
``max(cos(min(continuity * turn, pi / 2)), 0)^2 * (1 - mask)``, `mask` being what is occupied, dilated by the margin; a
dash that meets the mask is drawn again, and a snake that finds no way starts anew. Everything is on whole pixels, so
all dashes that can occur are drawn once, by Pillow as in the original, and the growing is compiled by numba.

Departures: the generator's stream of random numbers is ours; discs are stamped from one drawing of a disc, so that one
closer to the border than its antialiasing reaches may differ there by a few grey levels.
The brightness is the original's, which scales each image from its minimum to its maximum on saving: with the contrasts
of the 32-pixel set (snakes 2, target dashes 0.75 of that, discs 1) distractors are brighter than targets.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from rmaat.tasks.dataset import Split, Task, TaskError, cached, check_sizes, make_task
from rmaat.tasks.images import image_split
from rmaat.tasks.pathfinder.contours import draw_contours
from rmaat.tasks.pathfinder.dashes import DashShape, make_stamps

GENERATOR = 1  # raise when a change of the generator changes what a seed draws

BLOCK = 1024  # images that are handed to the threads at once

DIFFICULTY = {"easy": 6, "intermediate": 9, "hard": 14}  # contour length, in dashes


@dataclass(frozen=True, kw_only=True)
class PathfinderParameters:
    """The arguments of the original generator (its names: window_size, padding, antialias_scale, paddle_*, ...)."""

    size: int  # side of the image, in pixels
    padding: int = 1  # width of the border that no contour enters, in pixels
    antialias_scale: int = 2  # how much finer dashes and discs are drawn before they are scaled down
    paddle_length: int = 5  # length of a dash, in pixels
    paddle_thickness: float  # thickness of a dash, in pixels
    paddle_margins: tuple[int, ...]  # gap around a dash, in pixels; one is drawn per image
    marker_radius: float  # radius of the two discs, in pixels
    seed_distance: int = 27  # distance of the two contours' first dashes, in pixels
    contour_length: int = 14  # dashes in each of the two contours
    continuity: float = 1.8  # straightness: a turn's weight falls to zero at 90 degrees / continuity
    distractor_budget: int  # dashes to be shared out among distractors of contour_length // 3 dashes each
    snake_contrast: float  # contrast of a snake; distractors have it in full
    paddle_contrast: float = 1.0  # factor on it for the dashes of the two contours

    def __post_init__(self) -> None:
        if self.contour_length < 3:
            raise TaskError(f"contour_length must be at least 3, got {self.contour_length}")
        if (self.paddle_thickness * self.antialias_scale) % 1:
            raise TaskError(f"paddle_thickness must be whole once antialiased, got {self.paddle_thickness}")
        if self.size < 4 * self.seed_distance + 2:
            raise TaskError(f"size must be above 4 * seed_distance + 1, got {self.size} and {self.seed_distance}")

    @property
    def distractor_length(self) -> int:
        """Dashes in a distractor."""
        return self.contour_length // 3


LRA = {
    32: PathfinderParameters(size=32, paddle_length=2, paddle_thickness=0.5, paddle_margins=(1,), marker_radius=1.5,
                             seed_distance=7, continuity=1.0, distractor_budget=20, snake_contrast=2.0,
                             paddle_contrast=0.75),
    64: PathfinderParameters(size=64, paddle_thickness=1.0, paddle_margins=(1,), marker_radius=2.5, seed_distance=12,
                             distractor_budget=22, snake_contrast=0.8),
    128: PathfinderParameters(size=128, paddle_thickness=1.5, paddle_margins=(2, 3), marker_radius=3.0,
                              seed_distance=20, distractor_budget=35, snake_contrast=0.9),
    256: PathfinderParameters(size=256, padding=22, paddle_thickness=2.0, paddle_margins=(3,), marker_radius=5.0,
                              distractor_budget=30, snake_contrast=1.0),
}  # fmt: skip


@dataclass(frozen=True)
class Pathfinder:
    """An endless sequence of images; image i depends on (seed, i) alone."""

    parameters: PathfinderParameters
    seed: int = 0

    def draw(self, index: int) -> tuple[np.ndarray, int, int]:
        """Image `index` (size, size) uint8, its label, and the margin that was drawn for it."""
        p, rng = self.parameters, np.random.default_rng([self.seed, index])
        margin = p.paddle_margins[rng.integers(0, len(p.paddle_margins))]
        shape = DashShape(p.antialias_scale, p.paddle_length, p.paddle_thickness, p.marker_radius)
        contrasts = (p.snake_contrast * p.paddle_contrast, p.snake_contrast)
        n_distractors = p.distractor_budget // p.distractor_length
        numbers = (p.size, p.padding, p.seed_distance, p.contour_length, n_distractors, p.distractor_length)
        image, label = draw_contours(rng, *numbers, contrasts, p.continuity, make_stamps(shape, margin))
        if label < 0:
            raise TaskError(f"contour_length must leave room for two contours, got {p.contour_length} at size {p.size}")
        return image, int(label), margin


def lra_parameters(size: int, difficulty: str = "hard") -> PathfinderParameters:
    """The LRA's parameters for images of this side; only `difficulty` "hard" is the benchmark's task."""
    if size not in LRA:
        raise TaskError(f"size must be one of {', '.join(map(str, LRA))}, got {size}")
    if difficulty not in DIFFICULTY:
        raise TaskError(f"difficulty must be one of {', '.join(DIFFICULTY)}, got {difficulty!r}")
    return replace(LRA[size], contour_length=DIFFICULTY[difficulty])


def load_pathfinder(
    size: int = 32,
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    difficulty: str = "hard",
    n_train: int = 160_000,
    n_validation: int = 20_000,
    n_test: int = 20_000,
    progress: bool = False,
) -> Task:
    """Pathfinder, generated; kept in `data_dir` when one is given. Size 128 is Path-X."""
    parameters = lra_parameters(size, difficulty)
    sizes = {"n_train": n_train, "n_validation": n_validation, "n_test": n_test}
    check_sizes(**sizes)

    def build() -> Task:
        n, source = sum(sizes.values()), Pathfinder(parameters, seed)
        images, labels = np.empty((n, size, size), np.uint8), np.empty(n, np.int64)

        def fill(i: int) -> None:
            images[i], labels[i], _ = source.draw(i)

        fill(0)  # compiles
        with (
            ThreadPoolExecutor() as pool,
            tqdm(total=n, desc=f"Pathfinder {size}", unit="image", disable=not progress) as bar,
        ):
            for first in range(0, n, BLOCK):
                for _ in pool.map(fill, range(first, min(first + BLOCK, n))):
                    bar.update()
        whole = image_split(images, labels)
        return pathfinder_task(
            [whole.between(a, b) for a, b in pairwise(np.cumsum([0, *sizes.values()]))],
            size=size,
            source="generated by the rules of drewlinsley/pathfinder with the LRA's parameters",
            split="consecutive images of one seeded sequence",
            options={"seed": seed, "difficulty": difficulty, **asdict(parameters)},
        )

    options = {"generator": GENERATOR, "seed": seed, "difficulty": difficulty, **sizes}
    return cached(data_dir, f"pathfinder{size}", options, build)


def pathfinder_task(splits: list[Split], *, size: int, **card: Any) -> Task:
    """The task of three splits of square images; its card gets `card`."""
    sizes = {"n_classes": 2, "vocab_size": 257, "max_len": size**2}
    return make_task(
        f"pathfinder{size}", "classify", splits, **sizes, vocabulary="0 padding, 1 + grey level 0..255", **card
    )
