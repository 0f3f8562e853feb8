"""Generators and packs by what nodes and recipes call them: a bundled name, a file of ComfyUI's folders, a Hub id.

Never a path: a workflow or a recipe is a stranger's text, and nothing but listed files may be opened for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from eigan import sources
from eigan.errors import EiganError, PackMismatch, UnknownName, list_names
from eigan.generators.base import Generator
from eigan.hub import parse_ref
from eigan.pack import DirectionPack, MadeFor
from eigan.recipe import PictureRecipe

from . import comfy
from .values import GanGenerator

if TYPE_CHECKING:
    from eigan.ui.fitting import FitSource

FOLDERS = {comfy.GENERATORS: "generator", comfy.DIRECTIONS: "direction pack"}
MANIFESTS = ("config.json", "presets.json")  # beside a pack's or generator's weights: part of its content


def named_in_recipe(folder: str, name: str) -> str:
    """What a recipe calls a file of ours: no path of this machine, no Hub id, never a bundled name."""
    path = PurePosixPath(name)
    return f"models/{folder}/{path.parent if path.name in ('model.safetensors', 'directions.safetensors') else path}"


def generator_names() -> list[str]:
    """What the loader offers: bundled generators, then the files of models/gan_generators."""
    return [*sources.bundled_generators(), *comfy.listed(comfy.GENERATORS)]


def pack_names() -> list[str]:
    """What the loader offers: bundled packs, then the files of models/gan_directions."""
    return [*sources.bundled_packs(), *comfy.listed(comfy.DIRECTIONS)]


def check_generator_name(name: str) -> None:
    """Raise UnknownName unless it is a bundled or listed generator."""
    if name not in sources.bundled_generators():
        comfy.find(comfy.GENERATORS, name)


def check_pack_name(name: str) -> None:
    """Raise UnknownName unless it is a bundled or listed pack."""
    if name not in sources.bundled_packs():
        comfy.find(comfy.DIRECTIONS, name)


def fingerprint(folder: str, name: str, hub_id: str) -> str:
    """What changes when another thing would be opened: the content of files, the id of the Hub's."""
    if hub_id.strip():
        return f"hub {hub_id.strip()}"
    if bundled := sources.bundled_path(name):
        return " ".join(comfy.digest(path) for path in sorted(bundled.glob("*.*")))
    try:
        path = comfy.find(folder, name)
    except UnknownName:
        return "missing"
    return " ".join(comfy.digest(one) for one in (path, *(path.with_name(beside) for beside in MANIFESTS)))


def open_generator(name: str, hub_id: str = "") -> Generator:
    """The generator of the Hub with that id, or, where none is given, the bundled or listed one called `name`.

    Raises:
        EiganError: there is none, or it cannot be read; nothing in it was run.
    """
    if hub_id.strip():
        return sources.load_generator(_checked_id(hub_id, "org/name@v1.0.0 or org/name:network.pkl"))
    if name in sources.bundled_generators():
        return sources.load_generator(name)
    generator = sources.load_generator(comfy.find(comfy.GENERATORS, name))
    generator.source = named_in_recipe(comfy.GENERATORS, name)
    return generator


def open_pack(name: str, hub_id: str = "") -> DirectionPack:
    """The pack of the Hub with that id, or, where none is given, the bundled or listed one called `name`.

    Raises:
        EiganError: there is none, or it is damaged.
    """
    if hub_id.strip():
        return sources.load_pack(_checked_id(hub_id, "org/name@v1.0.0"))
    if name in sources.bundled_packs():
        return sources.load_pack(name)
    path = comfy.find(comfy.DIRECTIONS, name)
    return replace(sources.load_pack(path.parent), source=named_in_recipe(comfy.DIRECTIONS, name))


def adopted(pack: DirectionPack, generator: Generator) -> DirectionPack:
    """`pack` of another generator taken for this one, at one's own risk; no recipe can name it.

    Raises:
        PackMismatch: codes of another shape, which nothing helps against.
    """
    made_for = MadeFor.describe(generator)
    if (pack.made_for.num_layers, pack.made_for.code_dim) != (made_for.num_layers, made_for.code_dim):
        raise PackMismatch(
            f"pack {pack.name!r} was fitted on {pack.made_for}; this generator is {made_for}. Codes of another shape "
            "cannot be moved by it, whatever is allowed; load a pack made for this generator."
        )
    return replace(pack, made_for=made_for, source="", revision="")


def open_recipe(recipe: PictureRecipe, given: GanGenerator | None) -> tuple[GanGenerator, list[DirectionPack]]:
    """The generator and packs that a recipe names; `given` in place of the former where it is connected.

    Raises:
        EiganError: one of them cannot be had here; the message says which, and what to do.
    """
    if not recipe.pack:
        raise UnknownName("the recipe names no pack; connect its codes and edit by the nodes for them")
    gan = given or _fit_generator(recipe) or _stated_generator(recipe)
    packs: list[DirectionPack] = []
    for text in dict.fromkeys((recipe.pack, *recipe.further)):
        if (fit := parse_fit(text)) is not None:
            gan = gan or comfy.managed(_generator_called(fit.generator))
            packs.append(_fitted(fit, gan))
        else:
            packs.append(_pack_called(text))
    if gan is None:
        gan = comfy.managed(_made_for(packs[0]))
    for pack in packs:
        pack.check_fits(gan.generator)
    return gan, packs


def parse_fit(text: str) -> FitSource | None:
    """What "sefa:<generator>" and "pca:<generator>" ask to fit; None for the source of a finished pack."""
    from eigan.ui.fitting import parse_fit as parsed

    return parsed(text)


def _fitted(fit: FitSource, gan: GanGenerator) -> DirectionPack:
    """Directions fitted on the spot, in seconds; with ComfyUI's bar, on the device that ComfyUI says."""
    from eigan.ui.fitting import fit_pack

    gan.ready()
    bar = comfy.Progress(100)
    return fit_pack(fit, gan.generator, lambda done, total, what: bar.at(done, total))


def _fit_generator(recipe: PictureRecipe) -> GanGenerator | None:
    fit = parse_fit(recipe.pack)
    return None if fit is None else comfy.managed(_generator_called(fit.generator))


def _stated_generator(recipe: PictureRecipe) -> GanGenerator | None:
    """The generator of models/gan_generators that the recipe says it was made with, if that is one."""
    name = _listed_name(comfy.GENERATORS, recipe.generator)
    return None if name is None else comfy.managed(open_generator(name))


def _made_for(pack: DirectionPack) -> Generator:
    """The generator that a pack names: bundled, of the Hub, or a file that is called the same here."""
    name = _listed_name(comfy.GENERATORS, pack.made_for.source)
    if name is not None:
        return open_generator(name)
    try:
        return sources.generator_for(pack, allow_paths=False)
    except PackMismatch as error:
        raise PackMismatch(f"{error} Here: connect Load Generator to this node's generator.") from None


def _generator_called(text: str) -> Generator:
    name = text if text in sources.bundled_generators() else _listed_name(comfy.GENERATORS, text)
    return open_generator(name) if name is not None else open_generator("", _known_id(text, comfy.GENERATORS))


def _pack_called(text: str) -> DirectionPack:
    name = text if text in sources.bundled_packs() else _listed_name(comfy.DIRECTIONS, text)
    return open_pack(name) if name is not None else open_pack("", _known_id(text, comfy.DIRECTIONS))


def _listed_name(folder: str, text: str) -> str | None:
    """The listed file that a recipe's text means: by our own naming; a path of any machine by its last part."""
    listed = {named_in_recipe(folder, name): name for name in comfy.listed(folder)}
    if text in listed or parse_ref(text) is not None or not ("/" in text or "\\" in text):
        return listed.get(text)
    last = Path(text.replace("\\", "/")).name
    return next((name for shown, name in listed.items() if PurePosixPath(shown).name == last), None)


def _known_id(text: str, folder: str) -> str:
    if parse_ref(text) is None:
        here = list_names(comfy.listed(folder)) or "nothing yet"
        raise UnknownName(
            f"the recipe names the {FOLDERS[folder]} {text!r}, which is not bundled, not a Hub id, and not in "
            f"models/{folder}, where there is: {here}. Put it there and press R."
        )
    return text


def _checked_id(hub_id: str, example: str) -> str:
    text = hub_id.strip()
    if parse_ref(text) is None or Path(text).exists():  # a path of this machine goes before the Hub elsewhere
        raise UnknownName(f"{text[:80]!r} is no Hub id like {example}; files go into ComfyUI's models folder")
    return text


def sentence(check: Callable[..., object], *arguments: object) -> bool | str:
    """What `validate_inputs` returns: True, or the sentence of the EiganError that `check` raises."""
    try:
        check(*arguments)
    except EiganError as error:
        return str(error)
    return True
