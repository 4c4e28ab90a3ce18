"""A trained model as a folder: weights, configuration with provenance, and its curve files; nothing is pickled."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from astro_sim.curves.curve import Curve, CurveFileError
from astro_sim.curves.files import read_json, replacing, write_text
from astro_sim.curves.format import load_curve, parse_curve
from rmaat.config import ModelConfig

Model = TypeVar("Model", bound=Any)


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> Path:
    """Write tensors by name as safetensors, with a checksum, and return the path; shared memory is written twice."""
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with replacing(path) as partial:
        partial.write_bytes(save(whole, {"sha256": _checksum(whole)}))
    return path


def read_tensors(path: Path) -> dict[str, Any]:
    """Read tensors by name from a safetensors file; ValueError for one that is missing, damaged or changed."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} must be a whole safetensors file, got {error}; write it again") from error
    if expected not in (None, _checksum(tensors)):
        raise ValueError(f"{path} must be an unchanged safetensors file, got another checksum; write it again")
    return tensors


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_model(model: Any, folder: str | Path) -> Path:
    """Write ``model.safetensors``, ``config.json`` (configuration and provenance) and ``curves/*.toml``.

    ValueError for a curve that was changed after it was read: its file would say something else than the model has.
    """
    folder = Path(folder)
    draws = write_curves(model.constants.curves, folder)
    record = {"class": type(model).__name__, "config": dataclasses.asdict(model.config)}
    record |= {"provenance": model.provenance(), "curve_draws": draws}
    write_text(folder / "config.json", json.dumps(record, indent=2) + "\n")
    write_tensors(folder / "model.safetensors", model.state_dict())
    return folder


def write_curves(curves: Mapping[str, Curve], folder: Path) -> dict[str, list]:
    """Write ``curves/*.toml``; draw and seed of those that are a draw from their uncertainty, for :func:`read_curves`.

    ValueError for a curve that is not as in its file.
    """
    for name, curve in curves.items():
        file = _drawn(parse_curve(curve.text), curve.draw, curve.draw_seed)
        fields = ("form", "parameters", "x", "x_range", "extrapolate")
        if any(getattr(file, field) != getattr(curve, field) for field in fields):
            raise ValueError(f"curve {name!r} must be as in its file to be saved, got other values; write a new file")
        curve.save(folder / "curves" / f"{name}.toml")
    return {name: [curve.draw, curve.draw_seed] for name, curve in curves.items() if curve.draw is not None}


def read_curves(files: Iterable[Path], draws: Mapping[str, list]) -> dict[str, Curve]:
    """Curves from their files, by the files' stems, drawn again as :func:`write_curves` says."""
    curves = {file.stem: load_curve(file) for file in files}
    return curves | {name: _drawn(curves[name], *draw) for name, draw in draws.items()}


def load_model(kind: type[Model], folder: str | Path) -> Model:
    """Read what :func:`save_model` wrote: the same logits, bit for bit. In evaluation mode, on the CPU.

    `kind` is RMAAT, which stands for the class of the package that was saved, or the caller's own subclass. A folder
    without a model, with a damaged one or with parts that do not fit is a ValueError.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} must hold config.json and model.safetensors, got no such folder or files")
    record = read_json(path)
    if missing := {"class", "config", "curve_draws"} - record.keys():
        raise ValueError(f"{path} must hold {min(missing)}, got none; save the model again")
    ours = (model for model in kind.__subclasses__() if model.__module__.startswith("rmaat."))
    found = {model.__name__: model for model in (*ours, kind)}.get(str(record["class"]))
    if found is None:
        raise ValueError(f"{path} must be of a class of rmaat, got {record['class']!r}; load it by that class")
    try:
        config = ModelConfig(**record["config"])
        curves = read_curves(sorted((path.parent / "curves").glob("*.toml")), record["curve_draws"])
    except CurveFileError:
        raise
    except (AttributeError, TypeError, ValueError, LookupError) as error:
        raise ValueError(f"{path} must be of this version of rmaat, got {error}; save the model again") from error
    weights = path.with_name("model.safetensors")
    tensors = read_tensors(weights)
    if config.n_layers > len(tensors):  # before memory is taken for what a wrong number asks for
        raise ValueError(f"{path} must be the configuration of {weights.name}, got n_layers={config.n_layers:g}")
    try:
        with torch.device("meta"):
            require_tensors(found(config, curves), tensors, weights)
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):  # initial weights are drawn and thrown away
            model = found(config, curves)
    except CurveFileError as error:
        rule = f"{folder} must carry the curve files that it was trained from in curves/"
        raise CurveFileError(f"{rule}, got: {error}") from error
    for name, tensor in model.state_dict(keep_vars=True).items():
        tensor.data = tensor.data.to(tensors[name].dtype)  # the types in the file
    model.load_state_dict(tensors)
    return model.eval()


def require_tensors(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """ValueError unless the file holds just the tensors of the model, of the same shapes and finite."""
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in sorted(shapes.keys() | tensors.keys()):
        got, expected = tuple(tensors[name].shape) if name in tensors else "none", shapes.get(name, "none")
        if got != expected:
            raise ValueError(f"{path} must hold the weights of this model, got {name} of shape {got}, not {expected}")
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{path} must hold finite weights, got NaN or infinity in {name}; take an earlier one")


def _drawn(curve: Curve, draw: int | None, seed: int | None) -> Curve:
    return curve if draw is None or seed is None else curve.sample(draw + 1, seed)[draw]
