"""evaluate, on a generator whose pictures are known: planted effects, ranges, classes; and on every family."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

import hub_export
from eigan.errors import FitError, InvalidCodes, PackMismatch
from eigan.pack import DirectionPack
from hub_export.evaluation import measure as measuring
from hub_export.evaluation import with_measured_ranges
from hub_export.evaluation.protocol import at_least, published_edits, uniform_edits
from hub_export.evaluation.samples import Source
from hub_export.evaluation.sweep import each
from hub_export.metrics import Metrics, read_metrics, write_metrics
from hub_export.recipe import Recipe
from tests.generators.test_contract import TOYS
from tests.toys import toy_generator, toy_pack
from tests.toys_models import varying_direction
from tests.toys_painting import Blocks, Painting, painted_direction, painted_pack

PLANTED = [
    painted_direction("clean", [0, 1]),
    painted_direction("mixed", [0.8, 0, -0.6]),
    painted_direction("unscored", [0] * 9 + [1]),
]


def measured(generator: Any, pack: DirectionPack, **settings: Any) -> Metrics:
    blocks = settings.pop("blocks", None) or Blocks()
    defaults: dict[str, Any] = {"num_pictures": 400, "num_seeds": 16, "num_codes": 2000, "features": blocks}
    return hub_export.evaluate(generator, pack, **{"scorer": blocks, **defaults, **settings})


@pytest.fixture(scope="module")
def painted() -> Metrics:
    generator = Painting()
    who = Blocks(identity=["block 2", "block 3"])
    return measured(generator, painted_pack(generator, PLANTED), blocks=who, num_seeds=200, num_pictures=1500)


def test_planted_effects_are_found(painted: Metrics) -> None:
    clean, mixed, unscored = painted.directions
    assert clean.main == "block 1"
    assert clean.effects["block 1"] == pytest.approx(1, rel=0.06)  # one standard deviation per sigma
    assert clean.purity == pytest.approx(1)
    assert clean.leak == 0
    assert clean.monotonicity == pytest.approx(1)
    assert mixed.main == "block 0"
    assert [mixed.effects["block 0"], mixed.effects["block 2"]] == pytest.approx([0.8, -0.6], rel=0.08)
    assert mixed.purity == pytest.approx(0.8 / 1.4, rel=0.08)
    assert mixed.leak == pytest.approx(0.75, rel=0.1)
    assert (unscored.main, unscored.purity, unscored.leak) == ("", 0, 0)
    assert unscored.monotonicity == pytest.approx(1)  # by its features
    assert (painted.scorer, painted.features, painted.num_pictures) == ("blocks", "blocks", 3000)


def test_drift_is_in_distances_of_two_pictures(painted: Metrics) -> None:
    clean, mixed, _ = painted.directions
    apart = np.sqrt(2 * 16)  # of two standard normal codes of 16 numbers, about
    drift = dict(zip(clean.drift.amounts, clean.drift.values, strict=True))
    assert drift[0] == 0
    assert drift[2] == pytest.approx(2 / apart, rel=0.05)
    assert clean.identity is not None
    assert max(clean.identity.values) == 0  # blocks 2 and 3 stay
    assert mixed.identity is not None
    who = dict(zip(mixed.identity.amounts, mixed.identity.values, strict=True))
    assert who[1] == pytest.approx(0.6 / np.sqrt(np.pi), rel=0.1)  # two normal pairs in 2-d are √π apart


def test_ranges_stay_within_what_is_drawn(painted: Metrics) -> None:
    for entry in painted.directions:
        assert entry.strangeness is not None
        odd = dict(zip(entry.strangeness.amounts, entry.strangeness.values, strict=True))
        low, high = entry.range
        assert max(odd[a] for a in odd if low <= a <= high) <= 0.1
        # of 16 white numbers |z|² < 32 for 99 %, and still for 90 % where one of them is moved by 2.3
        assert (low, high) == (-2, 2)
    pack = painted_pack(Painting(), PLANTED)
    assert [d.amount_range for d in with_measured_ranges(pack, painted)] == [e.range for e in painted.directions]


def test_the_same_again_whatever_the_number_of_threads(painted: Metrics) -> None:
    before = torch.get_num_threads()
    found = []
    generator = toy_generator()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            metrics = measured(
                generator, toy_pack(generator), num_pictures=30, num_seeds=20, steps=(1, 2), features="heads-attributes"
            )
            found.append(write_metrics(metrics))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    assert read_metrics(found[0]).seed == 0


def test_seeds_and_pictures_are_independent_of_their_number() -> None:
    source = Source(Painting(), seed=3)
    rows = source.codes(1000, 1100)
    assert torch.equal(rows[40:50], source.codes(1040, 1050))
    assert not torch.equal(rows, Source(Painting(), seed=4).codes(1000, 1100))


def test_a_saturating_attribute_ends_the_slider() -> None:
    class Clipped(Blocks):
        """Sees nothing above 20 levels of grey over the middle."""

        def __call__(self, pictures: Any) -> Any:
            return super().__call__(pictures).clip(None, 148)

    generator = Painting()
    pack = painted_pack(generator, [painted_direction("a", [1])])
    lenient = {"steps": [0.5, 1, 1.5, 2, 2.5], "truncation_psi": 0.3, "num_seeds": 30}
    free, clipped = (measured(generator, pack, blocks=kind(1), **lenient).directions[0] for kind in (Blocks, Clipped))
    assert free.range == (-2.5, 2.5)
    assert clipped.range[0] == -2.5
    assert clipped.range[1] < 2.5  # 20 levels are 1.25 sigmas


def test_directions_that_depend_on_the_code() -> None:
    generator = toy_generator()
    pack = toy_pack(generator)
    pack = DirectionPack("m", pack.made_for, (*pack.directions, varying_direction()), {"name": "latentclr"})
    metrics = hub_export.evaluate(generator, pack, num_seeds=4, num_pictures=20, num_codes=500, steps=(1, 2))
    entry = metrics["turn"]
    assert entry is not None
    assert max(entry.drift.values) > 0
    assert (metrics.scorer, entry.main, entry.purity, entry.effects) == ("", "", None, {})
    assert metrics.truncation_psi == generator.default_psi
    assert metrics.features == "heads-attributes"


@pytest.mark.parametrize(("second", "wanted"), [(torch.eye(16), 1.0), (torch.eye(16).roll(4, 0), 0.0)])
def test_class_independence(second: torch.Tensor, wanted: float) -> None:
    generator = Painting([torch.eye(16), second])
    metrics = measured(
        generator, painted_pack(generator, [painted_direction("a", [1], generator.code_dim)]), frechet=False
    )
    assert metrics.classes == [0, 1]
    assert metrics.directions[0].class_independence == pytest.approx(wanted, abs=0.01)


def test_a_pack_of_one_class_is_measured_on_it() -> None:
    generator = Painting([torch.eye(16), torch.zeros(16, 16)])
    directions = [painted_direction("a", [1], generator.code_dim)]
    one = measured(generator, painted_pack(generator, directions, class_index=0), frechet=False)
    assert one.directions[0].effects["block 0"] == pytest.approx(1, rel=0.1)
    with pytest.raises(FitError, match="looks the same"):  # the other class is all grey
        measured(generator, painted_pack(generator, directions, class_index=1))
    with pytest.raises(InvalidCodes, match="class 7 is out of range"):
        measured(generator, painted_pack(generator, directions, class_index=7))


def test_frechet_distances_grow_with_the_amount(painted: Metrics) -> None:
    assert painted.frechet is not None
    assert list(painted.frechet.edited) == ["3", "6"]
    assert painted.frechet.edited["3"] < painted.frechet.edited["6"]
    assert painted.frechet.floor > 0
    assert painted.frechet.published is not None
    assert painted.frechet.published > painted.frechet.edited["3"]


def test_edits_of_the_protocol() -> None:
    pack = painted_pack(Painting(), [painted_direction(str(i), [0] * i + [1]) for i in range(16)])
    three, six = (uniform_edits(pack, 3000, greatest, seed=5) for greatest in (3.0, 6.0))
    amounts = np.array([next(iter(edit.amounts.values())) for edit in three])
    assert np.abs(amounts).max() <= 3
    assert amounts.std() == pytest.approx(3 / np.sqrt(3), rel=0.05)
    assert len({next(iter(edit.amounts)) for edit in three}) == 16
    assert [next(iter(e.amounts.values())) for e in six] == pytest.approx(2 * amounts)  # the same draws, twice as far
    shifts = np.array([next(iter(edit.amounts.values())) for edit in published_edits(pack, 3000, seed=5)])
    assert np.abs(shifts).min() == 0.5
    assert shifts.std() == pytest.approx(6, rel=0.05)
    assert at_least(torch.tensor([-0.1, 0.0, 0.2, -3.0])).tolist() == [-0.5, 0.5, 0.5, -3.0]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", TOYS)
def test_every_family(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "CLASS_SEEDS", 1)
    monkeypatch.setattr(measuring, "NUM_CLASSES", 2)
    generator = TOYS[name]()
    pack = hub_export.fit(generator, Recipe("sefa", num_directions=2, num_samples=1100))
    metrics = hub_export.evaluate(
        generator, pack, num_seeds=2, num_pictures=20, num_codes=200, steps=(1,), frechet=False
    )
    assert [entry.name for entry in metrics.directions] == pack.names
    assert all(max(entry.drift.values) > 0 for entry in metrics.directions)
    assert bool(metrics.classes) == (generator.c_dim > 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_seeds": 1}, "num_seeds is 1"),
        ({"num_pictures": 5}, "num_pictures is 5"),
        ({"num_codes": 10**9}, "num_codes is"),
        ({"seed": -1}, "seed is -1"),
        ({"steps": (2, 1)}, "ascending"),
        ({"steps": (1, 500)}, "100 at most"),
    ],
)
def test_refuses_before_it_draws(settings: dict[str, Any], message: str) -> None:
    generator = Painting()
    with pytest.raises(FitError, match=message):
        measured(generator, painted_pack(generator, PLANTED), **settings)


def test_refuses_another_generators_pack() -> None:
    with pytest.raises(PackMismatch):
        hub_export.evaluate(toy_generator(seed=1), toy_pack())


def test_nothing_goes_on_once_it_was_stopped() -> None:
    """An interruption reaches the workers: directions not begun are dropped, those in hand stop at the next picture."""
    generator = Painting()
    pack = painted_pack(generator, [painted_direction(str(i), [1, i / 7]) for i in range(40)])
    swept = []

    class Slow(Blocks):
        def __call__(self, pictures: Any) -> Any:
            swept.append(len(pictures))
            return super().__call__(pictures)

    def stop(done: int, total: int, what: str) -> None:
        if what == "directions" and done == 1:
            raise KeyboardInterrupt

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            measured(generator, pack, blocks=Slow(), num_pictures=20, num_seeds=4, progress=stop)
        reached = len(swept)
    finally:
        torch.set_num_threads(before)
    assert reached < 40 * 5
    assert len(swept) == reached  # nobody is left drawing


def test_results_come_in_order_and_errors_come_through() -> None:
    stopped = threading.Event()
    assert list(each(lambda x: x * x, range(9), 3, stopped)) == [x * x for x in range(9)]
    assert not stopped.is_set()
    with pytest.raises(ZeroDivisionError):
        list(each(lambda x: 1 // x, [1, 0, 2], 2, stopped))
    assert stopped.is_set()


def test_scorers_are_named_as_they_were_asked_for() -> None:
    assert measuring.scorer_name("mine:score") == "mine:score"
    assert measuring.scorer_name(None) == ""
    assert measuring.scorer_name(Blocks()) == "blocks"
    assert measuring.scorer_name(test_edits_of_the_protocol) == "test_edits_of_the_protocol"
