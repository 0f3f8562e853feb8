"""The picture as code: texts that make it again, in Python, over the app's API, from a shell and in ComfyUI. No Gradio.

Names come from strangers' packs. Every text is written in a form whose quoting is exact: Python by `repr`, JSON by
`json`, a shell's words by `shlex`; whatever a name holds, it stays one constant.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eigan.recipe import PictureRecipe
from eigan.ui.fitting import parse_fit
from eigan.ui.links import LOCAL_HOST, share_link

MAX_WIDTH = 88  # of a line of Python that can be broken
INDENT = "    "
NO_LATENT = "This picture starts from a latent of its own, which {what} does not take. Use Python."
PARAMETERS = ("pack", "seed", "amounts", "truncation_psi", "class_index", "further", "layers", "keep", "noise", "pose")

Language = Literal["python", "shell", "json"]


@dataclass(frozen=True)
class Snippet:
    """One text to copy. about: what to do with it, plain text."""

    text: str
    language: Language
    about: str


def python_snippet(recipe: PictureRecipe, file: str) -> Snippet:
    """Draws the recipe's picture with the library alone. file: the picture's name as downloaded."""
    sources = (recipe.pack, *recipe.further)
    imports = ["import eigan", "from PIL import Image"]
    if recipe.latent is not None:
        imports.insert(0, "from pathlib import Path\n")
    if any(parse_fit(source) for source in sources):
        imports.insert(-1, "from eigan.ui.fitting import fit_pack, parse_fit")
    lines: list[str] = []
    packs: list[str] = []
    for source in sources:
        if fit := parse_fit(source):
            name = f"fit_{len(packs) + 1}"
            lines.append(f"{name} = parse_fit({source!r})")
            packs.append(f"fit_pack({name}, eigan.load_generator({fit.generator!r}))")
        else:
            packs.append(f"eigan.load_pack({source!r})")
    lines.append(f"pack = {packs[0] if len(packs) == 1 else _call('eigan.combine', [_brackets('[', packs, ']', 1)])}")
    if recipe.latent is None:
        lines.append(f"recipe = {_call('eigan.PictureRecipe', _recipe_fields(recipe))}")
    else:
        lines.append(f"recipe = eigan.read_png(Path({file!r}))  # the picture as downloaded, which holds the latent")
    lines += [
        "renderer = eigan.Renderer(eigan.generator_for(pack))",
        "picture = eigan.draw(recipe, pack, renderer)[0]  # (H, W, 3), uint8",
        f"Image.fromarray(picture).save({'again-' + file!r})",
    ]
    text = "\n".join([*imports, "", *lines]) + "\n"
    return Snippet(text, "python", "Draws the same picture with the library, without the app.")


def client_snippet(recipe: PictureRecipe, address: str) -> Snippet:
    """Asks the app at `address` for the picture, by its API."""
    about = f"Asks this app for the same picture through its API (pip install gradio_client). Its address: {address}"
    if recipe.latent is not None:
        return Snippet("", "python", NO_LATENT.format(what="the API"))
    given = [f"{name}={_literal(value, 1)}" for name, value in api_values(recipe).items() if _is_given(value)]
    call = _call("client.predict", [*given, "api_name='/edit'"])
    text = f"from gradio_client import Client\n\nclient = Client({address!r})\npath = {call}\nprint(path)\n"
    return Snippet(text, "python", about)


def shell_snippet(recipe: PictureRecipe, address: str) -> Snippet:
    """Opens the app on one's own machine with the recipe's pack; and asks the app at `address` by its API."""
    if recipe.latent is not None:
        return Snippet(f"eigan --pack {shlex.quote(recipe.pack)}\n", "shell", NO_LATENT.format(what="a link"))
    asked = json.dumps({"data": [api_values(recipe)[name] for name in PARAMETERS]})
    call = shlex.quote(f"{address}gradio_api/call/edit")
    lines = [
        "# The app on your own machine, with this pack; then open the address in a browser.",
        f"eigan --pack {shlex.quote(recipe.pack)}",
        f"# {share_link(recipe, LOCAL_HOST)}",
        "",
        "# Or the picture by this app's API: its answer has the address of the file.",
        f"ID=$(curl -s {call} -H 'Content-Type: application/json' -d {shlex.quote(asked)} | cut -d '\"' -f 4)",
        f'curl -s {call}/"$ID"',
    ]
    return Snippet("\n".join(lines) + "\n", "shell", "From a shell: the app at home, or this one's API.")


def comfyui_snippet(recipe: PictureRecipe, file: str) -> Snippet:
    """For eigan's ComfyUI nodes. Everything that the page says about them is in this function."""
    about = (
        f"With eigan's nodes in ComfyUI: put {file} into its input folder, add the node EiganLoadRecipe (GAN edit) and "
        "choose the picture there, or give it this JSON. It names the generator, the packs and the edit. Connect it to "
        "EiganRender."
    )
    return Snippet(recipe.to_json(), "json", about)


def recipe_snippet(recipe: PictureRecipe) -> Snippet:
    """The recipe alone, as the downloaded PNG holds it."""
    return Snippet(recipe.to_json(), "json", "Everything that the picture depends on, as it is inside the PNG.")


def api_values(recipe: PictureRecipe) -> dict[str, Any]:
    """What the endpoint /edit is sent for the recipe's picture, every parameter in its order."""
    pose = recipe.pose
    return {
        "pack": recipe.pack,
        "seed": recipe.seed,
        "amounts": dict(recipe.amounts),
        "truncation_psi": recipe.truncation_psi,
        "class_index": recipe.class_index,
        "further": list(recipe.further),
        "layers": {name: str(layers) for name, layers in recipe.layers.items()},
        "keep": list(recipe.keep),
        "noise": recipe.noise_mode == "const",
        "pose": None if pose.is_still else [pose.x, pose.y, pose.angle],
    }


def _is_given(value: object) -> bool:
    """Whether a parameter has to be said: it does not stand at the endpoint's default."""
    return value is not None and value is not True and value != [] and value != {}


def _recipe_fields(recipe: PictureRecipe) -> list[str]:
    """Arguments of PictureRecipe; what stands at its default is left out."""
    pose = recipe.pose
    layers = [f"{name!r}: eigan.LayerRange({rows.start}, {rows.stop})" for name, rows in recipe.layers.items()]
    fields = {
        "pack": repr(recipe.pack),
        "seed": repr(recipe.seed),
        "truncation_psi": repr(recipe.truncation_psi),
        "class_index": "" if recipe.class_index is None else repr(recipe.class_index),
        "amounts": _literal(dict(recipe.amounts), 1) if recipe.amounts else "",
        "pose": "" if pose.is_still else f"eigan.Pose({pose.x!r}, {pose.y!r}, {pose.angle!r})",
        "further": _tuple(recipe.further),
        "layers": _brackets("{", layers, "}", 1) if layers else "",
        "keep": _tuple(recipe.keep),
        "noise_mode": "" if recipe.noise_mode == "const" else repr(recipe.noise_mode),
    }
    return [f"{name}={text}" for name, text in fields.items() if text]


def _tuple(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    return _brackets("(", [repr(text) for text in texts], ",)" if len(texts) == 1 else ")", 1)


def _literal(value: object, depth: int) -> str:
    """`value` as Python, in several lines where it is long."""
    if isinstance(value, dict):
        return _brackets("{", [f"{key!r}: {item!r}" for key, item in value.items()], "}", depth)
    if isinstance(value, list):
        return _brackets("[", [repr(item) for item in value], "]", depth)
    return repr(value)


def _call(name: str, arguments: Sequence[str]) -> str:
    return _brackets(f"{name}(", arguments, ")", 0)


def _brackets(opening: str, items: Sequence[str], closing: str, depth: int) -> str:
    """The items between brackets: in one line if that is short, else one in each. depth: of the line they stand in."""
    line = f"{opening}{', '.join(items)}{closing}"
    if len(line) + len(INDENT) * depth <= MAX_WIDTH and "\n" not in line:
        return line
    inner = "".join(f"{INDENT * (depth + 1)}{item},\n" for item in items)
    return f"{opening}\n{inner}{INDENT * depth}{closing.lstrip(',')}"
