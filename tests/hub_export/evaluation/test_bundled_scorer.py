"""The bundled network reads heads as well as it says; its folder is checked; the listings of packs leave it out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import eigan
from eigan.errors import PackFormatError
from eigan.sources import bundle_root, bundled_path
from hub_export.evaluation.attributes import MIN_R2, load_attributes
from hub_export.evaluation.scorers import HEADS, HeadsAttributes, default_scorer
from tests.toys import toy_generator

NUM_RENDERS = 120


@pytest.fixture(scope="module")
def heads() -> HeadsAttributes:
    return HeadsAttributes.load()


def test_it_reads_renders_as_well_as_stated(heads: HeadsAttributes) -> None:
    pytest.importorskip("numba")
    from examples.demo_generator.attributes import targets
    from examples.demo_generator.data import SPLITS, LabelledImages
    from examples.demo_generator.factors import INTERNAL, sample
    from examples.demo_generator.heads import HeadRenderer

    renderer = HeadRenderer()
    factors = [sample(np.random.default_rng([SPLITS["held_out"], i])) for i in range(NUM_RENDERS)]
    pictures = np.stack([renderer.render(each, 64, 2) for each in factors])
    labels = LabelledImages(pictures, list(factors[0]), np.array([list(each.values()) for each in factors], np.float32))
    truth = targets(labels)
    stated = {a.name: a.r2 for a in load_attributes(bundled_path(HEADS) or Path()).config.attributes}
    assert not set(INTERNAL) & set(heads.names)
    assert min(stated.values()) > MIN_R2
    read = heads(pictures)
    for name, column in zip(heads.names, read.T, strict=True):
        k = truth.names.index(name)
        wanted = truth.values[:, k] * truth.std[k] + truth.mean[k]
        r2 = 1 - np.square(column - wanted).mean() / wanted.var()
        if name not in ("tint", "red"):  # too rare among so few
            assert r2 == pytest.approx(stated[name], abs=0.2), name


def test_pictures_of_any_size(heads: HeadsAttributes) -> None:
    small = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    assert heads(large) == pytest.approx(heads(small), abs=1e-3)
    scores, features = heads.read(small[:, ::2, ::2])
    assert scores.shape == (3, len(heads.names))
    assert features.shape == (3, 192)
    assert heads(small[:0]).shape == (0, len(heads.names))


def test_it_is_the_default_for_its_own_generator_alone() -> None:
    assert default_scorer(eigan.load_generator("heads-64")) == HEADS
    assert default_scorer(toy_generator()) == ""


def test_listings_leave_it_out() -> None:
    assert HEADS not in eigan.bundled_packs() + eigan.bundled_generators()
    with pytest.raises(PackFormatError):
        eigan.load_pack(HEADS)
    assert (bundle_root() / HEADS / "model.safetensors").stat().st_size < 5 * 2**20


def copy_of(
    folder: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None], *, sha: bool = True
) -> Path:
    """The bundled folder with `change` made to its config and weights."""
    import hashlib

    source = bundled_path(HEADS)
    assert source is not None
    config, weights = json.loads((source / "config.json").read_bytes()), load_file(source / "model.safetensors")
    change(config, weights)
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    if sha:
        config["sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_an_unchanged_copy_opens(tmp_path: Path) -> None:
    copy = load_attributes(copy_of(tmp_path / "x", lambda config, weights: None))
    assert not any(p.requires_grad for p in copy.network.parameters())
    assert all(p.dtype == torch.float32 for p in copy.network.parameters())
    assert copy.network.r2.tolist() == pytest.approx([a.r2 for a in copy.config.attributes])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, w: c.update(format_version=2), "format_version"),
        (lambda c, w: c.update(surprise=1), "surprise"),
        (lambda c, w: c.update(strides=[0] * 6), "strides"),
        (lambda c, w: c.update(strides=[2] * 6), "fc.weight"),
        (lambda c, w: c.update(strides=[1] * 33), "strides"),
        (lambda c, w: c["input"].update(size=10**6), "input.size"),
        (lambda c, w: c["attributes"][0].update(name="x\x1b[2J"), "control character"),
        (lambda c, w: c["attributes"][0].update(name=c["attributes"][1]["name"]), "twice"),
        (lambda c, w: c["attributes"][0].update(std=0.0), "std"),
        (lambda c, w: c["attributes"].pop(), "reads 51 attributes and names 50"),
        (lambda c, w: w.update(spare=torch.zeros(1)), "other tensors"),
        (lambda c, w: w.pop("conv3.bias"), "other tensors"),
        (lambda c, w: w.update({"conv3.bias": torch.zeros(7)}), "conv3.weight"),
        (lambda c, w: w.update({"out.bias": torch.full_like(w["out.bias"], float("nan"))}), "not finite"),
        (lambda c, w: w.update({"conv0.bias": torch.zeros(10**5)}), "at most 4,096"),
        (lambda c, w: w.update({"fc.bias": torch.zeros(2, 96)}), "layers of"),
    ],
)
def test_a_damaged_folder_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match=message):
        load_attributes(copy_of(tmp_path / "x", change))


def test_other_weights_than_listed_are_refused(tmp_path: Path) -> None:
    folder = copy_of(tmp_path / "x", lambda c, w: w["out.bias"].add_(1), sha=False)
    with pytest.raises(PackFormatError, match="not the file that config.json lists"):
        load_attributes(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(PackFormatError, match="missing"):
        load_attributes(folder)
