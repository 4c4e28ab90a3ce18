"""Tasks and their data: loaders, generators, and batches of similar length. Imports `config`.

`load_task("listops-short")` returns the three splits of a task, and a card that describes its data.

| name | what | files |
|---|---|---|
| listops, listops-short | the LRA's generator at its own sizes, and with short trees | generated |
| pathfinder32, 64, 128 (Path-X), 256, pathfinder-small | the original generator with the LRA's parameters | generated |
| listops-release, pathfinder32-release, ... | the LRA's own files | lra_release |
| text, retrieval, image | IMDb, AAN, CIFAR-10 | official files |
| digits | scikit-learn's handwritten digits | ships with scikit-learn |
| recall, needle, copy | the answer sits in a chosen segment | generated |
| file | your own texts or series: `load_task("file", data="reviews.csv", text="review", label="stars")` | yours |
| mqar, mqar-forgetting | multi-query associative recall; with keys that get another value | generated |
| mad-recall, mad-noisy-recall, mad-fuzzy-recall, | the six tasks of MAD | generated |
| mad-memorization, mad-compression, mad-selective-copying | | |
| timescales | which two time constants a noisy signal has | generated |
| tmaze | a cue kept along a corridor | generated |
"""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rmaat.config import described, fits
from rmaat.tasks.dataset import IGNORE_INDEX, SPLITS, Split, Task, TaskError
from rmaat.tasks.files.task import load_file
from rmaat.tasks.images import load_digits, load_image
from rmaat.tasks.listops import load_listops
from rmaat.tasks.lra.release import load_listops_release, load_pathfinder_release
from rmaat.tasks.pathfinder.task import load_pathfinder
from rmaat.tasks.recall import load_segment_task
from rmaat.tasks.synthetic import mad
from rmaat.tasks.synthetic.association import load_mqar
from rmaat.tasks.synthetic.timescales import load_timescales, load_tmaze
from rmaat.tasks.text import load_retrieval, load_text

SHORT: dict[str, Any] = {  # operators at the root and its arguments: 49 to 92 tokens
    **{"n_train": 30_000, "n_validation": 1_000, "n_test": 2_000},
    **{"min_length": 48, "max_length": 129, "max_depth": 3},
}
SMALL: dict[str, Any] = {"n_train": 10_000, "n_validation": 1_000, "n_test": 1_000, "difficulty": "easy"}

IGNORED = IGNORE_INDEX  # the earlier name

TASKS: dict[str, Callable[..., Task]] = {
    "listops": load_listops,
    "listops-short": partial(load_listops, **SHORT),
    "listops-release": load_listops_release,
    **{f"pathfinder{size}": partial(load_pathfinder, size) for size in (32, 64, 128, 256)},
    "pathfinder-small": partial(load_pathfinder, 32, **SMALL),
    **{f"pathfinder{size}-release": partial(load_pathfinder_release, size) for size in (32, 64, 128, 256)},
    "text": load_text,
    "retrieval": load_retrieval,
    "image": load_image,
    "digits": load_digits,
    **{name: partial(load_segment_task, name) for name in ("recall", "needle", "copy")},
    "file": load_file,
    "mqar": load_mqar,
    "mqar-forgetting": partial(load_mqar, n_updates=2),
    "mad-recall": mad.load_mad_recall,
    "mad-noisy-recall": partial(mad.load_mad_recall, n_noise=16, noise=0.2),
    "mad-fuzzy-recall": mad.load_fuzzy_recall,
    "mad-memorization": mad.load_memorization,
    "mad-compression": partial(mad.load_copying, "mad-compression", n_symbols=31, vocab_size=15),
    "mad-selective-copying": partial(mad.load_copying, "mad-selective-copying", n_blanks=223),
    "timescales": load_timescales,
    "tmaze": load_tmaze,
}


def load_task(
    name: str, data_dir: Path | str | None = None, *, seed: int = 0, progress: bool = False, **options: Any
) -> Task:
    """A task by name.

    Parameters
    ----------
    name : one of `TASKS`.
    data_dir : where official files lie and where generated ones are kept (None: they are not kept).
    seed : of everything that is drawn.
    progress : show a bar while generating.
    options : of the task's own loader, such as max_length or n_train.

    Examples
    --------
    >>> task = load_task("recall", n_segments=4, n_train=10, n_validation=2, n_test=2)
    >>> len(task.train), task.n_classes, task.max_len
    (10, 8, 32)
    """
    if name not in TASKS:
        raise TaskError(f"task must be one of {', '.join(TASKS)}, got {name!r}")
    try:
        signature = inspect.signature(TASKS[name])
        signature.bind(None, seed=seed, progress=progress, **options)
    except TypeError as error:
        raise TaskError(f"options of {name} must be options of its loader, {error}") from error
    if not fits(seed, int) or seed < 0:
        raise TaskError(f"seed must be an integer of at least 0, got {seed!r}")
    for option, value in options.items():
        if not fits(value, hint := signature.parameters[option].annotation):
            raise TaskError(f"{option} must be {described(hint)}, got {value!r}")
    try:
        return TASKS[name](None if data_dir is None else Path(data_dir), seed=seed, progress=progress, **options)
    except MemoryError as error:
        raise TaskError(f"{name} must fit into memory, got options {options}; ask for fewer samples") from error


__all__ = ["IGNORED", "IGNORE_INDEX", "SPLITS", "TASKS", "Split", "Task", "TaskError", "load_task"]
