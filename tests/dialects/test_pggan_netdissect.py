"""netdissect's ProGAN names, both spellings, against its forward said again."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.checkpoint import recognize
from eigan.dialects.pggan_netdissect import translate
from eigan.errors import CheckpointError
from eigan.generators.pggan import PGGAN
from eigan.latents import seeded_z
from eigan.readers.base import RawCheckpoint
from tests.toys_pggan import toy_pggan


def raw(weights: dict[str, Tensor]) -> RawCheckpoint:
    return RawCheckpoint(weights, {}, "torch")


def exported(generator: PGGAN, *, old: bool = False) -> dict[str, Tensor]:
    """The generator's weights as netdissect names them; only the last toRGB layer."""
    weights = generator.weights()
    names = {f"layer{i}": f"features.{i}" if old else f"layer{i + 1}" for i in range(6)}
    names["output2"] = "output" if old else "output_16x16"
    return {
        f"{theirs}.{kind}": weights[f"{ours}.{field}"]
        for ours, theirs in names.items()
        for kind, field in (("conv.weight", "weight"), ("wscale.b", "bias"))
    }


def reference(weights: dict[str, Tensor], z: Tensor) -> Tensor:
    """netdissect's forward: norm, double, convolve, scale by gain/√fan_in, add b, leaky ReLU; toRGB with gain 1."""
    x = z[:, :, None, None]
    for n in range(1, 8):
        name = f"layer{n}" if n < 7 else "output_16x16"
        weight = weights[f"{name}.conv.weight"]
        kernel, scale = weight.shape[2], math.sqrt(2) / weight.shape[2] / math.sqrt(weight.shape[1])
        x = x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)
        x = F.interpolate(x, scale_factor=2, mode="nearest") if n in (3, 5) else x
        x = F.conv2d(x, weight, padding={4: 3, 3: 1, 1: 0}[kernel])
        x = x * (scale if n < 7 else 1 / math.sqrt(weight.shape[1])) + weights[f"{name}.wscale.b"].view(1, -1, 1, 1)
        x = F.leaky_relu(x, 0.2) if n < 7 else x
    return x


@pytest.mark.parametrize("old", [False, True])
def test_read_back_it_is_the_same_generator(old: bool) -> None:
    generator = toy_pggan()
    found = recognize(raw(exported(generator, old=old)), "toy").build()
    assert found.config() == generator.config() | {"all_outputs": False}
    z = seeded_z([1, 2], 12)
    image = found.synthesis(found.mapping(z))
    assert torch.equal(image, generator.synthesis(generator.mapping(z)))
    torch.testing.assert_close(image, reference(exported(generator), z), atol=2e-5, rtol=2e-5)


def test_both_spellings_have_one_fingerprint() -> None:
    generator = toy_pggan()
    new, old = (recognize(raw(exported(generator, old=old)), "toy").build() for old in (False, True))
    assert new.fingerprint == old.fingerprint


def test_a_stored_scale_is_folded_into_the_weight() -> None:
    weights = exported(toy_pggan(), old=True)
    scaled = dict(weights)
    for name in [name for name in weights if name.endswith("conv.weight")]:
        gain = 1.0 if name.startswith("output") else math.sqrt(2)
        scaled[name] = weights[name] * 4.0
        scaled[name.replace("conv.weight", "wscale.scale")] = torch.tensor([gain / weights[name][0].numel() ** 0.5 / 4])
    plain, found = (recognize(raw(w), "toy").build() for w in (weights, scaled))
    codes = plain.mapping(seeded_z([1], 12))
    torch.testing.assert_close(found.synthesis(codes), plain.synthesis(codes), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer2.wscale.scale": torch.ones(2)}, "scale"),
        ({"layer9999.wscale.scale": torch.ones(1)}, "no weight"),
        ({"output_8x8.conv.weight": torch.zeros(3, 16, 1, 1)}, "second"),
        ({"layer4.conv.weight": torch.zeros(2, 2)}, "dimensions"),
        ({"discriminator.weight": torch.zeros(2)}, "unexpected"),
        ({"layer3.conv.weight": torch.zeros(3, 16, 3, 3)}, "wants"),
        ({"layer9999.conv.weight": torch.zeros(3, 16, 3, 3)}, "layer number 9998"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_absurd_weights_are_refused(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        recognize(raw(exported(toy_pggan()) | change), "toy").build()


def test_other_names_are_not_its() -> None:
    assert translate(raw(dict(toy_pggan().weights()))) is None
    assert translate(raw({"features.0.conv.weight": torch.zeros(1)})) is None
