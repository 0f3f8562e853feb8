from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from eigan import Generator, PictureRecipe, Renderer, load_generator, recipe_codes
from eigan.errors import InvalidCodes
from eigan.invert import Adam, Step, invert, psnr, pyramid, ramp
from eigan.render import Pictures
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan
from tests.toys_fastgan import toy_fastgan
from tests.toys_pggan import toy_pggan


def own_picture(generator: Generator, seed: int = 7, psi: float = 0.7) -> Pictures:
    return Renderer(generator).render(recipe_codes(PictureRecipe("", seed, psi), generator))[0]


def test_a_generators_own_picture_comes_back() -> None:
    generator = toy_generator()
    picture = own_picture(generator)
    found = invert(generator, picture, steps=150)
    assert found.psnr > 26
    assert found.codes.shape == (1, 8, 16) and found.codes.dtype == torch.float32
    assert found.psnr == psnr(Renderer(generator).render(found.codes)[0], picture)
    assert len(found.losses) == 150 and found.losses[-1] < found.losses[0] / 5


def test_a_picture_of_the_bundled_generator_comes_back() -> None:
    """Measured: 45 dB after 200 steps, 30 after 60."""
    generator = load_generator("heads-64")
    picture = own_picture(generator)
    found = invert(generator, picture, steps=60)
    assert found.psnr > 27
    assert psnr(Renderer(generator).render(found.codes)[0], picture) == found.psnr


def test_the_same_seed_finds_the_same_codes() -> None:
    generator = toy_generator()
    picture = own_picture(generator)
    one, two, other = (invert(generator, picture, steps=12, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.codes, two.codes) and one.losses == two.losses
    assert not torch.equal(one.codes, other.codes)


def test_floats_and_bytes_are_one_picture() -> None:
    generator = toy_generator()
    picture = own_picture(generator)
    as_bytes, as_floats = (invert(generator, one, steps=3) for one in (picture, picture.astype(np.float64) / 255))
    assert torch.allclose(as_bytes.codes, as_floats.codes, atol=1e-4)


def test_it_works_where_gradients_are_switched_off() -> None:
    """As inside ComfyUI, whose nodes run in inference mode, with a picture and weights that were made there."""
    picture = own_picture(toy_generator())
    with torch.inference_mode():
        found = invert(toy_generator(), picture, steps=5)
    assert torch.equal(found.codes, invert(toy_generator(), picture, steps=5).codes)
    assert not found.codes.is_inference() and not found.codes.requires_grad


def test_the_generator_is_left_as_it_was() -> None:
    generator = toy_generator()
    before = {name: tensor.clone() for name, tensor in generator.weights().items()}
    state = torch.get_rng_state()
    invert(generator, own_picture(generator), steps=3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.weights().items())
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("make", [toy_pggan, lambda: toy_fastgan(resolution=64)], ids=["pggan", "fastgan"])
def test_generators_of_z_come_near(make: Any) -> None:
    generator = make()
    recipe = PictureRecipe("", 7, generator.default_psi)
    picture = Renderer(generator).render(recipe_codes(recipe, generator))[0]
    short, long = (invert(generator, picture, steps=steps) for steps in (1, 120))
    assert long.psnr > short.psnr + 3
    assert long.codes.shape == (1, generator.num_layers, generator.code_dim)


def test_a_class_stays_the_class() -> None:
    generator = toy_biggan()
    recipe = PictureRecipe("", 7, 1.0, class_index=1)
    codes = recipe_codes(recipe, generator)
    picture = Renderer(generator).render(codes)[0]
    found = invert(generator, picture, steps=12, class_index=1)
    varied = recipe_codes(PictureRecipe("", 8, 1.0, class_index=1), generator) != codes
    fixed = ~varied[0]
    assert fixed.any() and torch.allclose(found.codes[0][fixed], codes[0][fixed], atol=1e-5)
    assert found.psnr > invert(generator, picture, steps=1, class_index=1).psnr


def test_more_regularization_stays_nearer_to_the_average() -> None:
    generator = toy_generator()
    picture = own_picture(generator, psi=1.0)
    loose, tight = (invert(generator, picture, steps=80, regularization=each) for each in (0.0, 1.0))
    assert distance(tight.codes, generator) < 0.7 * distance(loose.codes, generator)
    assert tight.psnr < loose.psnr


def distance(codes: torch.Tensor, generator: Any) -> float:
    return float((codes - generator.w_avg).norm())


def test_a_further_distance_counts() -> None:
    generator = toy_generator()
    picture = own_picture(generator)
    seen = []

    def perceptual(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append((image.shape, target.shape, image.requires_grad))
        return (image - target).abs().mean()

    plain, more = (invert(generator, picture, steps=4, perceptual=one) for one in (None, perceptual))
    assert ((1, 3, 32, 32), (1, 3, 32, 32), True) in seen
    assert more.losses[0] > plain.losses[0]


def test_it_is_watched_and_stopped_from_there() -> None:
    generator = toy_generator()
    seen: list[Step] = []

    def watch(step: Step) -> None:
        seen.append(step)
        if step.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert(generator, own_picture(generator), steps=50, watch=watch)
    assert [(step.done, step.total) for step in seen] == [(1, 50), (2, 50), (3, 50)]
    assert seen[0].picture.shape == (32, 32, 3) and seen[0].picture.dtype == np.uint8
    assert math.isfinite(seen[0].loss)


BLANK = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    "picture, options, words",
    [
        (np.zeros((64, 64, 3), np.uint8), {}, "has shape (64, 64, 3); stylegan2 32px"),
        (BLANK[..., 0], {}, "has shape (32, 32)"),
        (BLANK[..., :2], {}, "has shape (32, 32, 2)"),
        (BLANK.astype(np.int64), {}, "is int64"),
        (np.full((32, 32, 3), np.nan), {}, "not finite or outside 0 to 1"),
        (np.full((32, 32, 3), 255.0), {}, "not finite or outside 0 to 1"),
        (BLANK, {"steps": 0}, "steps is 0"),
        (BLANK, {"steps": True}, "steps is True"),
        (BLANK, {"steps": 10**9}, "steps is"),
        (BLANK, {"regularization": math.nan}, "regularization is nan"),
        (BLANK, {"regularization": -1.0}, "regularization is -1.0"),
        (BLANK, {"class_index": 1}, "has no classes"),
        (BLANK, {"noise_mode": "random"}, "unknown noise mode 'random'"),
    ],
)
def test_what_cannot_be_inverted_is_refused(picture: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidCodes) as caught:
        invert(toy_generator(), picture, **options)
    assert words in str(caught.value)


def test_a_pyramid_adds_up_to_the_image() -> None:
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    levels = pyramid(image)
    assert [level.blurred.shape[-1] for level in levels] == [64, 32, 16, 8]
    back = levels[-1].detail
    for level in levels[-2::-1]:
        larger = torch.nn.functional.interpolate(back, scale_factor=2, mode="bilinear", align_corners=False)
        back = level.detail + larger
    assert torch.allclose(back, image, atol=1e-5)


def test_the_learning_rate_goes_up_and_down() -> None:
    rates = [ramp(i / 100) for i in range(100)]
    assert rates[0] < 0.05 and rates[6] == 1.0 and rates[74] == 1.0 and rates[99] < 0.01
    assert all(0 < rate <= 1 for rate in rates)


def test_psnr() -> None:
    assert psnr(BLANK, BLANK) == math.inf
    assert psnr(BLANK, BLANK + 255) == 0
    assert psnr(BLANK, BLANK + 1) == pytest.approx(48.13, abs=0.01)


def test_adam_is_torchs() -> None:
    start = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = (start.clone().requires_grad_(True) for _ in range(2))
    adam, oracle = Adam(ours), torch.optim.Adam([theirs], lr=0.1, betas=Adam.BETAS)
    for _ in range(20):
        adam.step(torch.autograd.grad(ours.square().sum() + ours.sin().sum(), ours)[0], 0.1)
        oracle.zero_grad()
        (theirs.square().sum() + theirs.sin().sum()).backward()
        oracle.step()
    assert torch.allclose(ours, theirs, atol=1e-6)
