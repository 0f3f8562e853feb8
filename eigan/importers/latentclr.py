"""LatentCLR's direction models (best_model.pt): fixed directions, or small networks that make one from each code.

LatentCLR: Yüksel et al., ICCV 2021, arXiv:2104.00820; numerics checked against catlab-team/latentclr, commit f02a70d:
z + alpha * D_k(z) / |D_k(z)|, batch normalisation by its running statistics. Pack format 1 holds fixed vectors, so a
model whose directions depend on the code is distilled to their mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from eigan.direction_model import DirectionModel, Step
from eigan.errors import PackFormatError, PackMismatch
from eigan.generators.base import Generator, iterate_batches
from eigan.importers.base import (
    MAX_DIM,
    MAX_NUMBERS,
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
MAX_MODEL_NUMBERS = 8 * MAX_NUMBERS
NUM_SAMPLES = 1024  # codes that a conditional model's directions are averaged over
CHUNK = 128
MIN_MEAN = 1e-3  # of unit directions; shorter means that they point everywhere


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
    """Directions "latentclr-00", ...; those of a conditional model as their mean over the generator's own codes.

    Raises:
        PackFormatError: no direction model, or directions without a mean.
        PackMismatch: made for codes of another size.
    """
    state = model_state(file)
    if state is None:
        raise PackFormatError("it holds no direction model of LatentCLR")
    check_cost(state.values(), file.path.stat().st_size)
    model = read_model(state)
    count = taken(model.count, request)
    metrics: list[dict[str, float]] = [{} for _ in range(count)]
    if model.fixed is not None:
        vectors, note = model.fixed, "A fixed direction."
    else:
        vectors, metrics = distil(model, count, request.generator)
        note = (
            f"The mean of a {model.kind} model's unit directions over {NUM_SAMPLES:,} codes of the generator; in the "
            "original it depends on the code. mean_cosine says how alike the directions are to their mean."
        )
    contents = Contents(
        moves=tuple(
            Move(name, vectors[i], description=f"Direction {i}. {note}", metrics={"component": float(i), **metrics[i]})
            for i, name in enumerate(numbered("latentclr", model.count)[:count])
        ),
        unit="alpha: distance in code space",
        description="Directions told apart by contrast (LatentCLR, Yüksel et al., ICCV 2021, arXiv:2104.00820)."
        + (
            "" if model.fixed is not None else f" Its {model.kind} directions depend on the code; here are their means."
        ),
        origin={"model": model.kind, "depth": len(model.steps), "directions": model.count},
    )
    return add_names(contents, names_for(file.stem, request, "latentclr"))


@torch.no_grad()
def distil(model: DirectionModel, count: int, generator: Generator) -> tuple[Tensor, list[dict[str, float]]]:
    """Mean unit directions (count, size) over the generator's codes, and how far each code's own is from it."""
    total = torch.zeros(model.count, model.size, dtype=torch.float64)
    for found in over_codes(model, generator):
        total += found.double().sum(dim=1)
    means = total / NUM_SAMPLES
    lengths = means.norm(dim=1)
    everywhere = [k for k, length in enumerate(lengths[:count].tolist()) if not length > MIN_MEAN]
    if everywhere:
        raise PackFormatError(
            f"direction {everywhere[0]} points to all sides (mean cosine {lengths[everywhere[0]]:.2g}), so no fixed "
            "vector can stand for it. Take fewer with num_directions, or train LatentCLR's global model."
        )
    units = means / lengths[:, None].clamp_min(MIN_MEAN)
    cosines = torch.cat([torch.einsum("knd,kd->kn", u.double(), units) for u in over_codes(model, generator)], dim=1)
    spread = cosines.std(dim=1, correction=0)
    metrics = [{"mean_cosine": float(lengths[k]), "cosine_spread": float(spread[k])} for k in range(count)]
    return units[:count], metrics


def over_codes(model: DirectionModel, generator: Generator) -> Iterator[Tensor]:
    """Unit directions (K, n, size) for pieces of the generator's codes, untruncated, as LatentCLR trains."""
    if model.size not in (generator.code_dim, generator.z_dim if generator.code_space == "z" else generator.code_dim):
        raise PackMismatch(
            f"its directions have {model.size} numbers; the codes of {generator.describe()} have {generator.code_dim}. "
            "Load the generator that LatentCLR was trained on."
        )
    for codes in stream_codes(generator, NUM_SAMPLES, 0):
        rows = codes[:, 0, : model.size]
        for piece in (rows[at] for at in iterate_batches(len(rows), CHUNK)):
            yield model.directions(piece).nan_to_num_()  # a direction of length 0 counts as none
