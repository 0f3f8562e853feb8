"""Directions of SeFa's own code: its eigenvectors, the codes it edits with them, and the pictures they give."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from eigan.generators.base import Generator
from eigan.layers import LayerRange
from hub_export.methods.sefa import factorize
from tests.parity.check import Expected

EDITED = re.compile(r"sefa\.(?P<layers>[^.]+)\.sem(?P<row>\d+)\.d(?P<step>-?\d+)\.code")
GAP = 1e-3  # eigenvalues closer than this share of the largest leave their eigenvectors free to turn


def check_sefa(case: Expected, generator: Generator, codes: Tensor) -> None:
    """Every sefa.* tensor, and image.sefa.*. codes (N, L, D): what the edits start from."""
    for name in case.names("sefa"):
        if name.endswith(".boundaries"):
            check_directions(case, generator, name.removesuffix(".boundaries"))
    for name in case.names("sefa"):
        if match := EDITED.fullmatch(name):
            edited, layers = codes.clone(), layers_of(match["layers"], generator)
            boundary = case[f"sefa.{match['layers']}.boundaries"][int(match["row"])]
            edited[:, layers] += float(match["step"]) * boundary
            case.compare(name, edited, "w")
            image = f"image.{name.removesuffix('.code')}"
            if image in case.tensors:
                case.compare(image, generator.synthesis(edited), "image")


def check_directions(case: Expected, generator: Generator, selection: str) -> None:
    """Values sorted as ours; vectors up to sign, where their values stand apart (numpy's eig sorts nothing)."""
    layers = layers_of(selection.removeprefix("sefa."), generator)
    weights = torch.cat([generator.style_weights(LayerRange(i, i + 1)) for i in layers], dim=1)
    boundaries, values = case[f"{selection}.boundaries"].double(), case[f"{selection}.values"].double()
    vectors, eigenvalues = factorize(weights, len(values))
    order = values.argsort(descending=True)
    torch.testing.assert_close(eigenvalues, values[order], atol=1e-4, rtol=1e-4)
    edge = torch.full((1,), torch.inf, dtype=torch.float64)
    gaps = torch.cat([edge, eigenvalues[:-1] - eigenvalues[1:], edge])
    chosen = torch.minimum(gaps[:-1], gaps[1:]) > GAP * eigenvalues[0]
    assert chosen.sum() >= 3
    likeness = (vectors * boundaries[order]).sum(dim=1).abs()
    torch.testing.assert_close(likeness[chosen], torch.ones_like(likeness[chosen]), atol=1e-5, rtol=0.0)


def layers_of(selection: str, generator: Generator) -> list[int]:
    """The rows that SeFa's command line means: 'all', '0-1' (both ends included), '2,4', '7'."""
    if selection == "all":
        return list(range(generator.num_layers))
    parts = [LayerRange.parse(part, generator.num_layers) for part in selection.split(",")]
    return [row for part in parts for row in range(part.start, part.stop)]
