"""What a fitting method is given and what it gives back. A method is numerics only: no files, no clock, no global RNG.

Randomness comes from `problem.recipe.seed`, the device from `problem.generator.device`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from eigan.direction_model import DirectionModel
from eigan.errors import FitError
from eigan.generators.base import Generator
from eigan.layers import LayerRange
from eigan.strict_json import StrictModel
from hub_export.moments import Moments
from hub_export.recipe import Recipe
from hub_export.shelf import Shelf
from hub_export.workers import on_one_thread
from hub_export.world import ALONE, World

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done). May raise KeyboardInterrupt to stop the fit."""

O = TypeVar("O", bound="Options")  # noqa: E741


class Options(StrictModel):
    """A method's own hyper-parameters: a subclass declares fields with defaults, bounds and a description each.

    unrecorded: those that never change the result, such as a memory budget; a pack's account leaves them out.
    """

    unrecorded: ClassVar[frozenset[str]] = frozenset()


def silent(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Problem:
    """The generator, the recipe (resolved), the layers it names, and the moments of its num_samples codes.

    A method that needs the codes themselves draws them again: `sampling.stream_w(generator, recipe)` repeats them.
    One whose work takes more than seconds calls `report` between steps, keeps its state on `shelf` when interrupted
    (`shelf.keeping`), goes on from `shelf.take()` to the same bytes, and shares its work with `world`.
    """

    generator: Generator
    recipe: Recipe
    layers: LayerRange
    moments: Moments
    world: World = ALONE
    shelf: Shelf = Shelf()  # noqa: RUF009 (frozen)
    report: Progress = silent

    @property
    def num_directions(self) -> int:
        return self.recipe.num_directions or 0

    def options(self, kind: type[O]) -> O:
        """The recipe's options, of the method's own class."""
        if not isinstance(self.recipe.options, kind):
            raise FitError(
                f"options are {type(self.recipe.options).__name__}; {self.recipe.method} takes {kind.__name__}"
            )
        return self.recipe.options


@dataclass(frozen=True)
class Basis:
    """Directions, the strongest first. vectors (K, D), unit rows, float32, CPU. metrics: name -> (K,), float64.

    models: where directions depend on the codes, one for each; the vectors are then their means, made unit.
    notes: JSON-ready, for the pack's account of the fit. Its "history" (name -> numbers, at most 200 each) is plotted.
    """

    vectors: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    models: tuple[DirectionModel, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """solve: the numerics. num_samples: codes drawn by default. options: the hyper-parameters that only it has.

    code_spaces: where it has a meaning; in z every direction has the same spread, so that some methods find nothing.
    resolve: fills in what its options and num_samples leave open for a generator, or refuses it (FitError).
    """

    solve: Callable[[Problem], Basis]
    num_samples: int
    options: type[Options] = Options
    code_spaces: tuple[str, ...] = ("w", "z")
    resolve: Callable[[Recipe, Generator], Recipe] | None = None


def top_eigenvectors(matrix: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Top-k eigenvectors of the symmetric `matrix` (D, D), largest eigenvalue first: (k, D), (k,), float64.

    Eigenvectors are rows, signed by `orient`.
    """
    values, columns = on_one_thread(lambda: torch.linalg.eigh(matrix.double().cpu()))  # ascending
    return orient(columns.flip(1)[:, :k].t()), values.flip(0)[:k]


def orient(vectors: Tensor) -> Tensor:
    """Rows of vectors (K, D) with the sign that makes the entry of largest magnitude positive (the first, if tied)."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return (vectors * torch.where(largest < 0, -1.0, 1.0)).contiguous()
