"""Pictures: exact reuse of stages, uint8 conversion, grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan.errors import InvalidCodes
from eigan.latents import seeded_z
from eigan.render import Renderer, grid, strip, to_uint8
from tests.toys import toy_direction, toy_generator
from tests.toys_models import varying_direction

GENERATOR = toy_generator()
CODES = GENERATOR.mapping(seeded_z([1, 2], 16), truncation_psi=0.7)
DIRECTIONS = [toy_direction(f"d{i}", layers, seed=i) for i, layers in enumerate([(0, 8), (2, 5), (4, 6), (7, 8)])]
DIRECTIONS += [varying_direction("v0", (0, 8), seed=1), varying_direction("v1", (5, 8), depth=1, seed=2)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(DIRECTIONS), st.floats(-3, 3)), min_size=1, max_size=5))
def test_reused_stages_give_the_same_bits(moves: list) -> None:
    """Whatever was rendered before, a warm renderer answers as a fresh one does."""
    warm = Renderer(GENERATOR)
    for direction, amount in moves:
        warm.render(CODES, direction * amount)
    direction, amount = moves[-1]
    assert np.array_equal(warm.render(CODES, direction * amount), Renderer(GENERATOR).render(CODES, direction * amount))


def test_a_late_slider_computes_only_late_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for stage in GENERATOR.stages:
        original = type(stage).forward
        monkeypatch.setattr(
            type(stage), "forward", lambda self, *a, original=original: (ran.append(self.name), original(self, *a))[1]
        )
        break  # all stages share one class
    renderer = Renderer(GENERATOR)
    renderer.render(CODES)
    assert ran == ["b4", "b8", "b16", "b32"]
    ran.clear()
    renderer.render(CODES, DIRECTIONS[3] * 1.0)  # row 7: only the last toRGB
    assert ran == ["b32"]
    ran.clear()
    renderer.render(CODES, DIRECTIONS[3] * 1.0)
    assert ran == []
    renderer.render(CODES, DIRECTIONS[3] * 1.0, noise_mode="none")
    assert ran == ["b4", "b8", "b16", "b32"]
    renderer.render(CODES)
    ran.clear()
    renderer.render(CODES, DIRECTIONS[5] * 1.0)  # made by a model, from row 5 on
    assert ran == ["b16", "b32"]


def test_batching_never_changes_a_picture() -> None:
    codes = GENERATOR.mapping(seeded_z(range(5), 16))
    whole, by_two = Renderer(GENERATOR, batch_size=5).render(codes), Renderer(GENERATOR, batch_size=2).render(codes)
    assert np.abs(whole.astype(int) - by_two).max() <= 1  # float rounding may differ at a level's edge


def test_uint8_is_nvidias_rounding() -> None:
    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).reshape(1, 1, 1, 5)
    assert to_uint8(image)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_alpha_is_left_out_and_grey_is_repeated() -> None:
    assert to_uint8(torch.zeros(2, 4, 8, 8)).shape == (2, 8, 8, 3)
    assert to_uint8(torch.zeros(2, 1, 8, 8)).shape == (2, 8, 8, 3)


def test_no_codes_give_no_pictures() -> None:
    assert Renderer(GENERATOR).render(CODES[:0]).shape == (0, 32, 32, 3)


def test_wrong_codes_and_noise_are_refused() -> None:
    with pytest.raises(InvalidCodes, match=r"\(N, 8, 16\)"):
        Renderer(GENERATOR).render(torch.zeros(1, 9, 16))
    with pytest.raises(InvalidCodes, match="noise mode"):
        Renderer(GENERATOR).render(CODES, noise_mode="loud")  # type: ignore[arg-type]


def test_strip_has_a_row_per_seed_and_a_column_per_amount() -> None:
    sheet = strip(Renderer(GENERATOR), CODES, DIRECTIONS[0], [-2, 0, 2])
    assert sheet.size == (3 * 34 - 2, 2 * 34 - 2)
    middle = np.asarray(sheet)[:32, 34:66]
    assert np.array_equal(middle, Renderer(GENERATOR).render(CODES)[0])


def test_grid_fills_rows() -> None:
    assert grid(np.zeros((5, 4, 6, 3), np.uint8), columns=3, gap=1).size == (3 * 7 - 1, 2 * 5 - 1)
