"""What a file's moves mean for one generator: space, unit length, sigma, layers, truncation. The same for all formats.

Canonical here: truncate first, then add amount * sigma * vector (see `eigan.edit`). Tools that truncate after the edit
(GANSpace's StyleGAN2, rosinality, LatentCLR's pictures) move by psi times as much; their amounts are multiplied by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from eigan.errors import PackFormatError, PackMismatch
from eigan.generators.base import Generator
from eigan.importers.base import Composition, Contents, Move, Request, Space, unique
from eigan.importers.sigma import NUM_SAMPLES, measure_model_sigma, measure_sigma
from eigan.layers import LayerRange
from eigan.pack import MAX_AMOUNT, MAX_NAME, MAX_TEXT, Direction, DirectionPack, MadeFor, Preset, reach_for

SAME_LENGTH = 1e-3  # rows whose lengths differ by less move together
TINY = 1e-12
SEED = 0


@dataclass(frozen=True, eq=False)
class Piece:
    """A move that fits the generator: unit vector (D,) or (len(layers), D), and how long it was in the file."""

    move: Move
    name: str
    vector: Tensor
    length: float
    layers: LayerRange
    note: str = ""


@dataclass(frozen=True, eq=False)
class Fitted:
    """Pieces of all moves, the compositions that hold parts of one move together, and what was left out."""

    pieces: tuple[Piece, ...]
    compositions: tuple[Composition, ...]
    notes: tuple[str, ...] = field(default=())


def convert(
    contents: Contents, request: Request, *, name: str, license: str, record: Mapping[str, Any]
) -> DirectionPack:
    """`contents` as a pack for the request's generator; `record` (format, file, sha256) goes into its method.

    Raises:
        PackMismatch: vectors of another space or size than the generator's codes.
        PackFormatError: nothing that can be moved, or vectors of length 0.
    """
    generator = request.generator
    space, space_from = decide_space(contents, request)
    fitted = fit_moves(contents.moves, generator, request)
    sigmas = find_sigmas(fitted.pieces, generator)
    units = [sigma_unit(piece) / sigma for piece, sigma in zip(fitted.pieces, sigmas, strict=True)]
    psis = [request.truncation_psi or piece.move.psi for piece in fitted.pieces]
    factors = [unit * psi for unit, psi in zip(units, psis, strict=True)]  # sigmas for one of the file's amounts
    names = unique([piece.name for piece in fitted.pieces])
    directions = tuple(
        make_direction(piece, names[i], sigmas[i], factors[i], psis[i], generator.num_layers)
        for i, piece in enumerate(fitted.pieces)
    )
    presets, left_out = make_presets(
        (*fitted.compositions, *contents.compositions),
        {piece.name: (names[i], factors[i]) for i, piece in reversed(list(enumerate(fitted.pieces)))},
    )
    notes = [*contents.notes, *fitted.notes, *left_out]
    measured = any(piece.move.sigma is None for piece in fitted.pieces)
    method = {
        "name": "import",
        **record,
        "space": space,
        "space_from": space_from,
        "unit": contents.unit,
        "sigma_from": "codes of the generator" if measured else "the file",
        **({"num_samples": NUM_SAMPLES, "seed": SEED} if measured else {}),
        "scaled_by_psi": sorted({psi for psi, piece in zip(psis, fitted.pieces, strict=True) if piece.move.amounts}),
        "sign": "as in the file; directions named for their negative end are turned round",
        **({"notes": notes} if notes else {}),
        **contents.origin,
    }
    return DirectionPack(
        name=name,
        made_for=MadeFor.describe(generator),
        directions=directions,
        method=method,
        presets=presets,
        description=shorten(" ".join([contents.description, *notes])),
        license=license,
    )


def decide_space(contents: Contents, request: Request) -> tuple[Space, str]:
    """The space of the file's vectors and what says so; it must be the generator's own.

    Raises:
        PackMismatch: it is not.
        PackFormatError: the caller and the file contradict each other.
    """
    generator, space, source = request.generator, contents.space, contents.space_from
    if request.space and space and source == "the file" and request.space != space:
        raise PackFormatError(f"its vectors lie in {space}, as the file itself says; leave space={request.space!r} out")
    if request.space:
        space, source = request.space, "the caller"
    elif not space:
        space, source = generator.code_space, "the generator, for the file does not say"
    if space == generator.code_space:
        return space, source
    if space == "z":
        raise PackMismatch(
            f"its directions lie in z ({source} says so); {generator.describe()} is edited in w. The mapping from z to "
            "w is not linear, so a move in z is no move in w: use a file fitted in w (GANSpace: a component file of "
            "--use_w, ending in _w.npz; InterFaceGAN: *_w_boundary.npy)."
            + (" If you know that the vectors are of w, say so: space='w'." if source == "the file name" else "")
        )
    raise PackMismatch(
        f"its directions lie in w ({source} says so); {generator.describe()} is edited in z and has no w. "
        "Use directions that were found in z."
    )


def fit_moves(moves: Sequence[Move], generator: Generator, request: Request) -> Fitted:
    """Every move as unit vectors on layers that the generator has; those whose layers do not exist are left out.

    Raises:
        PackFormatError: a vector of length 0, or nothing is left.
        PackMismatch: vectors that do not fit the codes.
    """
    pieces: list[Piece] = []
    compositions: list[Composition] = []
    notes: list[str] = []
    for move in moves:
        layers, note = clip_layers(move, generator.num_layers, request.layers)
        if layers is None:
            notes.append(note)
            continue
        vector = fit_vector(move, generator)
        if vector.ndim == 1:
            pieces.append(make_piece(move, vector, layers, note))
            continue
        parts = split_rows(move, vector[layers.slice], layers, note)
        pieces += parts
        if len(parts) > 1:
            amounts = {part.name: 1.0 for part in parts}
            compositions.append(Composition(move.name, amounts, f"All layers of {move.name}, as far as in the file."))
    if not pieces:
        raise PackFormatError(f"nothing can be moved: {notes[0] if notes else 'the file holds no direction'}")
    return Fitted(tuple(pieces), tuple(compositions), tuple(notes))


def clip_layers(move: Move, num_layers: int, wanted: LayerRange | None) -> tuple[LayerRange | None, str]:
    """The move's layers that exist, and what had to be changed; None when there are none."""
    if move.layers is None:
        return wanted or LayerRange(0, num_layers), ""
    start, stop = move.layers
    if not 0 <= start < stop:
        return None, f"{move.name}: layers [{start}, {stop}) are empty; left out."
    if start >= num_layers:
        return None, f"{move.name}: layers [{start}, {stop}) do not exist, for there are {num_layers}; left out."
    if stop > num_layers:
        return LayerRange(start, num_layers), f"The file says layers up to {stop - 1}; there are {num_layers}."
    return LayerRange(start, stop), ""


def fit_vector(move: Move, generator: Generator) -> Tensor:
    """The vector (D,) or (L, D), float64; padded with zeros where codes hold more than z (a class beside it).

    Raises:
        PackMismatch: it does not fit the generator's codes.
    """
    vector = move.vector.double()
    dim, code_dim = vector.shape[-1], generator.code_dim
    if vector.ndim == 2 and len(vector) != generator.num_layers:
        raise PackMismatch(
            f"{move.name} has a row for each of {len(vector)} layers; {generator.describe()} has {generator.num_layers}"
        )
    if dim == code_dim:
        return vector
    if generator.code_space == "z" and dim == generator.z_dim < code_dim:
        return torch.cat([vector, vector.new_zeros(*vector.shape[:-1], code_dim - dim)], dim=-1)
    raise PackMismatch(
        f"its directions have {dim} numbers; the codes of {generator.describe()} have {code_dim}. "
        "Load the generator that the file was made for."
    )


def make_piece(move: Move, vector: Tensor, layers: LayerRange, note: str, name: str = "") -> Piece:
    length = float(vector.norm(dim=-1).mean())
    if not length > TINY:
        raise PackFormatError(f"{move.name} has length {length:g}; a direction must point somewhere")
    unit = vector / vector.norm(dim=-1, keepdim=True)
    return Piece(move, name or move.name, unit, length, layers, note)


def split_rows(move: Move, rows: Tensor, layers: LayerRange, note: str) -> list[Piece]:
    """One piece where all rows (of `layers`) are equally long; else one for each layer that moves.

    A direction has one sigma for all of its layers, so rows of different lengths cannot share it.
    """
    lengths = rows.norm(dim=1)
    moved = [i for i, length in enumerate(lengths.tolist()) if length > TINY]
    if not moved:
        raise PackFormatError(f"{move.name} has length 0 on layers {layers}; a direction must point somewhere")
    start, stop = moved[0], moved[-1] + 1
    rows, lengths = rows[start:stop], lengths[start:stop]
    layers = LayerRange(layers.start + start, layers.start + stop)
    if len(moved) == len(rows) and float(lengths.max() - lengths.min()) <= SAME_LENGTH * float(lengths.max()):
        same = bool((rows == rows[0]).all())
        return [make_piece(move, rows[0] if same else rows, layers, note)]
    return [
        make_piece(move, row, LayerRange(layer, layer + 1), note, with_tail(move.name, f", layer {layer}"))
        for layer, row in enumerate(rows, layers.start)
        if float(row.norm()) > TINY
    ]


def with_tail(name: str, tail: str) -> str:
    return name[: MAX_NAME - len(tail)] + tail


def sigma_unit(piece: Piece) -> float:
    """What one of the file's amounts moves, as a distance."""
    return piece.length * (1.0 if piece.move.sigma is None else piece.move.sigma)


def find_sigmas(pieces: Sequence[Piece], generator: Generator) -> list[float]:
    """Sigma of each piece: as the file states it, else measured on the generator's codes."""
    sigmas = [sigma_unit(piece) if piece.move.sigma is not None else 0.0 for piece in pieces]
    for piece, sigma in zip(pieces, sigmas, strict=True):
        if piece.move.sigma is not None and not sigma > TINY:
            raise PackFormatError(
                f"sigma of {piece.name} is {sigma:g}: the codes do not vary along it; take fewer with num_directions"
            )
    models = {i: piece.move.model for i, piece in enumerate(pieces) if piece.move.model is not None}
    if models:
        measured = measure_model_sigma(generator, list(models.values()), seed=SEED).tolist()
        for i, sigma in zip(models, measured, strict=True):
            sigmas[i] = sigma
    groups: dict[tuple[LayerRange | None, int], list[int]] = {}
    for i, piece in enumerate(pieces):
        if piece.move.sigma is None and i not in models:
            groups.setdefault((piece.layers if piece.vector.ndim == 2 else None, piece.vector.ndim), []).append(i)
    for (layers, _), members in groups.items():
        vectors = torch.stack([pieces[i].vector for i in members])
        for i, sigma in zip(members, measure_sigma(generator, vectors, layers, seed=SEED).tolist(), strict=True):
            sigmas[i] = sigma
    return sigmas


def make_direction(piece: Piece, name: str, sigma: float, factor: float, psi: float, num_layers: int) -> Direction:
    """The piece as a Direction."""
    move = piece.move
    reach = max([reach_for(piece.layers, num_layers), *(math.ceil(abs(a * factor)) for a in move.amounts)])
    reach = min(reach, MAX_AMOUNT)
    metrics = dict(move.metrics)
    if move.amounts:
        metrics["scaled_by_psi"] = psi
    return Direction(
        name=name,
        vector=piece.vector.float(),
        sigma=sigma,
        layers=piece.layers,
        amount_range=(-reach, reach),
        poles=("", move.positive_pole),
        description=shorten(f"{move.description} {piece.note}".strip()),
        metrics=metrics,
        model=move.model,
    )


def make_presets(
    compositions: Sequence[Composition], known: Mapping[str, tuple[str, float]]
) -> tuple[tuple[Preset, ...], list[str]]:
    """Presets in sigmas, and notes on those that could not be made. known: move -> (direction, sigmas for amount 1)."""
    presets: list[Preset] = []
    notes = []
    names = unique([composition.name for composition in compositions])
    for name, composition in zip(names, compositions, strict=True):
        missing = [move for move in composition.amounts if move not in known]
        if missing:
            notes.append(f"The preset {name} needs {missing[0]}, which is not here; left out.")
            continue
        amounts = {known[move][0]: amount * known[move][1] for move, amount in composition.amounts.items()}
        if max(abs(a) for a in amounts.values()) > MAX_AMOUNT:
            notes.append(f"The preset {name} moves more than {MAX_AMOUNT:g} sigmas; left out.")
            continue
        presets.append(Preset(name, amounts, composition.description))
    return tuple(presets), notes


def shorten(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
