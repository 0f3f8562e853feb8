"""StyleGAN2 against the official code's outputs, from the official code's files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.checkpoint import Checkpoint
from eigan.generators.stylegan2 import StyleGAN2
from tests.generators.parity import expected, folders

FOLDERS = folders("sg2ada-*", "sg3repo-sg2-*")
pytestmark = pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)


def load(folder: Path) -> StyleGAN2:
    generator = Checkpoint.open(folder / "network.pkl").build()
    assert isinstance(generator, StyleGAN2)
    return generator


def check(actual: Tensor, wanted: Tensor, tolerance: dict[str, Any]) -> None:
    torch.testing.assert_close(actual, wanted, atol=tolerance["atol"], rtol=tolerance["rtol"])


def mapped(generator: StyleGAN2, tensors: dict[str, Tensor], suffix: str) -> Tensor:
    """Codes under the settings that a tensor name's suffix spells ("psi0.7.cut4")."""
    psi, cut = re.search(r"psi([\d.]*\d)", suffix), re.search(r"cut(\d+)", suffix)
    assert psi
    c = tensors.get("c.dense" if "cdense" in suffix else "c")
    cutoff = int(cut[1]) if cut else None
    return generator.mapping(tensors["z"], c, truncation_psi=float(psi[1]), truncation_cutoff=cutoff)


@torch.inference_mode()
def test_codes(folder: Path) -> None:
    generator, (tensors, meta) = load(folder), expected(folder)
    names = [name for name in tensors if name.startswith("w.")]
    assert len(names) >= 3
    for name in names:
        check(mapped(generator, tensors, name), tensors[name], meta["tolerances"]["w"])


@torch.inference_mode()
def test_images(folder: Path) -> None:
    generator, (tensors, meta) = load(folder), expected(folder)
    names = [name for name in tensors if name.startswith("image.")]
    assert "image.wplus" in names
    for name in names:
        codes = tensors["wplus"] if name == "image.wplus" else mapped(generator, tensors, name)
        image = generator.synthesis(codes, noise_mode="none" if "nonoise" in name else "const")
        check(image, tensors[name], meta["tolerances"]["image"])


@torch.inference_mode()
def test_features(folder: Path) -> None:
    generator, (tensors, meta) = load(folder), expected(folder)
    if "feature.psi1" not in tensors:
        pytest.skip("this copy keeps no features")
    found: list[Tensor] = []
    layer = generator.get_submodule(meta["feature_layer"].replace("synthesis.", "blocks."))
    layer.register_forward_hook(lambda module, args, output: found.append(output))
    generator.synthesis(mapped(generator, tensors, "psi1"))
    check(found[0], tensors["feature.psi1"], meta["tolerances"]["feature"])
