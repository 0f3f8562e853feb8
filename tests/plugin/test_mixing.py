"""Mix Latents, Load and Save GAN Latent in the real core."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from eigan import Latent, PictureRecipe, draw, read_latent, read_png, recipe_codes
from tests.plugin.comfyui import Prompt, Run, Worker, node
from tests.plugin.conftest import Toys
from tests.plugin.opened import opened
from tests.plugin.test_nodes import prompt
from tests.toys import toy_generator


def codes_of(worker: Worker, *seeds: int) -> torch.Tensor:
    generator = opened(worker.base).generator
    return torch.cat([recipe_codes(PictureRecipe("", seed, 0.7), generator) for seed in seeds])


def mixing(first: int = 1, second: int = 1, **inputs: Any) -> Prompt:
    """The usual graph; its latent mixed with seeds 20, 21 and on. first, second: pictures of each."""
    found = prompt(l_batch=first, e_amount=0.0)
    found["o"] = node("EiganLatentFromSeed", generator=("g", 0), seed=20, truncation=0.7, batch=second)
    found["m"] = node(
        "EiganMixLatents", **{"latent": ("l", 0), "other": ("o", 0), "mode": "lerp", "amount": 0.5} | inputs
    )
    found["r"]["inputs"]["latent"] = ["m", 0]
    return found


def drawn(worker: Worker, codes: torch.Tensor) -> npt.NDArray[np.uint8]:
    return opened(worker.base).render(codes)


def test_lerp_is_the_straight_line(worker: Worker) -> None:
    run = worker.run(mixing(amount=0.25))
    a, b = codes_of(worker, 7, 20)
    assert np.array_equal(run.pictures("s"), drawn(worker, (0.75 * a + 0.25 * b)[None]))


def test_slerp_keeps_to_the_circle(worker: Worker) -> None:
    """Of rows of two directions: between them by the amount's share of the angle; an oracle in plain numbers."""
    run = worker.run(mixing(mode="slerp", amount=0.3))
    a, b = (row.double().numpy() for row in codes_of(worker, 7, 20))
    rows = []
    for one, two in zip(a, b, strict=True):
        angle = math.acos(float(one @ two / np.linalg.norm(one) / np.linalg.norm(two)))
        rows.append((math.sin(0.7 * angle) * one + math.sin(0.3 * angle) * two) / math.sin(angle))
    found = read_png(run.files("s")[0]).latent
    assert found is not None
    assert np.abs(found.codes.numpy() - np.stack(rows)).max() < 1e-5
    assert np.array_equal(run.pictures("s"), drawn(worker, found.codes[None]))


def test_layers_come_whole_from_the_second(worker: Worker, toys: Toys) -> None:
    run = worker.run(mixing(mode="layers", layers="4-7", amount=0.1))
    codes = codes_of(worker, 7)
    codes[:, 4:] = codes_of(worker, 20)[:, 4:]
    assert np.array_equal(run.pictures("s"), drawn(worker, codes))
    recipe = read_png(run.files("s")[0])
    assert recipe.latent == Latent.of(codes[0])
    assert np.array_equal(draw(recipe, toys.pack, opened(worker.base)), run.pictures("s"))


def test_some_layers_may_be_mixed_by_an_amount(worker: Worker) -> None:
    run = worker.run(mixing(layers="0-1", amount=0.5))
    a, b = codes_of(worker, 7, 20)
    codes = a.clone()
    codes[:2] = 0.5 * a[:2] + 0.5 * b[:2]
    assert np.array_equal(run.pictures("s"), drawn(worker, codes[None]))


@pytest.mark.parametrize("amount, seed", [(0.0, 7), (1.0, 20)])
def test_at_its_ends_it_is_one_of_the_two_with_its_seed(worker: Worker, amount: float, seed: int) -> None:
    run = worker.run(mixing(amount=amount, mode="slerp"))
    recipe = read_png(run.files("s")[0])
    assert (recipe.seed, recipe.latent) == (seed, None)
    assert np.array_equal(run.pictures("s"), drawn(worker, codes_of(worker, seed)))


@pytest.mark.parametrize("first, second", [(3, 3), (3, 1), (1, 3)])
def test_batches_are_mixed_one_by_one_or_each_with_a_single_one(worker: Worker, first: int, second: int) -> None:
    run = worker.run(mixing(first, second))
    a, b = codes_of(worker, *range(7, 7 + first)), codes_of(worker, *range(20, 20 + second))
    assert np.array_equal(run.pictures("s"), drawn(worker, 0.5 * a + 0.5 * b))


MIXED: dict[str, tuple[dict[str, Any], str]] = {
    "sizes": ({"first": 2, "second": 3}, "the latents have 2 and 3 pictures; wanted as many, or a single one"),
    "NaN": ({"amount": float("nan")}, "amount is nan; wanted a finite number"),
    "a mode": ({"mode": "cubic"}, "unknown mode 'cubic'; known: lerp, slerp, layers"),
    "layers": ({"mode": "layers", "layers": "8-17"}, "layers 8-17 do not exist; this generator has layers 0-7"),
    "no layers": ({"mode": "layers"}, "mode layers wants the layers to take from the second latent, as in 8-17"),
}


@pytest.mark.parametrize("inputs, words", MIXED.values(), ids=MIXED)
def test_what_cannot_be_mixed_is_a_sentence(worker: Worker, inputs: dict[str, Any], words: str) -> None:
    assert words in worker.run(mixing(**inputs)).message


def test_latents_of_two_generators_are_refused(worker: Worker) -> None:
    given = mixing()
    given["g1"] = node("EiganLoadGenerator", generator_name="other/model.safetensors")
    given["o"]["inputs"]["generator"] = ["g1", 0]
    assert "only latents of one generator can be mixed" in worker.run(given).message


# files


def loading(worker: Worker, name: str) -> Run:
    found = prompt(e_amount=0.0)
    found["l"] = node("EiganLoadLatent", generator=("g", 0), latent_file=name)
    return worker.run(found)


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "pt"])
@pytest.mark.parametrize("rows", ["D", "1, D", "L, D", "1, L, D"])
def test_files_of_every_kind_and_shape_open(worker: Worker, toys: Toys, suffix: str, rows: str) -> None:
    w = codes_of(worker, 7)[0, 0]
    shape = {"D": (16,), "1, D": (1, 16), "L, D": (8, 16), "1, L, D": (1, 8, 16)}[rows]
    values = w.expand(8, -1).reshape(shape).contiguous() if "L" in rows else w.reshape(shape)
    path = worker.base / "input" / f"codes {len(shape)}{len(rows)}.{suffix}"
    match suffix:
        case "npy":
            np.save(path, values.numpy())
        case "safetensors":
            save_file({"w": values}, path)
        case _:
            torch.save(values, path)
    run = loading(worker, path.name)
    assert np.array_equal(run.pictures("s"), drawn(worker, w.expand(1, 8, -1)))
    recipe = read_png(run.files("s")[0])
    assert np.array_equal(draw(recipe, toys.pack, opened(worker.base)), run.pictures("s"))


def test_a_file_that_was_changed_is_read_again(worker: Worker) -> None:
    path = worker.base / "input" / "changed.npy"
    found = []
    for seed in (1, 2):
        np.save(path, codes_of(worker, seed)[0].numpy())
        found.append(loading(worker, path.name))
    assert np.array_equal(found[1].pictures("s"), drawn(worker, codes_of(worker, 2)))
    assert "g" in found[1].cached and "l" in found[1].executed
    assert loading(worker, path.name).executed == []


@pytest.mark.parametrize("name", ["gone.npy", "../input/x.npy", "/etc/passwd", ""])
def test_no_other_file_can_be_named(worker: Worker, name: str) -> None:
    run = loading(worker, name)
    assert f"no file {name!r} in ComfyUI's input folder; of .npy, .npz, .safetensors, .pt there is" in run.message
    assert not run.executed


def test_what_is_no_latent_is_a_sentence(worker: Worker) -> None:
    folder = worker.base / "input"
    np.save(folder / "nan.npy", np.full((8, 16), np.nan, np.float32))
    assert "nan.npy: the latent holds NaN or infinite values" in loading(worker, "nan.npy").message
    np.save(folder / "other.npy", np.zeros((18, 512), np.float32))
    assert "the latent has shape (18, 512)" in loading(worker, "other.npy").message
    np.save(folder / "objects.npy", np.array([{}], object), allow_pickle=True)
    assert "objects.npy" in loading(worker, "objects.npy").message
    (folder / "words.pt").write_text("hello")
    assert "words.pt: it is" in loading(worker, "words.pt").message


def saving(**inputs: Any) -> Prompt:
    found = prompt(l_batch=2)
    del found["r"], found["s"]
    found["s"] = node("EiganSaveLatent", **{"latent": ("l", 0), "file_format": "npy"} | inputs)
    return found


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "pt"])
def test_each_picture_has_a_file_of_its_own(worker: Worker, suffix: str) -> None:
    given = saving(file_format=suffix, filename_prefix=f"codes-{suffix}/w")
    told = worker.run(given).ui("s")["text"]
    assert told == [f"saved w_00001_.{suffix}", f"saved w_00002_.{suffix}"]
    folder = worker.base / "output" / f"codes-{suffix}"
    for path, codes in zip(sorted(folder.iterdir()), codes_of(worker, 7, 8), strict=True):
        assert torch.equal(read_latent(path).codes, codes)
    first = sorted(folder.iterdir())[0]
    plain = {"npy": np.load, "safetensors": lambda p: load_file(p)["w"], "pt": torch.load}[suffix](first)
    assert tuple(plain.shape) == (8, 16) and "float32" in str(plain.dtype)


def test_it_overwrites_nothing(worker: Worker) -> None:
    given = saving(filename_prefix="again/w")
    worker.run(given)
    given["l"]["inputs"]["seed"] = 99
    assert worker.run(given).ui("s")["text"] == ["saved w_00003_.npy", "saved w_00004_.npy"]
    assert len(list((worker.base / "output" / "again").iterdir())) == 4


def test_edited_codes_may_be_saved_and_give_the_edited_picture(worker: Worker, toys: Toys) -> None:
    given = saving(edit=("e", 0), filename_prefix="edited/w")
    worker.run(given)
    latent = read_latent(worker.base / "output" / "edited" / "w_00001_.npy")
    wanted = draw(PictureRecipe("toy", 7, 0.7, amounts={"smile": 2.0}), toys.pack, opened(worker.base))
    assert np.array_equal(drawn(worker, latent.for_generator(opened(worker.base).generator)), wanted)


SAVED: dict[str, tuple[dict[str, Any], str]] = {
    "outside": ({"filename_prefix": "../../x"}, "leads out of ComfyUI's output folder"),
    "absolute": ({"filename_prefix": "/tmp/x"}, "leads out of ComfyUI's output folder"),
    "no name": ({"filename_prefix": " "}, "no file name given"),
    "a format": ({"file_format": "../pkl"}, "unknown format '../pkl'; known: npy, safetensors, pt"),
}


@pytest.mark.parametrize("inputs, words", SAVED.values(), ids=SAVED)
def test_what_cannot_be_saved_is_a_sentence(worker: Worker, inputs: dict[str, Any], words: str) -> None:
    assert words in worker.run(saving(**inputs)).message


def test_an_edit_of_another_generator_is_not_saved(worker: Worker) -> None:
    given = saving(edit=("e", 0))
    given["g1"] = node("EiganLoadGenerator", generator_name="other/model.safetensors")
    given["l"]["inputs"]["generator"] = ["g1", 0]
    assert "edit a latent of the pack's generator" in worker.run(given).message
    assert toy_generator(seed=1).num_layers == 8  # so that the codes alone would have fitted
