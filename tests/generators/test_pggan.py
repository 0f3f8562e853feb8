"""PGGAN: every level of detail against genforce's forward said again, codes on their sphere, SeFa's matrix."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eigan.errors import CheckpointError, InvalidCodes
from eigan.generators.pggan import PGGAN, pixel_norm
from eigan.latents import seeded_z
from eigan.layers import LayerRange
from tests.toys_pggan import toy_pggan


def norm(x: Tensor) -> Tensor:
    return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)


def reference(generator: PGGAN, z: Tensor, lod: float) -> Tensor:
    """genforce's forward from the facts: resolution by resolution, every picture doubled and blended on the way up."""
    weights = generator.weights()
    last = generator.resolution.bit_length() - 3

    def layer(name: str, x: Tensor, gain: float = math.sqrt(2), padding: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        scaled = weight * (gain / math.sqrt(weight[0].numel()))
        return F.conv2d(norm(x), scaled, weights[f"{name}.bias"], padding=padding)

    x, image = norm(z)[:, :, None, None], torch.empty(0)
    for block in range(last + 1):
        level = last - block
        if lod < level + 1:
            if block:
                x = F.interpolate(x, scale_factor=2)
            x = F.leaky_relu(layer(f"layer{2 * block}", x, padding=1 if block else 3), 0.2)
            x = F.leaky_relu(layer(f"layer{2 * block + 1}", x), 0.2)
        if level - 1 < lod <= level:
            image = layer(f"output{block}", x, gain=1.0, padding=0)
        elif level < lod < level + 1:
            alpha = math.ceil(lod) - lod
            finer = layer(f"output{block}", x, gain=1.0, padding=0)
            image = finer * alpha + F.interpolate(image, scale_factor=2) * (1 - alpha)
        elif lod >= level + 1:
            image = F.interpolate(image, scale_factor=2)
    return image


@settings(max_examples=8, deadline=None)
@given(st.one_of(st.sampled_from([0.0, 1.0, 2.0]), st.floats(0, 2, width=32)))
def test_every_level_of_detail_is_drawn_as_genforce_draws_it(lod: float) -> None:
    generator, z = toy_pggan(lod=lod), seeded_z([1, 2], 12)
    image = generator.synthesis(generator.mapping(z))
    assert image.shape == (2, 3, 16, 16)
    torch.testing.assert_close(image, reference(generator, z, float(generator.lod)), atol=2e-5, rtol=2e-5)


def test_a_coarse_picture_is_made_of_equal_squares_and_its_fine_layers_rest() -> None:
    generator = toy_pggan(lod=2.0)
    codes = generator.mapping(seeded_z([3], 12))
    image = generator.synthesis(codes)
    assert torch.equal(image, F.interpolate(image[:, :, ::4, ::4], scale_factor=4))
    assert generator.features(codes, "layer5").shape[2:] == (4, 4)


@pytest.mark.parametrize("lod", [-0.5, 2.5, float("nan")])
def test_a_level_of_detail_that_is_not_there_is_refused(lod: float) -> None:
    generator = toy_pggan(lod=lod)
    with pytest.raises(CheckpointError, match="lod is"):
        generator.synthesis(torch.ones(1, 1, 12))
    with pytest.raises(CheckpointError, match="lod is"):
        PGGAN.infer_config(generator.weights(), {})


def test_without_its_lower_outputs_it_draws_the_same_at_full_detail_only() -> None:
    whole = toy_pggan()
    kept = {name: t for name, t in whole.weights().items() if not name.startswith(("output0", "output1"))}
    config = PGGAN.infer_config(kept, {})
    assert config == whole.config() | {"all_outputs": False}
    last_only = PGGAN.from_config(config)
    last_only.load_weights(kept)
    codes = whole.mapping(seeded_z([1], 12))
    assert torch.equal(last_only.synthesis(codes), whole.synthesis(codes))
    last_only.lod.fill_(0.5)
    with pytest.raises(CheckpointError, match="draws at 0 to 0"):
        last_only.synthesis(codes)


def test_codes_are_on_a_sphere_and_moved_codes_are_drawn_from_it() -> None:
    generator = toy_pggan(c_dim=3)
    codes = generator.mapping(seeded_z([1, 2], 12), 1)
    torch.testing.assert_close(codes.square().mean(dim=2), torch.ones(2, 1))
    moved = codes + 3.0 * torch.eye(15)[4]
    on_the_sphere = pixel_norm(moved[:, 0])[:, None]
    torch.testing.assert_close(generator.synthesis(moved), generator.synthesis(on_the_sphere), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(generator.synthesis(moved), generator.synthesis(codes), atol=1e-2)


@pytest.mark.parametrize("c_dim", [0, 3])
def test_style_weights_are_the_matrix_of_the_first_layer(c_dim: int) -> None:
    generator = toy_pggan(c_dim=c_dim, lrelu_slope=1.0)
    codes = generator.mapping(seeded_z([5, 6], 12), torch.zeros(2, 3) if c_dim else None)  # no class: its rows are zero
    scale = math.sqrt(2.0 / (16 * (12 + c_dim)))
    dense = (codes[:, 0] @ generator.style_weights() * scale).view(2, 16, 4, 4)
    bias = generator.weights()["layer0.bias"][:, None, None]
    torch.testing.assert_close(dense + bias, generator.features(codes, "layer0"), atol=1e-5, rtol=1e-5)
    assert not generator.style_weights()[12:].any()


def test_only_the_first_stage_reads_the_codes() -> None:
    stages = toy_pggan().stages
    assert [stage.name for stage in stages] == [f"layer{i}" for i in range(6)]
    assert [stage.layers for stage in stages] == [LayerRange(0, 1)] + [None] * 5


def test_tanh_where_the_settings_say_so() -> None:
    plain, bounded = toy_pggan(), toy_pggan(final_tanh=True)
    codes = plain.mapping(seeded_z([1], 12))
    assert torch.equal(bounded.synthesis(codes), plain.synthesis(codes).tanh())


def test_there_is_no_truncation() -> None:
    generator, z = toy_pggan(), seeded_z([1], 12)
    with pytest.raises(InvalidCodes, match="no truncation"):
        generator.mapping(z, truncation_psi=0.7)
    with pytest.raises(InvalidCodes, match="no truncation"):
        generator.mapping(z, truncation_cutoff=1)


def test_gradients_reach_the_codes() -> None:
    generator = toy_pggan(c_dim=3)
    codes = generator.mapping(seeded_z([1], 12), 0).requires_grad_()
    generator.synthesis(codes).square().sum().backward()
    assert codes.grad is not None and codes.grad.isfinite().all() and codes.grad.any()


def test_one_resolution_is_a_network_too() -> None:
    generator = toy_pggan(resolution=4, channels={4: 6})
    assert generator.synthesis(generator.mapping(seeded_z([1], 12))).shape == (1, 3, 4, 4)
    assert PGGAN.infer_config(generator.weights(), {}) == generator.config()
