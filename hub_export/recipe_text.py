"""A pack's account of its fit as the recipe files that repeat it, for cards and pages: text that only shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from eigan.errors import EiganError
from eigan.pack import DirectionPack
from hub_export.markdown import Markdown
from hub_export.recipe_file import RecipeFile

MAX_RECIPES = 12


@dataclass(frozen=True)
class ShownRecipe:
    """source: the pack that it fitted, "" for the pack itself. file: a name to save it under. command: fits it again.

    keys: those of the account that it repeats.
    """

    source: str
    file: Markdown
    text: Markdown
    command: Markdown
    keys: frozenset[str]


def recipes_of(pack: DirectionPack) -> list[ShownRecipe]:
    """The recipe of `pack`, or of the packs that its directions were picked from; none of what is not known here."""
    shown = []
    for source, method in accounts_of(pack):
        try:
            file = RecipeFile.of_pack(replace(pack, name=source or pack.name, method=method))
            text = file.to_toml().strip("\n")
        except (EiganError, TypeError):
            continue
        if all(line.isprintable() for line in text.split("\n")):  # texts are quoted: no line of theirs can end a block
            shown.append(_shown(source, file, text))
    return shown


def accounts_of(pack: DirectionPack) -> list[tuple[str, Mapping[str, Any]]]:
    """How the pack was fitted: ("", its method), or that of each pack it was picked from, by name."""
    sources = pack.method.get("sources") if pack.method.get("name") == "named" else None
    if not isinstance(sources, Mapping):
        return [("", pack.method)]
    return [(str(name), method) for name, method in sources.items() if isinstance(method, Mapping)][:MAX_RECIPES]


def _shown(source: str, file: RecipeFile, text: str) -> ShownRecipe:
    name = f"recipe-{re.sub('[^a-z0-9]+', '-', source.lower()).strip('-')[:60]}.toml" if source else "recipe.toml"
    generator = "" if file.generator else " --generator generator.pkl"
    command = f"hub-export fit{generator} --out my-{file.values['method']} {name}"
    return ShownRecipe(source, Markdown(name), Markdown(text), Markdown(command), frozenset(file.values) | {"name"})
