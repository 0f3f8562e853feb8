"""Recipe: every hyper-parameter of a fit. What a pack says about how it was made is this, in full."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from eigan.errors import FitError, list_names, lookup
from eigan.latents import MAX_SEED
from eigan.layers import LayerRange

if TYPE_CHECKING:
    from eigan.generators.base import Generator
    from hub_export.methods.base import Method, Options

NUM_DIRECTIONS = 80  # GANSpace's default; its named edits reach component 69
MAX_SAMPLES = 10**9
MAX_BATCH = 10**7
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """What is fitted, and how.

    method: a name in METHODS. num_directions: None for 80, or as many as codes have numbers. num_samples: codes drawn;
    None for the method's default. seed: of the codes' stream. layers: what the directions move, "all" or "8-11" (both
    ends included). class_index: the one class drawn; None draws classes uniformly. precision: of the generator's
    passes, "fp32" or "bf16" (sums stay exact). options: the method's own hyper-parameters, by name; None for its
    defaults. batch_size: rows between two progress reports, 0 chooses; never changes the result.

    Raises:
        FitError: a value out of range, or an option that the method does not have. UnknownName: an unknown method.
    """

    method: str
    num_directions: int | None = None
    num_samples: int | None = None
    seed: int = 0
    layers: str = "all"
    class_index: int | None = None
    precision: str = "fp32"
    options: Options | Mapping[str, Any] | None = None
    batch_size: int = 0

    def __post_init__(self) -> None:
        from hub_export.methods import METHODS

        method = lookup(METHODS, self.method, "method")
        if self.num_directions is not None:
            _check_whole(self.num_directions, "num_directions", 1, 4096)
        if self.num_samples is not None:
            _check_whole(self.num_samples, "num_samples", 2, MAX_SAMPLES)
        if self.class_index is not None:
            _check_whole(self.class_index, "class_index", 0, 10**6)
        _check_whole(self.seed, "seed", 0, MAX_SEED)
        _check_whole(self.batch_size, "batch_size", 0, MAX_BATCH)
        if not isinstance(self.layers, str):
            raise FitError(f'layers is {self.layers!r}; wanted text: "all", "8" or "8-11"')
        if self.precision not in PRECISIONS:
            raise FitError(f"precision is {self.precision!r}; wanted one of {', '.join(PRECISIONS)}")
        object.__setattr__(self, "options", _checked_options(self.method, method, self.options))

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from one flat table: its fields and the method's options, as a recipe file holds them; or a pack's
        account of its fit (`DirectionPack.method`: the method is its "name"), in which the method's notes are passed
        over.

        Raises:
            FitError: no method, a name that is neither, a value of the wrong kind, or codes of another stream.
        """
        from hub_export.methods import METHODS

        values = dict(values)
        is_account = "name" in values and "method" not in values
        if is_account:
            values["method"] = values.pop("name")
        if not isinstance(values.get("method"), str):
            raise FitError("a recipe wants a method, such as method = 'pca'")
        _check_sampler(values.pop("sampler", None))
        own = {field.name for field in fields(cls)} - {"options"}
        if is_account:
            known = own | lookup(METHODS, values["method"], "method").options.model_fields.keys()
            values = {name: value for name, value in values.items() if name in known}
        return cls(
            **{name: value for name, value in values.items() if name in own},
            options={name: value for name, value in values.items() if name not in own},
        )

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
        self.layer_range(generator)
        if self.class_index is not None:
            generator.class_codes(self.class_index, 1)
        recipe = self if method.resolve is None else method.resolve(self, generator)
        varying = dim if generator.code_space == "w" else min(dim, generator.z_dim)  # the rest of a z code is the class
        num_directions = min(NUM_DIRECTIONS, varying) if recipe.num_directions is None else recipe.num_directions
        if num_directions > dim:
            raise FitError(f"{num_directions} directions asked for; codes of {generator.describe()} have {dim} numbers")
        num_samples = method.num_samples if recipe.num_samples is None else recipe.num_samples
        if num_samples <= num_directions:
            raise FitError(f"{num_samples} samples cannot tell {num_directions} directions apart; raise num_samples")
        return replace(recipe, num_directions=num_directions, num_samples=num_samples)

    def layer_range(self, generator: Generator) -> LayerRange:
        """The layers of `generator` that the directions move. Raises PackFormatError when it has no such layers."""
        return LayerRange.parse(self.layers, generator.num_layers)

    def describe(self) -> dict[str, Any]:
        """JSON-ready: the method's name and all that the result depends on. Batch size and device are not among it."""
        from hub_export.methods import METHODS
        from hub_export.sampling import SAMPLER

        unrecorded = METHODS[self.method].options.unrecorded
        return {
            "name": self.method,
            "num_directions": self.num_directions,
            "num_samples": self.num_samples,
            "seed": self.seed,
            "sampler": SAMPLER,
            "layers": self.layers,
            "class_index": self.class_index,
            "precision": self.precision,
            **{name: value for name, value in _as_json(self.options).items() if name not in unrecorded},
        }


def _checked_options(name: str, method: Method, given: Options | Mapping[str, Any] | None) -> Options:
    """`given` as the method's own options. Raises FitError."""
    if isinstance(given, method.options):
        return given
    values = _as_json(given)
    known = method.options.model_fields
    if strangers := [key for key in values if key not in known]:
        takes = f"takes {list_names(known)}" if known else "takes no options"
        raise FitError(f"{name} {takes}; {list_names(strangers)} means nothing to it")
    try:
        return method.options.model_validate_json(json.dumps(values))  # JSON: lists may fill tuples, the rest is strict
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"][:1])
        raise FitError(f"{place} is {values.get(place)!r}: {first['msg']}") from None
    except (TypeError, ValueError) as error:
        raise FitError(f"options of {name} cannot be read: {error}") from None


def _as_json(options: Options | Mapping[str, Any] | None) -> dict[str, Any]:
    if options is None:
        return {}
    return dict(options) if isinstance(options, Mapping) else options.model_dump(mode="json")


def _check_sampler(given: object) -> None:
    from hub_export.sampling import SAMPLER

    if given not in (None, SAMPLER):
        raise FitError(
            f"this recipe's codes came from the stream {str(given)[:80]!r}; this version draws {SAMPLER!r}, and would "
            "find other directions. Use the version that made it, or leave the sampler out."
        )


def _check_whole(value: object, noun: str, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FitError(f"{noun} is {value!r}; wanted a whole number from {low:,} to {high:,}")
