"""Invert Image in the real core, whose nodes run in inference mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from eigan import PictureRecipe, draw, read_png
from eigan.invert import invert, psnr
from eigan.render import Pictures
from tests.plugin.comfyui import Prompt, Server, Worker, node
from tests.plugin.conftest import LOCAL_GENERATOR, Toys
from tests.plugin.test_nodes import prompt

STEPS = 40


@pytest.fixture(scope="module")
def picture(toys: Toys) -> Pictures:
    return draw(PictureRecipe("toy", 7, 0.5), toys.pack, toys.renderer)[0]


def inverted(**inputs: Any) -> Prompt:
    """Load a picture, invert it, draw it again."""
    return {
        "g": node("EiganLoadGenerator", generator_name=LOCAL_GENERATOR),
        "i": node("LoadImage", image="own.png"),
        "v": node("EiganInvertImage", **{"generator": ("g", 0), "images": ("i", 0), "steps": STEPS, **inputs}),
        "r": node("EiganRender", generator=("g", 0), latent=("v", 0)),
        "s": node("EiganSaveRecipe", recipe=("r", 1), images=("r", 0)),
    }


def put(worker: Worker | Server, picture: Pictures, name: str = "own.png") -> None:
    Image.fromarray(picture).save(worker.base / "input" / name)


def test_the_picture_is_eigans_inversion_and_its_recipe_opens(worker: Worker, toys: Toys, picture: Pictures) -> None:
    put(worker, picture)
    run = worker.run(inverted())
    found = invert(toys.generator, picture, steps=STEPS)
    drawn = run.pictures("s")[0]
    assert psnr(drawn, picture) == pytest.approx(found.psnr, abs=1.0)  # other threads sum in another order
    assert psnr(drawn, picture) > 20
    recipe = read_png(run.files("s")[0])
    assert recipe.latent is not None and recipe.latent.shape == (8, 16)


def test_it_moves_the_bar_and_is_cached(worker: Worker, picture: Pictures) -> None:
    put(worker, picture)
    run = worker.run(inverted(steps=25, seed=5))
    steps = [data["value"] for event, data in run.events if event == "progress" and data["node"] == "v"]
    assert steps == list(range(1, 26))
    again = worker.run(inverted(steps=25, seed=5))
    assert "v" in again.cached
    assert "v" in worker.run(inverted(steps=25, seed=6)).executed


def test_an_inverted_picture_is_edited_like_any_other(worker: Worker, picture: Pictures) -> None:
    put(worker, picture)
    plain = worker.run(inverted()).pictures("s")
    given = inverted()
    given |= {name: prompt()[name] for name in ("p", "e")}
    given["r"]["inputs"]["edit"] = ["e", 0]
    assert not np.array_equal(worker.run(given).pictures("s"), plain)


@pytest.mark.parametrize("fit", ["centre", "stretch"])
def test_a_picture_of_another_size_is_cut_or_scaled(worker: Worker, picture: Pictures, fit: str) -> None:
    wide = np.concatenate([np.zeros_like(picture), picture, np.zeros_like(picture)], axis=1)
    put(worker, wide.repeat(2, axis=0).repeat(2, axis=1))
    drawn = worker.run(inverted(fit=fit)).pictures("s")[0]
    assert (psnr(drawn, picture) > 18) == (fit == "centre")


def test_several_pictures_are_inverted_one_after_another(worker: Worker, toys: Toys, picture: Pictures) -> None:
    other = draw(PictureRecipe("toy", 8, 0.5), toys.pack, toys.renderer)[0]
    put(worker, picture)
    put(worker, other, "other.png")
    given = inverted(images=("b", 0))
    given["j"] = node("LoadImage", image="other.png")
    given["b"] = node("ImageBatch", image1=("i", 0), image2=("j", 0))
    drawn = worker.run(given).pictures("s")
    assert len(drawn) == 2
    assert psnr(drawn[0], picture) > psnr(drawn[0], other) and psnr(drawn[1], other) > psnr(drawn[1], picture)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"fit": "refuse", "images": ("e", 0)}, "the picture has 64 x 48 pixels, the generator draws 32 x 32"),
        ({"fit": "guess"}, "unknown fit 'guess'; known: centre, stretch, refuse"),
        ({"regularization": float("nan")}, "regularization is nan"),
        ({"class_name": "husky"}, "has no classes"),
        ({"images": ("many", 0)}, "17 pictures to invert; at most 16"),
    ],
)
def test_what_cannot_be_inverted_is_a_sentence(
    worker: Worker, picture: Pictures, changes: dict[str, Any], words: str
) -> None:
    put(worker, picture)
    given = inverted(**changes)
    given["e"] = node("EmptyImage", width=64, height=48, batch_size=1, color=0)
    given["many"] = node("EmptyImage", width=32, height=32, batch_size=17, color=0)
    assert words in worker.run(given).message


def test_cancel_stops_between_steps(server: Server, picture: Pictures) -> None:
    put(server, picture)
    with server.listening() as (client, events):
        reply = server.queue(inverted(steps=5000), client)
        for event, data in events:
            if event == "progress" and data["node"] == "v":
                break
        server.post("/interrupt", {})
        run = server.finish(reply, events)
    assert run.is_interrupted and run.error is None


def test_it_says_how_near_it_came(server: Server, picture: Pictures) -> None:
    put(server, picture)
    run = server.run(inverted() | {"d": node("PreviewAny", source=("v", 1))})
    assert float(run.ui("d")["text"][0]) == pytest.approx(psnr(run.pictures("s")[0], picture))
