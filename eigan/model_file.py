"""models.safetensors: the weights of a pack's direction models; "3.0.weight" is of the first layer of direction 3.

"<direction>.<layer>.weight" (O, I), ".bias" (O), ".scale" and ".shift" (O) of the normalisation folded to an affine
map. With x the first `size` numbers of a row of codes, every layer makes x <- scale * (weight x + bias) + shift, then
max(x, 0) where the manifest's `relu` says so; the direction is the last x over its length.

Weights are float32, as LatentCLR trains and publishes them: what a model says through a pack is what it said before, to
the bit, and what a fit wrote can be trained on. float16 would halve the file for a change of directions that nobody
sees; it is read, for whoever needs it, and written only where it was read. A hundred networks of three layers of 512
take 315 MB; the file ends at 1 GiB. It is mapped, not read into memory: hashed and checked in passing, then fetched by
the system where a slider uses it and dropped again under pressure, so that an app with many such packs open holds
little more than what is moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from eigan.direction_model import MAX_STEPS, MAX_WIDTH, DirectionModel
from eigan.errors import CheckpointError, PackFormatError
from eigan.pack import Direction
from eigan.strict_json import StrictModel

MODELS = "models.safetensors"
MAX_MODEL_BYTES = 2**30
MAX_MODEL_TENSORS = 16384  # as many as the header check reads
DTYPES = (torch.float32, torch.float16)


class ModelEntry(StrictModel):
    """What the manifest says of a direction's model. relu: whether one follows each layer; never the last."""

    size: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    relu: Annotated[list[bool], Field(min_length=1, max_length=MAX_STEPS)]


def describe_model(model: DirectionModel) -> ModelEntry:
    return ModelEntry(size=model.size, relu=[step.bends for step in model.steps])


def model_bytes(directions: tuple[Direction, ...]) -> bytes | None:
    """The file's bytes, the same for the same models; None when no direction has one. Raises PackFormatError."""
    tensors = {
        f"{i}.{name}": tensor
        for i, direction in enumerate(directions)
        if direction.model is not None
        for name, tensor in direction.model.tensors().items()
    }
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    if size > MAX_MODEL_BYTES - 2**22 or len(tensors) > MAX_MODEL_TENSORS:
        raise PackFormatError(
            f"the directions' models have {len(tensors):,} arrays of {size:,} bytes; a pack holds at most "
            f"{MAX_MODEL_TENSORS:,} of {MAX_MODEL_BYTES:,}. Spread the directions over several packs."
        )
    return save(unshared(tensors)) if tensors else None


def read_models(path: Path, described: Mapping[int, ModelEntry]) -> dict[int, DirectionModel]:
    """The models of the directions that `described` lists by their place, from a file whose hash was checked.

    Raises:
        PackFormatError: a header that does not describe the file, arrays that no direction has or that one lacks,
            other numbers than float32 and float16, or layers that make no model.
    """
    from eigan.readers.safetensors import check_header

    parts: dict[int, dict[str, Tensor]] = {i: {} for i in described}
    by_name = {str(i): i for i in described}
    try:
        check_header(path)
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                place, _, part = name.partition(".")
                if place not in by_name:
                    raise PackFormatError(f"{MODELS} holds {name[:80]!r}; no direction of the pack has that model")
                parts[by_name[place]][part] = _aligned(file.get_tensor(name))
    except PackFormatError:
        raise
    except (CheckpointError, SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise PackFormatError(f"{MODELS} cannot be read: {error}") from None
    return {i: _model(i, described[i], tensors) for i, tensors in parts.items()}


def _model(place: int, entry: ModelEntry, tensors: Mapping[str, Tensor]) -> DirectionModel:
    odd = next((t.dtype for t in tensors.values() if t.dtype not in DTYPES), None)
    if odd is not None:
        raise PackFormatError(f"the model of direction {place} holds {odd}; wanted float32 or float16")
    try:
        return DirectionModel.from_tensors(entry.size, entry.relu, tensors)
    except PackFormatError as error:
        raise PackFormatError(f"the model of direction {place}: {error}") from None


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, copied where two of them are the same memory, which safetensors refuses to write."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        found[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return found


def _aligned(tensor: Tensor) -> Tensor:
    return tensor if tensor.data_ptr() % tensor.element_size() == 0 else tensor.clone()
