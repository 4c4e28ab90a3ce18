import pytest
import torch
from torch.nn import functional as F

from rmaat.experiments.astrocyte.grid import Cell
from rmaat.experiments.astrocyte.stack import Stack, StackedAdamW, train_stack
from rmaat.models.zoo import build_model
from rmaat.tasks import IGNORE_INDEX
from rmaat.training.optimiser import optimizer_step, parameter_groups

NAMES = ["population", "ssm"]


def members(toy, task, name):
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(build_model(*toy.networks(task)[name]))
    return models


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["recall", "mqar"])
def test_a_member_of_a_stack_takes_the_steps_that_it_takes_alone(toy, task, name):
    alone, lrs = members(toy, task, name), torch.tensor([1e-2, 3e-3])
    stack = Stack(members(toy, task, name))
    together = StackedAdamW(stack.parameters, 0.1, clip=0.05)
    for step in range(2):
        batches = [toy.data(task, seed).train.pad(range(4 * step, 4 * step + 4)) for seed in (0, 1)]
        tokens, labels = (torch.stack([torch.from_numpy(b[key]) for b in batches]) for key in ("tokens", "labels"))
        losses, grads = stack.gradient(tokens, labels)
        together.step(grads, lrs)
        for i, model in enumerate(alone):
            if step == 0:
                options = {"lr": lrs[i].item(), "betas": (0.9, 0.98)}
                model.optimizer = torch.optim.AdamW(parameter_groups(model, 0.1, {}), **options)
            logits = model(tokens[i])
            loss = F.cross_entropy(logits.flatten(0, -2), labels[i].flatten(), ignore_index=IGNORE_INDEX)
            torch.testing.assert_close(losses[i], loss.detach())
            optimizer_step(model, model.optimizer, [loss], 0.05)
    for i, model in enumerate(alone):
        for key, value in model.named_parameters():
            torch.testing.assert_close(stack.parameters[f"model.{key}"][i], value.detach(), atol=2e-5, rtol=1e-3)


def test_runs_of_one_seed_are_the_same_in_any_stack_and_the_result_says_what_was_done(toy):
    population = [Cell("recall", "population", 1.0, seed, 4e-3) for seed in (0, 1)]
    none = Cell("recall", "none", 0.1, 1, 4e-3)
    large = train_stack(toy, [*population, none])
    small = train_stack(toy, [population[1]])
    assert large[1]["tests"] == small[0]["tests"]
    assert set(large[1]["tests"]) == {"test", "6 segments"} and len(large[1]["quarters"]["6 segments"]) == 4
    assert large[2]["cell"] == {"task": "recall", "model": "none", "share": 0.1, "seed": 1, "lr": 4e-3}
    assert large[2]["steps"] == large[2]["best_step"] == 3 and large[2]["chance"] == {"any symbol": 1 / 8}


def test_a_stack_without_time_is_dropped(toy):
    assert train_stack(toy, [Cell("recall", "none", 1.0, 0, 4e-3)], seconds=0.0) is None
