"""What every architecture promises, tried on a small one of each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError, InvalidCodes
from eigan.generators import ARCHITECTURES
from eigan.generators.base import Generator
from eigan.latents import seeded_z
from eigan.readers.safetensors import save_generator
from tests.toys import toy_generator

TOYS = {"stylegan2": toy_generator, "stylegan2-classes": lambda: toy_generator(c_dim=3)}


@pytest.fixture(params=TOYS)
def generator(request: pytest.FixtureRequest) -> Generator:
    toy: Generator = TOYS[request.param]()
    return toy


def codes_of(generator: Generator, seeds: list[int], psi: float = 0.7) -> Tensor:
    c = torch.eye(generator.c_dim)[[s % generator.c_dim for s in seeds]] if generator.c_dim else None
    return generator.mapping(seeded_z(seeds, generator.z_dim), c, truncation_psi=psi)


def test_every_architecture_has_a_toy() -> None:
    assert {toy().architecture for toy in TOYS.values()} == set(ARCHITECTURES)


def test_shapes(generator: Generator) -> None:
    codes = codes_of(generator, [1, 2, 3])
    assert codes.shape == (3, generator.num_layers, generator.code_dim)
    image = generator.synthesis(codes)
    assert image.shape == (3, 3, generator.resolution, generator.resolution)
    assert image.dtype == torch.float32 and image.isfinite().all()


def test_the_same_codes_give_the_same_picture(generator: Generator) -> None:
    codes = codes_of(generator, [5])
    assert torch.equal(generator.synthesis(codes), generator.synthesis(codes.clone()))
    assert torch.equal(codes, codes_of(generator, [5]))


def test_batching_never_changes_a_picture(generator: Generator) -> None:
    codes = codes_of(generator, [1, 2])
    both = generator.synthesis(codes)
    one_by_one = torch.cat([generator.synthesis(row[None]) for row in codes])
    torch.testing.assert_close(both, one_by_one, atol=2e-5, rtol=2e-5)


def test_psi_0_gives_one_image(generator: Generator) -> None:
    if generator.code_space != "w":
        pytest.skip("no truncation to a mean")
    images = generator.synthesis(codes_of(generator, [1, 2], psi=0.0))
    torch.testing.assert_close(images[0], images[1], atol=2e-5, rtol=2e-5)


def test_the_fold_of_stages_is_synthesis(generator: Generator) -> None:
    codes = codes_of(generator, [4])
    state = generator.initial_state(codes, "const")
    for stage in generator.stages:
        state = stage(state, codes)
    assert torch.equal(generator.image_of(state), generator.synthesis(codes))


def test_synthesis_can_be_resumed_from_any_stage(generator: Generator) -> None:
    codes, other = codes_of(generator, [4]), codes_of(generator, [9])
    for start, first in enumerate(generator.stages):
        mixed = codes.clone()
        mixed[:, first.layers.start :] = other[:, first.layers.start :]
        if any(stage.layers.stop > first.layers.start for stage in generator.stages[:start]):
            mixed[:, first.layers.start] = codes[:, first.layers.start]  # a row that an earlier stage reads too
        state = generator.initial_state(codes, "const")
        for stage in generator.stages[:start]:
            state = stage(state, codes)
        for stage in generator.stages[start:]:
            state = stage(state, mixed)
        assert torch.equal(generator.image_of(state), generator.synthesis(mixed)), first.name


def test_stages_read_every_row_of_the_codes(generator: Generator) -> None:
    read = {row for stage in generator.stages for row in range(stage.layers.start, stage.layers.stop)}
    assert read == set(range(generator.num_layers))


def test_codes_of_another_shape_are_refused(generator: Generator) -> None:
    with pytest.raises(InvalidCodes, match="wants"):
        generator.synthesis(codes_of(generator, [1])[:, :-1])


def test_weights_are_strict(generator: Generator) -> None:
    weights = dict(generator.weights())
    name = sorted(weights)[0]
    without = {n: t for n, t in weights.items() if n != name}
    with pytest.raises(CheckpointError, match=rf"missing {name}"):
        generator.load_weights(without)
    with pytest.raises(CheckpointError, match=r"unexpected extra\.weight"):
        generator.load_weights({**weights, "extra.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=rf"{name} is .* wants"):
        generator.load_weights({**weights, name: torch.zeros(2, 3, 5, 7)})
    for bad in (float("nan"), float("inf")):
        with pytest.raises(CheckpointError, match="NaN or infinite"):
            generator.load_weights({**weights, name: torch.full_like(weights[name], bad)})


def test_large_finite_weights_are_taken(generator: Generator) -> None:
    weights = {name: tensor.clone() for name, tensor in generator.weights().items()}
    name = max(weights, key=lambda n: weights[n].numel())
    weights[name].fill_(3e38)  # the sum overflows, no value does
    generator.load_weights(weights)


def test_a_config_and_the_weights_make_the_same_generator(generator: Generator) -> None:
    with torch.device("meta"):
        twin = ARCHITECTURES[generator.architecture].from_config(generator.config())
    twin.load_weights(generator.weights(), assign=True)
    codes = codes_of(generator, [3])
    assert torch.equal(generator.synthesis(codes), twin.synthesis(codes))
    assert not any(p.requires_grad or p.is_meta for p in [*twin.parameters(), *twin.buffers()])
    assert twin.fingerprint == generator.fingerprint


def test_the_weights_alone_tell_the_config(generator: Generator) -> None:
    kind = ARCHITECTURES[generator.architecture]
    assert kind.infer_config(generator.weights(), {}) == generator.config()
    assert kind.infer_config({"something.else": torch.zeros(1)}, {}) is None


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_the_fingerprint_survives_the_file(generator: Generator, tmp_path: Path, dtype: str) -> None:
    save_generator(generator, tmp_path / "g", dtype=dtype)  # type: ignore[arg-type]
    assert Checkpoint.open(tmp_path / "g").verify() == generator.fingerprint
