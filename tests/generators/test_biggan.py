"""BigGAN-deep: a plain reading of the official arithmetic as oracle, truncation in the codes, layer-wise codes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from eigan.dialects.spectral import fold_spectral_norm
from eigan.errors import InvalidCodes
from eigan.generators.biggan import BigGAN, GenBlock
from eigan.generators.biggan_layers import StatisticsRow
from eigan.generators.truncnorm import redraw_tails, truncated_z
from eigan.latents import seeded_z
from eigan.layers import LayerRange
from tests.toys_biggan import official_weights, toy_biggan


@pytest.fixture(scope="module")
def generator() -> BigGAN:
    return toy_biggan()


class Plain:
    """One picture, in float64, straight from weights under spectral normalisation and one condition for each block."""

    def __init__(self, state: Mapping[str, Tensor], generator: BigGAN):
        self.state = {name: tensor.double() for name, tensor in state.items()}
        self.settings = generator.settings

    def weight(self, name: str) -> Tensor:
        w, u, v = (self.state[f"generator.{name}.weight_{part}"] for part in ("orig", "u", "v"))
        return w / (u @ (w.flatten(1) @ v))

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.weight(name)
        return F.conv2d(x, weight, self.state.get(f"generator.{name}.bias"), padding=weight.shape[-1] // 2)

    def norm(self, name: str, x: Tensor, t: float, condition: Tensor | None = None) -> Tensor:
        means, variances = (self.state[f"generator.{name}.running_{kind}"] for kind in ("means", "vars"))
        coefficient, start = math.modf(t / (1.0 / (self.settings.n_stats - 1)))
        mean, variance = (
            (rows[int(start)] * coefficient + rows[int(start) + 1] * (1 - coefficient))
            if coefficient
            else rows[int(start)]
            for rows in (means, variances)
        )
        if condition is None:
            gain, offset = (self.state[f"generator.{name}.{kind}"] for kind in ("weight", "bias"))
        else:
            gain = 1 + self.weight(f"{name}.scale") @ condition
            offset = self.weight(f"{name}.offset") @ condition
        mean, variance, gain, offset = (v[:, None, None] for v in (mean, variance, gain, offset))
        return F.relu((x - mean) / torch.sqrt(variance + self.settings.eps) * gain + offset)

    def attention(self, j: int, x: Tensor) -> Tensor:
        theta = self.conv(f"layers.{j}.snconv1x1_theta", x).flatten(2)[0]
        phi, g = (F.max_pool2d(self.conv(f"layers.{j}.snconv1x1_{n}", x), 2).flatten(2)[0] for n in ("phi", "g"))
        seen = g @ torch.softmax(theta.t() @ phi, dim=1).t()
        out = self.conv(f"layers.{j}.snconv1x1_o_conv", seen.view(1, -1, *x.shape[2:]))
        return x + self.state[f"generator.layers.{j}.gamma"] * out

    def block(self, j: int, x: Tensor, condition: Tensor, t: float, up: bool, out: int) -> Tensor:
        y = x
        for i in range(4):
            y = self.norm(f"layers.{j}.bn_{i}", y, t, condition)
            if i == 1 and up:
                y = y.repeat_interleave(2, 2).repeat_interleave(2, 3)
            y = self.conv(f"layers.{j}.conv_{i}", y)
        skip = x[:, :out]
        return y + (skip.repeat_interleave(2, 2).repeat_interleave(2, 3) if up else skip)

    def draw(self, conditions: list[Tensor], t: float) -> Tensor:
        start = self.weight("gen_z") @ conditions[0] + self.state["generator.gen_z.bias"]
        x = start.view(1, 4, 4, -1).permute(0, 3, 1, 2)
        j = 0
        for i, (up, _, out) in enumerate(self.settings.layers):
            if i == self.settings.attention_layer_position:
                x, j = self.attention(j, x), j + 1
            x = self.block(j, x, conditions[i + 1], t, up, out * self.settings.channel_width)
            j += 1
        return torch.tanh(self.conv("conv_to_rgb", self.norm("bn", x, t))[:, :3])


def test_folding_keeps_the_weights(generator: BigGAN) -> None:
    folded = fold_spectral_norm(official_weights(generator))
    for name, tensor in generator.weights().items():
        torch.testing.assert_close(folded[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.43, 0.6, 0.7, 1.0])
def test_pictures_are_the_official_arithmetic(generator: BigGAN, t: float) -> None:
    """0.3, 0.6 and 0.7 are whole steps of 0.1 in decimals; 0.3 and 0.6 / 0.1 fall short of it in float64."""
    z, c = truncated_z([1], generator.z_dim) * t, 3
    condition = torch.cat([z[0], generator.embeddings.weight[:, c]]).double()
    wanted = Plain(official_weights(generator), generator).draw([condition] * generator.num_layers, t)
    image = generator.synthesis(generator.codes(z, c, t))
    torch.testing.assert_close(image, wanted.float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(generator.synthesis(generator.mapping(z / max(t, 0.1), c, truncation_psi=t)), image)


def test_a_latent_for_each_row_feeds_that_block(generator: BigGAN) -> None:
    z = torch.randn(generator.num_layers, 2, generator.z_dim, generator=torch.Generator().manual_seed(0))
    c = torch.eye(generator.c_dim)[:2]
    codes = generator.codes(z, c, 0.4)
    plain = Plain(official_weights(generator), generator)
    for n in range(2):
        conditions = [torch.cat([row[n], generator.embeddings.weight[:, n]]).double() for row in z]
        image = generator.synthesis(codes[n : n + 1])
        torch.testing.assert_close(image, plain.draw(conditions, 0.4).float(), atol=1e-5, rtol=1e-5)


def official_rows(t: float, n_stats: int) -> tuple[int, int, float, float]:
    coefficient, start = math.modf(t / (1.0 / (n_stats - 1)))
    i = int(start)
    return (i, i + 1, coefficient, 1 - coefficient) if coefficient else (i, i, 1.0, 0.0)


@pytest.mark.parametrize("n_stats", [51, 11, 2])
def test_every_t_that_can_be_typed_picks_the_official_rows(n_stats: int) -> None:
    typed = [i / 1000 for i in range(1001)]
    rows = StatisticsRow(torch.tensor(typed, dtype=torch.float32), n_stats)
    for n, t in enumerate(typed):
        first, second, part, rest = official_rows(t, n_stats)
        assert (int(rows.row[n]), float(rows.part[n])) == (first, pytest.approx(part, rel=1e-6)), t
        assert float(rows.rest[n]) == pytest.approx(rest, rel=1e-6)
        assert not rest or int(rows.next[n]) == second


@given(st.integers(0, 10**7))
def test_seven_decimals_come_through_float32(n: int) -> None:
    t = n / 10**7
    rows = StatisticsRow(torch.tensor([t], dtype=torch.float32), 51)
    first, _, part, rest = official_rows(t, 51)
    assert int(rows.row) == first
    assert (float(rows.part), float(rows.rest)) == (pytest.approx(part, rel=1e-6), pytest.approx(rest, rel=1e-6))


def test_where_float64_falls_short_of_a_step() -> None:
    rows = StatisticsRow(torch.tensor([0.58, 0.14, 0.28, 0.94, 0.56, 0.7, 1.0]), 51)
    taken = rows.of(torch.arange(51.0)[:, None])[:, 0]
    torch.testing.assert_close(taken, torch.tensor([28.0, 8, 15, 46, 29, 35, 50]))


def test_each_picture_of_a_batch_may_have_its_own_t(generator: BigGAN) -> None:
    z, c, t = seeded_z([1, 2, 3], generator.z_dim), torch.eye(generator.c_dim)[:3], [0.2, 0.58, 1.0]
    together = generator.codes(z, c, torch.tensor(t))
    alone = torch.cat([generator.codes(z[n : n + 1], c[n : n + 1], t[n]) for n in range(3)])
    assert torch.equal(together, alone)
    images = torch.cat([generator.synthesis(code[None]) for code in alone])
    torch.testing.assert_close(generator.synthesis(together), images, atol=2e-5, rtol=2e-5)


def test_each_block_may_have_its_own_t(generator: BigGAN) -> None:
    z = seeded_z([1], generator.z_dim)
    t = torch.full((1, generator.num_layers), 0.5)
    plain = generator.codes(z, 0, 0.5)
    assert torch.equal(generator.codes(z, 0, t), plain)
    t[0, 0] = 1.0  # gen_z has no statistics
    assert torch.equal(generator.synthesis(generator.codes(z, 0, t)), generator.synthesis(plain))
    t[0, 0], t[0, -1] = 0.5, 1.0  # the last block, and the output
    moved = generator.codes(z, 0, t)
    blocks = [stage.name for stage in generator.stages]
    assert torch.equal(generator.features(moved, blocks[-3]), generator.features(plain, blocks[-3]))
    assert not torch.allclose(generator.features(moved, blocks[-2]), generator.features(plain, blocks[-2]))


def test_mapping_takes_normal_and_truncated_latents(generator: BigGAN) -> None:
    z = seeded_z([5], generator.z_dim) * 2
    codes = generator.mapping(z, 2, truncation_psi=0.5)
    assert torch.equal(codes, generator.codes(redraw_tails(z) * 0.5, 2, 0.5))
    assert float(codes[..., : generator.z_dim].abs().max()) <= 1.0
    assert bool((codes[..., -1] == 0.5).all()) and bool((codes == codes[:, :1]).all())


def test_soft_labels_mix_embeddings(generator: BigGAN) -> None:
    z = seeded_z([5], generator.z_dim)
    mixed = generator.mapping(z, torch.tensor([[0.25, 0.0, 0.75, 0.0, 0.0]]), truncation_psi=0.5)
    first, third = (generator.mapping(z, c, truncation_psi=0.5) for c in (0, 2))
    torch.testing.assert_close(mixed, 0.25 * first + 0.75 * third)


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan"), float("inf")])
def test_truncations_outside_0_to_1_are_refused(generator: BigGAN, t: float) -> None:
    z = torch.zeros(1, generator.z_dim)
    with pytest.raises(InvalidCodes, match="truncation_psi is"):
        generator.mapping(z, 0, truncation_psi=t)
    codes = generator.codes(z, 0, 0.5)
    codes[:, 3, -1] = t
    with pytest.raises(InvalidCodes, match="truncation_psi is"):
        generator.synthesis(codes)


def test_a_t_that_rounding_pushed_over_the_edge_is_the_edge(generator: BigGAN) -> None:
    codes = generator.codes(torch.zeros(1, generator.z_dim), 0, 1.0)
    over = codes.clone()
    over[..., -1] += 1e-6
    assert torch.equal(generator.synthesis(over), generator.synthesis(codes))


def test_what_does_not_fit_is_refused(generator: BigGAN) -> None:
    z = torch.zeros(2, generator.z_dim)
    with pytest.raises(InvalidCodes, match="cutoff"):
        generator.mapping(z, 0, truncation_psi=0.5, truncation_cutoff=3)
    with pytest.raises(InvalidCodes, match="3 latents for each picture"):
        generator.codes(torch.zeros(3, 2, generator.z_dim), 0, 0.5)
    with pytest.raises(InvalidCodes, match="latents have shape"):
        generator.codes(torch.zeros(generator.num_layers, 2, 3), 0, 0.5)
    for shape in ((3,), (2, 3), (1, generator.num_layers), (2, generator.num_layers, 1)):
        with pytest.raises(InvalidCodes, match="truncation has shape"):
            generator.codes(z, 0, torch.full(shape, 0.5))


def test_stages_stand_in_the_official_order(generator: BigGAN) -> None:
    names = [stage.name for stage in generator.stages]
    assert names == ["gen_z", *(f"layers.{j}" for j in range(11)), "conv_to_rgb"]
    layers = [stage.layers for stage in generator.stages]
    assert layers[9] is None
    rows = [0, *range(1, 9), 9, 10, 10]
    assert [r for r in layers if r is not None] == [LayerRange(row, row + 1) for row in rows]
    codes = generator.codes(torch.zeros(1, generator.z_dim), 0, 0.5)
    assert generator.features(codes, "layers.3").shape == (1, 32, 16, 16)


def test_style_weights_are_the_z_columns_of_what_a_row_feeds(generator: BigGAN) -> None:
    weights, z = generator.weights(), generator.z_dim
    first = generator.style_weights(LayerRange(0, 1))
    assert torch.equal(first[:z], weights["generator.gen_z.weight"][:, :z].t())
    last = generator.style_weights(LayerRange(generator.num_layers - 1, generator.num_layers))
    named = [f"generator.layers.10.bn_{i}.{part}.weight" for i in range(4) for part in ("scale", "offset")]
    assert torch.equal(last[:z], torch.cat([weights[name][:, :z] for name in named]).t())
    assert not generator.style_weights()[z:].any()
    assert generator.style_weights().shape[1] == first.shape[1] + sum(
        2 * norm.scale.weight.shape[0]
        for block in generator.blocks
        if isinstance(block, GenBlock)
        for norm in block.norms
    )


def test_gradients_pass_after_pictures_were_drawn(generator: BigGAN) -> None:
    codes = generator.mapping(seeded_z([1], generator.z_dim), 0, truncation_psi=0.5)
    with torch.inference_mode():
        generator.synthesis(codes)
    moved = codes.clone().requires_grad_(True)
    generator.features(moved, "layers.10").square().mean().backward()
    assert moved.grad is not None and bool(moved.grad[..., : generator.z_dim].any())
