"""A trained run at work: classes of texts with their probabilities, and texts that a language model writes on.

``rmaat.pipeline(run)`` gives a :class:`Pipeline`; the commands `rmaat predict` and `rmaat generate` use it too.
"""

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from astro_sim.curves.files import replacing
from rmaat.config import check_count
from rmaat.tasks.dataset import ragged
from rmaat.tasks.files.series import read_series, standardised
from rmaat.tasks.files.tables import PLAIN, SERIES, file_kind, read_rows
from rmaat.tasks.files.task import as_text
from rmaat.tasks.files.tokenizers import Bytes, Tokenizer, load_tokenizer
from rmaat.tasks.text import BYTES
from rmaat.training.evaluation import last_logits, load_run, to_batch
from rmaat.training.machine import require_device

WINDOW = 16  # batches of texts that are sorted by length together: more save padding and hold more in memory

FORMATS = (".csv", ".jsonl")


class Pipeline:
    """The best model of a run on texts, or on series from files, in evaluation mode.

    Parameters
    ----------
    run : run directory, as `rmaat train` wrote it; ValueError if its inputs are neither.
    device : where to compute.

    Attributes
    ----------
    classes : names of the classes; empty for a language model.
    """

    def __init__(self, run: Path | str, device: str = "cpu"):
        require_device(device)
        model, self.record = load_run(run)
        self.model, self.card = model.to(device), self.record.get("task", {})
        if self.card.get("kind") not in ("classify", "lm"):
            raise ValueError(f"run must be of one text a sample, got a task of kind {self.card.get('kind')!r} in {run}")
        self.n_features = model.config.n_features
        if self.n_features and self.n_features != len(self.card.get("mean", [])):
            raise ValueError(f"run must be trained on texts, or on series from a file, got {self.card.get('task')!r}")
        self.tokenizer: Tokenizer = Bytes() if self.n_features else _tokenizer(Path(run), self.card)
        self.max_len = self.card.get("options", {}).get("max_len")
        numbers = [str(number) for number in range(model.config.n_classes)]
        self.classes: list[str] = [] if model.config.task == "lm" else self.card.get("classes", numbers)
        if self.classes and len(self.classes) != len(numbers):
            rule = f"{Path(run) / 'config.json'} must name the {len(numbers)} classes of the model"
            raise ValueError(f"{rule}, got {self.classes!r:.100}; train the run again")

    def __call__(self, texts: str | np.ndarray | Sequence[Any], **options: Any) -> Any:
        """:meth:`classify` for a run that classifies, :meth:`generate` for a language model: of one text or of each.

        For a run of series, of one array (length, n_features) or of each in a list.
        """
        answer: Callable = self.classify if self.classes else self._generate_each
        if isinstance(texts, str | np.ndarray):
            return answer([texts], **options)[0]
        return answer(texts, **options)

    def classify(self, texts: Iterable[Any], batch_size: int = 32) -> list[dict[str, Any]]:
        """For each text its ``label``, the ``probability`` of that, and the ``probabilities`` of all classes."""
        return [self.described(row) for row in self.probabilities(texts, batch_size)]

    def described(self, probabilities: np.ndarray) -> dict[str, Any]:
        """Probabilities (n_classes,) with their names."""
        best = int(probabilities.argmax())
        named = dict(zip(self.classes, probabilities.tolist(), strict=True))
        return {"label": self.classes[best], "probability": named[self.classes[best]], "probabilities": named}

    @torch.inference_mode()
    def probabilities(self, texts: Iterable[Any], batch_size: int = 32) -> Iterator[np.ndarray]:
        """Probabilities (n_classes,) of each text, in the order of the texts.

        A bounded number of texts is in memory at a time, so that `texts` may be endless.
        """
        if not self.classes:
            raise ValueError("run must be one that classifies, got a language model; use generate")
        check_count("batch_size", batch_size)
        source = iter(texts)
        while window := list(islice(source, WINDOW * batch_size)):
            tokens = [array[: self.max_len] for array in self._encode(window)]
            dtype = np.float32 if self.n_features else np.int64
            split = ragged(tokens, np.zeros(len(tokens)), dtype=dtype)
            found = np.empty((len(tokens), len(self.classes)))
            order = np.argsort(split.lengths, kind="stable")
            for first in range(0, len(order), batch_size):
                samples = order[first : first + batch_size]
                batch = to_batch(split, samples, next(self.model.parameters()).device)
                logits = self.model(batch["tokens"], batch["lengths"]).float()
                chosen = last_logits(logits, batch["lengths"], self.model.config.segment_len)
                found[samples] = chosen.double().softmax(-1).cpu().numpy()
            yield from found

    def _encode(self, samples: list[Any]) -> list[np.ndarray]:
        """Tokens of texts, or standardised series."""
        if not self.n_features:
            return self.tokenizer.encode(samples)
        found = [np.asarray(sample, dtype=np.float64) for sample in samples]
        found = [series[:, None] if series.ndim == 1 else series for series in found]
        if wrong := [series.shape for series in found if series.ndim != 2 or series.shape[1] != self.n_features]:
            raise ValueError(f"series must be (length, {self.n_features}) as in the training, got {wrong[0]}")
        return [standardised(series, self.card["mean"], self.card["sd"]) for series in found]

    def generate(
        self,
        prompt: str,
        n_tokens: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int | None = None,
    ) -> str:
        """The prompt and what the language model adds to it (:meth:`rmaat.RMAAT.generate`).

        Parameters
        ----------
        n_tokens : tokens to add.
        temperature : divides the logits; 0 takes the likeliest token.
        top_k : draw among so many likeliest tokens.
        seed : of the draws; by default those of torch's own state.
        """
        if self.classes:
            raise ValueError("run must be a language model to generate, got one that classifies; train without label")
        device = next(self.model.parameters()).device
        tokens = self.tokenizer.encode([prompt], special=False)[0].astype(np.int64)
        generator = None if seed is None else torch.Generator(device).manual_seed(seed)
        sizes: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "generator": generator}
        found = self.model.generate(torch.from_numpy(tokens)[None].to(device), n_tokens, **sizes)
        return prompt + self.tokenizer.decode(found[0, len(tokens) :].cpu().numpy())

    def _generate_each(self, texts: Sequence[str], **options: Any) -> list[str]:
        return [self.generate(text, **options) for text in texts]


def pipeline(run: Path | str, device: str = "cpu") -> Pipeline:
    """A trained run, to be called on texts: a :class:`Pipeline`.

    Parameters
    ----------
    run : run directory, as `rmaat train` wrote it.
    device : where to compute.

    Examples
    --------
    The run of reviews with labels, and of a text without any::

        pipeline("runs/reviews")("A film to remember.")["label"]
        pipeline("runs/corpus")("Once upon a time", n_tokens=100)
    """
    return Pipeline(run, device)


def predict_file(
    pipeline: Pipeline, file: Path, out: IO[str] | Path, *, text: str | None = None, batch_size: int = 32
) -> int:
    """Write label and probabilities of each row of a table; the number of rows.

    Parameters
    ----------
    file : CSV, TSV, JSON lines, Parquet, plain text with a text a line, or series; read and answered part by part.
    out : a path that ends in .csv or .jsonl, which is written whole or not at all, or an open text file, for CSV. Rows
        are in the order of the file: its line, the label, its probability, and that of each class.
    text : column of the texts, by default that of the training.
    """
    lines: list[int] = []

    def samples() -> Iterator[Any]:
        for line, sample in _samples(pipeline, file, text):
            lines.append(line)
            yield sample

    number = 0
    bar = tqdm(desc=file.name, unit=" texts", disable=None)  # silent where nobody looks
    with bar, _writer(out, pipeline.classes) as write:
        for probabilities in pipeline.probabilities(samples(), batch_size):
            write(lines.pop(0), pipeline.described(probabilities))
            number += 1
            bar.update()
    return number


def _samples(pipeline: Pipeline, file: Path, text: str | None) -> Iterator[tuple[int, Any]]:
    """Line and text, or series, of each row of a file."""
    if pipeline.n_features:
        if file_kind(file) not in SERIES:
            raise ValueError(f"file must be of series like those of the training, {', '.join(SERIES)}, got {file}")
        for place, series, _ in read_series(file, labelled=False):
            yield place, series
        return
    options = pipeline.card.get("options", {})
    column = "text" if file_kind(file) in PLAIN else text or options.get("text", "text")
    for line, (value,) in read_rows(file, [column], quotes=options.get("quotes", True)):
        yield line, as_text(value, f"{file}:{line}")


@contextmanager
def _writer(out: IO[str] | Path, classes: list[str]) -> Iterator[Callable[[int, dict[str, Any]], None]]:
    """A function that writes one row of predictions."""
    if not isinstance(out, Path):
        yield _csv_writer(out, classes)
    elif out.suffix.lower() not in FORMATS:
        raise ValueError(f"out must end in one of {', '.join(FORMATS)}, got {out}")
    else:
        with replacing(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            if out.suffix.lower() == ".csv":
                yield _csv_writer(file, classes)
            else:
                yield lambda line, answer: _write_line(file, {"line": line, **answer})


def _csv_writer(file: IO[str], classes: list[str]) -> Callable[[int, dict[str, Any]], None]:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["line", "label", "probability", *(f"p_{name}" for name in classes)])

    def write(line: int, answer: dict[str, Any]) -> None:
        numbers = [answer["probability"], *answer["probabilities"].values()]
        rows.writerow([line, answer["label"], *(f"{number:.6g}" for number in numbers)])

    return write


def _write_line(file: IO[str], record: dict[str, Any]) -> None:
    file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _tokenizer(run: Path, card: dict[str, Any]) -> Tokenizer:
    """The tokeniser that a run was trained with."""
    if expected := card.get("tokenizer_sha256"):
        tokenizer = load_tokenizer(run / "tokenizer.json")
        if hashlib.sha256(tokenizer.text.encode()).hexdigest() != expected:
            raise ValueError(f"{run / 'tokenizer.json'} must be that of the training, got another one; restore it")
        return tokenizer
    if card.get("vocabulary") != BYTES:
        raise ValueError(f"run must be trained on texts, got {run} of the task {card.get('task')!r}")
    return Bytes()
