"""Both command lines: a help text for everything, one line for a mistake, a traceback only when asked for."""

import json
import logging
import os
import re
import signal
import subprocess
import sys

import pytest

import astro_sim.__main__ as astro_sim_main
import rmaat.__main__ as rmaat_main
from astro_sim.curves.console import run_command

ASTRO_SIM = [[name] for name in astro_sim_main.COMMANDS]
RMAAT = [
    ["train"],
    *([name] for name in rmaat_main.COMMANDS),
    *([group, name] for group, names in rmaat_main.GROUPS.items() for name in names),
]


def run(main, capsys, *words):
    """Exit status, standard output and standard error of a command."""
    try:
        status = main(list(words))
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("words", ASTRO_SIM, ids=" ".join)
def test_every_astro_sim_command_has_a_help_text(words, capsys):
    status, out, _ = run(astro_sim_main.main, capsys, *words, "--help")
    assert status == 0
    assert f"usage: astro-sim {' '.join(words)}" in out
    assert len(out.split("╭")[0].splitlines()) >= 3  # usage, empty line, what it does


@pytest.mark.parametrize("words", RMAAT, ids=" ".join)
def test_every_rmaat_command_has_a_help_text(words, capsys):
    status, out, _ = run(rmaat_main.main, capsys, *words, "--help")
    assert status == 0
    assert f"usage: rmaat {' '.join(words)}" in out
    assert len(out.split("╭")[0].splitlines()) >= 3


def test_training_says_on_what_its_result_depends(capsys):
    _, out, _ = run(rmaat_main.main, capsys, "train", "--help")
    assert "same number of threads (OMP_NUM_THREADS)" in " ".join(out.split())


@pytest.mark.parametrize("name", rmaat_main.COMMANDS)
def test_commands_on_a_run_say_so(name, capsys):
    _, out, _ = run(rmaat_main.main, capsys, name, "--help")
    assert re.match(rf"usage: rmaat {name} \[-h\] (\[OPTIONS\] )?RUN\b", out)
    assert "run directory, as `rmaat train` wrote it" in out


def test_a_reader_that_has_seen_enough_is_no_mistake():
    command = [sys.executable, "-m", "rmaat", "train", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_overview_names_every_command(capsys):
    _, out, _ = run(rmaat_main.main, capsys, "--help")
    names = ("train", *rmaat_main.GROUPS, *rmaat_main.COMMANDS)
    assert [name for name in names if f"\n  {name} " not in out] == []


MISTAKES = [
    (astro_sim_main.main, ["presets", "fmm"], "fmm"),
    (astro_sim_main.main, ["simulate", "chi", "--duration-s", "-5"], "duration must be positive"),
    (astro_sim_main.main, ["simulate", "li-rinzel", "--ip3-um", "nan"], "ip3_um must be from 0 to 1000, got nan"),
    (astro_sim_main.main, ["simulate", "li-rinzel", "--ip3-um", "1e6"], "ip3_um must be from 0 to 1000, got 1e+06"),
    (astro_sim_main.main, ["simulate", "--rate-hz", "1e9"], "rate_hz must be from 0 to 1000, got 1e+09"),
    (astro_sim_main.main, ["simulate", "--noise", "1e300"], "noise must be from 0 to 100, got 1e+300"),
    (astro_sim_main.main, ["simulate", "li-rinzel", "--n", "1000000000000"], "n_astrocytes must be at most 10000000"),
    (
        astro_sim_main.main,
        ["simulate", "li-rinzel", "--duration-s", "1e15"],
        "duration must be at most 1e+09 steps of 0.001 s, got 1e+15 s",
    ),
    (astro_sim_main.main, ["curves", "--jobs", "1000000000"], "jobs must be at most 1024, got 1e+09"),
    (astro_sim_main.main, ["sweep", "--rates-hz", "1", "1e9", "3"], "rates_hz must be from 0 to 1000, got 1e+09"),
    (
        astro_sim_main.main,
        ["sweep", "--rates-hz", "1", "9", "1000000000"],
        "rates_hz's number must be at most 10000000",
    ),
    (astro_sim_main.main, ["simulate", "li-rinzel", "--rate-hz", "-1"], "rate_hz must be left out for li-rinzel"),
    (astro_sim_main.main, ["simulate", "tripartite", "--ip3-um", "1"], "ip3_um must be left out for tripartite"),
    (
        astro_sim_main.main,
        ["simulate", "--no-gliotransmission", "--alpha", "0"],
        "alpha must be left out for tripartite without gliotransmission, where it does nothing, got 0.0",
    ),
    (
        astro_sim_main.main,
        ["simulate", "--n", "x"],
        "error: Error parsing --n: invalid literal for int() with base 10: 'x'; Argument helptext",
    ),
    (
        astro_sim_main.main,
        ["simulate", "--bogus"],
        "error: Unrecognized options: --bogus; For full helptext, run astro-sim --help",
    ),
    (astro_sim_main.main, ["sweep", "--parameter", "release.U"], "parameter must be a quantity such as release.U_0__"),
    (astro_sim_main.main, ["sweep", "--parameter", "astrocyte"], "parameter must be a quantity such as release.U_0__"),
    (astro_sim_main.main, ["curves", "--set", "O_P"], "set must be SYMBOL=VALUE"),
    (astro_sim_main.main, ["curves", "--set", "O_Q=x2", "--only", "ltp"], "O_Q"),
    (astro_sim_main.main, ["curves", "--only", "ltpp"], "ltpp"),
    (astro_sim_main.main, ["verify", "nowhere.toml"], "nowhere.toml: curve file must be readable, got No such"),
    (astro_sim_main.main, ["verify", "nowhere.toml", "--jobs", "0"], "jobs must be an integer of at least 1, got 0"),
    (astro_sim_main.main, ["fit", "nowhere.csv"], "nowhere.csv"),
    (rmaat_main.main, ["train", "--recipe", "nowhere.toml"], "recipe must be readable, got No such file"),
    (rmaat_main.main, ["train", "--lr", "-1"], "lr must be positive"),
    (rmaat_main.main, ["train", "--task", "listopps", "--run", "{tmp}/run"], "task must be one of"),
    (rmaat_main.main, ["trace", "nowhere"], "nowhere"),
    (rmaat_main.main, ["report", "nowhere"], "nowhere"),
    (rmaat_main.main, ["eval", "nowhere"], "nowhere"),
    (rmaat_main.main, ["data", "check", "nowhere"], "nowhere"),
    (rmaat_main.main, ["data", "make", "listopps"], "task must be one of"),
    (rmaat_main.main, ["data", "make", "recall", "--options", "n_train", "x"], "n_train must be an integer, got 'x'"),
    (rmaat_main.main, ["data", "make", "recall", "--options", "twins", "1"], "twins must be True or False, got 1"),
    (rmaat_main.main, ["train", "--label", "stars"], "--label must be left out without --data, got 'stars'"),
    (rmaat_main.main, ["train", "--held-out", "0.2"], "--held-out must be left out without --data, got 0.2"),
    (rmaat_main.main, ["train", "--data", "nowhere.csv", "--run", "{tmp}/run"], "nowhere.csv must be a file, got none"),
    (rmaat_main.main, ["data", "card", "nowhere.csv"], "nowhere.csv must be a file, got none"),
    (rmaat_main.main, ["predict", "nowhere", "nowhere.csv"], "run must be a run directory"),
    (rmaat_main.main, ["generate", "nowhere", "--prompt", "a"], "run must be a run directory"),
    (rmaat_main.main, ["fly"], "command must be one of"),
]


@pytest.mark.parametrize(("main", "words", "what"), MISTAKES, ids=[" ".join(words) for _, words, _ in MISTAKES])
def test_a_mistake_gives_one_line_and_a_failing_status(main, words, what, capsys, tmp_path):
    status, _, err = run(main, capsys, *(word.format(tmp=tmp_path) for word in words))
    assert status == 2
    assert what in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_a_mistake_is_told_without_the_frame_and_the_heading_of_its_box(capsys):
    _, _, err = run(rmaat_main.main, capsys, "train", "--network.dropout", "2")
    rule, help_text = "dropout must be at least 0 and below 1, got 2.0", "For full helptext, see rmaat train --help"
    assert err == f"error: Error parsing config.network: {rule}; {help_text}\n"
    _, _, err = run(rmaat_main.main, capsys, "train", "--warmup", "20", "--steps", "10")
    assert err == "error: warmup must be 0 to steps = 10, got 20\n"


def test_data_list_names_every_task(capsys):
    from rmaat.tasks import TASKS

    assert [name for name in TASKS if name not in run(rmaat_main.main, capsys, "data", "list")[1]] == []


def test_debug_shows_the_traceback(capsys):
    status, _, err = run(rmaat_main.main, capsys, "trace", "nowhere", "--debug")
    assert status == 2
    assert "Traceback" in err


def test_presets_print_every_value_with_its_source(capsys):
    _, out, _ = run(astro_sim_main.main, capsys, "presets", "am")
    assert "figure 2" in out and re.search(r"K_P +0.1 uM +Ca2\+ affinity of SERCA\n", out)


@pytest.mark.parametrize("command", ["astro_sim presets", "rmaat data list"])
def test_a_reader_that_has_read_enough_is_no_error(command):
    result = subprocess.run(f"{sys.executable} -m {command} | true", shell=True, capture_output=True, text=True)
    assert result.stderr == ""


def test_measured_data_become_a_curve_file_that_rmaat_reads(capsys, tmp_path):
    from rmaat import load_curves, retention_factors

    rows = "\n".join(f"{t},{100 + 60 * (1 - 2.718 ** (-t / 20)):.3f},1.5" for t in range(0, 61, 5))
    (tmp_path / "ltp.csv").write_text("time,response,sem\n" + rows + "\n")
    words = [
        "fit",
        str(tmp_path / "ltp.csv"),
        "--time-unit",
        "min",
        "--baseline",
        "100",
        "--out",
        str(tmp_path / "curves"),
    ]
    assert run(astro_sim_main.main, capsys, *words)[0] == 0
    factors = retention_factors(load_curves(tmp_path / "curves")["ltp"], 8)
    assert float(factors.sum()) == pytest.approx(1)


@pytest.mark.slow
def test_a_sweep_is_resumed_and_read_back(capsys, tmp_path):
    from astro_sim.simulation.recording import load_recording

    words = ["sweep", "--rates-hz", "1", "10", "2", "--repeats", "2", "--duration-s", "0.5", "--out", str(tmp_path)]
    assert run(astro_sim_main.main, capsys, *words)[0] == 0
    assert run(astro_sim_main.main, capsys, *words)[0] == 0
    assert load_recording(tmp_path / "sweep.nc").sizes["condition"] == 2


@pytest.mark.parametrize("model", ["li-rinzel", "chi"])
def test_a_cell_cycles_where_nothing_else_is_said(model, capsys, tmp_path):
    words = ["simulate", model, "--n", "1", "--target", "numpy", "--out", str(tmp_path)]
    status, out, err = run(astro_sim_main.main, capsys, *words)
    lowest, highest = map(float, re.search(r"^C +uM .* ([\d.]+) +([\d.]+)$", out, re.MULTILINE).groups())
    assert status == 0 and highest > 10 * lowest
    assert "100% |" in err and "300.001" not in err


@pytest.mark.parametrize("parameter", ["release.U_0__star", "gliotransmission.alpha", "astrocyte.calcium.O_P", "noise"])
def test_any_parameter_of_the_model_can_be_swept(parameter, capsys, tmp_path, monkeypatch):
    swept = []
    monkeypatch.setattr("astro_sim.sweeps.run.run_sweep", lambda sweep, *_, **__: swept.append(sweep))
    monkeypatch.setattr("astro_sim.simulation.recording.save_recording", lambda *_: None)
    words = ["sweep", "--parameter", parameter, "--factors", "0.5", "1.0", "--out", str(tmp_path)]
    assert run(astro_sim_main.main, capsys, *words)[0] == 0
    low, high = swept[0].axes[parameter]
    assert swept[0].n_conditions == 50 and 2 * low == high


def test_data_make_prints_the_card(capsys, tmp_path):
    words = [
        "data",
        "make",
        "recall",
        "--data-dir",
        str(tmp_path),
        "--options",
        "n_train",
        "20",
        "n_validation",
        "4",
        "n_test",
        "4",
        "twins",
        "True",
    ]
    status, out, _ = run(rmaat_main.main, capsys, *words)
    assert status == 0
    card = json.loads(out)
    assert card["samples"] == {"train": 20, "validation": 4, "test": 4} and card["options"]["twins"] is True


@pytest.mark.parametrize("package", ["astro_sim", "rmaat"])
def test_ctrl_c_while_modules_load_is_one_sentence(package, tmp_path):
    (tmp_path / "tyro.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words, environment = [sys.executable, "-m", package, "--help"], os.environ | {"PYTHONPATH": search}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 130 and done.stdout == ""
    assert done.stderr == "interrupted before anything was done; start the same command again\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("words", "how"), [("train", "goes on from what is saved"), ("trace RUN", "starts anew")])
def test_an_interrupt_that_a_library_turns_into_its_own_error(number, words, how, capsys, caplog):
    def command(_):
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            logging.getLogger("library").warning("a half-made object")
            raise LookupError("an error occurred when preparing an object") from None

    assert run_command(command, words.split(), resumed=("train", "bench lra")) == 130
    assert capsys.readouterr().err == f"interrupted; the same command {how}\n"
    assert caplog.text == ""
    logging.getLogger("library").warning("heard")
    assert "heard" in caplog.text


def test_escape_sequences_of_a_file_do_not_reach_the_terminal(tmp_path, capsys):
    (tmp_path / "table.csv").write_text("\x1b[2Jtime,response\n1,2\n")
    status, _, err = run(astro_sim_main.main, capsys, "fit", str(tmp_path / "table.csv"))
    assert status == 2 and "\\x1b[2Jtime" in err and "\x1b" not in err


def test_an_error_of_the_system_names_its_file(capsys):
    def command(words):
        raise OSError(28, "No space left on device", *words)

    assert run_command(command, ["x/y"]) == 2
    assert capsys.readouterr().err == (
        "error: x/y must be there and writable, on a disk with room, got No space left on device\n"
    )
    assert run_command(command, []) == 2
    assert "the temporary directory and the output folder must be there" in capsys.readouterr().err


def test_ctrl_c_while_a_program_compiles(tmp_path):
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text("#!/bin/sh\nkill -INT $PPID\nexec sleep 60\n")
    make.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    environment = {"PATH": f"{make.parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "temporary")}
    words = ["simulate", "li-rinzel", "--target", "cpp_standalone", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "astro_sim", *words], stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    assert (done.returncode, done.stderr) == (130, "interrupted; the same command starts anew\n")
    assert not list(tmp_path.glob("temporary/astro-sim-*")) and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_sigterm_ends_a_command_with_its_sentence(tmp_path):
    words = ["-m", "astro_sim", "curves", "--out", str(tmp_path / "run"), "--jobs", "1", "--only", "ltp"]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    seen = ""
    while "simulate and fit" not in seen:  # the bar is there, so the command is at work
        seen += process.stderr.read(1) or pytest.fail(seen)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    assert not list(tmp_path.glob("run/curves/*"))


OWN = "--data {tmp}/a.csv --label y --steps 20 --warmup 2 --run {tmp}/run --data-dir {tmp}/data "
OWN += "--network.d-model 16 --network.n-layers 1 --no-progress --no-tensorboard"


def test_from_a_file_to_predictions(tmp_path, capsys):
    """The card, a training, its evaluation, predictions; the recipe is the run's own."""
    rows = [f'"{"ab"[i % 2] * 9}, {i}",{i % 2}' for i in range(60)]
    (tmp_path / "a.csv").write_text("\r\n".join(["text,y", *rows]))
    words = [word.format(tmp=tmp_path) for word in OWN.split()]
    card = ["data", "card", str(tmp_path / "a.csv"), "--label", "y", "--data-dir", str(tmp_path / "data")]
    status, out, _ = run(rmaat_main.main, capsys, *card)
    assert status == 0 and json.loads(out)["samples"] == {"train": 48, "validation": 6, "test": 6}
    status, out, _ = run(rmaat_main.main, capsys, "train", *words)
    assert status == 0 and f"{tmp_path}/run: test accuracy" in out
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["train"]["task_options"] == {"data": f"{tmp_path}/a.csv", "label": "y"}
    assert record["network"]["segment_len"] == 256
    assert run(rmaat_main.main, capsys, "eval", str(tmp_path / "run"))[0] == 0
    status, out, _ = run(rmaat_main.main, capsys, "predict", str(tmp_path / "run"), str(tmp_path / "a.csv"))
    assert status == 0 and out.splitlines()[0] == "line,label,probability,p_0,p_1" and len(out.splitlines()) == 61
    (tmp_path / "r.toml").write_text(f'task = "file"\ntask_options = {{ data = "{tmp_path}/a.csv" }}\n')
    words = [
        "--recipe",
        str(tmp_path / "r.toml"),
        "--label",
        "z",
        "--run",
        str(tmp_path / "other"),
        "--data-dir",
        "None",
    ]
    status, _, err = run(rmaat_main.main, capsys, "train", *words)
    assert status == 2 and "a.csv must have one column 'z', got text, y" in err


def test_options_of_own_data_are_those_that_are_given():
    assert rmaat_main.Columns().options() == {}
    assert rmaat_main.Columns(max_len=1, quotes=False, test="a.csv").options() == {
        "test": "a.csv", "max_len": 1, "quotes": False
    }  # fmt: skip
