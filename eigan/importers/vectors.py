"""Bare arrays of directions: InterFaceGAN's boundaries, GANSpace's Colab exports, e4e's .pt, W+ directions, matrices.

Such a file holds nothing but numbers: a direction (D,) or (1, D), a direction with a row for each layer (L, D), or K
directions (K, D). What they are of is at best in the file's name. InterFaceGAN: Shen et al., CVPR 2020,
arXiv:1907.10786, boundaries as written by train_boundary.py, commit 8da3fc0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from eigan.errors import PackFormatError
from eigan.importers.base import (
    MAX_DIM,
    Contents,
    Move,
    Opened,
    Request,
    Space,
    clean_text,
    is_leaf,
    numbered,
    read_numbers,
    read_rows,
    shape_of,
    taken,
)
from eigan.pack import MAX_DIRECTIONS

MAX_TABLE_BYTES = 2**28
MAX_TABLE_NUMBERS = 2**22  # 4,096 directions of 1,024
MAX_LINE = 2**20
SEPARATORS = re.compile(r"[,;\s]+")


def sniff(file: Opened) -> bool:
    return file.container in ("npy", "torch") and is_leaf(file.value)


def read(file: Opened, request: Request) -> Contents:
    """One direction, one with a row a layer, or many; `request.per_layer` decides where the shape leaves it open.

    Raises:
        PackFormatError: an array of another shape, or of style channels (StyleCLIP).
    """
    shape = shape_of(file.value) or ()
    sizes = tuple(n for n in shape if n != 1)
    if len(sizes) == 1:
        return single(file, read_numbers(file.value, "the array").reshape(-1))
    if len(shape) == 3 and shape[0] == 1:  # W+ codes are kept as (1, L, D)
        return rows(file, request, read_numbers(file.value, "the array")[0])
    return rows(file, request, read_rows(file.value, "the array"))


def rows(file: Opened, request: Request, matrix: Tensor) -> Contents:
    """(L, D) with L the generator's layers is one direction with a row a layer; any other (K, D) is K."""
    if matrix.ndim != 2:
        raise PackFormatError(f"the array has shape {tuple(matrix.shape)}; wanted (D,), (K, D) or (L, D)")
    count, layers = len(matrix), request.generator.num_layers
    if request.per_layer and count != layers:
        raise PackFormatError(f"it has {count} rows, not one for each of the generator's {layers} layers")
    if count == layers > 1 and request.per_layer is not False:
        found = single(file, matrix)
        note = f"Its {count} rows are taken as the rows of one direction, one a layer, for the generator has {layers}."
        return found if request.per_layer else replace(found, notes=(note,))
    moves = tuple(
        Move(name, matrix[i], description=f"Row {i} of {file.name}.")
        for i, name in enumerate(numbered("direction", count)[: taken(count, request)])
    )
    return Contents(moves, unit="length of the vector", description=f"{count} directions from a bare matrix.")


@dataclass(frozen=True)
class FileName:
    """What the name of a file says: of the direction, and of its space."""

    title: str
    space: Space | Literal[""]
    description: str


def read_name(stem: str) -> FileName:
    """InterFaceGAN's names: '{model}_{data}_{attribute}[_c_{attribute}...][_w]_boundary'; others name the direction."""
    stem = clean_text(stem)
    if not stem.endswith("_boundary"):
        return FileName(stem.replace("_", " ").strip() or "direction", "", "A direction from a bare array.")
    body = stem.removesuffix("_boundary")
    space: Space = "w" if body.endswith("_w") else "z"
    attribute, *conditions = body.removesuffix("_w").split("_c_", 1)
    attribute = attribute.rpartition("_")[2] or attribute
    kept = conditions[0].replace("_", ", ") if conditions else ""
    return FileName(
        f"{attribute}, keeping {kept}" if kept else attribute,
        space,
        f"A boundary of InterFaceGAN (arXiv:1907.10786): the unit normal of a hyperplane in {space}, as its file name "
        "says." + (f" Conditional: moves along it leave {kept} as they are." if kept else ""),
    )


def single(file: Opened, vector: Tensor) -> Contents:
    """One direction, named and placed by the file's name."""
    name = read_name(file.stem)
    boundary = file.stem.endswith("_boundary")
    return Contents(
        moves=(Move(name.title[:80], vector, description=name.description),),
        unit="distance in code space" if boundary else "length of the vector",
        space=name.space,
        space_from="the file name" if name.space else "",
        description=name.description,
        origin={"shape": list(vector.shape), "dtype": str(vector.dtype).removeprefix("torch.")},
    )


def sniff_table(file: Opened) -> bool:
    return file.container == "text"


def read_table(file: Opened, request: Request) -> Contents:
    """Rows of numbers as numpy.savetxt writes them, with blanks, commas or semicolons between; '#' begins a comment.

    Raises:
        PackFormatError: too large, uneven, or anything that is no number.
    """
    size = file.path.stat().st_size
    if size > MAX_TABLE_BYTES:
        raise PackFormatError(f"it has {size:,} bytes; at most {MAX_TABLE_BYTES:,} of text are read")
    found: list[Tensor] = []
    numbers = 0
    with file.path.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), b""), 1):
            if len(line) > MAX_LINE or number > 2 * MAX_DIRECTIONS:
                raise PackFormatError(f"line {number} is beyond {MAX_DIRECTIONS:,} rows or {MAX_LINE:,} bytes")
            row = parse_row(line, number)
            if row is None:
                continue
            if found and len(row) != len(found[0]):
                raise PackFormatError(f"line {number} has {len(row)} numbers; the first row has {len(found[0])}")
            found.append(row)
            numbers += len(row)
            if len(row) > MAX_DIM or numbers > MAX_TABLE_NUMBERS:
                raise PackFormatError(
                    f"line {number} has {len(row):,} numbers, {numbers:,} so far; wanted at most {MAX_DIM:,} and "
                    f"{MAX_TABLE_NUMBERS:,}. Save more of them with numpy.save."
                )
            if len(found) > MAX_DIRECTIONS:
                raise PackFormatError(f"it has more than {MAX_DIRECTIONS:,} rows; no file of directions does")
    if not found or len(found[0]) < 2:
        raise PackFormatError("it holds no rows of numbers")
    matrix = torch.stack(found)
    if len(matrix) == 1:
        return single(file, matrix[0])
    return rows(file, request, matrix)


def parse_row(line: bytes, number: int) -> Tensor | None:
    """The numbers of a line, float64; None for blank lines and comments. Raises PackFormatError."""
    try:
        text = line.decode("ascii").partition("#")[0].strip().strip(",;")
        if not text:
            return None
        if "_" in text:
            raise ValueError
        row = torch.tensor([float(word) for word in SEPARATORS.split(text)], dtype=torch.float64)
    except ValueError:
        raise PackFormatError(f"line {number} holds something that is no number; directions are rows of them") from None
    if not bool(row.isfinite().all()):
        raise PackFormatError(f"line {number} holds NaN or infinite values; the file is damaged")
    return row
