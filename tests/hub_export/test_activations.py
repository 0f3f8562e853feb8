"""Activations are the generator's own, row by row, whatever the threads, the cuts and the number of processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from eigan.errors import UnknownName
from eigan.generators.base import Generator
from eigan.latents import BLOCK_ROWS
from hub_export.activations import MAX_CHUNK, MIN_CHUNK, Activations
from hub_export.recipe import Recipe
from hub_export.sampling import stream_w
from hub_export.world import World
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan
from tests.toys_fastgan import toy_fastgan, toy_projected
from tests.toys_pggan import toy_pggan

ROWS = BLOCK_ROWS + 300
MAKERS: dict[str, tuple[Callable[[], Generator], str, int | None]] = {
    "stylegan2": (toy_generator, "b8", None),
    "biggan": (toy_biggan, "layers.1", 3),
    "pggan": (toy_pggan, "layer2", None),
    "pggan of classes": (lambda: toy_pggan(c_dim=3), "layer1", 2),
    "fastgan": (toy_fastgan, "feat_8", None),
    "projected gan": (toy_projected, "init", 1),
}


def recipe_for(generator: Generator, class_index: int | None = None, num_samples: int = ROWS) -> Recipe:
    return Recipe("sefa", num_samples=num_samples, class_index=class_index, seed=5).resolve(generator)


def keep(x: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
    return x, latents


@pytest.mark.parametrize("name", MAKERS)
def test_activations_are_those_of_the_features(name: str) -> None:
    make, stage, class_index = MAKERS[name]
    generator = make()
    recipe = recipe_for(generator, class_index, 40)
    source = Activations.of(generator, recipe, stage)
    parts = list(source.over(keep))
    x, latents = (torch.cat(column) for column in zip(*parts, strict=True))
    codes = generator.mapping(torch.cat(list(_latents(generator, recipe))), class_index)
    expected = generator.features(codes, stage).flatten(1)
    assert x.shape == (40, source.size)
    assert torch.allclose(x, expected, atol=1e-5 * float(expected.abs().max()))
    wanted = codes[:, 0] if generator.code_space == "w" else codes[:, 0, : generator.z_dim]
    assert torch.allclose(latents, wanted, atol=1e-5)
    assert not x.requires_grad


def _latents(generator: Generator, recipe: Recipe) -> list[Tensor]:
    from hub_export.sampling import sample_z

    return [sample_z(recipe.seed, 0, recipe.num_samples or 0, generator.z_dim)]


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_neither_threads_nor_cuts_change_a_bit(num_threads: int) -> None:
    generator, before = toy_pggan(), torch.get_num_threads()
    source = Activations.of(generator, recipe_for(generator), "layer1")
    whole = torch.cat(list(source.over(lambda x, latents: x)))
    assert len(whole) == ROWS
    try:
        torch.set_num_threads(num_threads)
        assert torch.equal(torch.cat(list(source.over(lambda x, latents: x))), whole)
        begun = 3 * source.chunk
        assert torch.equal(torch.cat(list(source.over(lambda x, latents: x, start=begun))), whole[begun:])
    finally:
        torch.set_num_threads(before)


def test_processes_share_the_blocks() -> None:
    generator = toy_pggan()
    source = Activations.of(generator, recipe_for(generator), "layer0")
    counts = [sum(source.over(lambda x, latents: len(x), world=World(rank, 2))) for rank in range(2)]
    assert counts == [BLOCK_ROWS, ROWS - BLOCK_ROWS]


def test_later_stages_are_never_run() -> None:
    generator = toy_biggan()
    generator.output.bn.weight.fill_(float("nan"))
    for name, module in generator.blocks.named_children():
        if int(name) > 1:
            module.__class__ = type("Unwanted", (type(module),), {"__call__": None})
    source = Activations.of(generator, recipe_for(generator, 0, 20), "layers.1")
    assert all(bool(x.isfinite().all()) for x in source.over(lambda x, latents: x))


def test_wide_stages_come_in_smaller_chunks() -> None:
    generator = toy_fastgan()
    recipe = recipe_for(generator)
    sizes = {stage: Activations.of(generator, recipe, stage) for stage in ("init", "feat_64", "feat_256")}
    assert [source.size for source in sizes.values()] == [16 * 16, 8 * 64**2, 2 * 256**2]
    assert [source.chunk for source in sizes.values()] == [MAX_CHUNK, 64, 16]
    assert all(source.chunk >= MIN_CHUNK for source in sizes.values())


def test_half_precision_is_near() -> None:
    generator = toy_biggan()
    rows = next(stream_w(generator, recipe_for(generator, 1, 64)))
    exact = Activations.of(generator, recipe_for(generator, 1, 64), "layers.2").features(rows)
    halved = Recipe("sefa", num_samples=64, class_index=1, seed=5, precision="bf16").resolve(generator)
    near = Activations.of(generator, halved, "layers.2").features(rows)
    error = float((near - exact).norm() / exact.norm())
    assert near.dtype == torch.float32
    assert 1e-4 < error < 0.02


def test_unknown_stages_are_named_with_the_known() -> None:
    with pytest.raises(UnknownName, match="unknown stage 'layers.99'; biggan .* has gen_z, layers.0, .*conv_to_rgb"):
        Activations.of(toy_biggan(), recipe_for(toy_biggan(), 0), "layers.99")
