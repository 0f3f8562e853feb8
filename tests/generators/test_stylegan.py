"""The first StyleGAN against the plain way of computing it, layer by layer; its levels of detail; its size in full."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators.doubling import double
from eigan.generators.stylegan import StyleGAN, StyleGANConfig, fused_up_convolution
from eigan.latents import seeded_z
from eigan.layers import LayerRange
from tests.toys_stylegan import toy_stylegan

WITH_FUSED = {"fused_scale": True}


def plain_layer(weights: dict[str, Tensor], i: int, x: Tensor, w: Tensor, *, fused: bool, noise: bool) -> Tensor:
    """One layer in the order of the paper, every scale multiplied in where it stands."""
    p = {name.removeprefix(f"synthesis.layer{i}."): t.double() for name, t in weights.items() if f".layer{i}." in name}
    if "const" in p:
        y = p["const"].repeat(len(w), 1, 1, 1)
    else:
        weight = p["weight"] * math.sqrt(2 / (9 * p["weight"].shape[1]))
        if i % 2 or i == 0:
            y = F.conv2d(x, weight, padding=1)
        elif fused:
            y = fused_up_convolution(x, weight)
        else:
            y = F.conv2d(x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), weight, padding=1)
    if i and i % 2 == 0:
        y = F.conv2d(y, p["blur.kernel"], padding=1, groups=y.shape[1])
    if noise:
        y = y + p["apply_noise.noise"] * p["apply_noise.weight"].view(1, -1, 1, 1)
    y = F.leaky_relu(y + p["bias"].view(1, -1, 1, 1), 0.2)
    y = y - y.mean(dim=(2, 3), keepdim=True)
    y = y / (y.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
    style = w.double() @ p["style.weight"].t() / math.sqrt(w.shape[1]) + p["style.bias"]
    scale, shift = style[:, :, None, None].chunk(2, dim=1)
    return y * (scale + 1) + shift


def plain_synthesis(generator: StyleGAN, codes: Tensor, lod: float, *, noise: bool = True) -> Tensor:
    """The picture at a level of detail, from pictures drawn at every resolution: float64, nothing shared."""
    weights = generator.weights()
    x, colours = torch.empty(0), []
    for i in range(generator.num_layers):
        fused = generator.settings.is_fused(4 * 2 ** (i // 2))
        x = plain_layer(weights, i, x, codes[:, i], fused=fused, noise=noise)
        if i % 2:
            weight = weights[f"synthesis.output{i // 2}.weight"].double()
            bias = weights[f"synthesis.output{i // 2}.bias"].double()
            colours.append(F.conv2d(x, weight / math.sqrt(weight.shape[1]), bias))
    enlarged = [F.interpolate(c, size=(generator.resolution,) * 2, mode="nearest") for c in colours][::-1]
    coarse = math.ceil(lod)
    fine = max(coarse - 1, 0)
    return enlarged[coarse] if lod == coarse else torch.lerp(enlarged[coarse], enlarged[fine], coarse - lod)


def codes_of(generator: StyleGAN) -> Tensor:
    """Codes with another w in each row: a row that is read by the wrong layer shows."""
    rows = generator.num_layers
    w = generator.map_to_w(seeded_z(range(2 * rows), generator.z_dim), 0 if generator.c_dim else None)
    return w.view(2, rows, -1)


@pytest.mark.parametrize("changes", [{}, WITH_FUSED, {"channels": {4: 5, 8: 7, 16: 3}, "img_channels": 1}], ids=str)
@pytest.mark.parametrize("noise_mode", ["const", "none"])
def test_the_picture_is_that_of_the_plain_way(changes: dict[str, Any], noise_mode: Any) -> None:
    generator = toy_stylegan(**changes)
    codes = codes_of(generator)
    wanted = plain_synthesis(generator, codes, 0.0, noise=noise_mode == "const")
    actual = generator.synthesis(codes, noise_mode=noise_mode)
    torch.testing.assert_close(actual.double(), wanted, atol=2e-5, rtol=2e-5)


@settings(max_examples=25, deadline=None)
@given(lod=st.floats(0, 2, width=32) | st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0]))
def test_any_level_of_detail_is_drawn(lod: float) -> None:
    generator = toy_stylegan(lod=lod)
    codes = codes_of(generator)
    wanted = plain_synthesis(generator, codes, lod)
    torch.testing.assert_close(generator.synthesis(codes).double(), wanted, atol=2e-5, rtol=2e-5)


def test_blocks_too_fine_for_the_level_of_detail_are_not_computed() -> None:
    coarse, codes = toy_stylegan(lod=2.0), codes_of(toy_stylegan())
    for name, weight in coarse.weights().items():
        if ".layer2." in name or ".layer5." in name:
            weight.fill_(torch.nan)
    image = coarse.synthesis(codes)
    assert image.isfinite().all() and image.shape == (2, 3, 16, 16)
    assert torch.equal(image, double(double(image[:, :, ::4, ::4])))


@pytest.mark.parametrize("lod", [-0.5, 2.5, 1e9])
def test_levels_of_detail_without_a_picture_are_refused(lod: float) -> None:
    generator = toy_stylegan(lod=lod)
    with pytest.raises(CheckpointError, match=r"lod is .*; this StyleGAN draws at 0 to 2"):
        generator.synthesis(codes_of(generator))


def test_a_generator_that_does_not_grow_has_one_output() -> None:
    generator = toy_stylegan(progressive=False)
    outputs = [name for name in generator.weights() if ".output" in name]
    assert outputs == ["synthesis.output2.weight", "synthesis.output2.bias"]
    assert generator.synthesis(codes_of(generator)).shape == (2, 3, 16, 16)


def test_the_mapping_is_that_of_the_paper() -> None:
    generator = toy_stylegan(c_dim=3)
    weights = {name: t.double() for name, t in generator.weights().items()}
    z, c = seeded_z([1, 2], 8).double(), torch.eye(3).double()[[2, 0]]
    x = torch.cat([z, c @ weights["mapping.label_weight"]], dim=1)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for i in range(3):
        weight, bias = weights[f"mapping.dense{i}.weight"], weights[f"mapping.dense{i}.bias"]
        x = F.leaky_relu(x @ weight.t() * 0.01 * math.sqrt(2 / weight.shape[1]) + 0.01 * bias, 0.2)
    torch.testing.assert_close(generator.map_to_w(z.float(), c.float()).double(), x, atol=1e-6, rtol=1e-5)


def test_fused_and_plain_upsampling_agree_on_turned_kernels() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 6, generator=random, dtype=torch.float64)
    weight = torch.randn(4, 3, 3, 3, generator=random, dtype=torch.float64)
    plain = F.conv2d(double(x), weight.flip(2, 3), padding=1)
    torch.testing.assert_close(fused_up_convolution(x, weight), plain)


def test_auto_fuses_from_128_px_on() -> None:
    config = toy_stylegan().settings
    assert [config.is_fused(r) for r in (8, 64, 128, 1024)] == [False, False, True, True]


def test_style_weights_are_scale_and_shift_rows_of_every_layer() -> None:
    generator = toy_stylegan()
    weights = generator.weights()
    assert generator.style_weights().shape == (10, 2 * (12 + 12 + 12 + 12 + 8 + 8))
    some = generator.style_weights(LayerRange(3, 5))
    wanted = torch.cat([weights[f"synthesis.layer{i}.style.weight"].t() for i in (3, 4)], dim=1)
    assert torch.equal(some, wanted)


def test_gradients_reach_the_codes() -> None:
    generator = toy_stylegan()
    codes = codes_of(generator).requires_grad_()
    generator.synthesis(codes).square().mean().backward()
    assert codes.grad is not None and (codes.grad.abs().amax(dim=(0, 2)) > 0).all()


def test_the_official_1024_px_generator_has_its_parameters() -> None:
    """26.2M trainable parameters, as Karras et al. state for their generator (section 2)."""
    channels = {2**i: min(16384 // 2**i, 512) for i in range(2, 11)}
    with torch.device("meta"):
        generator = StyleGAN(StyleGANConfig(z_dim=512, c_dim=0, w_dim=512, resolution=1024, channels=channels))
    assert generator.num_layers == 18
    assert sum(p.numel() for p in generator.parameters()) == 26_219_627
