"""Recipe files: one flat TOML table that `hub-export fit` repeats a fit from, and `hub-export recipe` writes of a pack.

generator = "user/faces@<commit>"   # as --generator
fingerprint = "..."                 # optional, the generator's: another one is refused
name = "faces-pca"                  # optional, the pack's
license = "cc0-1.0"                 # optional
method = "pca"                      # and any other field of Recipe, and option of the method
num_samples = 1_000_000
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eigan.errors import FitError, PackFormatError
from eigan.generators.base import Generator
from eigan.hub import parse_ref
from eigan.pack import DirectionPack, MadeFor
from hub_export.methods import METHODS
from hub_export.recipe import Recipe
from hub_export.toml_files import dump_toml, parse_toml, read_toml

TEXTS = ("generator", "fingerprint", "name", "license")


@dataclass(frozen=True)
class RecipeFile:
    """generator: a source that `load_generator` takes, "" for none said. fingerprint: "" for any. name, license: the
    pack's. values: what `Recipe.parse` takes.
    """

    generator: str = ""
    fingerprint: str = ""
    name: str = ""
    license: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> RecipeFile:
        """What the file says, not yet checked against a method. Raises PackFormatError, naming the file."""
        try:
            return cls.from_table(read_toml(path))
        except PackFormatError as error:
            raise PackFormatError(f"{path.name}: {error}") from None

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> RecipeFile:
        """A recipe file's parts. Raises PackFormatError."""
        values = dict(table)
        texts = {key: values.pop(key, "") for key in TEXTS}
        for key, text in texts.items():
            if not isinstance(text, str):
                raise PackFormatError(f'{key} is {str(text)[:80]}; wanted text, such as {key} = "..."')
        return cls(**texts, values=values)

    @classmethod
    def of_pack(cls, pack: DirectionPack) -> RecipeFile:
        """The file that fits `pack` again. Raises FitError when it was not fitted by a method that is known here."""
        method = pack.method.get("name")
        if not isinstance(method, str) or method not in METHODS:
            raise FitError(
                f"pack {pack.name!r} was not fitted by a known method, but {str(method)[:80]!r}; "
                "there is no recipe to repeat it"
            )
        recipe = Recipe.parse(pack.method).describe()
        return cls(
            pinned_source(pack.made_for),
            pack.made_for.fingerprint,
            pack.name,
            pack.license,
            {"method": recipe.pop("name"), **recipe},
        )

    def recipe(self, overrides: Mapping[str, Any]) -> Recipe:
        """The recipe, PCA when no method is said; `overrides` (Recipe's fields, options) replace the file's values.

        Another method than the file's takes none of its options.
        """
        values = {"method": "pca", **self.values}
        if overrides.get("method", values["method"]) != values["method"]:
            fields = Recipe.__dataclass_fields__
            values = {name: value for name, value in values.items() if name in fields or name == "sampler"}
        return Recipe.parse({**values, **overrides})

    def check_fits(self, generator: Generator) -> None:
        """Raise FitError when the file names the fingerprint of another generator."""
        if self.fingerprint and self.fingerprint != generator.fingerprint:
            raise FitError(
                f"the recipe was made with a generator of fingerprint {self.fingerprint[:12]}; {generator.describe()} "
                f"from {generator.source or 'there'} has {generator.fingerprint[:12]}. Use that generator, or take the "
                "fingerprint out of the file."
            )

    def to_toml(self) -> str:
        """The file's text; reading it back gives the same recipe.

        Raises:
            FitError: a value that TOML cannot say.
        """
        texts = {key: getattr(self, key) or None for key in TEXTS}
        text = dump_toml({**texts, **self.values})
        again = RecipeFile.from_table(parse_toml(text.encode(), "the recipe"))
        if replace(again, values={}) != replace(self, values={}) or again.recipe({}) != self.recipe({}):
            raise FitError(f"the recipe of {self.name!r} holds an option that is set to nothing, which TOML cannot say")
        return text


def pinned_source(made_for: MadeFor) -> str:
    """Where the generator is, at the commit that was used: "user/name@<commit>:file"; paths and addresses as given."""
    ref = parse_ref(made_for.source)
    if ref is None or not made_for.revision:
        return made_for.source
    return str(replace(ref, revision=made_for.revision))
