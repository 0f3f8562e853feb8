"""Networks that make directions: checked when they are made, the same in files, and never NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from eigan.direction_model import MAX_STEPS, DirectionModel, Step
from eigan.errors import InvalidCodes, PackFormatError
from tests.toys_models import toy_model

CODES = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
HUGE = 3e38


def reference(model: DirectionModel, k: int) -> nn.Sequential:
    """Network k as torch.nn has it: the oracle."""
    layers: list[nn.Module] = []
    for step in model.steps:
        linear = nn.Linear(step.weight.shape[2], step.weight.shape[1])
        linear.weight.data, linear.bias.data = step.weight[k], step.bias[k]  # type: ignore[index]
        layers.append(linear)
        if step.scale is not None and step.shift is not None:
            norm = nn.BatchNorm1d(len(step.scale[k]), eps=0.0)
            norm.weight.data, norm.bias.data = step.scale[k], step.shift[k]
            layers.append(norm)
        layers += [nn.ReLU()] if step.bends else []
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_it_is_the_network_that_torch_makes_of_the_weights(depth: int) -> None:
    model = toy_model(depth, count=3, width=20)
    for k in range(3):
        with torch.no_grad():
            wanted = reference(model, k)(CODES)
        torch.testing.assert_close(model.directions(CODES, normalize=False)[k], wanted)
        torch.testing.assert_close(model.only(k).directions(CODES)[0], wanted / wanted.norm(dim=1, keepdim=True))


@given(st.integers(1, 4), st.integers(1, 16), st.integers(0, 9), st.sampled_from([torch.float32, torch.float64]))
@settings(deadline=None, max_examples=30)
def test_directions_are_unit_and_leave_the_numbers_after_theirs(
    depth: int, size: int, seed: int, dtype: torch.dtype
) -> None:
    found = toy_model(depth, size=size, seed=seed).directions(CODES.to(dtype))
    assert found.dtype == dtype and found.shape == (1, 7, 16)
    assert torch.equal(found[..., size:], torch.zeros(1, 7, 16 - size, dtype=dtype))
    lengths = found.norm(dim=2)
    assert bool(((lengths - 1).abs() < 1e-5).logical_or(lengths == 0).all())


def test_codes_of_too_few_numbers_are_refused() -> None:
    with pytest.raises(InvalidCodes, match="16 numbers"):
        toy_model().directions(CODES[:, :15])


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("normed", [False, True])
def test_the_negated_model_points_the_other_way_to_the_last_bit(depth: int, normed: bool) -> None:
    model = toy_model(depth)
    if normed:
        rows = torch.rand(2, 1, 16, generator=torch.Generator().manual_seed(1)) + 0.5
        last = replace(model.steps[-1], scale=rows[0], shift=rows[1])
        model = DirectionModel(1, 16, None, (*model.steps[:-1], last))
    assert torch.equal(model.negated().directions(CODES), -model.directions(CODES))
    assert torch.equal(model.negated().negated().directions(CODES), model.directions(CODES))


def test_fixed_directions_negate_too() -> None:
    model = DirectionModel(2, 16, CODES[:2])
    assert torch.equal(model.negated().directions(CODES), -model.directions(CODES))


def linear(weight: Tensor, bias: Tensor | None = None) -> DirectionModel:
    step = Step(weight[None], None if bias is None else bias[None], None, None, bends=False)
    return DirectionModel(1, weight.shape[1], None, (step,))


@pytest.mark.parametrize("weight", [torch.zeros(16, 16), torch.full((16, 16), HUGE), torch.full((16, 16), 1e-30)])
def test_an_output_without_a_length_is_no_direction(weight: Tensor) -> None:
    found = linear(weight).directions(CODES)
    assert torch.equal(found, torch.zeros(1, 7, 16))


def test_one_code_without_a_direction_does_not_spoil_the_others() -> None:
    codes = CODES.clone()
    codes[3] = 0
    found = linear(torch.eye(16)).directions(codes)[0]
    assert not found[3].any()
    torch.testing.assert_close(found[2], codes[2] / codes[2].norm())


def test_a_gradient_is_finite_where_there_is_no_direction() -> None:
    codes = torch.zeros(2, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(linear(torch.eye(16)).directions(codes).sum(), codes)
    assert bool(gradient.isfinite().all())


def test_half_precision_weights_are_used_in_float32_and_converted_once() -> None:
    model = toy_model(2).each(Tensor.half)
    wanted = model.each(Tensor.float).directions(CODES)
    assert torch.equal(model.directions(CODES), wanted)
    copy = model._on(CODES.device)
    assert copy is model._on(CODES.device) and copy.steps[0].weight.dtype == torch.float32
    with torch.inference_mode():
        other = toy_model(2).each(Tensor.half)
        other.directions(CODES)
    codes = CODES.clone().requires_grad_()
    found = other.directions(codes)  # what was made while drawing serves training, too
    assert bool(torch.autograd.grad(found.sum(), codes)[0].isfinite().all())


def test_settled_weights_are_left_where_they_are() -> None:
    model = toy_model(2)
    assert model.settled() is model
    trained = model.each(lambda t: t.double().requires_grad_())
    found = trained.settled()
    assert all(t.dtype == torch.float32 and not t.requires_grad for t in found.tensors().values())
    assert torch.equal(found.directions(CODES), model.directions(CODES))


@given(st.integers(1, 4), st.integers(0, 99), st.integers(1, 24))
@settings(deadline=None, max_examples=25)
def test_through_tensors_and_back(depth: int, seed: int, width: int) -> None:
    model = toy_model(depth, width=width, seed=seed)
    back = DirectionModel.from_tensors(16, [step.bends for step in model.steps], model.tensors())
    assert torch.equal(back.directions(CODES), model.directions(CODES))
    assert back.tensors().keys() == model.tensors().keys()


def test_only_one_network_becomes_tensors() -> None:
    for model in (toy_model(2, count=2), DirectionModel(1, 16, CODES[:1])):
        with pytest.raises(PackFormatError, match="has no file"):
            model.tensors()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("1.weight"), r"1\.weight is missing"),
        (lambda t: t.update({"2.weight": torch.eye(16)}), r"no 2\.weight"),
        (lambda t: t.update({"0.gain": torch.ones(16)}), r"no 0\.gain"),
        (lambda t: t.pop("0.shift"), "both its scale and its shift"),
        (lambda t: t.update({"0.bias": torch.ones(15)}), "bias has shape"),
        (lambda t: t.update({"0.bias": torch.ones(1, 16)}), "bias has shape"),
        (lambda t: t.update({"0.weight": torch.ones(16)}), "weight has shape"),
        (lambda t: t.update({"0.weight": torch.ones(16, 15)}), "takes 15 numbers"),
        (lambda t: t.update({"1.weight": torch.ones(16, 15)}), "layer 1 of a model takes 15"),
        (lambda t: t.update({"1.weight": torch.ones(15, 16), "1.bias": torch.ones(15)}), "gives 15 numbers"),
        (lambda t: t.update({"1.weight": torch.ones(0, 16), "1.bias": torch.ones(0)}), "weight has shape"),
        (lambda t: t["0.weight"].__setitem__((0, 0), float("nan")), "NaN"),
        (lambda t: t["0.scale"].__setitem__(0, float("inf")), "infinite"),
        (lambda t: t.update({"0.weight": torch.ones(16, 16, dtype=torch.int64)}), "int64"),
    ],
)
def test_tensors_that_make_no_model_have_their_own_sentence(change: Callable[..., object], message: str) -> None:
    tensors = toy_model(2).each(Tensor.clone).tensors()
    change(tensors)
    with pytest.raises(PackFormatError, match=message):
        DirectionModel.from_tensors(16, [True, False], tensors)


def test_models_that_cannot_be() -> None:
    step = Step(torch.ones(1, 1, 1), None, None, None, bends=False)
    for count, size, fixed, steps, message in (
        (0, 1, None, (step,), "0 directions"),
        (1, 2**20, None, (step,), "1048576 numbers"),
        (1, 1, None, (), "0 layers"),
        (1, 1, torch.ones(1, 1), (step,), "1 layers"),
        (1, 1, None, (step,) * (MAX_STEPS + 1), "10 layers"),
        (2, 1, None, (step,), "in 1 networks"),
        (1, 1, None, (replace(step, bends=True),), "after a ReLU"),
        (2, 3, torch.ones(2, 2), (), "fixed directions have shape"),
        (1, 2, torch.tensor([[1.0, float("nan")]]), (), "NaN"),
    ):
        with pytest.raises(PackFormatError, match=message):
            DirectionModel(count, size, fixed, steps)


def test_models_end_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = 3 * 16 * 16 + 7 * 16
    monkeypatch.setattr("eigan.direction_model.MAX_MODEL_NUMBERS", numbers)
    toy_model(3)
    with pytest.raises(PackFormatError, match=f"{2 * numbers:,} numbers; at most {numbers}"):
        toy_model(3, count=2)
