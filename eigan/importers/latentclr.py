"""LatentCLR's direction models (best_model.pt): fixed directions, or small networks that make one from each code.

LatentCLR: Yüksel et al., ICCV 2021, arXiv:2104.00820; numerics checked against catlab-team/latentclr, commit f02a70d:
z + alpha * D_k(z) / |D_k(z)|, batch normalisation by its running statistics. Networks are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eigan.direction_model import MAX_MODEL_NUMBERS, DirectionModel, Step
from eigan.errors import PackFormatError, PackMismatch
from eigan.generators.base import Generator, iterate_batches
from eigan.importers.base import (
    MAX_DIM,
    Contents,
    Move,
    Opened,
    Request,
    check_cost,
    numbered,
    read_numbers,
    read_rows,
    shape_of,
    taken,
)
from eigan.importers.named import add_names, names_for
from eigan.importers.sigma import stream_codes
from eigan.pack import MAX_DIRECTIONS

NET_KEY = re.compile(
    r"nets\.(?P<net>\d{1,4})\.(?:linear|batchnorm)_(?P<layer>[1-9])\."
    r"(?:weight|bias|running_mean|running_var|num_batches_tracked)"
)
NORM_EPSILON = 1e-5
NUM_SAMPLES = 1024  # codes that a model's directions are averaged over
CHUNK = 128
MIN_MEAN = 1e-3  # of unit directions; a shorter one points nowhere in particular


def model_state(file: Opened) -> Mapping[str, Any] | None:
    """The state dict of the direction model in a trainer's checkpoint, or in a bare one; None when there is none."""
    if file.container != "torch" or not isinstance(file.value, dict):
        return None
    state = file.value.get("model", file.value)
    if not isinstance(state, dict) or not state or not all(isinstance(key, str) for key in state):
        return None
    known = set(state) == {"params"} or all(NET_KEY.fullmatch(key) for key in state)
    return state if known else None


def sniff(file: Opened) -> bool:
    return model_state(file) is not None


def read_model(state: Mapping[str, Any]) -> DirectionModel:
    """The model of a state dict: `params` (K, size), or `nets.{k}.linear_{j}` with `batchnorm_{j}` between them.

    Raises:
        PackFormatError: networks that differ, layers that are missing, shapes that do not fit, or too many numbers.
    """
    if "params" in state:
        fixed = read_rows(state["params"], "params").float()
        return DirectionModel(len(fixed), fixed.shape[1], fixed)
    parsed = [match for key in state if (match := NET_KEY.fullmatch(key))]
    count = 1 + max(int(match["net"]) for match in parsed)
    depth = max(int(match["layer"]) for match in parsed)
    first = shape_of(state.get("nets.0.linear_1.weight"))
    if first is None or len(first) != 2 or not 2 <= first[1] <= MAX_DIM or count > MAX_DIRECTIONS:
        raise PackFormatError(f"nets.0.linear_1.weight is missing or has shape {first}; wanted (numbers, numbers)")
    size = first[1]
    if count * depth * size * size > MAX_MODEL_NUMBERS:
        raise PackFormatError(f"{count} networks of {depth} layers of {size} numbers are too many to read")
    steps = []
    for layer in range(1, depth + 1):
        last = layer == depth
        weight = stack(state, count, f"linear_{layer}.weight", (size, size))
        bias = stack(state, count, f"linear_{layer}.bias", (size,)) if has(state, f"linear_{layer}.bias") else None
        normed = has(state, f"batchnorm_{layer}.weight")  # after the last layer too, where final_norm was asked for
        scale, shift = read_norm(state, count, layer, size) if normed else (None, None)
        steps.append(Step(weight, bias, scale, shift, bends=not last))
    return DirectionModel(count, size, None, tuple(steps))


def has(state: Mapping[str, Any], key: str) -> bool:
    return f"nets.0.{key}" in state


def stack(state: Mapping[str, Any], count: int, key: str, shape: tuple[int, ...]) -> Tensor:
    """`key` of all networks: (K, *shape), float32."""
    for net in range(count):
        found = shape_of(state.get(f"nets.{net}.{key}"))
        if found != shape:
            raise PackFormatError(f"nets.{net}.{key} is missing or has shape {found}; wanted {shape}")
    return torch.stack([read_numbers(state[f"nets.{net}.{key}"], f"nets.{net}.{key}").float() for net in range(count)])


def read_norm(state: Mapping[str, Any], count: int, layer: int, size: int) -> tuple[Tensor, Tensor]:
    """Batch normalisation in evaluation mode, as scale and shift (K, size)."""
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, variance = (stack(state, count, f"batchnorm_{layer}.{name}", (size,)) for name in names)
    if bool((variance < 0).any()):
        raise PackFormatError(f"a running variance of batchnorm_{layer} is negative; the file is damaged")
    scale = weight * (variance + NORM_EPSILON).rsqrt()
    return scale, bias - mean * scale


def read(file: Opened, request: Request) -> Contents:
    """Directions "latentclr-00", ...; those that depend on the code with their networks.

    Raises:
        PackFormatError: no direction model, or a direction that points nowhere at any code.
        PackMismatch: made for codes of another size.
    """
    state = model_state(file)
    if state is None:
        raise PackFormatError("it holds no direction model of LatentCLR")
    check_cost(state.values(), file.path.stat().st_size)
    model = read_model(state)
    count = taken(model.count, request)
    names = numbered("latentclr", model.count)[:count]
    if model.fixed is not None:
        moves = [
            Move(
                name, model.fixed[i], description=f"Direction {i}. A fixed direction.", metrics={"component": float(i)}
            )
            for i, name in enumerate(names)
        ]
    else:
        means = average(model, count, request.generator)
        moves = [model_move(name, i, model, mean) for i, (name, mean) in enumerate(zip(names, means, strict=True))]
    contents = Contents(
        moves=tuple(moves),
        unit="alpha: distance in code space",
        description="Directions told apart by contrast (LatentCLR, Yüksel et al., ICCV 2021, arXiv:2104.00820)."
        + ("" if model.fixed is not None else f" They are {model.kind} and depend on the code, so on the picture."),
        origin={"model": model.kind, "depth": len(model.steps), "directions": model.count},
    )
    return add_names(contents, names_for(file.stem, request, "latentclr"))


@dataclass(frozen=True, eq=False)
class Mean:
    """Of a model's unit directions over the generator's codes: unit vector (D,), the mean's length, and how widely the
    cosines to it spread. stands_in: there is no mean; the vector is the direction at the first code that has one.
    """

    vector: Tensor
    length: float
    spread: float
    stands_in: bool


def model_move(name: str, i: int, model: DirectionModel, mean: Mean) -> Move:
    """Direction i of the model. Its vector, for tables and comparisons, is its mean."""
    vector = (
        "Its directions have no mean; where one vector stands for them, it is that of a single code"
        if mean.stands_in
        else f"Where one vector stands for it, it is the mean over {NUM_SAMPLES:,} codes of the generator; mean_cosine "
        "says how alike the directions are to it"
    )
    return Move(
        name,
        mean.vector,
        description=f"Direction {i}. It depends on the code ({model.kind} model). {vector}.",
        metrics={"component": float(i), "mean_cosine": mean.length, "cosine_spread": mean.spread},
        model=model.only(i),
    )


@torch.no_grad()
def average(model: DirectionModel, count: int, generator: Generator) -> list[Mean]:
    """The first `count` directions over the generator's codes. mean_cosine of a direction is its mean's length.

    Raises:
        PackFormatError: a direction of length 0 at every code.
    """
    total = torch.zeros(model.count, generator.code_dim, dtype=torch.float64)
    some = torch.zeros_like(total)  # the direction at the first code that has one
    for found in over_codes(model, generator):
        total += found.double().sum(dim=1)
        first = found.norm(dim=2).gt(0).int().argmax(dim=1)
        here = found[torch.arange(model.count), first].double()
        some = torch.where(some.any(dim=1, keepdim=True), some, here)
    means = total / NUM_SAMPLES
    lengths = means.norm(dim=1)
    nowhere = [k for k in range(count) if not some[k].any()]
    if nowhere:
        raise PackFormatError(
            f"direction {nowhere[0]} has length 0 at all of {NUM_SAMPLES:,} codes; it moves nothing. Take fewer with "
            "num_directions."
        )
    stand_in = lengths <= MIN_MEAN
    units = torch.where(stand_in[:, None], some, means / lengths[:, None].clamp_min(MIN_MEAN))
    cosines = torch.cat([torch.einsum("knd,kd->kn", u.double(), units) for u in over_codes(model, generator)], dim=1)
    spread = cosines.std(dim=1, correction=0)
    return [Mean(units[k], float(lengths[k]), float(spread[k]), bool(stand_in[k])) for k in range(count)]


def over_codes(model: DirectionModel, generator: Generator) -> Iterator[Tensor]:
    """Unit directions (K, n, D) for pieces of the generator's codes, untruncated, as LatentCLR trains."""
    if model.size not in (generator.code_dim, generator.z_dim if generator.code_space == "z" else generator.code_dim):
        raise PackMismatch(
            f"its directions have {model.size} numbers; the codes of {generator.describe()} have {generator.code_dim}. "
            "Load the generator that LatentCLR was trained on."
        )
    for codes in stream_codes(generator, NUM_SAMPLES, 0):
        for piece in iterate_batches(len(codes), CHUNK):
            yield model.directions(codes[piece, 0])
