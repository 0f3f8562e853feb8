"""What every architecture promises, tried on a small one of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from eigan.checkpoint import Checkpoint
from eigan.classes import NUM_IMAGENET
from eigan.errors import CheckpointError, InvalidCodes
from eigan.generators import ARCHITECTURES
from eigan.generators.base import Generator, Stage
from eigan.latents import seeded_z
from eigan.layers import LayerRange
from eigan.pack import Direction
from eigan.pose import Pose
from eigan.readers.safetensors import save_generator
from eigan.render import Renderer
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan
from tests.toys_fastgan import toy_fastgan, toy_projected
from tests.toys_pggan import toy_pggan
from tests.toys_stylegan import toy_stylegan
from tests.toys_stylegan3 import toy_stylegan3

TOYS: dict[str, Callable[[], Generator]] = {
    "biggan": toy_biggan,
    "fastgan": toy_fastgan,
    "fastgan-classes": toy_projected,
    "pggan": toy_pggan,
    "pggan-classes": lambda: toy_pggan(c_dim=3, bias_per_pixel=True),
    "stylegan": toy_stylegan,
    "stylegan-classes": lambda: toy_stylegan(c_dim=3),
    "stylegan2": toy_generator,
    "stylegan2-classes": lambda: toy_generator(c_dim=3),
    "stylegan3-t": toy_stylegan3,
    "stylegan3-t-classes": lambda: toy_stylegan3(c_dim=3),
    "stylegan3-r": lambda: toy_stylegan3(radial=True),
}


@pytest.fixture(params=TOYS)
def generator(request: pytest.FixtureRequest) -> Generator:
    return TOYS[request.param]()


def codes_of(generator: Generator, seeds: list[int], psi: float | None = None) -> Tensor:
    psi = generator.default_psi if psi is None else psi
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
    if generator.truncation == "none":
        pytest.skip("it has no truncation")
    seeds = [1, 1 + max(generator.c_dim, 1)]  # of one class
    images = generator.synthesis(codes_of(generator, seeds, psi=0.0))
    torch.testing.assert_close(images[0], images[1], atol=2e-5, rtol=2e-5)


def test_truncation_does_something_or_is_refused(generator: Generator) -> None:
    if generator.truncation == "none":
        assert generator.default_psi == 1.0
        with pytest.raises(InvalidCodes, match="no truncation"):
            codes_of(generator, [1], psi=0.5)
        return
    assert not torch.allclose(codes_of(generator, [1], psi=0.5), codes_of(generator, [1], psi=1.0))
    for psi in (float("nan"), float("inf")):
        with pytest.raises(InvalidCodes, match="psi"):
            codes_of(generator, [1], psi=psi)


def test_latents_of_another_shape_are_refused(generator: Generator) -> None:
    for z in (torch.zeros(2, generator.z_dim + 1), torch.zeros(generator.z_dim)):
        with pytest.raises(InvalidCodes, match="latents have shape"):
            generator.mapping(z, 0 if generator.c_dim else None)


def test_classes_are_checked_and_change_the_picture(generator: Generator) -> None:
    z = seeded_z([3], generator.z_dim)
    if not generator.c_dim:
        with pytest.raises(InvalidCodes, match="no classes"):
            generator.mapping(z, 0)
        return
    for bad in (None, -1, generator.c_dim, torch.zeros(1, generator.c_dim + 1)):
        with pytest.raises(InvalidCodes):
            generator.mapping(z, bad)
    first, second = (generator.synthesis(generator.mapping(z, c)) for c in (0, 1))
    assert not torch.allclose(first, second)
    if generator.c_dim != NUM_IMAGENET:
        with pytest.raises(InvalidCodes, match="no names"):
            generator.mapping(z, "husky")
    one_hot = torch.nn.functional.one_hot(torch.tensor([1]), generator.c_dim).float()
    assert torch.equal(generator.mapping(z, one_hot), generator.mapping(z, 1))


def test_a_pose_moves_the_picture_or_is_refused(generator: Generator) -> None:
    codes = codes_of(generator, [1])
    still, pose = generator.synthesis(codes, pose=Pose()), Pose(x=0.25, angle=30.0)
    assert torch.equal(still, generator.synthesis(codes))
    if generator.has_pose:
        assert not torch.allclose(generator.synthesis(codes, pose=pose), still)
    else:
        with pytest.raises(InvalidCodes, match="pose"):
            generator.synthesis(codes, pose=pose)


def test_style_weights_have_a_row_for_each_number_of_a_code(generator: Generator) -> None:
    whole = generator.style_weights()
    assert whole.shape[0] == generator.code_dim and whole.isfinite().all()
    last = LayerRange(generator.num_layers - 1, generator.num_layers)
    assert generator.style_weights(last).shape[0] == generator.code_dim
    with pytest.raises(InvalidCodes, match="do not exist"):
        generator.style_weights(LayerRange(0, generator.num_layers + 1))


def test_it_can_be_moved_by_an_edit(generator: Generator) -> None:
    vectors, _ = torch.linalg.qr(generator.style_weights().double() @ generator.style_weights().double().t())
    layers = LayerRange(0, generator.num_layers)
    direction = Direction("first", vectors[:, 0].float(), 1.0, layers)
    codes, renderer = codes_of(generator, [2]), Renderer(generator)
    plain, moved = renderer.render(codes), renderer.render(codes, direction * 5.0)
    assert (plain != moved).any() and plain.shape == (1, generator.resolution, generator.resolution, 3)
    assert (Renderer(generator).render(codes, direction * 5.0) == moved).all()  # the trail changed nothing


def test_the_fold_of_stages_is_synthesis(generator: Generator) -> None:
    codes = codes_of(generator, [4])
    state = generator.initial_state(codes, "const")
    for stage in generator.stages:
        state = stage(state, codes)
    assert torch.equal(generator.image_of(state), generator.synthesis(codes))


def rows_of(stages: Iterable[Stage]) -> set[int]:
    return {row for stage in stages if stage.layers for row in range(stage.layers.start, stage.layers.stop)}


def test_synthesis_can_be_resumed_from_any_stage(generator: Generator) -> None:
    codes, other = codes_of(generator, [4]), codes_of(generator, [9])
    for start, first in enumerate(generator.stages):
        mixed = codes.clone()
        later = sorted(rows_of(generator.stages[start:]) - rows_of(generator.stages[:start]))
        mixed[:, later] = other[:, later]
        state = generator.initial_state(codes, "const")
        for stage in generator.stages[:start]:
            state = stage(state, codes)
        for stage in generator.stages[start:]:
            state = stage(state, mixed)
        assert torch.equal(generator.image_of(state), generator.synthesis(mixed)), first.name


def test_stages_read_every_row_of_the_codes(generator: Generator) -> None:
    assert rows_of(generator.stages) == set(range(generator.num_layers))


def test_stage_names_differ(generator: Generator) -> None:
    names = [stage.name for stage in generator.stages]
    assert len(set(names)) == len(names)
    features = generator.features(codes_of(generator, [1]), names[-1])
    assert features.ndim == 4 and len(features) == 1


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
