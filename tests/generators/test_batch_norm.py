"""Batch normalisation in evaluation, and its statistics measured anew."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from eigan.errors import InvalidCodes
from eigan.generators.batch_norm import (
    AffineBatchNorm,
    BatchNorm,
    ClassBatchNorm,
    Moments,
    recalibrate_batch_norm,
)
from eigan.generators.fastgan import FastGAN
from eigan.latents import MAX_SEED, seeded_z
from tests.toys import toy_generator
from tests.toys_fastgan import toy_fastgan, toy_projected


def spoilt(generator: FastGAN) -> FastGAN:
    """With statistics that belong to other weights."""
    random = torch.Generator().manual_seed(3)
    for module in generator.modules():
        if isinstance(module, BatchNorm):
            size = module.get_buffer(module.mean_name).shape
            module.set_statistics(torch.randn(size, generator=random), 0.1 + torch.rand(size, generator=random))
    return generator


def statistics(generator: FastGAN) -> dict[str, Tensor]:
    return {n: t for n, t in generator.named_buffers() if n.endswith(("mean", "var"))}


def codes_of(generator: FastGAN, seeds: range) -> Tensor:
    c = torch.eye(generator.c_dim)[[i % generator.c_dim for i in range(len(seeds))]] if generator.c_dim else None
    return generator.mapping(seeded_z(seeds, generator.z_dim), c)


def test_it_is_torchs_batch_norm_in_evaluation() -> None:
    theirs, ours, x = nn.BatchNorm2d(5), AffineBatchNorm(5), torch.randn(3, 5, 4, 4)
    for tensor in (theirs.weight, theirs.bias, theirs.running_mean):
        nn.init.normal_(tensor)  # type: ignore[arg-type]
    nn.init.uniform_(theirs.running_var, 0.5, 2)  # type: ignore[arg-type]
    ours.load_state_dict({n: t for n, t in theirs.state_dict().items() if n != "num_batches_tracked"})
    assert torch.equal(ours(x), theirs.eval()(x))
    assert torch.equal(ours.train()(x), theirs(x))  # there is no training mode


def test_classes_scale_and_shift() -> None:
    norm, x, c = ClassBatchNorm(5, 3), torch.randn(2, 5, 4, 4), torch.randn(2, 3)
    norm.set_statistics(torch.randn(5), torch.rand(5) + 0.5)
    mean, var = (norm.get_buffer(name)[None, :, None, None] for name in ("stored_mean", "stored_var"))
    scale, shift = (layer(c)[:, :, None, None] for layer in (norm.gain, norm.bias))
    torch.testing.assert_close(norm(x, c), (x - mean) / (var + 1e-5).sqrt() * (1 + scale) + shift)


def test_moments_are_those_of_everything_shown() -> None:
    moments, x = Moments(), 1e3 + torch.randn(7, 4, 3, 5)
    for part in x.split([1, 4, 2]):
        moments.add(part)
    mean, var = moments.mean_and_variance()
    wanted = x.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(mean, wanted.mean(dim=1))
    torch.testing.assert_close(var, wanted.var(dim=1, correction=0))


@pytest.mark.parametrize("make", [lambda: toy_fastgan(resolution=128), toy_projected])
def test_every_layer_is_left_with_mean_0_and_variance_1(make: type[FastGAN]) -> None:
    generator, seen = spoilt(make()), {}
    recalibrate_batch_norm(generator, num_samples=5, seed=10, batch_size=2)
    handles = []
    for name, module in generator.named_modules():
        if isinstance(module, BatchNorm):
            seen[name] = Moments()
            show = lambda m, args, moments=seen[name]: moments.add(m.normalize(args[0]))  # noqa: E731
            handles.append(module.register_forward_pre_hook(show))
    generator.synthesis(codes_of(generator, range(10, 15)))
    assert len(seen) == 1 + 8 if not generator.c_dim else 1 + 10
    for name, moments in seen.items():
        mean, var = moments.mean_and_variance()
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0, msg=name)
        assert (var <= 1 + 1e-4).all() and (var > 0.9).all(), name  # below 1 by epsilon over the variance


@pytest.mark.parametrize("make", [lambda: toy_fastgan(resolution=128), toy_projected])
def test_statistics_do_not_depend_on_batching_nor_on_those_before(make: type[FastGAN]) -> None:
    generators = [make(), spoilt(make()), spoilt(make())]
    for generator, batch_size in zip(generators, (1, 2, 5), strict=True):
        recalibrate_batch_norm(generator, num_samples=5, batch_size=batch_size)
    first = statistics(generators[0])
    for generator in generators[1:]:
        torch.testing.assert_close(statistics(generator), first, atol=1e-5, rtol=1e-4)


def test_doing_it_twice_changes_nothing_and_another_seed_something() -> None:
    generator = spoilt(toy_fastgan(resolution=64))
    recalibrate_batch_norm(generator, num_samples=3)
    once = statistics(generator)
    recalibrate_batch_norm(generator, num_samples=3)
    assert all(torch.equal(tensor, once[name]) for name, tensor in statistics(generator).items())
    recalibrate_batch_norm(generator, num_samples=3, seed=9)
    assert not torch.equal(statistics(generator)["feat_8.3.running_mean"], once["feat_8.3.running_mean"])


def test_it_says_what_was_done_and_how_far_it_is() -> None:
    generator, reports = toy_fastgan(resolution=64), []
    found = recalibrate_batch_norm(generator, num_samples=2, seed=4, progress=lambda *args: reports.append(args))
    assert found == {"bn_recalibration": {"num_samples": 2, "seed": 4}}
    assert reports[0][:2] == (1, 7) and reports[-1][:2] == (7, 7)


def test_the_stored_tensors_are_not_written_to_and_the_fingerprint_is_another() -> None:
    generator = spoilt(toy_fastgan(resolution=64))
    weights = dict(generator.weights())
    before, values = generator.fingerprint, {name: tensor.clone() for name, tensor in weights.items()}
    recalibrate_batch_norm(generator, num_samples=2)
    assert all(torch.equal(weights[name], tensor) for name, tensor in values.items())
    assert generator.fingerprint != before
    assert not any(tensor.is_inference() for tensor in generator.weights().values())


def test_generators_without_batch_norm_are_refused() -> None:
    for generator in (toy_generator(), toy_generator(c_dim=3)):
        with pytest.raises(InvalidCodes, match="stylegan2 .* has no batch norm"):
            recalibrate_batch_norm(generator)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "num_samples is 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": MAX_SEED}, "every sample"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidCodes, match=message):
        recalibrate_batch_norm(toy_fastgan(resolution=64), **settings)
