"""Networks against torch's own modules and optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from eigan.direction_model import unit_rows
from hub_export.contrast import networks as networks_module
from hub_export.contrast.networks import Networks, parts_of

SIZE, COUNT = 6, 5
KINDS = ("global", "linear", "nonlinear")
pytestmark = pytest.mark.usefixtures("one_thread")


def make(kind: str, seed: int = 0, depth: int = 3) -> Networks:
    networks = Networks(kind, COUNT, SIZE, depth, torch.device("cpu"))  # type: ignore[arg-type]
    networks.initialize(torch.Generator().manual_seed(seed))
    return networks


class Oracle(nn.Module):
    """One direction, of torch's modules, with the parameters of network k."""

    def __init__(self, networks: Networks, k: int):
        super().__init__()
        layers: list[nn.Module] = []
        own = {part.name: networks.values[k, part.start : part.stop].view(part.shape) for part in networks.parts}
        self.fixed = nn.Parameter(own["direction"].clone()) if networks.kind == "global" else None
        for j in range(0 if self.fixed is not None else 1 + networks.means.shape[1]):
            linear = nn.Linear(SIZE, SIZE, bias=f"bias_{j}" in own)
            linear.weight.data.copy_(own[f"weight_{j}"])
            if linear.bias is not None:
                linear.bias.data.copy_(own[f"bias_{j}"])
            layers.append(linear)
            if f"scale_{j}" in own:
                norm = nn.BatchNorm1d(SIZE)
                norm.weight.data.copy_(own[f"scale_{j}"])
                norm.bias.data.copy_(own[f"shift_{j}"])
                layers += [norm, nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        found = self.layers(x) if self.fixed is None else self.fixed.expand_as(x)
        return unit_rows(found)


def batches(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(9)
    for _ in range(count):
        yield torch.randn(7, SIZE, generator=random), torch.randn(COUNT, 7, SIZE, generator=random)


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_torchs_own(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, parameters after several steps of Adam, and what is used afterwards (running statistics)."""
    monkeypatch.setattr(networks_module, "SLICE", 5)
    networks = make(kind)
    oracles = [Oracle(networks, k) for k in range(COUNT)]
    optimizer = torch.optim.Adam([p for o in oracles for p in o.parameters()], lr=1e-2, weight_decay=1e-2)
    for step, (x, wanted) in enumerate(batches(4), start=1):
        units = torch.stack([oracle(x) for oracle in oracles])
        optimizer.zero_grad()
        (units * wanted).sum().backward()
        optimizer.step()
        for tape in [networks.forward(part, x) for part in networks.shards()]:  # all forwards before any update
            torch.testing.assert_close(tape.units.detach(), units[tape.rows].detach(), rtol=1e-4, atol=1e-5)
            networks.update(tape, wanted[tape.rows], step, 1e-2, 1e-2)
    x = torch.randn(3, SIZE, generator=torch.Generator().manual_seed(2))
    used = torch.stack([oracle.eval()(x) for oracle in oracles]).detach()
    model = networks.trained()
    assert (model.kind, model.count, model.size) == (kind, COUNT, SIZE)
    torch.testing.assert_close(model.directions(x), used, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_shards_may_be_updated_one_after_the_other(kind: str) -> None:
    networks, x = make(kind), torch.randn(4, SIZE)
    tapes = [networks.forward(part, x) for part in networks.shards()]
    assert len(tapes) > 1
    before = networks.values.clone()
    for tape in tapes:
        networks.update(tape, torch.ones_like(tape.units), 1, 1e-2, 0.0)
    assert bool((networks.values != before).any(dim=1).all())


def test_initial_values_are_torchs_distribution() -> None:
    networks = make("nonlinear")
    for part in networks.parts:
        values = networks.values[:, part.start : part.stop]
        if part.name.startswith(("scale", "shift")):
            assert bool((values == (1.0 if part.name.startswith("scale") else 0.0)).all())
        else:
            assert float(values.abs().max()) <= SIZE**-0.5 and float(values.std()) > 0.4 * SIZE**-0.5
    assert torch.equal(make("linear").values, make("linear").values)
    assert not torch.equal(make("linear").values, make("linear", seed=1).values)


def test_parts_cover_the_row() -> None:
    for kind, depth in [("global", 3), ("linear", 3), ("nonlinear", 2), ("nonlinear", 5)]:
        parts = parts_of(kind, SIZE, depth)  # type: ignore[arg-type]
        assert parts[0].start == 0
        assert all(a.stop == b.start for a, b in pairwise(parts))
    assert parts_of("nonlinear", 512, 3)[-1].stop == 3 * 512**2 + 2 * 3 * 512


def test_an_output_of_zero_has_no_gradient() -> None:
    networks = make("linear")
    networks.values[2] = 0.0
    tape = networks.forward(slice(2, 3), torch.ones(2, SIZE))
    networks.update(tape, torch.ones_like(tape.units), 1, 1e-2, 0.0)
    assert torch.equal(tape.units, torch.zeros(1, 2, SIZE)) and torch.equal(networks.values[2], torch.zeros(42))
