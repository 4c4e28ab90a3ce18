"""ListOps: the generator against the LRA's own rules written out again, semantics, splits, cache and files."""

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaat.tasks import TaskError, load_task
from rmaat.tasks.listops import END, MAX, MED, MIN, SM, VOCABULARY, evaluate, generate

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")


def lra_tree(rng, depth, max_depth, max_args):
    """The LRA's generate_tree, over again in plain Python: nested pairs and a length."""
    if (rng.random() if depth < max_depth else 1) > 0.25:
        return rng.choice(range(10)), 1
    length, values = 2, []
    for _ in range(rng.randint(2, max_args)):
        tree, n = lra_tree(rng, depth + 1, max_depth, max_args)
        values.append(tree)
        length += n
    tree = (rng.choice(OPERATORS), values[0])
    for value in values[1:]:
        tree = (tree, value)
    return (tree, "]"), length


def lra_value(tree):
    """The LRA's to_value, over again."""
    if not isinstance(tree, tuple):
        return tree
    left, right = lra_value(tree[0]), lra_value(tree[1])
    if left in OPERATORS:
        return (left, [right])
    if right == "]":
        operator, values = left
        functions = {"[MIN": min, "[MAX": max, "[MED": lambda v: int(np.median(v)), "[SM": lambda v: sum(v) % 10}
        return int(functions[operator](values))
    return (left[0], left[1] + [right])


def lra_string(tree):
    """The LRA's to_string."""
    return f"( {lra_string(tree[0])} {lra_string(tree[1])} )" if isinstance(tree, tuple) else str(tree)


def encode(text):
    return np.array([VOCABULARY.index(word) for word in text.replace("(", "").replace(")", "").split()], np.uint8)


def value_of(text):
    tokens = encode(text)
    return int(evaluate(tokens, np.array([0, len(tokens)]))[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9),
        ("[MED 1 2 ]", 1),  # 1.5, truncated
        ("[MED 8 9 1 0 ]", 4),  # 4.5, truncated
        ("[MED 3 3 9 ]", 3),
        ("[SM 7 8 9 [SM 5 5 ] ]", 4),
        ("[MIN 3 ]", 3),
        ("7", 7),
    ],
)
def test_evaluate_known(text, value):
    assert value_of(text) == value


@given(st.integers(0, 10**9))
def test_evaluate_equals_the_lra(to_source, seed):
    rng = random.Random(seed)
    tree, length = lra_tree(rng, 1, 6, 10)
    tokens = encode(lra_string(tree))
    assert len(tokens) == length
    assert evaluate(tokens, np.array([0, length]))[0] == lra_value(tree)
    assert to_source(tokens) == lra_string(tree)


@pytest.mark.parametrize("text", ["[MAX 2", "[MAX ]", "] 3", "3 4", "[MAX 2 ] 5", "<pad>"])
def test_evaluate_refuses_what_is_no_expression(text):
    with pytest.raises(TaskError, match="expression 0 must be complete, got an error at token"):
        value_of(text)


def test_generator_has_the_distribution_of_the_lra():
    """Acceptance, length, labels, operators and arguments against an independent run of the LRA's rules."""
    bounds = {"min_length": 20, "max_length": 200, "max_depth": 5, "max_args": 8}
    rng, kept, drawn = random.Random(1), [], 0
    while len(kept) < 4000:
        tree, length = lra_tree(rng, 1, 5, 8)
        drawn += 1
        if 20 < length < 200:
            kept.append((encode(lra_string(tree)), lra_value(tree)))
    split, acceptance = generate(4000, seed=1, **bounds)
    p = 4000 / drawn
    assert abs(acceptance - p) < 5 * np.sqrt(2 * p / drawn)
    lengths = np.array([len(tokens) for tokens, _ in kept])
    assert abs(split.lengths.mean() - lengths.mean()) < 5 * lengths.std() * np.sqrt(2 / 4000)
    assert abs(split.lengths.std() / lengths.std() - 1) < 0.06
    labels = np.bincount([value for _, value in kept], minlength=10) / 4000
    assert np.abs(np.bincount(split.labels, minlength=10) / 4000 - labels).max() < 5 * np.sqrt(2 * 0.2 / 4000)
    theirs = np.bincount(np.concatenate([tokens for tokens, _ in kept]), minlength=16) / lengths.sum()
    ours = np.bincount(split.tokens, minlength=16) / split.lengths.sum()
    assert np.abs(ours - theirs).max() < 0.004  # 16 frequencies, about 0.05 each, over about 200,000 dependent tokens


def test_generator_at_the_size_of_the_lra():
    """Against figures from a run of 12,000 trees by the LRA's code: 8.3 % accepted, 1,043 tokens, labels 17.2 ... %."""
    split, acceptance = generate(4000, seed=3)
    assert 500 < split.lengths.min() and split.lengths.max() < 2000
    assert acceptance == pytest.approx(0.083, abs=0.002)
    assert split.lengths.mean() == pytest.approx(1043, abs=25)
    rates = np.bincount(split.labels, minlength=10) / 4000
    assert rates[0] == pytest.approx(0.172, abs=0.02) and rates[9] == pytest.approx(0.167, abs=0.02)
    assert (rates[1:9] > 0.06).all() and (rates[1:9] < 0.105).all()
    assert (np.diff(split.offsets) == split.lengths).all()


def test_depth_and_arguments_stay_within_their_bounds():
    split, _ = generate(500, seed=0, min_length=10, max_length=120, max_depth=4, max_args=5)
    deepest, widest = 0, 0
    for i in range(500):
        open_nodes = []
        for token in split.sequence(i):
            if open_nodes and token != END:
                open_nodes[-1] += 1
            if MIN <= token <= SM:
                open_nodes.append(0)
                deepest = max(deepest, len(open_nodes))
            elif token == END:
                n = open_nodes.pop()
                assert 2 <= n <= 5
                widest = max(widest, n)
        assert not open_nodes
    assert (deepest, widest) == (3, 5)  # operators at depths 1 .. max_depth - 1


def test_splits_are_seeded_and_distinct():
    options = {"n_train": 300, "n_validation": 50, "n_test": 50, "min_length": 4, "max_length": 12}
    task, again = load_task("listops", seed=5, **options), load_task("listops", seed=5, **options)
    other = load_task("listops", seed=6, **options)
    assert task.card == again.card and task.card["content_sha256"] != other.card["content_sha256"]
    splits = (task.train, task.validation, task.test)
    trees = [split.sequence(i).tobytes() for split in splits for i in range(len(split))]
    assert len(set(trees)) == len(trees) == 400
    assert (task.n_classes, task.vocab_size, task.max_len) == (10, 16, 11)
    assert task.card["samples"] == {"train": 300, "validation": 50, "test": 50}
    for split in splits:
        assert (evaluate(split.tokens, split.offsets) == split.labels).all()
        assert split.tokens.min() >= 1
        rate = np.bincount(split.labels).max() / len(split)
        assert split.majority_rate == pytest.approx(rate)


def test_cache_gives_the_same_task_and_notices_damage(tmp_path):
    options = {"n_train": 50, "n_validation": 5, "n_test": 5, "min_length": 10, "max_length": 40}
    task = load_task("listops", tmp_path, **options)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    again = load_task("listops", tmp_path, **options)
    assert path.stat().st_mtime_ns == before
    assert (again.train.tokens == task.train.tokens).all() and again.card == task.card
    load_task("listops", tmp_path, seed=1, **options)
    assert len(list(tmp_path.iterdir())) == 2
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    with pytest.raises(TaskError, match=f"{path.name} must .*delete it"):
        load_task("listops", tmp_path, **options)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(TaskError, match=f"{path.name} must be a task file of this project"):
        load_task("listops", tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_length": 30, "max_length": 31}, "min_length must be >= 0 and below max_length - 1, got 30 and 31"),
        ({"max_depth": 1}, "max_depth and max_args must be at least 2, got 1 and 10"),
        ({"n_test": 0}, "n_test must be at least 1, got 0"),
        (
            {"min_length": 0, "max_length": 2, "n_train": 20},
            "must admit 22 distinct trees, got 10 among",  # only the ten digits are that short
        ),
        ({"length": 3}, "options of listops must be options of its loader, got an unexpected keyword argument"),
    ],
)
def test_bounds_that_cannot_be_met(options, message):
    small = {"n_train": 5, "n_validation": 1, "n_test": 1, "max_length": 40, "min_length": 3}
    with pytest.raises(TaskError, match=message):
        load_task("listops", **small | options)


@pytest.mark.slow
def test_full_size_in_time():
    """96,000 + 2,000 + 2,000 trees: under three minutes asked for; about 12 s of one core were measured."""
    task = load_task("listops")
    assert task.card["samples"] == {"train": 96_000, "validation": 2_000, "test": 2_000}
    assert task.card["majority_rate"]["train"] == pytest.approx(0.17, abs=0.005)


def test_short_variant_keeps_the_rules():
    task = load_task("listops-short", n_train=400, n_validation=100, n_test=100)
    assert task.card["options"]["max_args"] == 10
    assert {MIN, MAX, MED, SM, END} <= set(task.train.tokens.tolist())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "share"),
    [
        ("listops-short", {}, 0.433),
        ("listops", {"min_length": 200, "max_length": 300, "n_train": 20_000}, 0.314),
        ("listops", {"n_train": 20_000, "n_validation": 10, "n_test": 10_000}, 0.361),
    ],
)
def test_what_the_operator_at_the_root_explains(name, options, share):
    """The numbers of benchmarks/FINDINGS.md: the commonest training label of the test sample's root operator."""
    task = load_task(name, **options)
    train, test = (split.tokens[split.offsets[:-1]] for split in (task.train, task.test))
    commonest = {root: np.bincount(task.train.labels[train == root]).argmax() for root in np.unique(train)}
    right = np.array([commonest[root] for root in test]) == task.test.labels
    assert right.mean() == pytest.approx(share, abs=1e-3)


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing beyond the limit fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from rmaat.tasks import load_task
try:
    load_task("listops-short", sys.argv[1], n_train=2000)
except OSError as error:
    print(error)
"""


@pytest.mark.slow
def test_full_disk_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert ".npz must be writable, on a disk with room, got File too large; nothing was kept of it" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_train": 100_000_000_000}, r"n_train must be at most 10000000, got 1e\+11"),
        (
            {"max_depth": 100_000},
            "max_depth, max_args and max_length must be at most 100, 1000 and 100000, got 100000, 10",
        ),
        ({"max_length": 10**12}, "must be at most 100, 1000 and 100000, got 10, 10 and 1e"),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_drawn(options, message):
    with pytest.raises(TaskError, match=message):
        load_task("listops", **options)
