"""Every reader of foreign files and texts, under mutated input: a result or our own error of one line, soon and small.

A minute of it runs with the slow tests. ``make fuzz`` runs a campaign of as many inputs as FUZZ says.
"""

import contextlib
import io
import json
import os
import resource
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

import rmaat
from astro_sim.curves.console import parse, sentence
from astro_sim.curves.files import read_json
from astro_sim.curves.format import load_curve
from astro_sim.curves.measured import read_measured
from astro_sim.parameters.units import parse_quantity
from astro_sim.simulation.recording import SEAL, load_recording, save_recording
from rmaat import RMAAT, load_curves
from rmaat.config import ModelConfig
from rmaat.models.pretrained import load_model, read_tensors, save_model
from rmaat.tasks import load_task
from rmaat.tasks.dataset import load_task_file, save_task_file
from rmaat.tasks.images import _read_batch
from rmaat.tasks.lra.downloads import verify
from rmaat.tasks.lra.release import _read_images, read_listops_file, read_metadata
from rmaat.tasks.text import _read_tsv
from rmaat.training.config import TrainConfig, load_recipe
from rmaat.training.run_folder import Loop

INPUTS = int(os.environ.get("FUZZ", "4000"))

SECONDS, BYTES = 10, 1_000_000_000

PIECES = [
    *(b"nan", b"-inf", b"1e400", b"-1", b"0", b"0.0", b"1e-320", b"9" * 400, b"1_0", b"0x7f", b"10**9", b"true"),
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J", b"\r", b"\n", b"\t", b'"', b"'", b"[", b"]", b"{", b"}", b"("),
    *(b"..", b"../../x", b"/etc/passwd", b"a.b.c", b"a." * 400, b"[" * 400, b"-" * 400, b"**", b"null", b"__class__"),
    *(b"\xff" * 8, b"\x7f" + b"\xff" * 7, (10**9).to_bytes(8, "little"), (10**12).to_bytes(8, "little")),
]


class TooSlow(BaseException):
    """Not an Exception, so that no reader takes it for damage of the file."""


def reading_of(name: str, folder: Path):
    """The valid content of a reader's file, and the reader."""
    path = folder / name

    def keep(content: bytes):
        path.write_bytes(content)
        return path

    def archive() -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for split in ("train", "val", "test"):
                info = tarfile.TarInfo(f"listops-1000/basic_{split}.tsv")
                info.size = 20
                tar.addfile(info, io.BytesIO(b"Source\tTarget\r\n3\t3\r\n"))
        return buffer.getvalue()

    def recording() -> bytes:
        import xarray as xr

        attrs = {"format": "astro-recording", "version": 1}
        save_recording(xr.Dataset({"C": ("time", np.arange(9.0), {"units": "uM"})}, attrs=attrs), path)
        return path.read_bytes().rpartition(SEAL)[0]  # else each change is seen by the checksum

    def picture() -> bytes:
        Image.fromarray(np.zeros((32, 32), np.uint8)).save(path, "PNG")
        return path.read_bytes()

    def metadata(content: bytes):
        (folder / "metadata").mkdir(exist_ok=True)
        (folder / "metadata" / "0.npy").write_bytes(content)
        return list(read_metadata(folder))

    def array() -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, np.array([["imgs/0", "sample_0.png", "0", "1"]]))
        return buffer.getvalue()

    def loop(content: bytes):
        record = read_json(keep(content))
        Loop(**{key: record.get(key, 0) for key in ("step", "epoch", "batch", "best_step")}).check()

    def model(content: bytes):
        (folder / "model" / "config.json").write_bytes(content)
        return load_model(RMAAT, folder / "model")

    def saved() -> bytes:
        config = ModelConfig(vocab_size=9, d_model=8, n_heads=1, n_layers=1, d_ff=8, segment_len=4, n_memory=2)
        return (save_model(RMAAT(config, curves=load_curves()), folder / "model") / "config.json").read_bytes()

    def command(content: bytes):
        words = content.decode("latin1").split()
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
            parse(tyro.cli, TrainConfig, default=TrainConfig(), args=words, prog="rmaat train")

    def recall():
        return load_task("recall", None, n_segments=2, segment_len=4, n_train=4, n_validation=2, n_test=2)

    curve = Path(rmaat.__file__).parent / "data" / "ltp.toml"
    recipe = Path(__file__).parents[1] / "benchmarks" / "demo.toml"
    tensors = save({"a": torch.zeros(3), "b": torch.ones(2, 2)}, {"made": "by a test"})
    return {
        "curve": lambda: (curve.read_bytes(), lambda content: load_curve(keep(content))),
        "table": lambda: (
            b"time,response,sem\n0,1,0.1\n5,2,0.1\n9,2.5,0.2\n",
            lambda content: read_measured(keep(content)),
        ),
        "quantity": lambda: (b"0.2/(uM*s)**2", lambda content: parse_quantity(content.decode("latin1"))),
        "recording": lambda: (recording(), lambda content: load_recording(keep(content))),
        "recipe": lambda: (recipe.read_bytes(), lambda content: load_recipe(keep(content))),
        "model": lambda: (saved(), model),
        "command line": lambda: (b"--lr 0.01 --steps 200 --network.n-memory 4 --task-options n_train 9", command),
        "loop": lambda: (json.dumps(vars(Loop())).encode(), loop),
        "tensors": lambda: (tensors, lambda content: read_tensors(keep(content))),
        "task": lambda: (
            save_task_file(path, recall()) and path.read_bytes(),
            lambda content: load_task_file(keep(content)),
        ),
        "archive": lambda: (archive(), lambda content: verify(keep(content))),
        "listops": lambda: (b"Source\tTarget\r\n( ( [MAX 2 ) 9 ) ]\t9\r\n", lambda c: read_listops_file(keep(c))),
        "pairs": lambda: (b"1.0\ta\tb\tx\ty\n", lambda content: _read_tsv(keep(content), 5, 2, 100)),
        "cifar": lambda: (bytes(2 * 3073), lambda content: _read_batch(keep(content))),
        "picture": lambda: (picture(), lambda content: _read_images([(keep(content), 1, 1)], 32, False)),
        "metadata text": lambda: (b"imgs/0 sample_0.png 0 1 1.8 14\n", metadata),
        "metadata array": lambda: (array(), metadata),
    }[name]()


READERS = (
    *("curve", "table", "quantity", "recording", "recipe", "model", "loop", "tensors", "task", "archive", "listops"),
    *("pairs", "cifar", "picture", "metadata text", "metadata array", "command line"),
)


@st.composite
def mutated(draw, content: bytes) -> bytes:
    """One to four changes: a piece in place of some bytes, a flipped bit, a part cut out or repeated, the end lost."""
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(content))), draw(st.integers(0, 12))
        change = draw(st.sampled_from(("piece", "bit", "cut", "repeat", "end")))
        if change == "piece":
            content = content[:at] + draw(st.sampled_from(PIECES)) + content[at + length :]
        elif change == "bit" and at < len(content):
            content = content[:at] + bytes([content[at] ^ 1 << length % 8]) + content[at + 1 :]
        elif change == "cut":
            content = content[:at] + content[at + length :]
        elif change == "repeat":
            content = content[:at] + content[at : at + length] * 50 + content[at:]
        elif change == "end":
            content = content[:at]
    return content


@contextlib.contextmanager
def bounded():
    """TooSlow after SECONDS, and MemoryError where more than BYTES are asked for."""

    def stop(*_):
        raise TooSlow

    before, limits = signal.signal(signal.SIGALRM, stop), resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", READERS)
def test_mutated_input_ends_in_a_result_or_one_line(name, tmp_path):
    content, read = reading_of(name, tmp_path)
    read(content)

    share = INPUTS // (len(READERS) * (20 if name == "command line" else 1))  # which takes twenty times as long

    @settings(max_examples=max(1, share), suppress_health_check=list(HealthCheck), database=None)
    @given(mutated(content))
    def try_one(content):
        try:
            with bounded():
                read(content)
        except (ValueError, OSError) as error:
            text = sentence(error)
            assert text and len(text) < 1000 and text.isprintable(), text

    try_one()
