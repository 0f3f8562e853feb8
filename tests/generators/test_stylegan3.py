"""StyleGAN3: filters against scipy, resampling against its definition, sizes against NVIDIA's, and what a pose does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import scipy.special
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.generators import stylegan3_filters
from eigan.generators.stylegan3 import StyleGAN3
from eigan.generators.stylegan3_config import StyleGAN3Config, band_limits, official_channels
from eigan.generators.stylegan3_filters import filtered_lrelu, lowpass
from eigan.layers import LayerRange
from eigan.pose import Pose
from tests.toys_stylegan3 import toy_stylegan3


@pytest.mark.parametrize(
    ("taps", "cutoff", "width", "rate"), [(12, 2, 12, 32), (24, 10.08, 11.84, 128), (12, 32, 14.8, 128), (6, 3, 1, 16)]
)
def test_separable_filters_are_those_of_scipy(taps: int, cutoff: float, width: float, rate: float) -> None:
    wanted = scipy.signal.firwin(numtaps=taps, cutoff=cutoff, width=width, fs=rate)
    torch.testing.assert_close(lowpass(taps, cutoff, width, rate), torch.from_numpy(wanted).float(), atol=1e-7, rtol=0)


def test_radial_filters_are_jincs_under_a_square_kaiser_window() -> None:
    taps, cutoff, width, rate = 12, 12.7, 38.6, 128.0
    beta = scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(taps, width / (rate / 2)))
    time = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.hypot(*np.meshgrid(time, time))
    kernel = scipy.special.j1(2 * np.pi * cutoff * radius) / (np.pi * radius)
    kernel *= np.outer(np.kaiser(taps, beta), np.kaiser(taps, beta))
    found = lowpass(taps, cutoff, width, rate, radial=True)
    torch.testing.assert_close(found, torch.from_numpy(kernel / kernel.sum()).float(), atol=1e-7, rtol=0)
    torch.testing.assert_close(found, torch.rot90(found))


def by_definition(
    x: Tensor, up_filter: Tensor | None, down_filter: Tensor | None, up: int, down: int, first: int, size: int
) -> Tensor:
    """Zeros between samples, a wide margin of them around, convolution with the whole filter, then every n-th."""
    one = torch.ones(1, dtype=x.dtype)
    up_filter, down_filter = (one if f is None else f for f in (up_filter, down_filter))
    spread = torch.zeros(*x.shape[:2], x.shape[2] * up, x.shape[3] * up, dtype=x.dtype)
    spread[:, :, ::up, ::up] = x
    margin, taps = 48, len(up_filter)
    weight = torch.outer(up_filter, up_filter).flip(0, 1) * up**2
    full = F.conv2d(F.pad(spread, (margin,) * 4).flatten(0, 1)[:, None], weight[None, None])
    start, extent = margin - taps + 1 + first, (size - 1) * down + len(down_filter)
    kept = F.leaky_relu(full[:, :, start : start + extent, start : start + extent], 0.2).clamp(-0.5, 0.5)
    square = down_filter if down_filter.ndim == 2 else torch.outer(down_filter, down_filter)
    reduced = F.conv2d(kept, square.flip(0, 1)[None, None], stride=down)
    return reduced.reshape(*x.shape[:2], size, size)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 2),
    channels=st.integers(1, 19),
    height=st.integers(1, 9),
    up=st.sampled_from([1, 2, 4]),
    down=st.sampled_from([1, 2, 3]),
    radial=st.booleans(),
    first=st.integers(-9, 12),
    size=st.integers(1, 9),
)
def test_the_filtered_leaky_relu_is_its_definition(
    seed: int, count: int, channels: int, height: int, up: int, down: int, radial: bool, first: int, size: int
) -> None:
    random = torch.Generator().manual_seed(seed)

    taps = 3 * up if up > 1 else 1
    extent = (size - 1) * down + (1 if down == 1 else 5 if radial else 2 * down)
    assume(first < (height - 1) * up + taps and first + extent > 0)  # some of the picture is in the window

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    x, scale, bias = draw(count, channels, height, height), draw(count, channels), draw(channels)
    up_filter = draw(3 * up) if up > 1 else None  # neither is symmetric
    down_filter = None if down == 1 else draw(5, 5) if radial else draw(2 * down)
    actual = filtered_lrelu(x, scale, bias, up_filter, down_filter, up=up, down=down, first=first, size=size, clamp=0.5)
    prepared = x * scale[:, :, None, None] + bias[None, :, None, None]
    wanted = by_definition(prepared, up_filter, down_filter, up, down, first, size)
    torch.testing.assert_close(actual, wanted)


@pytest.mark.parametrize("radial", [False, True])
def test_pictures_do_not_depend_on_how_many_channels_are_in_hand(radial: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = toy_stylegan3(radial=radial, resolution=32)
    codes = torch.randn(3, generator.num_layers, generator.code_dim, generator=torch.Generator().manual_seed(1))
    pictures = []
    for chunk in (1, 2**40):
        monkeypatch.setattr(stylegan3_filters, "CHUNK_BYTES", chunk)
        pictures.append(generator.synthesis(codes))
    torch.testing.assert_close(*pictures, atol=1e-5, rtol=1e-5)


def official(resolution: int, *, radial: bool, c_dim: int = 0) -> StyleGAN3Config:
    """The settings of NVIDIA's train.py for --cfg=stylegan3-t and stylegan3-r."""
    factor = 2 if radial else 1
    channels = official_channels(band_limits(resolution, 14).cutoffs, 32768 * factor, 512 * factor)
    kernel = 1 if radial else 3
    return StyleGAN3Config(
        z_dim=512,
        c_dim=c_dim,
        w_dim=512,
        resolution=resolution,
        channels=channels,
        conv_kernel=kernel,
        use_radial_filters=radial,
        num_mapping_layers=2,
    )


@pytest.mark.parametrize(
    ("resolution", "radial", "stage", "parameters", "buffers"),
    [
        (256, False, "input", 262144, 1545),
        (256, False, "L0_36_512", 2359808, 25),
        (256, False, "L3_52_512", 2359808, 37),
        (1024, True, "input", 1048576, 3081),
        (1024, True, "L2_52_1024", 1049600, 169),
        (128, True, "L10_148_912", 934800, 157),
        (128, True, "L11_148_683", 623579, 157),
        (128, True, "L12_148_512", 350208, 25),
        (128, True, "L13_128_512", 262656, 25),
        (128, True, "L14_128_3", 1539, 1),
    ],
)
def test_layers_are_as_large_as_the_official_training_prints(
    resolution: int, radial: bool, stage: str, parameters: int, buffers: int
) -> None:
    with torch.device("meta"):
        generator = StyleGAN3(official(resolution, radial=radial))
    module = generator.blocks[stage]
    assert sum(p.numel() for p in module.parameters(recurse=False)) == parameters
    assert sum(b.numel() for b in module.buffers(recurse=False)) == buffers


def test_config_t_at_1024_px_has_the_papers_22_million_parameters() -> None:
    with torch.device("meta"):
        generator = StyleGAN3(official(1024, radial=False))
    assert round(sum(p.numel() for p in generator.parameters()) / 1e6, 1) == 22.3
    assert generator.num_layers == 16 and [s.name for s in generator.stages][-1] == "L14_1024_3"


@pytest.fixture(scope="module", params=[False, True], ids=["T", "R"])
def toy(request: pytest.FixtureRequest) -> StyleGAN3:
    return toy_stylegan3(radial=request.param)


def input_of(generator: StyleGAN3, codes: Tensor, pose: Pose) -> Tensor:
    return generator.stages[0](generator.initial_state(codes, "const", pose), codes).features


@pytest.fixture
def codes(toy: StyleGAN3) -> Tensor:
    return toy.mapping(torch.randn(2, toy.z_dim, generator=torch.Generator().manual_seed(5)))


def test_a_pose_moves_the_input_right_down_and_counter_clockwise(toy: StyleGAN3, codes: Tensor) -> None:
    still = input_of(toy, codes, Pose())
    right, down = input_of(toy, codes, Pose(x=4 / 16)), input_of(toy, codes, Pose(y=4 / 16))
    torch.testing.assert_close(right[..., 4:], still[..., :-4], atol=2e-5, rtol=0)
    torch.testing.assert_close(down[:, :, 4:], still[:, :, :-4], atol=2e-5, rtol=0)
    turned = torch.rot90(still, 1, (2, 3))  # counter-clockwise
    torch.testing.assert_close(input_of(toy, codes, Pose(angle=90)), turned, atol=2e-5, rtol=0)
    both = input_of(toy, codes, Pose(x=4 / 16, angle=90))
    torch.testing.assert_close(both[..., 4:], turned[..., :-4], atol=2e-5, rtol=0)


def test_config_r_draws_a_turned_picture_turned() -> None:
    generator = toy_stylegan3(radial=True)
    codes = generator.mapping(torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(5)))
    still, turned = (generator.synthesis(codes, pose=pose) for pose in (Pose(), Pose(angle=90)))
    torch.testing.assert_close(turned, torch.rot90(still, 1, (2, 3)), atol=1e-5, rtol=0)


def test_a_moved_picture_is_the_same_picture_elsewhere(toy: StyleGAN3, codes: Tensor) -> None:
    still, right = toy.synthesis(codes), toy.synthesis(codes, pose=Pose(x=2 / 16))
    error = (right[..., 2:] - still[..., :-2]).square().mean().sqrt()
    assert error < 0.1 * (right - still).square().mean().sqrt()


def test_a_pose_is_the_official_transform_and_acts_on_the_pictures_own(toy: StyleGAN3, codes: Tensor) -> None:
    pose, own = Pose(0.1, -0.2, 33.0), Pose(-0.05, 0.15, -20.0).matrix()
    weights = toy.weights()
    posed = toy_stylegan3(radial=toy.settings.use_radial_filters)
    posed.load_weights({**weights, "synthesis.input.transform": pose.matrix()})
    torch.testing.assert_close(toy.synthesis(codes, pose=pose), posed.synthesis(codes), atol=1e-5, rtol=0)
    posed.load_weights({**weights, "synthesis.input.transform": own})
    shown = posed.synthesis(codes, pose=pose)
    posed.load_weights({**weights, "synthesis.input.transform": own @ pose.matrix()})
    torch.testing.assert_close(shown, posed.synthesis(codes), atol=1e-5, rtol=0)


def test_style_weights_leave_the_placement_out_unless_it_is_asked_for_alone(toy: StyleGAN3) -> None:
    widths = [plan.in_channels for plan in toy.settings.layers]
    assert toy.style_weights().shape == (12, sum(widths))
    assert toy.style_weights(LayerRange(0, 1)).shape == (12, 4)
    assert toy.style_weights(LayerRange(0, 2)).shape == (12, widths[0])
    assert toy.style_weights(LayerRange(3, 5)).shape == (12, widths[2] + widths[3])
    last = toy.style_weights(LayerRange(15, 16))
    assert torch.equal(last, toy.weights()["synthesis.L14_16_3.affine.weight"].t())


def test_it_can_be_trained_through(toy: StyleGAN3, codes: Tensor) -> None:
    codes = codes[:1].clone().requires_grad_()
    toy.synthesis(codes).square().sum().backward()
    assert codes.grad is not None and codes.grad.isfinite().all() and (codes.grad.abs().amax(dim=2) > 0).all()


def test_gradients_are_those_of_differences() -> None:
    random = torch.Generator().manual_seed(3)
    x = torch.randn(1, 2, 4, 4, generator=random, dtype=torch.float64, requires_grad=True)
    scale, bias = torch.ones(1, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    taps = torch.randn(6, generator=random, dtype=torch.float64)

    def run(x: Tensor) -> Tensor:
        return filtered_lrelu(x, scale, bias, taps, taps, up=2, down=2, first=2, size=3, clamp=1.0)

    assert torch.autograd.gradcheck(run, (x,))


def test_the_clamp_is_on_what_comes_out_of_the_leaky_relu() -> None:
    x = torch.tensor([[[[9.0, -9.0]] * 2]])
    y = filtered_lrelu(x, torch.ones(1, 1), torch.zeros(1), None, None, up=1, down=1, first=0, size=2, clamp=1.5)
    assert y[0, 0, 0].tolist() == pytest.approx([1.5, -1.5])
    assert math.isclose(float(stylegan3_filters.LRELU_SLOPE), 0.2)


@pytest.mark.parametrize("magnitude", [0.0, -1.0])
def test_magnitudes_that_no_features_have_are_refused(toy: StyleGAN3, magnitude: float) -> None:
    name = next(name for name in toy.weights() if name.endswith(".magnitude_ema"))
    damaged = {**toy.weights(), name: torch.tensor(magnitude)}
    twin = StyleGAN3(toy.settings)
    for assign in (False, True):
        with pytest.raises(CheckpointError, match=f"{name} is {magnitude}; wanted a positive number"):
            twin.load_weights(damaged, assign=assign)
