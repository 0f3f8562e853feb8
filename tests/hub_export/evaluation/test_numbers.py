"""The numbers, each against its oracle: Fréchet distance, Spearman, effects, purity, leak, coordinates, ranges."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

from eigan.errors import FitError
from eigan.pack import Direction
from hub_export.evaluation.classes import choose_classes, independence
from hub_export.evaluation.coordinates import describe, lay_out, random_ratios
from hub_export.evaluation.drift import Yardstick
from hub_export.evaluation.effects import judge, monotonicity, slopes, spearman, standardized, strongest
from hub_export.evaluation.frechet import frechet_distance
from hub_export.evaluation.ranges import choose_range, core_of
from hub_export.evaluation.samples import Readings, Source
from tests.toys_models import varying_direction
from tests.toys_painting import Painting, painted_direction, painted_pack

AMOUNTS = np.array([-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
NEVER_ODD = np.zeros(9)


def sets(rows: int, width: int) -> list[np.ndarray]:
    random = np.random.default_rng(rows + width)
    return [random.normal(size=(rows, width)) @ random.normal(size=(width, width)) + shift for shift in (0, 0.5)]


@pytest.mark.parametrize(("rows", "width"), [(400, 3), (300, 40), (1000, 64)])
def test_frechet_distance_is_scipys(rows: int, width: int) -> None:
    a, b = sets(rows, width)
    A, B = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    wanted = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(A + B - 2 * scipy.linalg.sqrtm(A @ B).real)
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9 * np.trace(A))


def test_frechet_distance_of_fewer_pictures_than_features() -> None:
    """Of singular covariances: a set, moved, is as far as it was moved; adding a feature of zeros changes nothing."""
    a, _ = sets(30, 50)
    assert frechet_distance(a, a + 2.0) == pytest.approx(50 * 4.0)
    wider = [np.pad(x, ((0, 0), (0, 7))) for x in (a, 2 * a)]
    assert frechet_distance(*wider) == pytest.approx(frechet_distance(a, 2 * a))


@pytest.mark.parametrize(
    ("a", "b"),
    [(np.zeros((1, 3)), np.zeros((5, 3))), (np.zeros((5, 3)), np.zeros((5, 4))), (np.full((5, 3), np.nan),) * 2],
)
def test_frechet_distance_refuses(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(FitError, match="features"):
        frechet_distance(a, b)


def test_spearman_is_scipys_ties_and_all() -> None:
    values = np.round(np.random.default_rng(0).normal(size=(9, 30)) + AMOUNTS[:, None] / 3, 0)
    found = spearman(AMOUNTS, values)
    assert found == pytest.approx([scipy.stats.spearmanr(AMOUNTS, column).statistic for column in values.T])
    assert spearman(AMOUNTS, np.ones((9, 1))) == [0.0]
    assert monotonicity(AMOUNTS, -(AMOUNTS[:, None] ** 3)) == pytest.approx(1)
    assert monotonicity(AMOUNTS[:1], np.ones((1, 3))) == 0


def test_effects_purity_and_leak_are_exact() -> None:
    wanted = np.array([0.5, -0.25, 0.0, 0.125])
    changes = AMOUNTS[:, None, None] * wanted * np.ones((9, 5, 4))
    changes[:, 0] *= 1.5
    changes[:, 1] *= 0.5  # pictures differ; their mean is what counts
    effects = slopes(AMOUNTS, changes)
    assert effects == pytest.approx(wanted)
    main = judge(effects, strongest(effects))
    assert (main.index, main.purity, main.leak) == (0, pytest.approx(0.5 / 0.875), pytest.approx(0.5))
    assert judge(effects, 1).leak == pytest.approx(2)  # another moves more
    assert strongest(np.zeros(3)) is None
    assert strongest(np.zeros(0)) is None
    assert (slopes(np.zeros(1), np.zeros((1, 5, 4))) == 0).all()
    assert standardized(np.array([2.0, 3.0]), np.array([4.0, 0.0])).tolist() == [0.5, 0.0]


def test_coordinates_are_scipys() -> None:
    values = np.random.default_rng(1).exponential(size=5000) * 7
    found = describe(values)
    assert found.skewness == pytest.approx(scipy.stats.skew(values))
    assert found.excess_kurtosis == pytest.approx(scipy.stats.kurtosis(values))
    assert sum(found.counts) == 5000  # those beyond the ends too
    assert describe(np.ones(10)).skewness == 0


def test_variances_of_codes_are_those_of_the_distribution() -> None:
    generator = Painting()
    pack = painted_pack(
        generator,
        [painted_direction("one", [1]), painted_direction("two", [1, -1]), varying_direction(layers=(0, 4), size=16)],
    )
    layout = lay_out(pack, Source(generator, seed=4), 20_000)
    assert layout.variance_ratios == pytest.approx([1 / 16] * 3, rel=0.05)  # codes are white
    assert layout.random == sorted(layout.random, reverse=True)
    assert all(abs(c.skewness) < 0.1 and abs(c.excess_kurtosis) < 0.2 for c in layout.coordinates)
    rows = Direction("rows", torch.eye(16)[:4], 1.0, painted_direction("x", [1]).layers)  # a vector for each layer
    assert lay_out(painted_pack(generator, [rows]), Source(generator), 5000).variance_ratios == pytest.approx(
        [1 / 16], rel=0.1
    )
    spread = torch.diag(torch.arange(1.0, 17).double())
    assert np.mean(random_ratios(spread, 2000, seed=0)) == pytest.approx(1 / 16, rel=0.02)


def test_a_range_ends_where_pictures_turn_odd() -> None:
    odd = np.array([1, 0.2, 0.1, 0, 0, 0, 0, 0.05, 0.5])
    assert choose_range(AMOUNTS, odd, AMOUNTS) == (-2, 3)
    assert AMOUNTS[core_of(AMOUNTS, odd)].tolist() == [-2, -1, 0, 1, 2]
    island = np.array([0, 1, 0, 0, 0, 0, 0, 0, 0])  # likely again beyond: not reached
    assert choose_range(AMOUNTS, island, AMOUNTS) == (-2, 4)


def test_a_range_ends_where_the_attribute_turns_or_stops() -> None:
    assert choose_range(AMOUNTS, NEVER_ODD, -AMOUNTS) == (-4, 4)  # the sign of an effect is not its use
    turning = np.array([-4, -3, -2, -1, 0, 1, 2, 1, 0.0])
    assert choose_range(AMOUNTS, NEVER_ODD, turning) == (-4, 2)
    saturating = np.array([-2, -2, -2, -1, 0, 1, 2, 3, 4.0])
    assert choose_range(AMOUNTS, NEVER_ODD, saturating) == (-2, 4)
    one_way = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4.0])
    assert choose_range(AMOUNTS, NEVER_ODD, one_way) == (0, 4)


def test_the_shorter_side_of_a_range_comes_first() -> None:
    """A long climb on one side does not cost the other its part."""
    bumpy = np.array([-4, -3, -2, -1, 0, 1, 2, -5, -6.0])
    assert choose_range(AMOUNTS, NEVER_ODD, bumpy) == (-4, 2)


def test_without_any_range_it_is_the_first_step() -> None:
    assert choose_range(AMOUNTS, NEVER_ODD, np.zeros(9)) == (-1, 1)
    broken = np.ones(9)
    assert choose_range(AMOUNTS, broken, AMOUNTS) == (-1, 1)
    assert AMOUNTS[core_of(AMOUNTS, broken)].tolist() == [-1, 0, 1]


def test_the_yardstick() -> None:
    random = np.random.default_rng(2)
    scale = np.array([10.0, 1.0, 0.1, 0.0])
    pictures = Readings(random.normal(size=(2000, 2)) * [3, 0], random.normal(size=(2000, 4)) * scale + 5)
    yardstick = Yardstick.learn(pictures, [0])
    assert yardstick.deviations == pytest.approx([3, 0], rel=0.05)
    near = Readings(pictures.scores[:500], pictures.features[:500])
    assert yardstick.strangeness(near) == pytest.approx(0.01, abs=0.01)
    assert yardstick.drift(near, near) == 0
    other = Readings(pictures.scores[500:1000], pictures.features[500:1000])
    assert yardstick.drift(other, near) == pytest.approx(1, rel=0.1)
    assert yardstick.identity_drift(other, near) == pytest.approx(1, rel=0.1)
    moved = Readings(near.scores, near.features + np.array([0, 6, 0, 0]))  # far for this feature alone
    assert yardstick.strangeness(moved) > 0.9
    with pytest.raises(FitError, match="tell too little"):
        Yardstick.learn(Readings(pictures.scores[:20], pictures.features[:20]), [])
    with pytest.raises(FitError, match="looks the same"):
        Yardstick.learn(Readings(np.zeros((80, 0)), np.ones((80, 3))), [])


def test_class_independence_of_known_changes() -> None:
    axes = np.eye(3)
    assert independence(np.stack([axes[0], 2 * axes[0], 5 * axes[0]])) == pytest.approx(1)
    assert independence(axes) == pytest.approx(0)
    assert independence(np.stack([axes[0], -axes[0]])) == pytest.approx(-1)
    assert independence(np.stack([axes[0], np.zeros(3)])) == 0
    chosen = choose_classes(1000, 6, seed=1)
    assert chosen == sorted(set(chosen)) == choose_classes(1000, 6, seed=1)
    assert choose_classes(3, 6, seed=0) == [0, 1, 2]
