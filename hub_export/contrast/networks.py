"""Networks: K direction models in training, one row of parameters each, and their optimiser.

LatentCLR (Yüksel et al., ICCV 2021, arXiv:2104.00820): a fixed vector, an affine map, or Linear-BN-ReLU blocks ended by
a linear layer without bias, all as wide as the codes; the direction is the output made unit. Adam as Kingma & Ba (ICLR
2015) with weight decay added to the gradient, as torch.optim.Adam has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from eigan.direction_model import DirectionModel, Step, unit_rows
from eigan.generators.base import iterate_batches

Kind = Literal["global", "linear", "nonlinear"]
NORM_EPSILON = 1e-5
NORM_MOMENTUM = 0.1
BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
SHARD = 4  # directions in one piece of work, on CPU
SLICE = 2**16  # numbers that an update has in hand at once, on CPU: they stay in the cache


@dataclass(frozen=True)
class Part:
    """A tensor of every network: `start` is its place in the network's row of parameters."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.start + math.prod(self.shape)


def parts_of(kind: Kind, size: int, depth: int) -> tuple[Part, ...]:
    """The tensors of one network, in the order in which a row holds them."""
    square, row = (size, size), (size,)
    named: list[tuple[str, tuple[int, ...]]] = [("direction", row)]
    if kind == "linear":
        named = [("weight_0", square), ("bias_0", row)]
    elif kind == "nonlinear":
        inner = (("weight", square), ("bias", row), ("scale", row), ("shift", row))
        named = [(f"{name}_{j}", shape) for j in range(depth - 1) for name, shape in inner]
        named.append((f"weight_{depth - 1}", square))
    found, start = [], 0
    for name, shape in named:
        found.append(Part(name, start, shape))
        start = found[-1].stop
    return tuple(found)


@dataclass(frozen=True)
class Tape:
    """Unit directions (k, N, size) of the networks `rows`, with their graph, and what they were made of.

    statistics: mean and variance (k, size) of the batch at each normalisation.
    """

    rows: slice
    leaves: tuple[Tensor, ...]
    units: Tensor
    statistics: tuple[tuple[Tensor, Tensor], ...]


class Networks:
    """values, first, second (K, P): parameters, and Adam's two moments of them.

    means, variances (K, depth - 1, size): running, of the batch normalisations.
    """

    def __init__(self, kind: Kind, count: int, size: int, depth: int, device: torch.device):
        self.kind, self.count, self.size = kind, count, size
        self.parts = parts_of(kind, size, depth)
        norms = depth - 1 if kind == "nonlinear" else 0
        self.values, self.first, self.second = (torch.zeros(count, self.parts[-1].stop, device=device) for _ in "pmv")
        self.means = torch.zeros(count, norms, size, device=device)
        self.variances = torch.ones(count, norms, size, device=device)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that a training goes on from, by name; not copies."""
        names = ("values", "first", "second", "means", "variances")
        return {name: getattr(self, name) for name in names}

    def initialize(self, random: torch.Generator) -> None:
        """Vectors standard normal; weights and biases uniform within 1/√size (torch's own), normalisations neutral."""
        bound = self.size**-0.5
        for row in self.values:
            for part in self.parts:
                drawn = torch.zeros(part.stop - part.start)
                if part.name == "direction":
                    drawn.normal_(generator=random)
                elif part.name.startswith("scale"):
                    drawn.fill_(1.0)
                elif not part.name.startswith("shift"):
                    drawn.uniform_(-bound, bound, generator=random)
                row[part.start : part.stop] = drawn.to(row.device)

    def shards(self) -> Iterator[slice]:
        """Pieces of the K networks to work on at once; networks have nothing to do with one another."""
        return iterate_batches(self.count, SHARD if self.values.device.type == "cpu" else self.count)

    def forward(self, rows: slice, x: Tensor) -> Tape:
        """Unit directions of the networks `rows` at x (N, size), normalised by the statistics of the batch."""
        leaves = {
            part.name: self.values[rows, part.start : part.stop].view(-1, *part.shape).data.requires_grad_()
            for part in self.parts
        }  # .data: autograd counts changes of these rows alone, so that shards may be updated one after the other
        statistics = []
        with torch.enable_grad():
            if self.kind == "global":
                found = leaves["direction"][:, None].expand(-1, len(x), -1)
            else:
                found = x
                for j in range(self.means.shape[1]):
                    found = found @ leaves[f"weight_{j}"].mT + leaves[f"bias_{j}"][:, None]  # (k, N, size)
                    variance, mean = torch.var_mean(found, dim=1, correction=0, keepdim=True)
                    statistics.append((mean.detach()[:, 0], variance.detach()[:, 0]))
                    found = (found - mean) * (variance + NORM_EPSILON).rsqrt()
                    found = (found * leaves[f"scale_{j}"][:, None] + leaves[f"shift_{j}"][:, None]).relu()
                last = self.means.shape[1]
                found = found @ leaves[f"weight_{last}"].mT
                if f"bias_{last}" in leaves:
                    found = found + leaves[f"bias_{last}"][:, None]
            units = unit_rows(found)
        return Tape(rows, tuple(leaves.values()), units, tuple(statistics))

    def update(self, tape: Tape, gradient: Tensor, step: int, rate: float, decay: float) -> None:
        """One step of Adam (number `step`, from 1) against `gradient` (k, N, size) in the tape's units; in place."""
        slopes = torch.autograd.grad(tape.units, tape.leaves, gradient)
        with torch.no_grad():
            for part, slope in zip(self.parts, slopes, strict=True):
                self._descend(tape.rows, part, slope.flatten(1), step, rate, decay)
            samples = len(tape.units[0])
            for j, (mean, variance) in enumerate(tape.statistics):
                self.means[tape.rows, j] = self.means[tape.rows, j].lerp(mean, NORM_MOMENTUM)
                unbiased = variance * (samples / (samples - 1))
                self.variances[tape.rows, j] = self.variances[tape.rows, j].lerp(unbiased, NORM_MOMENTUM)

    def _descend(self, rows: slice, part: Part, slope: Tensor, step: int, rate: float, decay: float) -> None:
        scale = rate / (1 - BETAS[0] ** step)
        root = math.sqrt(1 - BETAS[1] ** step)
        for at, own in self._slices(rows, part):
            value, first, second = self.values[at], self.first[at], self.second[at]
            change = slope[own].add(value, alpha=decay)
            first.lerp_(change, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(change, change, value=1 - BETAS[1])
            torch.sqrt(second, out=change)
            value.addcdiv_(first, change.div_(root).add_(ADAM_EPSILON), value=-scale)

    def _slices(self, rows: slice, part: Part) -> Iterator[tuple[tuple[int | slice, slice], tuple[int | slice, slice]]]:
        """Where a piece of `part` lies in the state, and where in its gradient."""
        length = part.stop - part.start
        if self.values.device.type != "cpu":
            yield (rows, slice(part.start, part.stop)), (slice(None), slice(None))
            return
        for k in range(rows.start, rows.stop):
            for piece in iterate_batches(length, SLICE):
                yield (k, slice(part.start + piece.start, part.start + piece.stop)), (k - rows.start, piece)

    def trained(self) -> DirectionModel:
        """The networks as they are used: normalisations by their running statistics, folded into steps. Copies."""
        tensors = {
            part.name: self.values[:, part.start : part.stop].reshape(-1, *part.shape).clone() for part in self.parts
        }
        if self.kind == "global":
            return DirectionModel(self.count, self.size, tensors["direction"])
        steps = []
        last = self.means.shape[1]
        for j in range(last):
            scale = tensors[f"scale_{j}"] * (self.variances[:, j] + NORM_EPSILON).rsqrt()
            shift = tensors[f"shift_{j}"] - self.means[:, j] * scale
            steps.append(Step(tensors[f"weight_{j}"], tensors[f"bias_{j}"], scale, shift, bends=True))
        steps.append(Step(tensors[f"weight_{last}"], tensors.get(f"bias_{last}"), None, None, bends=False))
        return DirectionModel(self.count, self.size, None, tuple(steps))
