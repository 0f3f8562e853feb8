"""pytorch_GAN_zoo's PGAN: names, scales and `config`, against its forward said again."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.checkpoint import recognize
from eigan.dialects.pggan_zoo import translate
from eigan.errors import CheckpointError
from eigan.generators.pggan import PGGAN
from eigan.latents import seeded_z
from eigan.readers.base import RawCheckpoint
from tests.toys_pggan import toy_pggan

ZOO_NAMES = {"layer0": "formatLayer", "layer1": "groupScale0.0"}
ZOO_NAMES |= {f"layer{2 + i}": f"scaleLayers.{i // 2}.{i % 2}" for i in range(4)}
ZOO_NAMES |= {f"output{i}": f"toRGBLayers.{i}" for i in range(3)}


def raw(weights: dict[str, Tensor], **config: Any) -> RawCheckpoint:
    return RawCheckpoint(weights, {f"config.{name}": value for name, value in config.items()}, "torch")


def toy(c_dim: int = 0, **changes: Any) -> PGGAN:
    return toy_pggan(c_dim=c_dim, bias_per_pixel=True, **changes)


def exported(generator: PGGAN, *, module: str = ".module", equalized: bool = True) -> dict[str, Tensor]:
    """The generator's weights in the zoo's names and scales."""
    weights, found = generator.weights(), {}
    for ours, theirs in ZOO_NAMES.items():
        weight, bias = weights[f"{ours}.weight"], weights[f"{ours}.bias"]
        if ours == "layer0" and generator.c_dim:
            weight = torch.cat([weight, weights["layer0.label_weight"]], dim=1)
        fan_in = weight[0].numel()
        factor = (1.0 if ours.startswith("output") else math.sqrt(2)) / math.sqrt(fan_in)
        scale = math.sqrt(2.0 / (fan_in // 16 if ours == "layer0" else fan_in)) if equalized else 1.0
        if ours == "layer0":
            weight = weight.flip(2, 3).permute(0, 2, 3, 1).reshape(-1, weight.shape[1])
        found[f"{theirs}{module}.weight"] = weight * (factor / scale)
        found[f"{theirs}{module}.bias"] = bias.flatten() / scale
    return found


def reference(weights: dict[str, Tensor], x: Tensor, alpha: float = 0.0) -> Tensor:
    """The zoo's forward: every layer (conv(x) + bias) √(2/fan_in), pixel norm after each leaky ReLU."""

    def norm(x: Tensor) -> Tensor:
        return x * ((x**2).mean(dim=1, keepdim=True) + 1e-8).rsqrt()

    def layer(name: str, x: Tensor) -> Tensor:
        weight, bias = weights[f"{name}.module.weight"], weights[f"{name}.module.bias"]
        y = F.linear(x, weight, bias) if x.ndim == 2 else F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
        return y * math.sqrt(2.0 / weight[0].numel())

    def double(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    x = norm(F.leaky_relu(layer("formatLayer", norm(x)), 0.2).view(len(x), -1, 4, 4))
    x, below = norm(F.leaky_relu(layer("groupScale0.0", x), 0.2)), torch.empty(0)
    for scale in range(2):
        below = double(layer(f"toRGBLayers.{scale}", x))
        x = double(x)
        for half in range(2):
            x = norm(F.leaky_relu(layer(f"scaleLayers.{scale}.{half}", x), 0.2))
    image = layer("toRGBLayers.2", x)
    return alpha * below + (1.0 - alpha) * image if alpha else image


@pytest.mark.parametrize("module", [".module", ""])
@pytest.mark.parametrize("alpha", [0, 0.35, 1.0])
def test_read_back_it_draws_the_same(module: str, alpha: float) -> None:
    generator, z = toy(lod=float(alpha)), seeded_z([1, 2], 12)
    config = {"alpha": alpha, "noiseVectorDim": 12, "categoryVectorDim": 0, "lossCriterion": "WGANGP"}
    found = recognize(raw(exported(generator, module=module), **config), "toy").build()
    assert found.config() == generator.config()
    image = found.synthesis(found.mapping(z))
    torch.testing.assert_close(image, generator.synthesis(generator.mapping(z)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(image, reference(exported(generator), z, alpha), atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(
    "stated", [("noiseVectorDim", "categoryVectorDim"), ("noiseVectorDim",), ("categoryVectorDim",)]
)
def test_classes_are_the_end_of_its_latent_vector(stated: tuple[str, ...]) -> None:
    generator, z = toy(c_dim=3), seeded_z([1, 2], 12)
    sizes = {"noiseVectorDim": 12, "categoryVectorDim": 3}
    found = recognize(raw(exported(generator), **{name: sizes[name] for name in stated}), "toy").build()
    assert found.config() == generator.config() and found.c_dim == 3
    c = torch.eye(3)[[2, 0]]
    wanted = reference(exported(generator), torch.cat([z, c], dim=1))
    torch.testing.assert_close(found.synthesis(found.mapping(z, c)), wanted, atol=2e-5, rtol=2e-5)


def test_layers_that_are_not_equalized() -> None:
    generator = toy()
    found = recognize(raw(exported(generator, equalized=False), equalizedlR=False), "toy").build()
    codes = generator.mapping(seeded_z([1], 12))
    torch.testing.assert_close(found.synthesis(codes), generator.synthesis(codes), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("loss", "tanh"), [("WGANGP", False), ("DCGAN", True), ("MSE", True)])
def test_the_loss_decides_on_tanh_and_the_leak_is_read(loss: str, tanh: bool) -> None:
    found = recognize(raw(exported(toy()), lossCriterion=loss, leakyReluLeak=0.1), "toy")
    assert found.config["final_tanh"] is tanh and found.config["lrelu_slope"] == 0.1


def test_alpha_means_nothing_before_the_first_scale() -> None:
    weights = {
        n: t for n, t in exported(toy()).items() if not n.startswith(("scale", "toRGBLayers.1", "toRGBLayers.2"))
    }
    found = recognize(raw(weights, alpha=0.5), "toy").build()
    assert found.resolution == 4 and not float(found.weights()["lod"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"alpha": 1.5}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"alpha": "0"}, "alpha"),
        ({"leakyReluLeak": -1}, "leakyReluLeak"),
        ({"perChannelNormalization": False}, "perChannelNormalization"),
        ({"categoryVectorDim": 10**5000}, "categoryVectorDim"),
        ({"categoryVectorDim": -1}, "categoryVectorDim"),
        ({"categoryVectorDim": 12}, "0 noise and 12 class"),
        ({"noiseVectorDim": 13}, "weights say 12"),
        ({"noiseVectorDim": 11, "categoryVectorDim": 0}, "weights say 12"),
    ],
)
def test_a_config_that_contradicts_the_weights_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        recognize(raw(exported(toy()), **config), "toy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"formatLayer.module.weight": torch.zeros(17, 12)}, "wanted a convolution"),
        ({"formatLayer.module.weight": torch.zeros(16, 0)}, "wanted a convolution"),
        ({"groupScale0.0.module.weight": torch.zeros(16, 16)}, "wanted a convolution"),
        ({"scaleLayers.0.0.module.bias": torch.zeros(3)}, "no bias"),
        ({"scaleLayers.9999.0.module.bias": torch.zeros(3)}, "unexpected"),
        ({"formatLayer.weight": torch.zeros(1)}, "second"),
        ({"decisionLayer.module.weight": torch.zeros(1)}, "unexpected"),
        ({"scaleLayers.0.1.module.weight": torch.zeros(16, 8, 3, 3)}, "wants"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_absurd_weights_are_refused(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        recognize(raw(exported(toy()) | change), "toy").build()


def test_other_names_are_not_its() -> None:
    assert translate(raw(dict(toy_pggan().weights()))) is None
