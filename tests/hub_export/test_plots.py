"""Plots: they show the numbers, the same bytes each time, and nothing that a stranger wrote leaves the paper."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from eigan.errors import FitError
from eigan.format import check_file_name
from eigan.pack import DirectionPack
from hub_export.metrics import Coordinates, Curve, Frechet, Metrics
from hub_export.plots import PLOTS, canvas, many_packs, one_pack, render_plots
from hub_export.plots.canvas import legible
from tests.toys import toy_pack
from tests.toys_metrics import toy_metrics

HISTORY = {"iteration": [1, 10, 100], "loss": [3.0, 2.0, 1.5], "accuracy": [0.1, 0.5, 0.9]}
BLUE, GREEN, GREY = (0, 114, 178), (0, 158, 115), (138, 141, 145)


def pixels(data: bytes) -> np.ndarray:
    picture = Image.open(BytesIO(data))
    assert picture.format == "WEBP"
    assert picture.mode == "RGB"  # opaque
    return np.asarray(picture, np.int16)


def near(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    return (np.abs(picture - colour) <= tolerance).all(axis=2)


def fitted() -> DirectionPack:
    return replace(toy_pack(), method={"name": "latentclr", "history": HISTORY})


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return render_plots(fitted(), toy_metrics(fitted()))


def test_every_plot_is_a_picture_that_a_pack_may_hold(drawn: dict[str, bytes]) -> None:
    assert set(drawn) == {plot.path for plot in PLOTS.values()}
    for name, data in drawn.items():
        check_file_name(name)
        picture = pixels(data)
        assert picture.shape[1] == 1280
        assert (picture[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
        assert 0.01 < (picture < 200).any(axis=2).mean() < 0.6
        assert len(data) < 100_000


def test_the_same_numbers_give_the_same_bytes_whatever_the_users_style(drawn: dict[str, bytes]) -> None:
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "figure.dpi": 37}):
        before = dict(matplotlib.rcParams)
        assert render_plots(fitted(), toy_metrics(fitted())) == drawn
        assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_not_needed_until_something_is_drawn_and_pyplot_never() -> None:
    code = (
        "import sys, hub_export.cli; assert not {'matplotlib', 'scipy'} & sys.modules.keys();"
        "from hub_export.plots.one_pack import plot_frechet; plot_frechet({'a': 1.0}, 'f', 2);"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "can_draw", lambda: False)
    with pytest.raises(FitError, match=r"matplotlib.*pip install \"eigan\[evaluate\]\""):
        render_plots(fitted())


def test_only_what_was_measured_is_drawn() -> None:
    pack = toy_pack()
    assert render_plots(pack) == {}
    assert list(render_plots(fitted())) == [PLOTS["learning"].path]
    without = render_plots(pack, toy_metrics(pack, attributes=(), frechet=False))
    assert set(without) == {PLOTS[name].path for name in ("variance", "coordinates", "drift", "response")}
    others = replace(pack, directions=(replace(pack.directions[0], name="someone else's"),), presets=())
    assert set(render_plots(others, toy_metrics(pack))) == {PLOTS["frechet"].path}


def test_bars_are_as_long_as_their_numbers() -> None:
    picture = pixels(one_pack.plot_frechet({"floor": 10.0, "3": 20.0, "6": 40.0}, "heads", 1000))
    rows = [near(picture, colour).sum(axis=1) for colour in (GREY, BLUE)]
    lengths = sorted({int(np.median(row[row > 50])) for row in rows} | {int(rows[1].max())})
    grey = int(np.median(rows[0][rows[0] > 50]))
    blue = np.unique(rows[1][rows[1] > 50])
    assert len(lengths) >= 2
    assert blue.min() / grey == pytest.approx(2, rel=0.02)
    assert blue.max() / grey == pytest.approx(4, rel=0.02)


def test_the_heat_map_is_red_up_and_blue_down() -> None:
    def colours(sign: float) -> tuple[bool, bool]:
        metrics = toy_metrics(toy_pack())
        measured = [e.model_copy(update={"effects": {"smile": sign, "age": 0.0}}) for e in metrics.directions]
        picture = pixels(one_pack.plot_effects(measured))[:, :800]  # beside the colour bar
        return bool(near(picture, (103, 0, 31), 20).any()), bool(near(picture, (5, 48, 97), 20).any())

    assert colours(1.0) == (True, False)
    assert colours(-1.0) == (False, True)


def test_columns_are_the_main_attributes_first() -> None:
    metrics = toy_metrics(toy_pack())
    names = one_pack.shown_attributes(metrics.directions, 5)
    assert names[:3] == ["yaw", "smile", "age"]
    assert len(set(names)) == 5


def test_a_median_counts_each_curve_within_its_own_amounts() -> None:
    curves = [(np.array([0.0, 2.0]), np.array([0.0, 2.0])), (np.array([0.0, 1.0]), np.array([0.0, 3.0]))]
    amounts, middle = one_pack.median_curve(curves)
    assert amounts.tolist() == [0, 1, 2]
    assert middle.tolist() == [0, 2, 2]
    amounts, _ = one_pack.median_curve([*curves, curves[1]])
    assert amounts.tolist() == [0, 1]  # one curve of three goes further


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (HISTORY, HISTORY),
        ({"loss": [1, 2]}, {"loss": [1.0, 2.0]}),
        ({"iteration": [1, 2]}, {}),
        ({"loss": [1.0]}, {}),
        ({"loss": [1.0, float("nan")]}, {}),
        ({"loss": [1.0, "2"]}, {}),
        ({"loss": [True, False]}, {}),
        ({"loss": "12"}, {}),
        ({"loss": [[1, 2], [3, 4]]}, {}),
        ({"loss": [10**400, 1]}, {}),
        ([1, 2], {}),
        ("text", {}),
    ],
)
def test_a_history_counts_as_far_as_it_is_numbers(history: Any, expected: dict[str, list[float]]) -> None:
    assert one_pack.read_history({"history": history}) == expected


def test_a_pack_full_of_series_draws_a_few() -> None:
    assert len(one_pack.read_history({"history": {f"s{i}": [1, 2] for i in range(100)}})) == one_pack.MAX_SERIES


def hostile_metrics(pack: DirectionPack) -> Metrics:
    metrics = toy_metrics(pack)
    names = ["$\\frac{1}{", "微笑", "x" * 80, "\\", "$$", "%s {x}", "<b>", "$a$ $b$"]
    entries = [
        entry.model_copy(
            update={
                "effects": {name: 1e12 * (-1) ** i for i, name in enumerate(names)},
                "main": names[i % len(names)],
                "explained_variance_ratio": 1e12,
                "drift": Curve(amounts=[-100.0, 0.0, 100.0], values=[-1e12, 0.0, 1e12]),
                "response": Curve(amounts=[0.0], values=[1e12]) if i else Curve(amounts=[], values=[]),
                "strangeness": None,
                "range": (-1e12, 1e12),
                "coordinates": Coordinates(
                    skewness=-1e12, excess_kurtosis=1e12, low=-3.0, high=1e12 if i else 3.0, counts=[1]
                ),
                "purity": 1e12,
                "leak": -1e12,
            }
        )
        for i, entry in enumerate(metrics.directions)
    ]
    frechet = Frechet(
        features="$\\alpha$" * 9, num_images=10**9, edited=dict.fromkeys(names, 1000000000000.0), floor=-1e12
    )
    return metrics.model_copy(update={"directions": entries, "frechet": frechet, "random_variance_ratio": []})


def test_what_strangers_write_stays_on_the_paper() -> None:
    pack = fitted()
    odd = replace(pack, method={"name": "x", "history": {"$\\int": [-1e29, 1e29], "面": [0, 0]}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = render_plots(odd, hostile_metrics(pack))
        labels = {"$\\frac{": hostile_metrics(pack), "微": hostile_metrics(pack)}
        for data in (many_packs.plot_quality(labels), many_packs.plot_drifts(labels), many_packs.plot_frechets(labels)):
            assert data is not None
            files[str(len(files))] = data
    assert len(files) >= 8
    assert all(max(pixels(data).shape) < 2200 for data in files.values())


def test_letters_that_the_font_lacks_become_numbers() -> None:
    assert legible(["smile", "微笑", "Älter", "x" * 40]) == ["smile", "#1", "Älter", "x" * 21 + "…"]


def test_packs_have_different_colours_and_random_is_grey() -> None:
    colours = many_packs.colours_of(["PCA", "random", "mine", "SeFa", "yours"])
    assert colours[1] == canvas.NEUTRAL
    assert len(set(colours)) == 5
    assert colours[3] == many_packs.colours_of(["SeFa", "LatentCLR"])[0]  # on every page
    assert len(many_packs.colours_of([str(i) for i in range(12)])) == 12


def test_a_dot_for_each_direction_stays_in_its_row() -> None:
    pack = toy_pack()
    picture = pixels(many_packs.plot_quality({"PCA": toy_metrics(pack), "SeFa": toy_metrics(pack)}))
    blue, orange = (np.nonzero(near(picture, colour))[0] for colour in (BLUE, GREEN))
    assert len(blue) > 100
    assert len(orange) > 100
    assert blue.max() < orange.min()


def test_agreement_shows_what_is_not_known() -> None:
    full = many_packs.plot_agreement(["a", "b"], [[1.0, 0.5], [0.5, 1.0]])
    partly = many_packs.plot_agreement(["a", "b"], [[1.0, None], [None, 1.0]])
    assert pixels(full).shape == pixels(partly).shape
    assert full != partly


def test_frechet_bars_of_packs_want_numbers() -> None:
    assert many_packs.plot_frechets({"PCA": toy_metrics(toy_pack(), frechet=False)}) is None


def test_a_pack_that_drifts_less_is_drawn_lower() -> None:
    def line(end: float) -> Metrics:
        curve = {"drift": Curve(amounts=[0.0, 1.0], values=[0.0, end]), "identity": None, "strangeness": None}
        metrics = toy_metrics(toy_pack())
        return metrics.model_copy(update={"directions": [e.model_copy(update=curve) for e in metrics.directions]})

    picture = pixels(many_packs.plot_drifts({"PCA": line(0.4), "SeFa": line(0.8)}))[:430]  # above the legend
    blue, orange = (np.nonzero(near(picture, colour))[0] for colour in (BLUE, GREEN))
    assert (blue.max() - orange.min()) / (blue.max() - blue.min()) == pytest.approx(2, rel=0.1)  # lines have a width
