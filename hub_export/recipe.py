"""Recipe: every hyper-parameter of a fit. What a pack says about how it was made is this, in full."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eigan.errors import FitError, lookup
from eigan.latents import MAX_SEED
from eigan.layers import LayerRange

if TYPE_CHECKING:
    from eigan.generators.base import Generator

NUM_DIRECTIONS = 80  # GANSpace's default; its named edits reach component 69
MAX_SAMPLES = 10**9
MAX_BATCH = 10**7
NORMALIZATIONS = ("column", "none")


@dataclass(frozen=True)
class Recipe:
    """What is fitted, and how.

    method: a name in METHODS. num_directions: None for 80, or as many as codes have numbers. num_samples: codes drawn;
    None for the method's default. seed: of the codes' stream. layers: what the directions move, "all" or "8-11" (both
    ends included). normalize: SeFa alone, "column" (its code) or "none" (its paper). class_index: the one class drawn;
    None draws classes uniformly. batch_size: rows between two progress reports, 0 chooses; never changes the result.

    Raises:
        FitError: a value out of range. UnknownName: an unknown method.
    """

    method: str
    num_directions: int | None = None
    num_samples: int | None = None
    seed: int = 0
    layers: str = "all"
    normalize: str = "column"
    class_index: int | None = None
    batch_size: int = 0

    def __post_init__(self) -> None:
        from hub_export.methods import METHODS

        lookup(METHODS, self.method, "method")
        if self.num_directions is not None:
            _check_whole(self.num_directions, "num_directions", 1, 4096)
        if self.num_samples is not None:
            _check_whole(self.num_samples, "num_samples", 2, MAX_SAMPLES)
        if self.class_index is not None:
            _check_whole(self.class_index, "class_index", 0, 10**6)
        _check_whole(self.seed, "seed", 0, MAX_SEED)
        _check_whole(self.batch_size, "batch_size", 0, MAX_BATCH)
        if self.normalize not in NORMALIZATIONS:
            raise FitError(f"normalize is {self.normalize!r}; wanted one of {', '.join(NORMALIZATIONS)}")

    def resolve(self, generator: Generator) -> Recipe:
        """This recipe with every default filled in for `generator`.

        Raises:
            FitError: more directions than the codes have numbers, fewer samples than directions, or a method that
                has no meaning in this generator's code space.
            PackFormatError: layers that the generator does not have. InvalidCodes: a class it does not have.
        """
        from hub_export.methods import METHODS

        method, dim = METHODS[self.method], generator.code_dim
        if generator.code_space not in method.code_spaces:
            raise FitError(
                f"{self.method} finds nothing in the {generator.code_space} of {generator.describe()}: codes spread "
                f"alike along every direction there. Use another method."
            )
        varying = dim if generator.code_space == "w" else min(dim, generator.z_dim)  # the rest of a z code is the class
        num_directions = min(NUM_DIRECTIONS, varying) if self.num_directions is None else self.num_directions
        if num_directions > dim:
            raise FitError(f"{num_directions} directions asked for; codes of {generator.describe()} have {dim} numbers")
        num_samples = method.num_samples if self.num_samples is None else self.num_samples
        if num_samples <= num_directions:
            raise FitError(f"{num_samples} samples cannot tell {num_directions} directions apart; raise num_samples")
        if self.class_index is not None:
            generator.class_codes(self.class_index, 1)
        self.layer_range(generator)
        return replace(self, num_directions=num_directions, num_samples=num_samples)

    def layer_range(self, generator: Generator) -> LayerRange:
        """The layers of `generator` that the directions move. Raises PackFormatError when it has no such layers."""
        return LayerRange.parse(self.layers, generator.num_layers)

    def describe(self) -> dict[str, Any]:
        """JSON-ready: the method's name and all that the result depends on. Batch size and device are not among it."""
        from hub_export.methods import METHODS
        from hub_export.sampling import SAMPLER

        own = {name: getattr(self, name) for name in METHODS[self.method].options}
        return {
            "name": self.method,
            "num_directions": self.num_directions,
            "num_samples": self.num_samples,
            "seed": self.seed,
            "sampler": SAMPLER,
            "layers": self.layers,
            "class_index": self.class_index,
            **own,
        }


def _check_whole(value: object, noun: str, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FitError(f"{noun} is {value!r}; wanted a whole number from {low:,} to {high:,}")
