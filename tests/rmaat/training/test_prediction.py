"""Predictions of a trained run: their order, their form, and the two lines that ask for them."""

import csv
import io
import json
from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest
import torch

from astro_sim.curves.files import read_json
from rmaat import pipeline
from rmaat.tasks import load_task
from rmaat.training.evaluation import evaluate
from rmaat.training.prediction import Pipeline, predict_file
from rmaat.training.run_folder import OtherRunError
from rmaat.training.train import train

LINES = ["text,y", *(f"{'ab'[i % 2] * (1 + i % 9)} {i},{'no yes'.split()[i % 2]}" for i in range(80))]


@pytest.fixture(scope="module", params=["last", "each"])
def run(request, config_of, tmp_path_factory):
    """A run that tells a from b."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "ab.csv").write_text("\n".join(LINES))
    config = config_of(folder)
    options = {"data": str(folder / "ab.csv"), "label": "y"}
    network = replace(config.network, pooling=request.param)
    return train(replace(config, task="file", task_options=options, network=network, steps=40, eval_every=20))


@pytest.fixture(scope="module")
def corpus(config_of, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "a.txt").write_text("abcabcabc " * 100)
    config = config_of(folder)
    network = replace(config.network, pooling="last")
    options = {"data": str(folder / "a.txt"), "max_len": 8}
    return train(replace(config, task="file", task_options=options, network=network, steps=60, eval_every=60))


def test_two_lines_of_python(run):
    classify = pipeline(run)
    answers = classify(["aaaa 1", "bbb 2", ""])
    assert [answer["label"] for answer in answers[:2]] == ["no", "yes"]
    assert classify("aaaa 1")["probability"] == pytest.approx(answers[0]["probability"], abs=1e-6)
    for answer in answers:
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert (
            answer["probability"] == max(answer["probabilities"].values()) == answer["probabilities"][answer["label"]]
        )


def test_predictions_are_those_of_the_evaluation_and_in_the_order_of_the_texts(run):
    test = load_task("file", **read_json(run / "config.json")["train"]["task_options"]).test
    texts = [bytes((test.sequence(i) - 1).tolist()).decode() for i in range(len(test))]
    each = [list(Pipeline(run).probabilities(texts, batch_size=size)) for size in (1, 3, 64)]
    assert np.allclose(each[0], each[1], atol=1e-5) and np.allclose(each[0], each[2], atol=1e-5)
    correct = np.mean(np.argmax(each[0], axis=1) == test.labels)
    assert correct == pytest.approx(evaluate(run)["accuracy"])
    assert evaluate(run)["same_data"]


def test_texts_without_end_are_answered_one_after_the_other(run):
    answers = Pipeline(run).probabilities((f"a {i}" for i in count()), batch_size=2)
    assert len(list(islice(answers, 70))) == 70


def test_files_of_predictions(run, tmp_path):
    (tmp_path / "new.csv").write_text('id,text\n1,"aaaa\n1"\n2,bbb 2\n3,aaaaa 3\n')
    answers = Pipeline(run)
    out = io.StringIO()
    assert predict_file(answers, tmp_path / "new.csv", out, batch_size=2) == 3
    rows = list(csv.DictReader(out.getvalue().splitlines()))
    assert [(row["line"], row["label"]) for row in rows] == [("2", "no"), ("4", "yes"), ("5", "no")]
    assert (
        float(rows[0]["p_no"]) == float(rows[0]["probability"]) == pytest.approx(1 - float(rows[0]["p_yes"]), abs=1e-5)
    )
    assert predict_file(answers, tmp_path / "new.csv", tmp_path / "out.jsonl") == 3
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["line"] for row in found] == [2, 4, 5] and found[1]["probabilities"].keys() == {"no", "yes"}
    predict_file(answers, tmp_path / "new.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "line,label,probability,p_no,p_yes"


def test_a_damaged_line_keeps_nothing_half_written(run, tmp_path):
    (tmp_path / "new.csv").write_text("text\naaaa 1\nbbb,2\n")
    with pytest.raises(ValueError, match=r"new.csv:3 must have 1 fields like the first line, got 2"):
        predict_file(Pipeline(run), tmp_path / "new.csv", tmp_path / "out.csv", batch_size=1)
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]
    with pytest.raises(ValueError, match=r"out must end in one of .csv, .jsonl, got .*out.xls"):
        predict_file(Pipeline(run), tmp_path / "new.csv", tmp_path / "out.xls")


def test_a_language_model_writes_on(corpus):
    write = pipeline(corpus)
    assert write("abc", n_tokens=6, temperature=0) == "abcabcabc"
    drawn = write("abc", n_tokens=20, seed=3)
    assert drawn == write(["abc"], n_tokens=20, seed=3)[0] and len(drawn) == 23
    with pytest.raises(ValueError, match=r"run must be one that classifies, got a language model; use generate"):
        next(write.probabilities(["a"]))


def test_runs_that_answer_no_texts(run, config_of, tmp_path):
    with pytest.raises(ValueError, match=r"run must be a language model to generate, got one that classifies"):
        pipeline(run).generate("a")
    symbols = train(replace(config_of(tmp_path), steps=4))
    with pytest.raises(ValueError, match=r"run must be trained on texts, got .* of the task 'recall'"):
        pipeline(symbols)


def test_changed_data_are_refused(config_of, tmp_path):
    """A run is continued on the same data alone, wherever they lie; other classes are not evaluated."""
    path = tmp_path / "ab.csv"
    path.write_text("\n".join(LINES))
    options = {"data": str(path), "label": "y"}
    config = replace(config_of(tmp_path), task="file", task_options=options, steps=6, max_steps=3)
    train(config)
    path.rename(tmp_path / "moved.csv")
    moved = replace(config, task_options=options | {"data": str(tmp_path / "moved.csv")}, max_steps=None)
    (tmp_path / "moved.csv").write_text("\n".join([*LINES, "c 80,no"]))
    with pytest.raises(OtherRunError, match=r"^data.content_sha256 must be that of the run in .*, got "):
        train(moved)
    (tmp_path / "moved.csv").write_text("\n".join(LINES))
    with pytest.raises(OtherRunError, match=r"^train.task_options.held_out must be that of the run in .*, got 0.2"):
        train(replace(moved, task_options=moved.task_options | {"held_out": 0.2}))
    path.write_text("\n".join([*LINES, "c 80,maybe", "d 81,maybe"]))
    train(replace(config, max_steps=None, task_options=moved.task_options | {"data": str(tmp_path / "moved.csv")}))
    with pytest.raises(ValueError, match=r"n_classes of the data must be those of the training, 2, got 3; restore"):
        evaluate(config.run)


def test_series(config_of, tmp_path):
    """Series are standardised as in training, however they come."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 9, 2)) * [3, 0.1] + [[[50 + 3 * (i % 2), 0]] for i in range(60)]
    np.savez(tmp_path / "a.npz", X=values, y=np.arange(60) % 2)
    options = {"data": str(tmp_path / "a.npz")}
    run = train(replace(config_of(tmp_path), task="file", task_options=options, steps=60, eval_every=60))
    classify = pipeline(run)
    answers = classify(list(values[:8]))
    assert [answer["label"] for answer in answers] == list("01010101")
    assert classify(values[0])["probability"] == pytest.approx(answers[0]["probability"], abs=1e-6)
    assert predict_file(classify, tmp_path / "a.npz", tmp_path / "out.jsonl") == 60
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first["line"] == 0 and first["probability"] == pytest.approx(answers[0]["probability"], abs=1e-5)
    with pytest.raises(ValueError, match=r"series must be \(length, 2\) as in the training, got \(5, 1\)"):
        classify(np.zeros(5))
    with pytest.raises(ValueError, match=r"file must be of series like those of the training, .npz, .ts, got .*a.csv"):
        (tmp_path / "a.csv").write_text("text\n")
        predict_file(classify, tmp_path / "a.csv", tmp_path / "out.csv")


def test_the_tokenizer_comes_along(config_of, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "aa": 1, "bb": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "words.json"))
    (tmp_path / "ab.csv").write_text(
        "\n".join(["text,y", *(f"{'aa bb'.split()[i % 2]} {'x ' * i},{i % 2}" for i in range(60))])
    )
    options = {"data": str(tmp_path / "ab.csv"), "label": "y", "tokenizer": str(tmp_path / "words.json")}
    run = train(replace(config_of(tmp_path), task="file", task_options=options, steps=4))
    (tmp_path / "words.json").unlink()
    assert set(pipeline(run)("aa x")["probabilities"]) == {"0", "1"}
    (run / "tokenizer.json").write_text((run / "tokenizer.json").read_text() + " ")
    with pytest.raises(ValueError, match=r"tokenizer.json must be that of the training, got another one; restore it"):
        pipeline(run)


def test_a_rare_class_counts_as_much_as_a_frequent_one(config_of, tmp_path):
    """Texts that say nothing of their class: the model's answer is the share of each class in the loss."""
    (tmp_path / "a.csv").write_text("\n".join(["text,y", *(f"a{i},{int(i % 10 == 0)}" for i in range(200))]))
    options, shares = {"data": str(tmp_path / "a.csv"), "label": "y", "max_len": 1}, {}
    for weights in ("none", "balanced"):
        config = replace(config_of(tmp_path), run=tmp_path / weights, class_weights=weights, steps=100, eval_every=100)
        network = replace(config.network, pooling="last", dropout=0.0)
        data = {name: str(tmp_path / "a.csv") for name in ("data", "validation", "test")}
        run = train(replace(config, task="file", task_options=options | data, network=network, lr=0.05))
        shares[weights] = pipeline(run)("a")["probabilities"]["1"]
    assert shares["none"] == pytest.approx(0.1, abs=0.1) and shares["balanced"] == pytest.approx(0.5, abs=0.15)
    lm = replace(config, task="file", network=network, task_options={"data": str(tmp_path / "a.csv")})
    with pytest.raises(ValueError, match=r"class_weights must be 'none' for a language model, got 'balanced'"):
        train(replace(lm, run=tmp_path / "lm"))


def test_a_run_with_other_classes_than_its_model(run):
    path = run / "config.json"
    text = path.read_text()
    try:
        path.write_text(text.replace('"classes": [', '"classes": [ "maybe",'))
        with pytest.raises(ValueError, match=r"config.json must name the 2 classes of the model, got \['maybe'"):
            pipeline(run)
    finally:
        path.write_text(text)


def test_batches_do_not_change_the_state_of_torch(run):
    torch.manual_seed(5)
    first = torch.get_rng_state()
    pipeline(run)(["a", "b"])
    assert torch.equal(first, torch.get_rng_state())
