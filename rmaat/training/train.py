"""The training loop, on Accelerate.

The order of samples follows from (seed, epoch), the random numbers of a step from (seed, step, process), and the
learning rate from the step. So weights, optimiser state and a few numbers in JSON are enough to continue a run exactly:
a run that was killed and resumed ends with the same weights, bit for bit on a CPU.

A batch has `batch_size * accumulate * processes` samples and is cut into micro-batches. The summed loss of each is
divided by the number of answers in the whole batch, so that ragged batches, accumulation and several processes give the
gradient of the whole batch. A process without a sample of its own takes part with a loss of 0.

A run directory holds config.json, curves/ (copies), model/ (best), last/ (to resume), log.jsonl, tensorboard/ and, once
finished, metrics.json.
"""

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tqdm.auto import tqdm

from astro_sim.curves.console import on_signal
from astro_sim.curves.files import add_metrics, write_text
from rmaat.config import ModelConfig
from rmaat.data import load_curves
from rmaat.models.pretrained import read_tensors
from rmaat.models.rmaat import RMAAT
from rmaat.models.zoo import build_model, count_parameters
from rmaat.tasks import Task, load_task
from rmaat.tasks.batching import BatchPlan, padded_length
from rmaat.training.config import TrainConfig
from rmaat.training.evaluation import count_correct, loss_and_correct, to_batch
from rmaat.training.machine import (
    COMPILING,
    device_name,
    has_cpp_compiler,
    made_with,
    peak_memory,
    require_device,
    seconds_saved_by_compiling,
)
from rmaat.training.optimiser import lr_factor, optimizer_step, parameter_groups, step_seed
from rmaat.training.run_folder import Loop, RunFolder

WITHOUT_EFFECT = "run data_dir device max_steps time_budget_s checkpoint_every progress tensorboard log_every".split()

PATHS = [f"task_options.{path}" for path in ("data", "validation", "test", "tokenizer")]  # of the task "file"


def train(config: TrainConfig) -> Path:
    """Train, or continue training, until the run or this leg of it ends; returns the run directory."""
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    if config.device != "auto":
        require_device(config.device)
    if on_cpu and config.precision == "fp16":
        raise ValueError(f"precision must be 'no' or 'bf16' on a CPU, got {config.precision!r}")
    if config.network.carry_state:
        raise ValueError("carry_state must be False where samples come in random order, got True; write your own loop")
    AcceleratorState._reset_state(reset_partial_state=True)  # another run in this process may have had other settings
    accelerator = Accelerator(mixed_precision=config.precision, cpu=on_cpu)
    folder = RunFolder(Path(config.run), accelerator.is_main_process)
    with accelerator.main_process_first():
        shown = config.progress and accelerator.is_main_process
        task = load_task(config.task, config.data_dir, seed=config.task_seed, progress=shown, **config.task_options)
    if shown:
        tqdm.write(task.summary, file=sys.stderr)
    curves = load_curves(config.curves, config.curve_draw, config.curve_seed)
    network = ModelConfig(**asdict(config.network) | sizes_of(task))
    config = replace(config, compile=_compiles(config, network, task, folder, on_cpu, shown))
    record = {
        "processes": accelerator.num_processes,
        "train": {name: value for name, value in asdict(config).items() if name != "network"},
        "network": asdict(network),
        "curves": {name: curve.sha256 for name, curve in curves.items()},
        "task": dict(task.card),
        "made_with": made_with(),
    }
    on_gpu = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu):
        torch.manual_seed(config.seed)
        leg = _Leg(config, accelerator, folder, task, build_model(config.model, network, curves))
        with folder.alone():
            folder.open(record, curves, WITHOUT_EFFECT + (PATHS if config.task == "file" else []))
            if task.tokenizer and folder.writes:
                write_text(folder.path / "tokenizer.json", task.tokenizer)
            accelerator.wait_for_everyone()
            leg.run()
    accelerator.wait_for_everyone()  # until the main process has written all
    return folder.path


def _compiles(
    config: TrainConfig, network: ModelConfig, task: Task, folder: RunFolder, on_cpu: bool, shown: bool
) -> bool:
    """Whether to compile: with "auto" as the run began, and else where that saves more time than it takes.

    The rule reads the configuration alone, no clock, so that a run that is repeated ends with the same weights.
    """
    if config.compile != "auto":
        return config.compile
    if (before := folder.begun_with("compile")) is not None:
        return bool(before)
    measured = on_cpu and config.model in ("rmaat", "rmaat-paper") and not network.cached_memories
    if not measured or not has_cpp_compiler():
        return False
    tokens = config.steps * config.batch_size * config.accumulate * float(task.train.longest.mean())
    saved = seconds_saved_by_compiling(tokens, network.n_layers, network.d_model)
    if shown:
        verb = "compiling" if saved > COMPILING else "not compiling"
        tqdm.write(
            f"{verb}: it takes up to {COMPILING} s and would save about {saved:.0f} s of the run (--compile True or "
            "False decides otherwise)",
            file=sys.stderr,
        )
    return saved > COMPILING


def sizes_of(task: Task) -> dict[str, Any]:
    """The fields of ModelConfig that follow from a task; a vocabulary that is not used has two tokens."""
    sizes = {"vocab_size": task.vocab_size or 2, "n_features": task.train.n_features}
    return sizes | {"n_classes": task.n_classes, "task": task.kind, "max_len": task.max_len}


class _Leg:
    """One leg of a run: from the last checkpoint to the end of the run or to this leg's limit.

    The constructor reads and writes no files, so that a model that cannot be trained leaves no run folder.
    """

    def __init__(self, config: TrainConfig, accelerator: Accelerator, folder: RunFolder, task: Task, model: RMAAT):
        self.config, self.accelerator, self.folder, self.task = config, accelerator, folder, task
        self.bare, self.segment_len = model, model.config.segment_len
        groups = parameter_groups(model, config.weight_decay, config.lr_scale)
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
        self.micro_batches = accelerator.num_processes * config.accumulate
        self.plan = BatchPlan(
            lengths=task.train.longest,
            batch_size=config.batch_size * self.micro_batches,
            micro_batches=self.micro_batches,
            bucket=config.bucket,
            seed=config.seed,
        )
        self.n_targets = task.train.n_targets
        self.weights = self._class_weights()
        self.since_log = {"seconds": 0.0, "samples": 0, "tokens": 0}
        self.terminated = False
        self.loss = torch.zeros((), device=accelerator.device)  # this process's share of the last step's loss
        self.shown: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        """Seconds of training in this and earlier legs."""
        return self.loop.seconds + time.perf_counter() - self.started

    def run(self) -> None:
        self.loop = loop = self.folder.load(self.bare, self.optimizer, self.accelerator.scaler) or Loop()
        per_epoch = -(-len(self.plan.lengths) // self.plan.batch_size)
        if loop.batch > per_epoch or loop.epoch * per_epoch + loop.batch != loop.step or loop.step > self.config.steps:
            got = f"step {loop.step:g}, epoch {loop.epoch:g}, batch {loop.batch:g}"
            rule = f"{self.folder.path / 'last'} must be at a step of this run, of {per_epoch} batches an epoch"
            raise ValueError(f"{rule}, got {got}; delete {self.folder.path}")
        if loop.finished:
            return
        if self.config.compile:
            self.bare.compile()
        self.model, self.optimizer = self.accelerator.prepare(self.bare, self.optimizer)
        self.batches = self.plan.batches(self.loop.epoch, self.loop.batch)
        self.started, self.first_step = time.perf_counter(), self.loop.step
        self.folder.open_logs(self.loop.step, self.config.tensorboard)
        self.model.train()
        hidden = not (self.config.progress and self.accelerator.is_main_process)
        bar = {"total": self.config.steps, "initial": self.loop.step, "desc": self.config.model, "unit": "step"}
        try:
            alone = self.accelerator.num_processes == 1  # several processes must end at the same step
            answered = on_signal(signal.SIGTERM, self._terminate) if alone else nullcontext()
            with tqdm(**bar, disable=hidden) as self.bar, answered:
                while not self._run_is_over() and not self._leg_is_over():
                    self._take_step()
            self._last_loss()
            if self._run_is_over():
                self._finish()
            self._save()
        finally:
            self.folder.close_logs()

    def _terminate(self, *_: object) -> None:
        """On SIGTERM, as a cluster sends it: end the leg after the present step, with a checkpoint."""
        self.terminated = True

    def _run_is_over(self) -> bool:
        patience = self.config.patience
        out_of_patience = patience is not None and self.loop.checks_without_gain >= patience
        late = self._is_late(self.config.stop_after_s, self.loop.seconds)
        return self.loop.step >= self.config.steps or out_of_patience or late

    def _leg_is_over(self) -> bool:
        limit = self.config.max_steps
        reached = limit is not None and self.loop.step - self.first_step >= limit
        return reached or self.terminated or self._is_late(self.config.time_budget_s, 0.0)

    def _is_late(self, limit: float | None, before: float) -> bool:
        """Whether the limit has passed on any process; all of them get the same answer."""
        if limit is None:
            return False
        late = before + time.perf_counter() - self.started >= limit
        if self.accelerator.num_processes == 1:
            return late
        return bool(self.accelerator.reduce(torch.tensor(float(late), device=self.accelerator.device)) > 0)

    def _take_step(self) -> None:
        config, loop = self.config, self.loop
        epoch, index, samples = next(self.batches)
        begun = time.perf_counter()
        self.loss, norm = self._optimizer_step(samples)
        loop.step, loop.epoch, loop.batch = loop.step + 1, epoch, index + 1
        self.since_log["seconds"] += time.perf_counter() - begun
        self.since_log["samples"] += len(samples)
        self.since_log["tokens"] += int(self.task.train.lengths[samples].sum())
        self.bar.update()
        if loop.step % config.log_every == 0 or loop.step == config.steps:
            self._log(norm)
        if loop.step % config.eval_every == 0 or loop.step == config.steps:
            self._check()
        if loop.step % config.checkpoint_every == 0:
            self._last_loss()
            self._save()

    def _optimizer_step(self, samples: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Train on one batch; this process's share of the loss, and the norm of the gradient."""
        config, accelerator = self.config, self.accelerator
        step = self.loop.step + 1
        factor = lr_factor(step, config.steps, schedule=config.schedule, warmup=config.warmup, final=config.final_lr)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * group["lr_scale"] * factor
        torch.manual_seed(step_seed(config.seed, step, accelerator.process_index))

        def backward(loss: torch.Tensor) -> None:
            accelerator.backward(loss * accelerator.num_processes)  # DDP takes the mean over processes

        losses, clip = self._losses(samples), accelerator.clip_grad_norm_
        return optimizer_step(self.model, self.optimizer, losses, config.clip, backward, clip)

    def _losses(self, samples: np.ndarray) -> Iterator[torch.Tensor]:
        """The loss of each of this process's micro-batches, as its share of the batch's mean loss."""
        accelerator, split = self.accelerator, self.task.train
        n_targets = int(self.n_targets[samples].sum())
        length = padded_length(split, samples, self.segment_len)
        mine = np.array_split(samples, self.micro_batches)[accelerator.process_index :: accelerator.num_processes]
        for i, chosen in enumerate(mine):
            batch = to_batch(split, chosen if len(chosen) else samples[:1], accelerator.device, length)
            with nullcontext() if i == len(mine) - 1 else accelerator.no_sync(self.model):
                logits = self.model(batch["tokens"], batch["lengths"])
                labels, lengths = batch["labels"], batch["lengths"]
                loss, _, _ = loss_and_correct(logits, labels, lengths, self.segment_len, self.weights)
                yield (loss if len(chosen) else 0 * loss) / n_targets

    def _class_weights(self) -> torch.Tensor | None:
        """Weight of each class, of mean 1 over the training samples."""
        if self.config.class_weights == "none":
            return None
        if self.task.kind == "lm":
            raise ValueError("class_weights must be 'none' for a language model, got 'balanced'")
        counts = np.bincount(self.task.train.labels, minlength=self.task.n_classes)
        weights = len(self.task.train) / ((counts > 0).sum() * np.maximum(counts, 1))
        return torch.tensor(weights, dtype=torch.float32, device=self.accelerator.device)

    def _log(self, norm: torch.Tensor) -> None:
        step, since = self.loop.step, self.since_log
        loss = self._last_loss()
        seconds = max(since["seconds"], 1e-9)
        rates = {f"{what}_per_s": since[what] / seconds for what in ("samples", "tokens")}
        lr = max(group["lr"] for group in self.optimizer.param_groups)
        self.folder.log(
            step, epoch=self.loop.epoch, loss=loss, lr=lr, gradient_norm=float(norm), **rates, seconds=self.seconds
        )
        self.shown |= {"loss": f"{loss:.3f}", "tokens/s": f"{rates['tokens_per_s']:.0f}"}
        self.bar.set_postfix(self.shown)
        self.since_log = dict.fromkeys(since, 0)

    def _check(self) -> None:
        """Evaluate on the validation split; keep the model if it is the best so far."""
        loop = self.loop
        loss, accuracy = self._evaluate("validation")
        self._finite("validation loss", loss)
        self._require_finite_weights()
        self.folder.log(loop.step, validation_loss=loss, validation_accuracy=accuracy)
        self.shown["validation"] = f"{accuracy:.3f}"
        self.bar.set_postfix(self.shown)
        loop.checks_without_gain += 1
        if accuracy > loop.best_accuracy:
            loop.best_accuracy, loop.best_step, loop.checks_without_gain = accuracy, loop.step, 0
            if self.folder.writes:
                self.bare.save_pretrained(self.folder.path / "model")

    def _last_loss(self) -> float:
        """The loss of the last step over all processes; checked before anything of a run is kept."""
        return self._finite("loss", float(self.accelerator.reduce(self.loss)))

    def _finite(self, name: str, loss: float) -> float:
        if not math.isfinite(loss):
            step = self.loop.step
            raise ValueError(f"{name} must stay finite, got {loss} at step {step}; lower lr or raise warmup")
        return loss

    def _evaluate(self, split: str) -> tuple[float, float]:
        """Loss and accuracy of the present weights on a split; the batches are shared among the processes."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        sizes = {"batch_size": self.config.eval_batch_size, "rank": rank, "world": world}
        totals = count_correct(self.bare, self.task.split(split), **sizes)
        loss, correct, n = self.accelerator.reduce(totals.to(self.accelerator.device)).tolist()
        return loss / n, correct / n

    def _require_finite_weights(self) -> None:
        """Before weights take the place of earlier ones: nothing good is replaced by NaN."""
        for name, tensor in self.bare.state_dict().items():
            if not torch.isfinite(tensor).all():
                self._finite(f"weights of {name}", math.nan)

    def _save(self) -> None:
        self._require_finite_weights()
        loop = replace(self.loop, seconds=self.seconds)
        self.folder.save(self.bare, self.optimizer, loop, self.accelerator.scaler)

    def _finish(self) -> None:
        config, loop, accelerator = self.config, self.loop, self.accelerator
        if loop.best_step == 0:  # stopped before the first check
            self.bar = tqdm(disable=True)
            self._check()
        seconds = self.seconds
        accelerator.wait_for_everyone()
        last = {name: tensor.clone() for name, tensor in self.bare.state_dict().items()}
        self.bare.load_state_dict(read_tensors(self.folder.path / "model" / "model.safetensors"))
        test_loss, test_accuracy = self._evaluate("test")
        self.bare.load_state_dict(last)
        loop.finished = True
        lengths, parameters = self.task.test.lengths, count_parameters(self.bare)
        metrics = {
            "task": config.task,
            "model": config.model,
            "seed": config.seed,
            "test_accuracy": test_accuracy,
            "validation_accuracy": loop.best_accuracy,
            "majority_rate": self.task.test.majority_rate,
            "test_loss": test_loss,
            "best_step": loop.best_step,
            "steps": loop.step,
            "segments": [-(-int(n) // self.segment_len) for n in (lengths.min(), lengths.max())],
            "parameters": parameters["total"],
            "parameters_of_R": parameters["R"],
            "seconds": {"train": seconds, "evaluate": self.seconds - seconds},
            "peak_bytes": peak_memory(accelerator.device),
            "device": device_name(accelerator.device),
            "processes": accelerator.num_processes,
            "precision": config.precision,
            "torch": torch.__version__,
        }
        if self.folder.writes:
            add_metrics(self.folder.path, metrics)
