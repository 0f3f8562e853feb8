"""Every example workflow opens on the real page, runs in the real core, and gives eigan's own pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eigan import PictureRecipe, Renderer, draw, generator_for, load_pack
from eigan.recipe import read_png
from eigan.render import Pictures
from tests.plugin.comfyui import PLUGIN, Run, Server
from tests.plugin.graphs import EXAMPLES, RECIPE
from tests.plugin.page import Page, chromium

FILES = sorted((PLUGIN / "example_workflows").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def prompts(server: Server) -> dict[str, dict[str, Any]]:
    """What Run sends for each example, from the page."""
    with chromium() as browser:
        page = Page(browser, server.url)
        found = {}
        for path in FILES:
            page.open(read(path))
            found[path.stem] = page.prompt()
        assert page.trouble == []
        page.close()
    return found


class Heads:
    """The bundled pack, and its generator's pictures."""

    def __init__(self) -> None:
        self.pack = load_pack("heads")
        self.renderer = Renderer(generator_for(self.pack))

    def draw(self, seed: int, keep: tuple[str, ...] = (), **amounts: float) -> Pictures:
        named = {name.replace("_", " "): amount for name, amount in amounts.items()}
        return draw(PictureRecipe("heads", seed, 0.7, amounts=named, keep=keep), self.pack, self.renderer)


@pytest.fixture(scope="module")
def heads() -> Heads:
    return Heads()


def only(prompt: dict[str, Any], kind: str) -> str:
    [name] = [name for name, node in prompt.items() if node["class_type"] == kind]
    return name


def pictures(run: Run, prompt: dict[str, Any], source: str, output: int = 0) -> Pictures:
    """What the Preview Image shows that is wired to that output of the only node of a kind."""
    [name] = [
        name
        for name, node in prompt.items()
        if node["class_type"] == "PreviewImage" and node["inputs"]["images"] == [source, output]
    ]
    return run.pictures(name)


def test_the_files_are_the_table_and_complete() -> None:
    assert [path.stem for path in FILES] == sorted(EXAMPLES)
    for path in FILES:
        with Image.open(path.with_suffix(".jpg")) as thumbnail:
            assert thumbnail.format == "JPEG" and 200 <= max(thumbnail.size) <= 400
        workflow = read(path)
        kinds = [node["type"] for node in workflow["nodes"]]
        assert sorted(kinds) == sorted(part.kind for part in EXAMPLES[path.stem].values())
        assert "MarkdownNote" in kinds and path.stat().st_size < 60_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_in_it_is_of_one_machine_or_changes_by_itself(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "/home/" not in text and "/tmp/" not in text and "randomize" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nodes_do_not_lie_on_each_other(path: Path) -> None:
    title = 30
    boxes = {
        node["id"]: (
            node["pos"][0],
            node["pos"][1] - title,
            node["pos"][0] + node["size"][0],
            node["pos"][1] + node["size"][1],
        )
        for node in read(path)["nodes"]
    }
    for one, a in boxes.items():
        for other, b in boxes.items():
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert one == other or apart, f"nodes {one} and {other}: {a} {b}"


def test_one_slider(server: Server, prompts: dict[str, Any], heads: Heads) -> None:
    prompt = prompts["1_one_slider"]
    run = server.run(prompt)
    assert np.array_equal(pictures(run, prompt, only(prompt, "EiganRender")), heads.draw(7, smile=3.0))


def test_preset_sliders_and_keep(server: Server, prompts: dict[str, Any], heads: Heads) -> None:
    prompt = prompts["2_preset_sliders_keep"]
    run = server.run(prompt)
    amounts = {
        name.replace(" ", "_"): 0.8 * amount for name, amount in heads.pack.preset("Older and smiling").amounts.items()
    }
    wanted = heads.draw(11, ("glasses", "backdrop"), **amounts, turn=2.0, tilt=-2.0)
    assert np.array_equal(pictures(run, prompt, only(prompt, "EiganRender")), wanted)


def test_sweep(server: Server, prompts: dict[str, Any], heads: Heads) -> None:
    prompt = prompts["3_sweep"]
    run = server.run(prompt)
    sweep = only(prompt, "EiganSweep")
    wanted = np.concatenate([heads.draw(3, age=float(amount)) for amount in (-5, -3, -1, 1, 3, 5, 7)])
    assert np.array_equal(pictures(run, prompt, sweep), wanted)
    assert len(pictures(run, prompt, sweep, 1)) == 1


def test_fit_on_the_spot(server: Server, prompts: dict[str, Any], heads: Heads) -> None:
    from eigan.ui.fitting import fit_pack, parse_fit

    prompt = prompts["4_fit_on_the_spot"]
    run = server.run(prompt)
    source = parse_fit("sefa:heads-64")
    assert source is not None
    fitted = fit_pack(source, heads.renderer.generator, lambda *_: None)
    names = fitted.names
    recipe = PictureRecipe("sefa:heads-64", 21, 0.7, amounts={names[0]: 3.0, names[2]: -2.0})
    assert np.array_equal(pictures(run, prompt, only(prompt, "EiganRender")), draw(recipe, fitted, heads.renderer))


def test_recipe_in_and_out(server: Server, prompts: dict[str, Any], heads: Heads) -> None:
    prompt = prompts["5_recipe_in_and_out"]
    run = server.run(prompt)
    wanted = heads.draw(RECIPE.seed, **{name.replace(" ", "_"): a for name, a in RECIPE.amounts.items()}, smile=-4.0)
    saved = only(prompt, "EiganSaveRecipe")
    assert np.array_equal(run.pictures(saved), wanted)
    recipe = read_png(run.files(saved)[0])
    assert np.array_equal(draw(recipe, heads.pack, heads.renderer), wanted)


def test_invert_then_edit(server: Server, prompts: dict[str, Any], heads: Heads) -> None:
    from eigan.invert import psnr

    prompt = prompts["6_invert_then_edit"]
    prompt[only(prompt, "EiganInvertImage")]["inputs"]["steps"] = 40
    run = server.run(prompt)
    shown = [run.pictures(name)[0] for name, node in prompt.items() if node["class_type"] == "PreviewImage"]
    given = heads.draw(8)[0]
    edited = heads.draw(8, beard=4.0)[0]
    assert any(np.array_equal(one, given) for one in shown)
    assert sum(psnr(one, given) > 22 for one in shown) >= 2
    assert max(psnr(one, edited) for one in shown) > 20


def test_layers(server: Server, prompts: dict[str, Any], heads: Heads) -> None:
    prompt = prompts["7_layers"]
    run = server.run(prompt)
    evening = heads.pack.preset("Evening light").amounts
    wanted = heads.draw(14, **{name.replace(" ", "_"): amount for name, amount in evening.items()})
    saved = only(prompt, "EiganSaveLayers")
    assert np.array_equal(run.pictures(saved), wanted)
    assert run.ui(saved)["text"][0].endswith(".ora")
