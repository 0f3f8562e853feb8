"""Share links, file names and toast-safe words: recipes as a person sees them. Pure functions, no Gradio."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from eigan.recipe import PictureRecipe

DEFAULT_SEED = 65
DEFAULT_PSI = 0.7
RECIPE_KEYS = ("pack", "with", "seed", "psi", "class", "edit", "layers", "keep", "pose", "noise")
LOCAL_HOST = "http://127.0.0.1:7860/"


def read_link(query: Mapping[str, str], default_pack: str) -> PictureRecipe | None:
    """The recipe that a page address asks for, what it leaves out filled in; None when it asks for nothing.

    Raises:
        PackFormatError: malformed or out of range.
    """
    asked = {key: query[key] for key in RECIPE_KEYS if key in query}
    if not asked:
        return None
    defaults = {"pack": default_pack, "seed": str(DEFAULT_SEED), "psi": str(DEFAULT_PSI)}
    return PictureRecipe.from_query(defaults | asked)


def share_link(recipe: PictureRecipe, page: str) -> str:
    """The address that shows the same picture: `page` (ending in '/') with the recipe as its query."""
    return f"{page}?{recipe.to_query()}"


def page_address(headers: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Where the visitor sees this page, ending in '/': the Space's own host, else what the browser asked for."""
    if host := environ.get("SPACE_HOST"):
        return f"https://{host.split(',')[0].strip()}/"
    if host := headers.get("x-forwarded-host") or headers.get("host"):
        scheme = headers.get("x-forwarded-proto", "http").split(",")[0].strip()
        address = f"{'https' if scheme == 'https' else 'http'}://{host.split(',')[0].strip()}/"
        return address if urlsplit(address).hostname else LOCAL_HOST
    return LOCAL_HOST


def file_name(recipe: PictureRecipe) -> str:
    """The name of a downloaded picture: pack and seed, safe on every system."""
    pack = re.sub(r"[^A-Za-z0-9.]+", "-", recipe.pack.rstrip("/\\").rpartition("/")[2]).strip("-.")[:60] or "picture"
    edited = "-edited" if recipe.amounts else ""
    return f"{pack}-seed-{recipe.seed}{edited}.png"
