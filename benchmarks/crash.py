"""Kill commands at random moments, let the same command go on, and compare with a run that nobody killed.

    make crash                # KILLS=3 of each kind by default
    make crash KILLS=20 SEED=7

Kinds: a sweep, a training run, data generation and a curve export. Each round starts a command, kills it with SIGKILL
after a random share of the time that a whole run takes, and does so again until it has been killed KILLS times; the
time of a leg that ends by itself starts a new folder. In the end every folder must hold the bytes of the run that
nobody killed, and nothing else: no lock, no half-written file. A sweep that was killed between two conditions must not
run a finished one again.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONDITIONS = 12

SWEEP = f"""
import sys
from brian2 import ms, second, umolar
import numpy as np
from astro_sim.models.astrocytes import ChI
from astro_sim.sweeps import Sweep, run_sweep

axes = {{"I_bias": np.linspace(0.1, 1.2, {CONDITIONS}) * umolar}}
settings = {{"duration": 2 * second, "record_every": 100 * ms}}
sweep = Sweep(model=ChI(stim=1), axes=axes, settings=settings, record=("C",), target="numpy", elements_per_run=1)
run_sweep(sweep, sys.argv[1])
"""

NETWORK = "--network.d-model 16 --network.d-ff 16 --network.n-layers 1 --network.segment-len 16 --network.n-memory 4"

TRAINING = (
    "-m rmaat train --task recall --task-options n_train 64 n_validation 20 n_test 20 --data-dir {folder}/data "
    "--run {folder}/run --device cpu --steps 120 --warmup 2 --batch-size 8 --eval-every 20 --log-every 5 "
    f"--checkpoint-every 3 --no-progress {NETWORK}"
)

DATA = "-m rmaat data make listops --data-dir {folder} --options n_train 3000 n_validation 100 n_test 100"

CURVES = "-m astro_sim curves --only stp_calcium --n-synapses 60 --target numpy --jobs 1 --out {folder}"

VARYING = ("metrics.json", "log.jsonl", "events.out", "loop.json")  # hold times


def commands(place: Path) -> dict[str, list[str]]:
    """The words of each kind; {folder} is where it writes."""
    (place / "sweep.py").write_text(SWEEP)
    kinds = {"sweep": f"{place}/sweep.py {{folder}}", "training": TRAINING, "data": DATA, "curves": CURVES}
    return {kind: words.split() for kind, words in kinds.items()}


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that does not hold times, by its path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): "varies"
        if path.name.startswith(VARYING)
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.name.startswith("events.out")  # one for each leg
    }


def start(words: list[str], folder: Path) -> subprocess.Popen:
    """The command on `folder`, in a session of its own."""
    filled = [word.format(folder=folder) for word in words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *filled], start_new_session=True, text=True, **quiet)


def whole(words: list[str], folder: Path) -> float:
    """Run the command to its end; the seconds that it took."""
    began = time.monotonic()
    process = start(words, folder)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the command must end with status 0, got {process.returncode}: {said[-500:]}")
    return time.monotonic() - began


def conditions(folder: Path) -> dict[Path, int]:
    """The conditions that a sweep has finished, each with the time at which it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("batch-*/*.nc")}


def kill_at_random(words: list[str], folder: Path, seconds: float, chance: random.Random) -> bool:
    """Start the command and kill its whole group at a random moment; whether it was alive then.

    A sweep is killed soon after a random number of its conditions, which take a small part of its time.
    """
    process, wanted, wait = start(words, folder), 0, chance.uniform(0.1, 1) * seconds
    if words[0].endswith("sweep.py"):
        wanted, wait = chance.randint(0, CONDITIONS - 1), chance.uniform(0, 0.5)
    while process.poll() is None and len(conditions(folder)) < wanted:
        time.sleep(0.005)
    try:
        process.communicate(timeout=wait)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def campaign(kind: str, words: list[str], kills: int, chance: random.Random, place: Path) -> str:
    """Kill one kind of command `kills` times; one line about it. AssertionError where something was lost or left."""
    folder, done, folders, between = place / kind, 0, 0, 0  # one path: it stands in config.json
    seconds = whole(words, folder)
    expected = contents(folder)
    while done < kills:
        shutil.rmtree(folder)
        folders, finished = folders + 1, {}
        for _ in range(min(4, kills - done)):
            if not kill_at_random(words, folder, seconds, chance):
                break
            done += 1
            finished = conditions(folder)
            between += 0 < len(finished) < CONDITIONS
        whole(words, folder)
        found = contents(folder)
        assert found == expected, f"{folder}: {sorted(set(found.items()) ^ set(expected.items()))[:4]}"
        assert finished.items() <= conditions(folder).items(), f"{folder}: conditions were run twice"
    told = f", {between} of them between two conditions" if kind == "sweep" else ""
    return f"{kind}: killed {done} times in {folders} folders{told}; every result equals the whole run's"


def main() -> None:
    """Run the campaign; the exit status is 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", nargs="*", default=[], help="kinds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as place:
        kinds = commands(Path(place))
        for kind in arguments.only or kinds:
            chance = random.Random(f"{arguments.seed} {kind}")
            print(campaign(kind, kinds[kind], arguments.kills, chance, Path(place)), flush=True)


if __name__ == "__main__":
    main()
