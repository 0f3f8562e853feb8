"""Folded spectral normalisation against torch's own, in evaluation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from eigan.dialects.spectral import fold_spectral_norm
from eigan.errors import CheckpointError


def normalised(layer: nn.Module, seed: int = 0) -> nn.Module:
    """`layer` under spectral norm with random values; u and v are far from converged."""
    layer = nn.utils.spectral_norm(layer)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            tensor.normal_(generator=random)
    return layer.eval()


LAYERS = {
    "linear": (lambda: nn.Linear(5, 7, bias=False), (3, 5)),
    "conv": (lambda: nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 5)),
    "transposed conv": (lambda: nn.ConvTranspose2d(4, 6, 4), (2, 4, 1, 1)),
    "square transposed conv": (lambda: nn.ConvTranspose2d(4, 4, 4), (2, 4, 1, 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_folded_layer_is_torchs_in_evaluation(name: str) -> None:
    make, shape = LAYERS[name]
    layer, plain = normalised(make()), make()
    state = {f"a.b.{key}": value for key, value in layer.state_dict().items()}
    folded = fold_spectral_norm(state, transposed=["a.b"] if "square" in name else [])
    assert set(folded) == {f"a.b.{key}" for key in plain.state_dict()}
    assert all(tensor.dtype == torch.float32 for tensor in folded.values())
    plain.load_state_dict({key.removeprefix("a.b."): value for key, value in folded.items()})
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(plain(x), layer(x), atol=1e-5, rtol=1e-5)


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 10.0))
def test_scaling_the_stored_weight_changes_nothing(rows: int, columns: int, factor: float) -> None:
    random = torch.Generator().manual_seed(rows * 10 + columns)
    u, v = torch.rand(rows, generator=random) + 0.1, torch.rand(columns, generator=random) + 0.1
    weight = torch.rand(rows, columns, generator=random) + 0.1

    def fold(weight: Tensor) -> Tensor:
        return fold_spectral_norm({"weight_orig": weight, "weight_u": u, "weight_v": v})["weight"]

    torch.testing.assert_close(fold(weight * factor), fold(weight), atol=1e-5, rtol=1e-5)
    assert float(u @ fold(weight) @ v) == pytest.approx(1.0, rel=1e-5)


def test_the_rest_is_left_alone_and_in_order() -> None:
    state = {"bias": torch.ones(2), "x.weight_orig": torch.eye(2), "x.weight_u": torch.ones(2)}
    state |= {"x.weight_v": torch.ones(2), "y.weight": torch.ones(1), "y.weight_u": torch.ones(1)}
    folded = fold_spectral_norm(state)
    assert list(folded) == ["bias", "x.weight", "y.weight", "y.weight_u"]
    assert all(folded[name] is state[name] for name in ("bias", "y.weight", "y.weight_u"))
    assert torch.equal(state["x.weight_orig"], torch.eye(2))


def test_the_finished_weight_of_old_files_is_taken() -> None:
    state = {"x.weight": torch.ones(2, 2), "x.weight_orig": torch.eye(2), "x.weight_u": torch.ones(2)}
    assert fold_spectral_norm(state) == {"x.weight": state["x.weight"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x.weight_u": None}, r"missing x\.weight_u"),
        ({"x.weight_v": None}, r"missing x\.weight_v"),
        ({"x.weight": torch.ones(2, 3)}, r"x\.weight twice"),
        ({"x.weight_u": torch.ones(4)}, "do not fit together"),
        ({"x.weight_v": torch.ones(4)}, "do not fit together"),
        ({"x.weight_v": torch.ones(3, 1)}, "do not fit together"),
        ({"x.weight_orig": torch.ones(())}, "do not fit together"),
        ({"x.weight_orig": torch.ones(2, 3, dtype=torch.int64)}, "floating point"),
        ({"x.weight_u": torch.zeros(2)}, "spectral norm 0"),
        ({"x.weight_v": torch.full((3,), torch.inf)}, "spectral norm inf"),
        ({"x.weight_v": torch.full((3,), torch.nan)}, "spectral norm nan"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Tensor | None], message: str) -> None:
    state = {"x.weight_orig": torch.ones(2, 3), "x.weight_u": torch.ones(2), "x.weight_v": torch.ones(3)}
    state = {name: t for name, t in (state | changes).items() if t is not None}
    with pytest.raises(CheckpointError, match=message):
        fold_spectral_norm(state)
