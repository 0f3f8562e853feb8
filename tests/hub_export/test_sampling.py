"""Rows of latents and of w depend on the seed and their index alone, and w is the generator's own mapping."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eigan.generators.stylegan2 import StyleGAN2
from eigan.generators.stylegan2_config import StyleGAN2Config
from eigan.latents import BLOCK_ROWS, z_block
from hub_export.recipe import Recipe
from hub_export.sampling import (
    ROUNDINGS,
    FoldedMapping,
    RoundedMapping,
    over_w,
    prepare_mapping,
    roundings,
    sample_classes,
    sample_z,
    stream_w,
)
from tests.toys import toy_generator

ROWS = 3 * BLOCK_ROWS + 17


def wide_generator(c_dim: int = 0) -> StyleGAN2:
    """A mapping network whose widths all differ."""
    config = StyleGAN2Config(
        z_dim=24, c_dim=c_dim, w_dim=40, resolution=4, channels={4: 8}, layer_features=32, embed_features=12
    )
    generator = StyleGAN2(config)
    random = torch.Generator().manual_seed(5)
    generator.initialize(random)
    with torch.no_grad():
        for name, parameter in generator.mapper.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(generator=random)
    return generator.eval()


@given(start=st.integers(0, ROWS), stop=st.integers(0, ROWS), seed=st.sampled_from([0, 7, 2**32 - 1]))
@settings(max_examples=30, deadline=None)
def test_any_cut_gives_the_same_rows(start: int, stop: int, seed: int) -> None:
    start, stop = sorted((start, stop))
    assert torch.equal(sample_z(seed, start, stop, 5), sample_z(seed, 0, ROWS, 5)[start:stop])
    assert torch.equal(sample_classes(seed, start, stop, 7), sample_classes(seed, 0, ROWS, 7)[start:stop])


def test_latents_are_standard_normal_and_differ() -> None:
    z = sample_z(0, 0, 64 * BLOCK_ROWS, 8)
    assert z.dtype == torch.float32
    assert abs(float(z.mean())) < 0.01
    assert abs(float(z.std()) - 1) < 0.01
    assert abs(float(z[:-BLOCK_ROWS].flatten() @ z[BLOCK_ROWS:].flatten()) / z.numel()) < 0.01
    assert not torch.equal(z[:BLOCK_ROWS], sample_z(1, 0, BLOCK_ROWS, 8))
    assert len(torch.unique(z[:, 0])) > 0.99 * len(z)


def test_the_stream_is_the_one_that_packs_name() -> None:
    """A changed stream needs a new SAMPLER name: refits of published recipes would silently differ."""
    z = sample_z(0, 2 * BLOCK_ROWS, 2 * BLOCK_ROWS + 1, 4)
    expected = torch.empty(BLOCK_ROWS, 4)
    seed = int(np.random.SeedSequence([0, 2]).generate_state(1, np.uint64)[0])
    expected.normal_(generator=torch.Generator().manual_seed(seed))
    assert torch.equal(z, expected[:1])


def test_classes_are_uniform() -> None:
    counts = torch.bincount(sample_classes(3, 0, 50_000, 5), minlength=5)
    assert len(counts) == 5
    assert bool(((counts - 10_000).abs() < 500).all())


@pytest.mark.parametrize("c_dim", [0, 6])
@pytest.mark.parametrize("make", [lambda c: toy_generator(c_dim=c), wide_generator], ids=["toy", "wide"])
def test_w_is_the_generators_mapping(make, c_dim: int) -> None:  # type: ignore[no-untyped-def]
    generator = make(c_dim)
    recipe = Recipe("pca", num_samples=ROWS, seed=4).resolve(generator)
    w = torch.cat(list(stream_w(generator, recipe)))
    c = torch.nn.functional.one_hot(sample_classes(4, 0, ROWS, c_dim), c_dim).float() if c_dim else None
    with torch.no_grad():
        expected = generator.map_to_w(sample_z(4, 0, ROWS, generator.z_dim), c)
    assert w.shape == (ROWS, generator.code_dim)
    assert float((w - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert not w.requires_grad


def test_one_class_alone() -> None:
    generator = wide_generator(6)
    recipe = Recipe("pca", num_samples=200, num_directions=8, class_index=2).resolve(generator)
    with torch.no_grad():
        expected = generator.map_to_w(sample_z(0, 0, 200, generator.z_dim), 2)
    assert torch.allclose(next(stream_w(generator, recipe)), expected, atol=1e-5)


def test_a_mapping_of_another_kind_is_asked_as_it_is() -> None:
    generator = toy_generator(c_dim=3)
    recipe = Recipe("pca", num_samples=ROWS).resolve(generator)
    folded = torch.cat(list(stream_w(generator, recipe)))
    generator.mapper.__class__ = type("OtherMapping", (type(generator.mapper),), {})
    assert type(prepare_mapping(generator)).__name__ == "function"
    assert torch.allclose(torch.cat(list(stream_w(generator, recipe))), folded, atol=1e-5)


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_neither_threads_nor_cuts_change_a_bit(num_threads: int) -> None:
    generator, before = wide_generator(), torch.get_num_threads()
    recipe = Recipe("pca", num_samples=ROWS).resolve(generator)
    whole = torch.cat(list(stream_w(generator, recipe)))
    try:
        torch.set_num_threads(num_threads)
        assert torch.equal(torch.cat(list(stream_w(generator, recipe))), whole)
        part = torch.cat(list(stream_w(generator, recipe, start=1000, stop=2100)))
        assert torch.equal(part, whole[1000:2100])
        assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)


def test_nothing_to_draw() -> None:
    generator = toy_generator()
    recipe = Recipe("pca", num_samples=100).resolve(generator)
    assert list(stream_w(generator, recipe, start=100)) == []
    assert sample_classes(0, 5, 5, 3).shape == (0,)


def test_global_random_state_is_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    generator = toy_generator(c_dim=2)
    recipe = Recipe("pca", num_samples=ROWS).resolve(generator)
    assert sum(over_w(generator, recipe, len)) == ROWS
    assert torch.equal(torch.get_rng_state(), before)


def halved(generator: StyleGAN2, num_samples: int = ROWS) -> Recipe:
    return Recipe("pca", num_samples=num_samples, precision="bf16").resolve(generator)


@pytest.mark.parametrize("c_dim", [0, 6])
def test_the_mapping_in_bf16_is_near(c_dim: int) -> None:
    generator = wide_generator(c_dim)
    exact = torch.cat(list(stream_w(generator, Recipe("pca", num_samples=ROWS).resolve(generator))))
    near = torch.cat(list(stream_w(generator, halved(generator))))
    assert near.dtype == torch.float32
    assert 1e-3 < float((near - exact).norm() / exact.norm()) < 0.015


def test_variances_of_the_mapping_in_bf16_are_nearer_than_by_rounding_once() -> None:
    generator = StyleGAN2(StyleGAN2Config(z_dim=256, c_dim=0, w_dim=256, resolution=4, channels={4: 8}))
    generator.initialize(torch.Generator().manual_seed(0))
    generator.requires_grad_(False)
    folded = FoldedMapping(generator.mapper)

    def rounded_once(z: Tensor, classes: Tensor | None) -> Tensor:
        x = folded.inputs(z, classes).bfloat16()
        for weight, bias in folded.layers:
            x = torch.nn.functional.leaky_relu(x @ weight.bfloat16().t() + bias.bfloat16(), 0.2)
        return x.float()

    variances = []
    for mapping in (folded, RoundedMapping(generator.mapper), rounded_once):
        w = torch.cat([mapping(z_block(0, block, 256), None) for block in range(16)])
        variances.append(torch.linalg.eigvalsh(w.double().t().cov()).flip(0)[:80])
    ours, once = (values / variances[0] - 1 for values in variances[1:])
    assert float(ours.abs().max()) < 0.002
    assert float(ours.square().mean()) < 0.5 * float(once.square().mean())


def test_a_mapping_of_another_kind_in_bf16_is_near() -> None:
    generator = toy_generator(c_dim=3)
    generator.mapper.__class__ = type("OtherMapping", (type(generator.mapper),), {})
    exact = torch.cat(list(stream_w(generator, Recipe("pca", num_samples=ROWS).resolve(generator))))
    near = torch.cat(list(stream_w(generator, halved(generator))))
    assert 1e-3 < float((near - exact).norm() / exact.norm()) < 0.015


@given(values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30), number=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_roundings_have_the_weight_as_their_mean(values: list[float], number: int) -> None:
    exact = torch.tensor(values)
    copies = roundings(exact, number)
    assert copies.shape == (ROUNDINGS, len(values))
    assert copies.dtype == torch.bfloat16
    step = 2.0**-7 * exact.abs() + 1e-38  # at most, between neighbours in bf16
    assert bool(((copies.float() - exact).abs() <= step).all())
    assert bool(((copies.double().mean(dim=0) - exact).abs() <= step / ROUNDINGS + 1e-12).all())


def test_what_bf16_holds_is_not_rounded() -> None:
    exact = torch.tensor([0.0, 1.0, -1.5, 384.0, -(2.0**-20)])
    assert torch.equal(roundings(exact, 0).float(), exact.expand(ROUNDINGS, -1))


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_no_number_of_threads_changes_a_bit_in_bf16(num_threads: int) -> None:
    generator, before = wide_generator(), torch.get_num_threads()
    whole = torch.cat(list(stream_w(generator, halved(generator))))
    try:
        torch.set_num_threads(num_threads)
        assert torch.equal(torch.cat(list(stream_w(generator, halved(generator)))), whole)
        assert torch.equal(next(stream_w(generator, halved(generator), start=1000)), whole[1000:BLOCK_ROWS])
    finally:
        torch.set_num_threads(before)
