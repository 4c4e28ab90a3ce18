"""The run folder: configuration, curves, best and last checkpoints, logs. Nothing is pickled.

A run is resumed from `last/loop.json`, which names the safetensors file with weights and optimiser state. It is
replaced last, so that a run that is killed while saving still has its previous checkpoint.
"""

import errno
import hashlib
import json
import logging
import math
import os
import platform
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from io import FileIO
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from astro_sim.curves.curve import Curve
from astro_sim.curves.files import cannot_write, locked, read_json, write_text
from rmaat.models.pretrained import read_tensors, require_tensors, write_tensors

logger = logging.getLogger(__name__)

HALF_WRITTEN = (".*.json.*", ".*.jsonl.*", ".*.safetensors.*", ".*.toml.*")


@dataclass
class Loop:
    """Where a run stands: all that continuing it needs besides weights and optimiser state.

    The order of samples and all random numbers follow from the configuration's seed, `epoch`, `batch` and `step`.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best_accuracy: float = -1.0
    best_step: int = 0
    checks_without_gain: int = 0
    finished: bool = False
    scaler: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """ValueError unless every number has its type and range."""
        for name in ("step", "epoch", "batch", "best_step", "checks_without_gain"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value < 2**53:
                raise ValueError(f"{name} = {value!r:.40}, which is no number of steps")
        known = self.best_accuracy == -1 or 0 <= self.best_accuracy <= 1
        if not (known and 0 <= self.seconds < math.inf and self.best_step <= self.step and type(self.finished) is bool):
            raise ValueError(f"numbers that no run has, {self!r:.200}")


def checksum(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record's JSON, which is kept beside it."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


class OtherRunError(ValueError):
    """The folder holds a run of another configuration, or other curves."""


class RunFolder:
    """Reads and writes a run's folder; only the main process `writes`."""

    def __init__(self, path: Path, writes: bool = True):
        self.path, self.writes = Path(path), writes
        self._log: FileIO | None = None
        self._board: Board | None = None

    def open(self, record: Mapping[str, Any], curves: Mapping[str, Curve], ignore: Collection[str] = ()) -> None:
        """Write config.json and curves/, or raise OtherRunError if those in the folder differ.

        Fields in `ignore` of the record's section "train" may differ. Half-written files of a killed leg are removed.
        """
        text = json.dumps(record, indent=2, default=str) + "\n"
        path = self.path / "config.json"
        if path.exists():
            before = read_json(path)
            self._compare(before, json.loads(text), ignore)
            self._require_curves(record["curves"])
            self._say_what_changed(before.get("made_with", {}), record["made_with"])
        elif begun := [name for name in ("last", "model") if (self.path / name).exists()]:
            rule = f"{self.path} must hold the config.json of the run that wrote {begun[0]}"
            raise OtherRunError(f"{rule}, got none; choose another run folder or delete this one")
        if not self.writes:
            return
        for place, pattern in product(("", "curves", "last", "model", "model/curves"), HALF_WRITTEN):
            for leftover in (self.path / place).glob(pattern):
                leftover.unlink()
        if not path.exists():
            self._copy_curves(curves)
            write_text(path, text)

    def begun_with(self, field: str) -> Any:
        """A field of the TrainConfig that the run in this folder was begun with; None where there is none."""
        path = self.path / "config.json"
        return _section(read_json(path), "train").get(field) if path.exists() else None

    def _compare(self, old: dict[str, Any], new: dict[str, Any], ignore: Collection[str]) -> None:
        pairs = {"processes": (old.get("processes", new["processes"]), new["processes"])}  # older runs do not say
        for section in ("train", "data", "network", "curves", "task"):
            before, after = _section(old, section), _section(new, section)
            for key in sorted({*before, *after} - (set(ignore) if section == "train" else set())):
                pairs[f"{section}.{key}"] = before.get(key), after.get(key)
        for name, (was, now) in pairs.items():
            if was != now:
                raise OtherRunError(
                    f"{name} must be that of the run in {self.path}, {was!r:.60}, got {now!r:.60}; "
                    "choose another run folder or delete this one"
                )

    def _say_what_changed(self, before: Mapping[str, str], now: Mapping[str, str]) -> None:
        """Warn of other code: it may be meant, as a mended error is, but the run is none of one piece any more."""
        for name in before.keys() & now.keys():
            if before[name] != now[name]:
                logger.warning(
                    "%s was begun with %s %.12s and goes on with %.12s: "
                    "its result may differ from that of a run without interruption",
                    *(self.path, name, before[name], now[name]),
                )

    def _copy_curves(self, curves: Mapping[str, Curve]) -> None:
        folder = self.path / "curves"
        there = {path.stem: path.read_bytes().decode() for path in folder.glob("*.toml")}
        wanted = {name: curve.text for name, curve in curves.items()}
        if other := [name for name in there if there[name] != wanted.get(name)]:
            raise OtherRunError(f"{folder} must hold the curves to train from alone, got another {other[0]}; remove it")
        for name, text in wanted.items():
            if name not in there:
                write_text(folder / f"{name}.toml", text)

    def _require_curves(self, hashes: Mapping[str, str]) -> None:
        for name, expected in hashes.items():
            path = self.path / "curves" / f"{name}.toml"
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                raise OtherRunError(
                    f"{path} must be the curve that the run was begun with, got none or another; restore it"
                )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder; ValueError if another process trains in it."""
        with ExitStack() as stack:
            try:
                if self.writes:
                    stack.enter_context(locked(self.path / ".lock", wait=False))
            except BlockingIOError as error:
                rule = "run must be a folder that no other process trains in"
                raise ValueError(f"{rule}, got {self.path}; wait") from error
            yield

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: Any = None) -> Loop | None:
        """Load the last checkpoint into model, optimiser and scaler; None if there is none. ValueError if damaged."""
        path = self.path / "last" / "loop.json"
        if not path.exists():
            if list(path.parent.glob("*.safetensors")):
                logger.warning("%s holds weights but no loop.json: training starts from step 0 again", path.parent)
            return None
        try:
            record = read_json(path)
            if record.pop("sha256", None) not in (None, checksum(record)):
                raise ValueError("a loop.json that was changed or damaged after it was written")
            tensors = read_tensors(path.parent / Path(record.pop("tensors")).name)
            n_tensors = record.pop("n_tensors", len(tensors))
            loop = Loop(**record)
            loop.check()
            if len(tensors) != n_tensors:
                raise ValueError(f"{len(tensors)} tensors in place of {n_tensors}")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.parent} must hold a whole checkpoint, got {error}; delete {self.path}") from error
        weights: dict[str, torch.Tensor] = {}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            kind, _, name = key.partition("/")
            if kind == "model":
                weights[name] = tensor
            else:
                index, _, moment = name.partition("/")
                moments.setdefault(int(index), {})[moment] = tensor
        require_tensors(model, weights, path.parent)
        whole = {"step", "exp_avg", "exp_avg_sq"}
        if loop.step and not (moments and all(whole <= state.keys() for state in moments.values())):
            raise ValueError(
                f"{path.parent} must hold step, exp_avg and exp_avg_sq of the optimiser, got not all of them"
            )
        model.load_state_dict(weights)
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        if scaler is not None:
            scaler.load_state_dict(loop.scaler)
        return loop

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, loop: Loop, scaler: Any = None) -> None:
        """Write last/: first the tensors under a name of their own, then the JSON that names them."""
        if not self.writes:
            return
        loop.scaler = {} if scaler is None else scaler.state_dict()
        folder, name = self.path / "last", f"step-{loop.step:08d}.safetensors"
        tensors = {f"model/{key}": value for key, value in model.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{moment}": value for moment, value in state.items()}
        write_tensors(folder / name, tensors)
        record = {"tensors": name, "n_tensors": len(tensors), **asdict(loop)}
        write_text(folder / "loop.json", json.dumps(record | {"sha256": checksum(record)}, indent=2) + "\n")
        for old in folder.glob("step-*.safetensors"):
            if old.name != name:
                old.unlink()

    def open_logs(self, step: int, tensorboard: bool) -> None:
        """Open log.jsonl (and TensorBoard) after `step`; what a killed leg had logged beyond it is dropped."""
        if not self.writes:
            return
        path = self.path / "log.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_text(path, "".join(line + "\n" for line in kept))
        self._log = path.open("ab", buffering=0)
        self._board = Board(self.path / "tensorboard", step + 1) if tensorboard else None

    def log(self, step: int, **values: float) -> None:
        """Add one line to the log."""
        if self._log is not None:
            _append(self._log, json.dumps({"step": step, **values}).encode() + b"\n", self.path / "log.jsonl")
        if self._board is not None:
            self._board.add(step, values)

    def close_logs(self) -> None:
        for file in (self._log, self._board):
            if file is not None:
                file.close()
        self._log, self._board = None, None


def _section(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section of a record: the task's options one by one, and as "data" the hash of the task's data."""
    if name == "data":
        return {"content_sha256": record.get("task", {}).get("content_sha256")}
    section = dict(record.get(name, {}))
    if name == "task":
        section.pop("source", None)  # of files under another name; their content has its hash
    options = section.pop("task_options", {})
    return section | {f"task_options.{option}": value for option, value in options.items()}


class Board:
    """TensorBoard's event file of a leg, written at once: its own writer fails in a thread, with a traceback there."""

    def __init__(self, folder: Path, first_step: int):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event = Event
        name = f"events.out.tfevents.{time.time():.6f}.{platform.node()}.{os.getpid()}"  # in the order of the legs
        self._path = folder / name
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb", buffering=0)
        self._records = RecordWriter(self)
        try:
            self._put(file_version="brain.Event:2")
            self._put(
                step=first_step, session_log=SessionLog(status=SessionLog.START)
            )  # later steps of a killed leg go
        except OSError:
            self.close()
            raise

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add one scalar for each name."""
        self._put(step=step, summary={"value": [{"tag": name, "simple_value": v} for name, v in values.items()]})

    def _put(self, **event: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **event).SerializeToString())

    def write(self, record: bytes) -> None:
        """Write one whole record."""
        _append(self._file, record, self._path)

    def close(self) -> None:
        self._file.close()


def _append(file: FileIO, content: bytes, path: Path) -> None:
    """Write all of `content` to an unbuffered file; OSError names it."""
    try:
        if file.write(content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise OSError(cannot_write(path, error)) from error
