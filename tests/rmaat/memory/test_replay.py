"""Replay gives the gradients of back-propagation through time, exactly, and keeps one segment at a time."""

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rmaat import RMAAT, ModelConfig
from rmaat.experiments.timing import peak_bytes
from rmaat.memory.replay import replay, run_segments

SMALL = {"vocab_size": 11, "n_classes": 3, "d_model": 8, "n_heads": 2, "n_layers": 1, "d_ff": 12, "segment_len": 5}
CONSTANTS = {"n_memory": 2, "dropout": 0.25, "alpha": 0.3, "position_scale": 0.1, "relaxation_rate": 0.4}


def pair(seed=0, dtype=torch.float64, **options):
    """The same model twice: replayed, and back-propagated through time."""
    config = ModelConfig(**{**SMALL, **CONSTANTS, **options})
    torch.manual_seed(seed)
    replayed = RMAAT(dataclasses.replace(config, backprop="amrb"), {}).to(dtype)
    through_time = RMAAT(dataclasses.replace(config, backprop="bptt"), {}).to(dtype)
    through_time.load_state_dict(replayed.state_dict())
    if replayed.cached_read is not None:
        for model in (replayed, through_time):
            nn.init.constant_(model.cached_read.gamma, 0.5)
    return replayed, through_time


def draw(*shape, seed=0):
    return torch.randint(1, SMALL["vocab_size"], shape, generator=torch.Generator().manual_seed(seed))


def gradients(model, tokens, lengths=None, seed=3):
    """Logits and the gradients of a loss on all of them, from one seed."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(seed)
    logits = model(tokens, lengths)
    weight = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view(logits.shape)
    (logits.log_softmax(-1) * weight).sum().backward()
    return logits.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_equal(got, expected, rtol=1e-10):
    torch.testing.assert_close(got[0], expected[0], rtol=0, atol=0)
    for name, grad in expected[1].items():
        if grad is None:
            assert got[1][name] is None, name
            continue
        error = (got[1][name] - grad).abs().max() / grad.abs().max().clamp_min(torch.finfo(grad.dtype).tiny)
        assert error <= rtol, f"{name}: {error}"


def any_model(n_segments):
    """Strategies for everything that a replayed model may be."""
    return given(
        length=st.integers(1, n_segments * 5),
        batch=st.integers(1, 3),
        rule=st.sampled_from(["scale", "consolidate", "relax", "replace", "gated", "attend"]),
        norm=st.sampled_from(["pre", "post"]),
        pooling=st.sampled_from(["last", "memory", "mean", "each"]),
        seed=st.integers(0, 100),
    )


def check_gradients(length, batch, rule, norm, pooling, seed):
    replayed, through_time = pair(seed, memory_update=rule, norm=norm, pooling=pooling)
    tokens = draw(batch, length, seed=seed)
    assert_equal(gradients(replayed, tokens), gradients(through_time, tokens))


@settings(max_examples=8, deadline=None)
@any_model(n_segments=7)
def test_gradients_equal_bptt_with_dropout(**drawn):
    check_gradients(**drawn)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@any_model(n_segments=33)
def test_gradients_equal_bptt_over_many_segments(**drawn):
    check_gradients(**drawn)


@pytest.mark.parametrize(
    "options",
    [
        {"task": "lm"},
        {"task": "match"},
        {"attention": "softmax"},
        {"attention": "linear", "n_layers": 2},
        {"position": "free", "memory_position": "learned", "n_layers": 2},
        {"cached_memories": True},
        {"offload": True},
        {"grid": (1, 5)},
    ],
    ids=str,
)
def test_gradients_equal_bptt_for_each_option(options):
    replayed, through_time = pair(**options)
    tokens = draw(3, 2, 23) if options.get("task") == "match" else draw(3, 23)
    lengths = torch.tensor([23, 9, 17])
    lengths = lengths[:, None].expand(3, 2).contiguous() if options.get("task") == "match" else lengths
    expected = gradients(through_time, tokens, lengths)
    assert_equal(gradients(replayed, tokens, lengths), expected)
    assert bool(expected[1]["memory"].any())  # the learned first memory is reached


def test_cached_memories_are_moved_once(monkeypatch):
    moved = {"_to_host": 0, "_to_device": 0}

    def moving(name):
        def move(x, *device):
            moved[name] += 1
            return x.clone()

        return move

    for name in moved:
        monkeypatch.setattr(sys.modules["rmaat.memory.replay"], name, moving(name))
    replayed, through_time = pair(cached_memories=True, offload=True)
    tokens = draw(2, 5 * 12)
    assert_equal(gradients(replayed, tokens), gradients(through_time, tokens))
    assert moved == {"_to_host": 12, "_to_device": 12}  # eleven memories and the first summary, which nothing changes


def test_the_generator_ends_where_bptt_leaves_it():
    states = []
    for model in pair():
        gradients(model, draw(2, 23))
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_dropout_is_replayed_not_drawn_again():
    """Without the recorded generator states the gradients would differ: other random numbers give other gradients."""
    replayed, _ = pair()
    tokens = draw(2, 23)
    first, again, other = (gradients(replayed, tokens, seed=seed)[1]["memory"] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.allclose(first, other)


def test_retention_is_in_the_gradient():
    """The published listing loses RF in the backward pass; here the first memory's gradient is its product."""
    replayed, through_time = pair(memory_update="scale", relaxation_rate=0.5, dropout=0.0)
    tokens = draw(2, 20)
    got, expected = gradients(replayed, tokens), gradients(through_time, tokens)
    assert_equal(got, expected)
    with torch.no_grad():  # finite difference along one direction
        direction, step = torch.randn_like(replayed.memory), 1e-6

        def loss():
            logits = replayed(tokens)
            weight = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view(logits.shape)
            return (logits.log_softmax(-1) * weight).sum()

        replayed.memory += step * direction
        above = loss()
        replayed.memory -= 2 * step * direction
        below = loss()
    slope = (got[1]["memory"] * direction).sum()
    assert float((above - below) / (2 * step)) == pytest.approx(float(slope), rel=1e-4)


@pytest.mark.parametrize("dtype, rtol", [(None, 1e-4), (torch.bfloat16, 0.2)])
def test_single_and_half_precision(dtype, rtol):
    results = []
    for model in pair(dtype=torch.float32, n_layers=2):
        tokens = draw(4, 23)
        with torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext():
            torch.manual_seed(3)
            loss = model(tokens).float().square().sum()
        loss.backward()  # outside autocast: the node must remember it
        results.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (results[0] - results[1]).norm() <= rtol * 0.1 * results[1].norm()


def test_autocast_cache_does_not_cut_the_graph():
    """A weight cast during the pass without a graph and kept in autocast's cache would lose its gradient."""
    replayed, _ = pair(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        replayed(draw(2, 23)).float().square().sum().backward()
    for name, parameter in replayed.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.any()), name


@pytest.mark.parametrize("around", ["forward", "backward"])
def test_autocast_around_one_pass_only(around):
    """The replay runs as the forward pass ran, whatever is switched on when the backward pass is called."""
    results = []
    for model in pair(dtype=torch.float32, dropout=0.0):
        with torch.autocast("cpu", torch.bfloat16, enabled=around == "forward"):
            loss = model(draw(2, 23)).float().square().sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=around == "backward"):
            grads = torch.autograd.grad(loss, list(model.parameters()))
        results.append(torch.cat([grad.flatten() for grad in grads]))
    rtol = 0.02 if around == "forward" else 1e-4
    assert (results[0] - results[1]).norm() <= rtol * results[1].norm()


def test_gradient_accumulation_and_autograd_grad():
    replayed, through_time = pair(dropout=0.0)
    for model in (replayed, through_time):
        for seed in (0, 1):
            (model(draw(2, 23, seed=seed)).square().sum() / 2).backward()
    for got, expected in zip(replayed.parameters(), through_time.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.grad, rtol=1e-10, atol=1e-12)
    parameters = list(replayed.parameters())
    loss = replayed(draw(2, 23)).square().sum()
    once = torch.autograd.grad(loss, parameters, retain_graph=True)
    for a, b in zip(once, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_grad_scaler():
    replayed, through_time = pair(dtype=torch.float32, dropout=0.0)
    for model in (replayed, through_time):
        optimizer, scaler = torch.optim.SGD(model.parameters(), lr=0.1), torch.amp.GradScaler("cpu", init_scale=1024.0)
        for seed in range(3):
            optimizer.zero_grad()
            scaler.scale(model(draw(2, 23, seed=seed)).square().sum()).backward()
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
    for got, expected in zip(replayed.parameters(), through_time.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_each_parameter_hook_fires_once():
    replayed, _ = pair()
    calls = dict.fromkeys((name for name, _ in replayed.named_parameters()), 0)
    for name, parameter in replayed.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda _, name=name: calls.__setitem__(name, calls[name] + 1))
    gradients(replayed, draw(2, 50))
    assert set(calls.values()) == {1}


def test_frozen_parameters_stay_without_gradient():
    replayed, through_time = pair()
    for model in (replayed, through_time):
        model.blocks.requires_grad_(False)
    assert_equal(gradients(replayed, draw(2, 23)), gradients(through_time, draw(2, 23)))
    assert replayed.blocks[0].attention.qkv.weight.grad is None


def test_changed_parameters_are_noticed():
    replayed, _ = pair()
    loss = replayed(draw(2, 23)).sum()
    with torch.no_grad():
        replayed.embedding.weight.mul_(2)  # which no other node saves
    with pytest.raises(RuntimeError, match=r"parameters, buffers and modes must be the same in forward and backward"):
        loss.backward()


def test_no_graph_without_grad():
    replayed, _ = pair()
    with torch.no_grad():
        assert replayed(draw(2, 23)).grad_fn is None
    with torch.inference_mode():
        replayed(draw(2, 23))


def calls_per_segment(n_segments):
    """How often each segment is run, forward and backward together."""
    weight, calls = torch.ones(3, requires_grad=True), [0] * n_segments

    def step(t, carry, shared):
        calls[t] += 1
        return (torch.tanh(carry[0] * weight),), None

    (carry,), _ = replay(step, n_segments, (torch.ones(3),), (), [weight])
    carry.sum().backward()
    return calls


def test_the_last_segment_runs_once_and_each_other_twice():
    assert calls_per_segment(1) == [1]
    assert calls_per_segment(5) == [2, 2, 2, 2, 1]


def test_any_step_with_outputs_shared_tensors_and_unused_ones():
    """The node by itself: several carries, outputs of which some are used, tensors shared by all segments."""
    torch.manual_seed(0)
    weight, shared, unused = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    start = torch.randn(4, dtype=torch.float64, requires_grad=True)

    def step(t, carry, shared):
        a, b = carry
        a = torch.tanh(a * weight + shared[0].sin() * t)
        return (nn.functional.dropout(a, 0.3), b + a.square()), (a * t if t % 2 else None)

    results = []
    for run in (run_segments, replay):
        torch.manual_seed(1)
        extra = {} if run is run_segments else {"parameters": [weight, unused]}
        (a, b), outputs = run(step, 6, (start, torch.zeros(4, dtype=torch.float64)), (shared.exp(),), **extra)
        loss = a.sum() + b.prod() + outputs[1].sum() + outputs[5].square().sum()  # output 3 is not used
        results.append(torch.autograd.grad(loss, [start, weight, shared, unused], allow_unused=True))
        assert [output is None for output in outputs] == [True, False] * 3
    assert results[0][3] is None and results[1][3] is None
    for got, expected in zip(results[1][:3], results[0][:3], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_hooks_of_parameters_see_the_sum_over_segments_once():
    got = []
    for model in pair(dropout=0.0):
        calls = []
        weight = model.blocks[0].attention.qkv.weight
        weight.register_hook(lambda grad, calls=calls: [calls.append(1), 2 * grad][1])
        got.append(gradients(model, draw(2, 23)))
        assert len(calls) == 1
    assert_equal(*got)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.blocks.eval(),
        lambda model: setattr(model.dropout, "p", 0.1),
        lambda model: model.blocks.requires_grad_(False),
    ],
)
def test_changes_of_single_modules_are_noticed(change):
    replayed, _ = pair()
    loss = replayed(draw(2, 23)).sum()
    change(replayed)
    with pytest.raises(RuntimeError, match="parameters, buffers and modes must be the same in forward and backward"):
        loss.backward()


def test_buffers_that_change_are_noticed():
    replayed, _ = pair()
    torch.nn.utils.parametrizations.spectral_norm(replayed.blocks[0].feed_forward[0])
    with pytest.raises(RuntimeError, match=r"buffers .* must be the same .* where modules update buffers"):
        replayed(draw(2, 23)).sum().backward()


def test_second_derivatives_are_refused():
    replayed, _ = pair()
    with pytest.raises(RuntimeError, match=r"create_graph must be False with replay, got True; use backprop='bptt'"):
        replayed(draw(2, 23)).sum().backward(create_graph=True)


def test_transforms_of_torch_func_are_refused():
    replayed, through_time = pair(dropout=0.0)
    tokens, given = draw(2, 23), {name: p.detach() for name, p in replayed.named_parameters()}
    slope = torch.func.grad(lambda given, model: torch.func.functional_call(model, given, (tokens,)).square().sum())
    assert set(slope(given, through_time)) == set(given)
    with pytest.raises(RuntimeError, match=r"replay must run outside the transforms of torch.func, got one; use backp"):
        slope(given, replayed)


@pytest.mark.parametrize("rule", ["gated", "attend"])
def test_every_parameter_has_a_gradient_where_padding_leaves_one_segment(rule):
    replayed, _ = pair(memory_update=rule, pooling="mean", relaxation_rate=None)
    replayed(draw(3, 10), torch.tensor([4, 3, 2])).sum().backward()
    assert [name for name, parameter in replayed.named_parameters() if parameter.grad is None] == []


def test_swapped_parameters_and_modes_are_noticed():
    replayed, through_time = pair()
    tokens, given = draw(2, 20), {name: p.detach().clone().requires_grad_() for name, p in replayed.named_parameters()}
    torch.func.functional_call(through_time, given, (tokens,)).sum().backward()
    loss = torch.func.functional_call(replayed, given, (tokens,)).sum()
    with pytest.raises(RuntimeError, match="parameters, buffers and modes must be the same in forward and backward"):
        loss.backward()
    loss = replayed(tokens).sum()
    replayed.eval()
    with pytest.raises(RuntimeError, match="parameters, buffers and modes must be the same in forward and backward"):
        loss.backward()


def kept(model, tokens):
    """Most bytes that a training step keeps at once."""
    return peak_bytes(lambda: model(tokens).sum().backward(), tokens.device.type, model.parameters())


@pytest.mark.parametrize("task", ["classify", "lm"])
def test_saved_bytes_are_flat_in_the_number_of_segments(task):
    options = {"segment_len": 64, "d_model": 16, "d_ff": 32, "n_memory": 2, "task": task}
    peaks = {}
    for n_segments in (2, 8, 24):
        replayed, through_time = pair(**options)
        tokens = draw(4, 64 * n_segments)
        buffer = n_segments * 4 * (2 * 16 + 16) * 8  # memory and summary at each border
        inputs = tokens.numel() * (8 + 1 + 8)  # tokens, mask, and what the head's mean keeps of them
        peaks[n_segments] = kept(replayed, tokens) - buffer - inputs
        if n_segments == 8:
            assert kept(through_time, tokens) > 3 * peaks[8]
    assert peaks[24] < 1.05 * peaks[2]


@pytest.mark.parametrize("options", [{}, {"cached_memories": True}, {"task": "lm"}, {"conv_len": 3}], ids=str)
def test_a_budget_keeps_graphs_and_gives_the_same_gradients(options):
    replayed, through_time = pair(**options)
    tokens, lengths = draw(2, 5 * 9), torch.tensor([45, 31])
    everything = kept(through_time, tokens)
    expected = gradients(through_time, tokens, lengths)
    after = torch.get_rng_state()
    for share in (1e-4, 0.3, 0.7, 10):
        replayed.config = dataclasses.replace(replayed.config, budget=share * everything)
        assert_equal(gradients(replayed, tokens, lengths), expected)
        assert torch.equal(torch.get_rng_state(), after)


def test_a_budget_is_what_is_kept_beside_one_segment():
    options = {"segment_len": 64, "d_model": 16, "d_ff": 32, "n_memory": 2}
    tokens, calls = draw(4, 64 * 9), []
    least, most = (kept(model, tokens) for model in pair(**options))
    step = RMAAT._segment
    replays = []
    for budget in (0, 1, least, most):
        model = pair(**options, budget=budget)[0]
        calls.clear()
        model._compiled = lambda *inputs: calls.append(1) or step(*inputs)
        assert kept(model, tokens) <= 1.02 * (least + budget)
        replays.append(len(calls) - 9)
    assert replays[:2] == [8, 9]  # of one byte it takes a pass to find that nothing fits
    assert 0 < replays[2] < 8 and replays[3] == 0


class Operators(TorchDispatchMode):
    """Counts operators that compute: neither views nor empty tensors."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if not operator.is_view and str(operator) not in ("aten._unsafe_view.default", "aten.empty.memory_format"):
            self.counts[str(operator)] += 1
        return operator(*args, **(kwargs or {}))


def operators(model, n_segments):
    model.zero_grad(set_to_none=True)
    with Operators() as found:
        model(draw(2, 5 * n_segments)).sum().backward()
    return found.counts


def test_operators_of_a_segment():
    """On a GPU each is a launch. The limits are what is reached; they may only fall."""
    for model, limit in zip(pair(n_layers=2, dtype=torch.float32), (362, 268), strict=True):
        few, many = operators(model, 4), operators(model, 8)
        assert (many.total() - few.total()) / 4 <= limit
        questions = "aten._local_scalar_dense.default"  # for which the host waits
        assert few[questions] == many[questions] <= 2


def run_python(code, *, timeout=300):
    """What a process of its own prints that runs `SETUP` and then `code`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SETUP + code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


SETUP = f"""
import dataclasses, os, sys, tempfile, torch
import torch.distributed as dist, torch.multiprocessing as mp
from rmaat import RMAAT, ModelConfig
from rmaat.experiments.timing import peak_bytes
torch.set_default_dtype(torch.float64)

def build(**options):
    torch.manual_seed(0)
    return RMAAT(ModelConfig(**{{**{ {**SMALL, **CONSTANTS}!r}, **options}}), {{}})

def loss(model, tokens):
    return model(tokens).log_softmax(-1).square().mean(1).sum()

tokens = torch.randint(1, 11, (4, 23), generator=torch.Generator().manual_seed(0))
"""


@pytest.mark.slow
def test_ddp_reduces_once_and_equals_one_process(tmp_path):
    code = f"""
def worker(rank, folder):
    dist.init_process_group("gloo", init_method="file://" + folder + "/store", rank=rank, world_size=2)
    model = build(backprop="amrb", dropout=0.0)
    ddp = torch.nn.parallel.DistributedDataParallel(model)
    buckets = []
    def hook(state, bucket):
        buckets.append(bucket.buffer().numel())
        work = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
        return work.then(lambda future: future.value()[0] / 2)
    ddp.register_comm_hook(None, hook)
    for _ in range(2):
        model.zero_grad()
        buckets.clear()
        (2 * loss(ddp, tokens[2 * rank : 2 * rank + 2])).backward()
    assert sum(buckets) == sum(p.numel() for p in model.parameters()), buckets
    alone = build(backprop="bptt", dropout=0.0)
    loss(alone, tokens).backward()
    for p, q in zip(model.parameters(), alone.parameters()):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-10, atol=1e-12)
    dist.destroy_process_group()

if __name__ == "__main__":
    pids = []
    for rank in (0, 1):
        pids.append(os.fork())
        if pids[-1] == 0:
            try:
                worker(rank, {str(tmp_path)!r})
            except BaseException:
                import traceback
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
"""
    run_python(code)


@pytest.mark.slow
def test_fsdp_is_refused_with_amrb_and_works_with_bptt(tmp_path):
    code = f"""
from torch.distributed.fsdp import fully_shard
from torch.distributed.device_mesh import init_device_mesh
dist.init_process_group("gloo", init_method="file://{tmp_path}/store", rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
for backprop in ("amrb", "bptt"):
    model = build(backprop=backprop, dropout=0.0)
    fully_shard(model, mesh=mesh)
    try:
        loss(model, tokens).backward()
        print(backprop, "ran")
    except ValueError as error:
        print(backprop, error)
dist.destroy_process_group()
"""
    lines = run_python(code).splitlines()
    assert lines[0].startswith("amrb backprop must be 'bptt' under FSDP, got 'amrb'")
    assert lines[1] == "bptt ran"


COMPILED = """
model, plain = build(dropout=0.25, backprop="amrb"), build(dropout=0.25, backprop="amrb")
model.compile({options})
results = []
for network in (plain, model):
    torch.manual_seed(5)
    value = loss(network, tokens)
    value.backward()
    gradients = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
    results.append((value.detach(), gradients, torch.get_rng_state()))
(value, gradients, state), (compiled, found, after) = results
assert torch.equal(state, after)
torch.testing.assert_close(compiled, value, rtol=1e-12, atol=0)
assert (found - gradients).norm() <= 1e-12 * gradients.norm()
"""


def test_the_compiled_step_is_one_graph_and_draws_the_same_dropout():
    run_python(COMPILED.format(options='backend="eager", fullgraph=True'))  # an error at the first break of a graph


@pytest.mark.slow
def test_the_compiled_step_equals_the_plain_one_with_dropout():
    run_python(COMPILED.format(options="fullgraph=True"), timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["model.compile()", "model = torch.compile(model)"])
def test_compiled_gradients_are_those_of_the_loss(way):
    """Against a finite difference, from one seed, whatever the dropout draws.

    In the direction of the gradient's signs nothing cancels; then a step of 1e-6 is right to about 1e-9.
    """
    code = f"""
model = plain = build()
{way}

def seeded_loss():
    torch.manual_seed(5)
    return loss(model, tokens)

def shift(step):
    with torch.no_grad():
        for parameter, direction in zip(plain.parameters(), directions):
            parameter.add_(direction, alpha=step)

seeded_loss().backward()
gradients = [parameter.grad.clone() for parameter in plain.parameters()]
torch.manual_seed(9)
directions = [torch.randn_like(gradient).abs() * gradient.sign() for gradient in gradients]
shift(1e-6)
above = seeded_loss().item()
shift(-2e-6)
below = seeded_loss().item()
print((above - below) / 2e-6, sum((g * d).sum().item() for g, d in zip(gradients, directions)))
"""
    difference, slope = (float(number) for number in run_python(code, timeout=600).split())
    assert slope == pytest.approx(difference, rel=1e-7) and slope > 1


@pytest.mark.slow
def test_other_lengths_and_paddings_need_no_other_graph():
    code = """
from torch._dynamo.utils import counters
model, plain = build(dropout=0.0, backprop="amrb"), build(dropout=0.0, backprop="amrb")
model.compile(backend="aot_eager")
for length in (23, 23, 30, 12, 45):
    tokens = torch.randint(1, 11, (4, length))
    tokens[0, 9:] = 0
    for network in (model, plain):
        network.zero_grad()
        loss(network, tokens).backward()
    close = all(torch.allclose(p.grad, q.grad, atol=1e-12) for p, q in zip(model.parameters(), plain.parameters()))
    print(close, counters["stats"]["unique_graphs"])
"""
    assert set(run_python(code).splitlines()) == {"True 4"}  # with and without a graph, reading tokens or not


@pytest.mark.slow
def test_a_compiled_model_never_goes_on_without_its_graphs():
    code = """
import copy, pickle, rmaat.models.rmaat
model = build(cached_memories=True, backprop="amrb")
model.compile(backend="eager")
loss(model, tokens).backward()
assert pickle.loads(pickle.dumps(model))(tokens).shape == copy.deepcopy(model)(tokens).shape
rmaat.models.rmaat.RECOMPILE_LIMIT = 3
torch._dynamo.reset()
model.compile(backend="eager")
try:
    loss(model, tokens).backward()
except RuntimeError as error:
    print(error)
"""
    assert run_python(code).startswith("a compiled model must need at most 3 graphs, got more; leave out compile")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("dtype, rtol", [(torch.float64, 1e-10), (torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_gradients_on_the_gpu(dtype, rtol, offload):
    """Dropout draws from the device's own generator, whose state is recorded and restored too."""
    half = dtype == torch.bfloat16
    results = []
    for model in pair(dtype=torch.float32 if half else dtype, n_layers=2, offload=offload):
        model.cuda()
        torch.manual_seed(3)
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            loss = model(draw(4, 33).cuda()).square().sum()
        loss.backward()
        results.append((torch.cat([p.grad.flatten() for p in model.parameters()]), torch.cuda.get_rng_state()))
    (got, after), (expected, expected_after) = results
    assert (got - expected).norm() <= rtol * expected.norm()
    assert torch.equal(after, expected_after)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_memory_on_the_gpu_is_flat_in_the_number_of_segments():
    replayed, through_time = (model.cuda() for model in pair(dtype=torch.float32, segment_len=256, d_model=64))
    peak = {n: kept(replayed, draw(16, 256 * n).cuda()) for n in (2, 2, 32)}  # the first call warms up
    assert peak[32] < 1.2 * peak[2] and kept(through_time, draw(16, 256 * 32).cuda()) > 5 * peak[32]
