"""A language model's stream of any number of tokens is the whole text, and generation goes on with it."""

import pytest
import torch

from rmaat import RMAAT, ModelConfig

pytestmark = pytest.mark.usefixtures("float64")

KINDS = [
    {},
    {"synapses": "hebbian", "conv_len": 4},
    {"synapses": "delta", "n_memory": 0},
    {"memory_update": "gated", "cached_memories": True},
    {"attention": "softmax", "memory_update": "replace"},
]


@pytest.fixture
def build(curves):
    def build(**options):
        torch.manual_seed(0)
        sizes = dict(vocab_size=12, d_model=16, n_heads=2, d_ff=24, segment_len=6, n_memory=2, dropout=0.0, task="lm")
        return RMAAT(ModelConfig(**sizes | options), curves).eval()

    return build


def draw(*shape):
    return torch.randint(1, 12, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("lengths", [[1] * 15, [4, 4, 7], [6, 6, 3], [13, 2]], ids=str)
def test_steps_of_any_length_are_the_whole_text(build, kind, lengths):
    model, tokens = build(**kind), draw(3, 15)
    state, parts = model.initial_state(3), []
    for part in tokens.split(lengths, dim=1):
        logits, state = model.step(part, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), model(tokens))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_likeliest_tokens_are_those_of_the_whole_text(build, kind):
    model, prompt = build(**kind), draw(2, 8)
    text = model.generate(prompt, 11, temperature=0)
    assert text.shape == (2, 19) and torch.equal(text[:, :8], prompt)
    logits = model(text)[:, 7:-1].clone()
    logits[..., 0] = -torch.inf  # padding is never drawn
    assert torch.equal(text[:, 8:], logits.argmax(-1))


def test_draws_follow_the_seed_and_the_choice(build):
    model, prompt = build(), draw(4, 5)
    first, again = (model.generate(prompt, 30, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again) and first.min() >= 1
    assert not torch.equal(first, model.generate(prompt, 30, generator=torch.Generator().manual_seed(4)))
    one = model.generate(prompt, 10, top_k=1, generator=torch.Generator().manual_seed(5))
    assert torch.equal(one, model.generate(prompt, 10, temperature=0))


def test_the_state_does_not_grow(build):
    model, state, sizes = build(synapses="hebbian", conv_len=4), None, []
    state = model.initial_state(2)
    for token in draw(2, 30).split(1, dim=1):
        _, state = model.step(token, state)
        tensors = (state.memory, state.summary, *state.synapses, *([] if state.pending is None else [state.pending]))
        sizes.append(sum(tensor.numel() for tensor in tensors))
    assert max(sizes[6:]) == max(sizes[:6])


def test_what_cannot_be_generated_is_said(build, curves):
    model = build()
    _, state = model.step(draw(2, 4), model.initial_state(2))
    rollout = build(carry_state=True)
    with pytest.raises(ValueError, match=r"state must stand between two segments for forward, got one with 4 tokens"):
        rollout(draw(2, 6), state=state)
    with pytest.raises(ValueError, match="n_tokens must be an integer of at least 1, got 0"):
        model.generate(draw(1, 3), 0)
    with pytest.raises(ValueError, match="task must be 'lm' to generate, got 'classify'"):
        build(task="classify").generate(draw(1, 3), 2)
