"""Weights under other names: for every name of ours, which weight of the file it is, and how that one is turned.

A dialect states its rules for the sizes at hand; whatever the file lacks or has too much is told by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from eigan.errors import CheckpointError, list_names

LISTED = 6


class Rule(NamedTuple):
    """source: the file's name. dims: how many axes it has there. change: gives ours, and leaves the file's alone."""

    source: str
    dims: int
    change: Callable[[Tensor], Tensor] = torch.Tensor.contiguous


def rename(
    weights: Mapping[str, Tensor], rules: Mapping[str, Rule], describes: str, *, ignored: Collection[str] = ()
) -> dict[str, Tensor]:
    """Our name -> changed weight, for every rule. ignored: names of the file that the picture does not depend on.

    Raises:
        CheckpointError: naming what is missing, unexpected or of another number of axes. describes: what the weights
            are taken for ("a StyleGAN2 of genforce").
    """
    wanted = {rule.source for rule in rules.values()}
    missing, unexpected = sorted(wanted - weights.keys()), sorted(weights.keys() - wanted - set(ignored))
    if missing or unexpected:
        found = [f"missing {list_names(missing, LISTED)}"] * bool(missing)
        found += [f"unexpected {list_names(unexpected, LISTED)}"] * bool(unexpected)
        raise CheckpointError(f"weights do not fit {describes}: {'; '.join(found)}")
    for rule in rules.values():
        shape = tuple(weights[rule.source].shape)
        if len(shape) != rule.dims or 0 in shape:
            raise CheckpointError(f"{rule.source} has shape {shape}; {describes} has {rule.dims} dimensions there")
    return {name: rule.change(weights[rule.source]) for name, rule in rules.items()}


def rename_each(weights: Mapping[str, Tensor], ours: Callable[[str], str], describes: str) -> dict[str, Tensor]:
    """The weights under the names that `ours` gives for theirs. Raises CheckpointError when two would have one name."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if ours(name) in renamed:
            raise CheckpointError(f"{name} is the second {ours(name)} of {describes}; keep one of them")
        renamed[ours(name)] = tensor
    return renamed


# Changes: each gives a tensor of its own


def transposed(x: Tensor) -> Tensor:
    return x.t().contiguous()


def first(x: Tensor) -> Tensor:
    """Without the leading axis of size 1."""
    return _squeezed(x, 1)


def plane(x: Tensor) -> Tensor:
    """(1, 1, H, W) -> (H, W)."""
    return _squeezed(x, 2)


def scalar(x: Tensor) -> Tensor:
    return _squeezed(x, x.ndim)


def flipped(x: Tensor) -> Tensor:
    """Kernels turned by 180 degrees."""
    return x.flip(-2, -1)


def as_embedding(x: Tensor) -> Tensor:
    """(classes, width), multiplied as it is -> (width, classes) of an equalised layer, which divides by √classes."""
    return (x.t() * math.sqrt(len(x))).contiguous()


def no_bias(x: Tensor) -> Tensor:
    """(classes, width) -> the bias (width,) that its embedding has not."""
    return x.new_zeros(x.shape[1])


def plus_one(x: Tensor) -> Tensor:
    return x + 1


def _squeezed(x: Tensor, axes: int) -> Tensor:
    if any(n != 1 for n in x.shape[:axes]):
        raise CheckpointError(f"a weight has shape {tuple(x.shape)}; wanted 1 for the first {axes} of its sizes")
    return x.reshape(x.shape[axes:]).clone()
