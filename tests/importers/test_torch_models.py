"""rosinality's factor.pt and LatentCLR's direction models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from eigan import DirectionPack, import_directions
from eigan.direction_model import DirectionModel
from eigan.edit import unit_move
from eigan.errors import PackFormatError, PackMismatch
from eigan.importers.base import Request
from eigan.importers.containers import open_file
from eigan.importers.latentclr import model_state, read, read_model
from eigan.importers.named import all_names, name_move
from eigan.importers.sigma import measure_sigma, stream_codes
from tests.importers.makers import DIM, checkpoint, conditional, torch_saved, unit_rows
from tests.parity.folders import folders
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan

GENERATOR = toy_generator()
Z = torch.randn(5, DIM, generator=torch.Generator().manual_seed(3))


def opened(path: Path) -> DirectionModel:
    with open_file(path) as file:
        assert file is not None
        state = model_state(file)
        assert state is not None
        return read_model(state)


@pytest.mark.parametrize("legacy", [False, True])
def test_column_i_of_the_factor_is_direction_i(tmp_path: Path, legacy: bool) -> None:
    eigvec = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0)))[0]
    path = torch_saved(tmp_path / "factor.pt", {"ckpt": "/home/me/stylegan2.pt", "eigvec": eigvec}, legacy=legacy)
    pack = import_directions(path, GENERATOR)
    assert pack.names[0] == "sefa-00" and len(pack) == DIM
    torch.testing.assert_close(torch.stack([d.vector for d in pack], dim=1), eigvec)
    assert pack.method["checkpoint"] == "stylegan2.pt"  # not the folders of somebody's machine
    assert len(import_directions(path, GENERATOR, num_directions=3)) == 3


@pytest.mark.parametrize(("eigvec", "error"), [(torch.eye(DIM)[:5], PackFormatError), (torch.eye(5), PackMismatch)])
def test_factors_that_do_not_fit(tmp_path: Path, eigvec: Tensor, error: type[Exception]) -> None:
    with pytest.raises(error):
        import_directions(torch_saved(tmp_path / "factor.pt", {"ckpt": "x", "eigvec": eigvec}), GENERATOR)


@pytest.mark.parametrize("folder", folders("ros-64-mlp2"), ids=lambda p: p.name)
def test_the_official_factor_file(folder: Path) -> None:
    from safetensors.torch import load_file

    from eigan import Checkpoint

    if not (folder / "factor.pt").is_file():
        pytest.skip("no factor.pt here")
    expected = load_file(folder / "expected.safetensors")
    generator = Checkpoint.open(folder / "checkpoint.pt").build()
    pack = import_directions(folder / "factor.pt", generator)
    torch.testing.assert_close(torch.stack([d.vector for d in pack], dim=1), expected["factor.eigvec"])
    moved = expected["w.psi1"] + 5 * pack["sefa-00"].vector  # degree 5, a distance
    torch.testing.assert_close(moved, expected["w.factor0.deg5"], atol=2e-5, rtol=2e-5)


def test_fixed_directions_are_taken_as_unit_vectors(tmp_path: Path) -> None:
    params = 3 * torch.from_numpy(unit_rows(6))
    path = torch_saved(tmp_path / "best_model.pt", checkpoint({"params": params}))
    pack = import_directions(path, GENERATOR)
    torch.testing.assert_close(torch.stack([d.vector for d in pack]), params / 3)
    assert pack.method["model"] == "global" and "mean_cosine" not in pack.directions[0].metrics
    model = opened(path)
    torch.testing.assert_close(model.single(Z, 2, 1.5), Z + 1.5 * params[2] / 3)
    torch.testing.assert_close(model.forward(Z, 2.0, normalize=False)[5:10], Z + 2 * params[1])


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("bare", [False, True])
def test_conditional_models_agree_with_their_networks(tmp_path: Path, depth: int, bare: bool) -> None:
    network = conditional(depth=depth)
    state = network.state_dict()
    model = opened(torch_saved(tmp_path / "best_model.pt", state if bare else checkpoint(state)))
    assert model.kind == ("linear" if depth == 1 else "nonlinear") and model.count == 3
    with torch.no_grad():
        raw = network(Z)
    torch.testing.assert_close(model.directions(Z, normalize=False), raw)
    unit = raw / raw.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(model.forward(Z, -2.5), (Z - 2.5 * unit).flatten(0, 1))
    for k in range(3):
        torch.testing.assert_close(model.single(Z, k, 0.1), Z + 0.1 * unit[k])


@pytest.mark.parametrize("depth", [1, 3])
def test_a_normalisation_after_the_last_layer_counts(tmp_path: Path, depth: int) -> None:
    """`final_norm` of the official code."""
    network = conditional(depth=depth)
    state = dict(network.state_dict())
    random = torch.Generator().manual_seed(7)
    last = {
        name: torch.rand(3, DIM, generator=random) + 0.5 for name in ("weight", "bias", "running_mean", "running_var")
    }
    state |= {f"nets.{k}.batchnorm_{depth}.{name}": rows[k] for name, rows in last.items() for k in range(3)}
    weight, bias, mean, variance = (rows[:, None] for rows in last.values())
    with torch.no_grad():
        wanted = (network(Z) - mean) / (variance + 1e-5).sqrt() * weight + bias
    model = opened(torch_saved(tmp_path / "best_model.pt", checkpoint(state)))
    torch.testing.assert_close(model.directions(Z, normalize=False), wanted)


def test_networks_are_kept_and_their_mean_stands_for_them(tmp_path: Path) -> None:
    network = conditional(count=2, depth=1)
    network.nets[1][0].weight.data.zero_()  # type: ignore[index,union-attr]  # the same direction for every code
    path = torch_saved(tmp_path / "model.pt", checkpoint(network.state_dict()))
    pack = import_directions(path, GENERATOR)
    varied, constant = (d.metrics for d in pack)
    assert constant["mean_cosine"] == pytest.approx(1) and constant["cosine_spread"] == pytest.approx(0, abs=1e-6)
    assert 0 < varied["mean_cosine"] < 1 and varied["cosine_spread"] > 0
    bias = network.nets[1][0].bias.data  # type: ignore[index,union-attr]
    torch.testing.assert_close(pack.directions[1].vector, bias / bias.norm())
    codes = GENERATOR.map_to_w(torch.randn(2000, DIM, generator=torch.Generator().manual_seed(5)))
    mean = opened(path).directions(codes)[0].mean(dim=0)
    assert float(mean @ pack.directions[0].vector / mean.norm()) > 0.99
    assert "depend on the code" in pack.description and "linear model" in pack.directions[0].description
    assert torch.equal(pack.directions[0].vector, import_directions(path, GENERATOR).directions[0].vector)


@pytest.mark.parametrize("depth", [1, 3])
def test_an_edit_is_what_the_model_does(tmp_path: Path, depth: int) -> None:
    path = torch_saved(tmp_path / "model.pt", checkpoint(conditional(depth=depth).state_dict()))
    import_directions(path, GENERATOR).save(tmp_path / "pack")
    pack, model = DirectionPack.load(tmp_path / "pack"), opened(path)
    codes = Z[:, None].repeat(1, 8, 1)
    for k, direction in enumerate(pack):
        moved = (direction * (1.5 / direction.sigma)).apply(codes)
        torch.testing.assert_close(moved[:, 5], model.single(Z, k, 1.5), atol=2e-6, rtol=2e-6)


def test_sigma_is_that_of_the_codes_along_each_ones_own_direction(tmp_path: Path) -> None:
    """As a fit measures it; where the direction is the same everywhere, the standard deviation along it."""
    network = conditional(count=2, depth=1)
    network.nets[1][0].weight.data.zero_()  # type: ignore[index,union-attr]
    path = torch_saved(tmp_path / "model.pt", checkpoint(network.state_dict()))
    varied, constant = import_directions(path, GENERATOR).directions
    assert constant.sigma == pytest.approx(float(measure_sigma(GENERATOR, constant.vector[None])), rel=1e-5)
    codes = torch.cat([c[:, 0] for c in stream_codes(GENERATOR, 20_000, 0)]).double()
    units = opened(path).directions(codes[:1024].float())[0].double()
    wanted = torch.einsum("nd,de,ne->n", units, codes.T.cov(), units).mean().sqrt()
    assert varied.sigma == pytest.approx(float(wanted), rel=1e-6)


def test_models_of_z_move_z_and_leave_the_class(tmp_path: Path) -> None:
    generator = toy_biggan()
    path = torch_saved(tmp_path / "model.pt", checkpoint(conditional(dim=12, depth=2).state_dict()))
    pack = import_directions(path, generator)
    assert all(d.code_dim == 25 and not d.vector[12:].any() for d in pack)
    codes = torch.randn(2, generator.num_layers, 25, generator=torch.Generator().manual_seed(1))
    direction = pack.directions[1]
    moved = (direction * (0.7 / direction.sigma)).apply(codes)
    assert torch.equal(moved[..., 12:], codes[..., 12:])
    torch.testing.assert_close(moved[:, 2, :12], opened(path).single(codes[:, 2, :12], 1, 0.7))
    assert 0.5 < direction.sigma < 1.5


def test_directions_without_a_mean_are_known_by_one_code(tmp_path: Path) -> None:
    """A model that points one way from half of the codes, the other way from the others."""
    network = conditional(count=1, depth=2)
    state = dict(network.state_dict())
    for key in ("weight", "bias"):
        state[f"nets.0.linear_1.{key}"] = torch.zeros_like(state[f"nets.0.linear_1.{key}"])
    codes = torch.cat([c[:, 0] for c in stream_codes(GENERATOR, 1024, 0)])
    half = codes[:, 0].median() + 1e-6
    state["nets.0.linear_1.weight"][0, 0], state["nets.0.linear_1.weight"][1, 0] = 1.0, -1.0
    state["nets.0.linear_1.bias"][:2] = torch.tensor([-half, half])  # x0 = relu(code - half), x1 = relu(half - code)
    for key, value in {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}.items():
        state[f"nets.0.batchnorm_1.{key}"] = torch.full((DIM,), value)
    state["nets.0.linear_2.weight"] = torch.zeros(DIM, DIM)
    state["nets.0.linear_2.weight"][4, 0], state["nets.0.linear_2.weight"][4, 1] = 1.0, -1.0  # e4 times x0 - x1
    (direction,) = import_directions(torch_saved(tmp_path / "model.pt", checkpoint(state)), GENERATOR)
    assert direction.metrics["mean_cosine"] < 1e-3 and "of a single code" in direction.description
    assert direction.vector.abs().tolist() == [float(i == 4) for i in range(DIM)]
    assert direction.model is not None
    assert direction.model.directions(codes)[0, :, 4].sum().abs() < 2


def test_directions_that_point_nowhere_are_refused(tmp_path: Path) -> None:
    network = conditional(count=2, depth=1)
    network.nets[1][0].weight.data = torch.zeros(DIM, DIM)  # type: ignore[index,union-attr]
    network.nets[1][0].bias.data.zero_()  # type: ignore[index,union-attr]
    path = torch_saved(tmp_path / "model.pt", checkpoint(network.state_dict()))
    with pytest.raises(PackFormatError, match="direction 1 has length 0 at all of"):
        import_directions(path, GENERATOR)
    assert len(import_directions(path, GENERATOR, num_directions=1)) == 1


def test_named_models_are_those_of_their_component_turned_round_where_the_name_says_so(tmp_path: Path) -> None:
    path = torch_saved(tmp_path / "best_model.pt", checkpoint(conditional(count=100, depth=1).state_dict()))
    pack = import_directions(path, GENERATOR, names="latentclr-car")
    codes = torch.randn(2, 8, DIM, generator=torch.Generator().manual_seed(2))
    named = [d for d in pack if "flipped" in d.metrics]
    assert named
    for direction in named:
        component = pack[f"latentclr-{int(direction.metrics['component']):02d}"]
        own = unit_move(codes, component)[:, direction.layers.slice]
        torch.testing.assert_close(unit_move(codes, direction), own)
        assert direction.sigma == component.sigma
    with open_file(path) as file:
        assert file is not None
        (move, *_) = read(file, Request(GENERATOR, names="none")).moves
    names = all_names()["latentclr-car"]
    row = names.edits[0].model_copy(update={"amount": -3.0})
    turned = name_move(move, "Other way", (row,), names)
    assert turned.model is not None and move.model is not None
    assert torch.equal(turned.model.directions(Z), -move.model.directions(Z))
    assert torch.equal(turned.vector, -move.vector)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nets.1.linear_2.weight": None}, r"nets\.1\.linear_2\.weight is missing"),
        ({"nets.0.linear_1.weight": None}, r"nets\.0\.linear_1\.weight is missing"),
        ({"nets.2.linear_1.weight": torch.zeros(DIM, 3)}, "has shape"),
        ({"nets.9999.linear_1.weight": torch.zeros(DIM, DIM)}, "too many|directions|missing"),
        ({"nets.0.batchnorm_1.running_var": -torch.ones(DIM)}, "negative"),
        ({"nets.0.batchnorm_1.running_var": torch.full((DIM,), float("nan"))}, "NaN"),
        ({"something.else": torch.zeros(1)}, "What eigan reads"),
    ],
)
def test_models_that_cannot_be(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    state = {**conditional(depth=2).state_dict(), **change}
    state = {key: value for key, value in state.items() if value is not None}
    with pytest.raises(PackFormatError, match=message):
        import_directions(torch_saved(tmp_path / "model.pt", checkpoint(state)), GENERATOR)


def test_models_of_other_codes_are_refused(tmp_path: Path) -> None:
    path = torch_saved(tmp_path / "model.pt", checkpoint(conditional(dim=5).state_dict()))
    with pytest.raises(PackMismatch, match="5 numbers"):
        import_directions(path, GENERATOR)
