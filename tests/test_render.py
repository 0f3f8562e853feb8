"""Pictures: exact reuse of stages, smaller pictures while a slider moves, uint8 conversion, grids."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan.errors import InvalidCodes
from eigan.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from eigan.latents import seeded_z
from eigan.preview import shrink
from eigan.render import Pictures, Renderer, grid, strip, to_uint8
from tests.generators.test_contract import TOYS, codes_of
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


STAGE_SECONDS = {"b4": 1.0, "b8": 1.0, "b16": 1.0, "b32": 2.0, "b64": 4.0, "b128": 8.0}


class Bench:
    """A 128 px generator (12 rows of 16) whose stages take STAGE_SECONDS for each picture, on a clock of its own."""

    def __init__(self, architecture: str = "skip", channels: dict[int, int] | None = None, **settings: int):
        config = StyleGAN2Config(
            z_dim=16,
            c_dim=0,
            w_dim=16,
            resolution=128,
            channels={2**i: 4 for i in range(2, 8)} | (channels or {}),
            num_mapping_layers=1,
            architecture=architecture,  # type: ignore[arg-type]
        )
        self.generator = StyleGAN2(config)
        self.generator.initialize(torch.Generator().manual_seed(0))
        self.generator.eval().requires_grad_(False)
        self.now, self.ran = 0.0, list[str]()
        for block in self.generator.blocks.values():
            block.register_forward_hook(self._pass)
        self.renderer = Renderer(self.generator, clock=lambda: self.now, **settings)

    def _pass(self, block: torch.nn.Module, inputs: tuple, _: object) -> None:
        self.ran.append(block.name)  # type: ignore[arg-type]
        self.now += STAGE_SECONDS[block.name] * len(inputs[1])  # type: ignore[index]

    def codes(self, *seeds: int) -> torch.Tensor:
        return self.generator.mapping(seeded_z(seeds, 16))

    def take_ran(self) -> list[str]:
        ran, self.ran = self.ran, []
        return ran


EARLY, MIDDLE, LATE = (toy_direction("early", (0, 4)), toy_direction("middle", (5, 8)), toy_direction("late", (9, 12)))
LAST = toy_direction("last", (11, 12))


def is_finished(generator: StyleGAN2, pictures: Pictures, codes: torch.Tensor, edit: object) -> bool:
    return np.array_equal(pictures, Renderer(generator).render(codes, edit))  # type: ignore[arg-type]


def test_a_preview_is_the_largest_image_that_the_time_allows() -> None:
    bench = Bench()
    codes = bench.codes(1)
    for seconds, size in [(16.9, 64), (9.0, 64), (8.9, 32), (5.0, 32), (0.1, 32)]:
        bench.renderer.render(codes)
        preview = bench.renderer.preview(codes, EARLY * 1.0, seconds=seconds)
        assert preview is not None and preview.shape == (1, size, size, 3) and preview.dtype == np.uint8


def test_no_preview_where_the_whole_picture_is_quick_enough() -> None:
    bench = Bench()
    codes = bench.codes(1)
    assert bench.renderer.preview(codes) is None, "no stage was measured yet"
    bench.renderer.render(codes)
    bench.take_ran()
    assert bench.renderer.preview(codes, EARLY * 1.0, seconds=17.0) is None
    assert bench.renderer.preview(codes, seconds=0.1) is None, "it is finished already"
    assert bench.renderer.preview(codes[:0], seconds=0.1) is None
    assert bench.take_ran() == []


def test_no_preview_of_what_only_the_last_stage_reads() -> None:
    bench = Bench()
    bench.renderer.render(bench.codes(1))
    assert bench.renderer.preview(bench.codes(1), LAST * 1.0, seconds=0.1) is None


@pytest.mark.parametrize("architecture", ["orig", "resnet"])
def test_no_preview_where_images_come_last(architecture: str) -> None:
    bench = Bench(architecture)
    bench.renderer.render(bench.codes(1))
    assert bench.renderer.preview(bench.codes(1), EARLY * 1.0, seconds=0.1) is None


def test_a_preview_reaches_the_stage_that_the_move_changes() -> None:
    """However little time there is: a smaller picture that does not show the move helps nobody."""
    bench = Bench()
    codes = bench.codes(1)
    bench.renderer.render(codes)
    bench.take_ran()
    preview = bench.renderer.preview(codes, LATE * 1.0, seconds=0.1)
    assert preview is not None and preview.shape[1] == 64
    assert bench.take_ran() == ["b64"], "what lies before the move is not computed again"


def test_the_full_picture_goes_on_from_the_preview() -> None:
    bench = Bench()
    codes = bench.codes(1)
    bench.renderer.render(codes)
    for amount in (1.0, 2.0):
        bench.take_ran()
        assert bench.renderer.preview(codes, MIDDLE * amount, seconds=3.0) is not None
        assert bench.take_ran() == ["b16", "b32"]
    finished = bench.renderer.render(codes, MIDDLE * 2.0)
    assert bench.take_ran() == ["b64", "b128"]
    assert is_finished(bench.generator, finished, codes, MIDDLE * 2.0)


def test_a_second_preview_of_the_same_goes_on_too_and_forgets_nothing() -> None:
    bench = Bench()
    codes = bench.codes(1)
    bench.renderer.render(codes)
    bench.renderer.preview(codes, EARLY * 1.0, seconds=5.0)
    bench.take_ran()
    again = bench.renderer.preview(codes, EARLY * 1.0, seconds=0.1)
    assert again is not None and again.shape[1] == 32 and bench.take_ran() == []
    larger = bench.renderer.preview(codes, EARLY * 1.0, seconds=4.0)
    assert larger is not None and larger.shape[1] == 64 and bench.take_ran() == ["b64"]
    smaller = bench.renderer.preview(codes, EARLY * 1.0, seconds=0.1)
    assert smaller is not None and smaller.shape[1] == 64 and bench.take_ran() == []


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([EARLY, MIDDLE, LATE, LAST]),
            st.sampled_from([-2.0, 0.0, 1.0]),
            st.floats(0.1, 20),
            st.sampled_from([(1,), (2,), (1, 2, 3)]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0, 20_000, 2**30]),
)
def test_previews_never_change_a_picture(moves: list, budget: int) -> None:
    """Whatever was previewed between, and however much of the trail fits, `render` answers as a fresh one does."""
    bench = Bench(batch_size=2, max_trail_bytes=budget)
    for is_preview, direction, amount, seconds, seeds in moves:
        codes, edit = bench.codes(*seeds), direction * amount
        if is_preview:
            bench.renderer.preview(codes, edit, seconds=seconds)
        else:
            fresh = Renderer(bench.generator, batch_size=2)
            assert np.array_equal(bench.renderer.render(codes, edit), fresh.render(codes, edit))


def test_a_preview_looks_like_the_finished_picture() -> None:
    """In its colours: nearer to it, shrunk, than the early image itself."""
    bench = Bench()
    codes = bench.codes(1)
    finished = bench.renderer.render(codes, EARLY * 0.1)
    bench.renderer.render(codes)
    preview = bench.renderer.preview(codes, EARLY * 0.1, seconds=9.0)
    with torch.inference_mode():
        state = bench.generator.initial_state((EARLY * 0.1).apply(codes), "const")
        for stage in list(bench.generator.stages)[:5]:
            state = stage(state, (EARLY * 0.1).apply(codes))
    early = to_uint8(bench.generator.image_of(state))
    wanted = shrink(torch.from_numpy(finished).permute(0, 3, 1, 2).double(), 64).permute(0, 2, 3, 1).numpy()
    assert preview is not None and preview.shape == early.shape
    assert np.square(preview - wanted).mean() < 0.9 * np.square(early - wanted).mean()


def test_several_pictures_share_the_time_and_the_size() -> None:
    bench = Bench(batch_size=2)
    codes = bench.codes(1, 2, 3)
    bench.renderer.render(codes)
    previews = [bench.renderer.preview(codes, EARLY * 1.0, seconds=s) for s in (36.0, 35.0, 0.1)]
    assert [p.shape if p is not None else None for p in previews] == [(3, 64, 64, 3), (3, 32, 32, 3), (3, 32, 32, 3)]


def test_a_picture_finished_by_another_visitor_meanwhile_changes_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(batch_size=1)
    codes = bench.codes(1, 2)
    bench.renderer.render(codes)
    plan = bench.renderer._plan

    def plan_and_finish(*given: object) -> int | None:
        stop = plan(*given)  # type: ignore[arg-type]
        bench.renderer.render(codes[:1], EARLY * 1.0)
        return stop

    monkeypatch.setattr(bench.renderer, "_plan", plan_and_finish)
    previews = bench.renderer.preview(codes, EARLY * 1.0, seconds=0.1)
    assert previews is not None and previews.shape == (2, 32, 32, 3)


@pytest.mark.parametrize("name", TOYS)
def test_every_family_answers_a_preview(name: str) -> None:
    generator = TOYS[name]()
    codes, renderer = codes_of(generator, [1]), Renderer(generator)
    renderer.render(codes)
    preview = renderer.preview(codes * 0.9, seconds=0.0)
    assert preview is None or preview.shape[1] < generator.resolution


def test_expected_seconds_are_those_of_a_picture_from_scratch() -> None:
    bench = Bench()
    assert bench.renderer.expected_seconds() is None
    bench.renderer.render(bench.codes(1))
    bench.renderer.render(bench.codes(1), LAST * 1.0)
    assert bench.renderer.expected_seconds() == 17.0
    assert bench.renderer.expected_seconds(3) == 51.0


def test_the_trail_is_bounded_and_says_its_size() -> None:
    bench = Bench()
    codes = bench.codes(1)
    assert bench.renderer.trail_bytes == 0
    bench.renderer.render(codes)
    bytes_per_pixel = 4 * (4 + 3)  # features and image; the last stage's are not kept
    whole = sum(bytes_per_pixel * size**2 for size in (4, 8, 16, 32, 64))
    assert bench.renderer.trail_bytes == whole
    small = Bench(max_trail_bytes=whole - 1)
    finished = small.renderer.render(codes)
    assert 0 < small.renderer.trail_bytes < whole - bytes_per_pixel * 64**2 + 1
    small.take_ran()
    assert np.array_equal(small.renderer.render(codes), finished) and small.take_ran() == []
    moved = small.renderer.render(codes, LAST * 1.0)
    assert small.take_ran() == ["b64", "b128"]
    assert is_finished(small.generator, moved, codes, LAST * 1.0)


def test_a_trail_that_is_cut_has_no_gap() -> None:
    """A stage whose state did not fit is followed by one whose state would."""
    bench = Bench(channels={32: 64}, max_trail_bytes=4 * 32**2 * 64)
    bench.renderer.render(bench.codes(1))
    bench.take_ran()
    moved = bench.renderer.render(bench.codes(1), LATE * 1.0)
    assert bench.take_ran() == ["b32", "b64", "b128"]
    assert is_finished(bench.generator, moved, bench.codes(1), LATE * 1.0)


def test_who_changes_his_codes_gets_another_picture() -> None:
    renderer, codes = Renderer(GENERATOR), CODES.clone()
    renderer.render(codes)
    codes += 0.5
    assert np.array_equal(renderer.render(codes), Renderer(GENERATOR).render(codes))


def test_who_changes_a_picture_changes_only_his_own() -> None:
    renderer = Renderer(GENERATOR)
    first = renderer.render(CODES)
    expected = first.copy()
    first[:] = 0
    second = renderer.render(CODES)
    assert np.array_equal(second, expected)
    second[:] = 0
    assert np.array_equal(renderer.render(CODES), expected)


def test_threads_share_a_renderer() -> None:
    """Pictures and previews of two visitors at once: each finished picture is its own."""
    bench = Bench()
    expected = {seed: bench.renderer.render(bench.codes(seed), EARLY * 1.0) for seed in (1, 2)}
    failures: list[str] = []

    def visit(seed: int) -> None:
        for turn in range(12):
            bench.renderer.preview(bench.codes(seed), EARLY * (turn / 12), seconds=3.0)
            if not np.array_equal(bench.renderer.render(bench.codes(seed), EARLY * 1.0), expected[seed]):
                failures.append(f"seed {seed}, turn {turn}")

    threads = [threading.Thread(target=visit, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
