"""Comparing packs: what is matched, picked and counted, and the page and table that show it."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image
from typer.testing import CliRunner

from eigan.errors import EiganError, FitError, PackFormatError, PackMismatch
from eigan.format import pack_files, save_pack
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor
from hub_export import compare_page
from hub_export.cli import app
from hub_export.compare import (
    Comparison,
    Contender,
    agree,
    best_for,
    compare,
    label,
    open_contender,
    reach_of,
    sample_covariance,
    share_of,
    span_variance,
)
from hub_export.compare_page import MARK, PAGE, TARGET, Wording, is_page, render_page, same_edit
from hub_export.metrics import METRICS, Metrics, write_metrics
from tests.fakehub.server import FakeHub
from tests.toys import toy_generator, toy_pack
from tests.toys_metrics import toy_metrics
from tests.toys_models import varying_pack

pytestmark = pytest.mark.usefixtures("one_thread")


def pack_of(name: str, method: str, vectors: torch.Tensor, layers: tuple[int, int] = (0, 8)) -> DirectionPack:
    directions = tuple(
        Direction(f"{name}-{i}", v / v.norm(), 0.5, LayerRange(*layers), metrics={"explained_variance_ratio": 0.1})
        for i, v in enumerate(vectors)
    )
    return DirectionPack(name, MadeFor.describe(toy_generator()), directions, {"name": method})


def random_pack(name: str, method: str, seed: int, count: int = 5) -> DirectionPack:
    return pack_of(name, method, torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)))


def contenders() -> list[Contender]:
    packs = [random_pack("one", "pca", 1), random_pack("two", "sefa", 2), random_pack("three", "random", 3)]
    found = [Contender(pack, toy_metrics(pack, seed=i), 1.5) for i, pack in enumerate(packs)]
    return [*found[:2], replace(found[2], metrics=None, seconds=None)]


def compared() -> Comparison:
    return compare(contenders(), toy_generator())


def test_agreement_is_of_directions_not_of_their_order_or_sign() -> None:
    pack = random_pack("a", "pca", 0)
    turned = replace(pack, name="b", directions=tuple(replace(d, vector=-d.vector) for d in reversed(pack.directions)))
    assert agree(pack, turned) == pytest.approx(1)
    assert agree(pack_of("a", "x", torch.eye(16)[:3]), pack_of("b", "x", torch.eye(16)[3:6])) == pytest.approx(0)
    assert agree(pack, pack_of("b", "x", torch.eye(16)[:3], layers=(0, 4))) is None


def test_variance_of_a_span_counts_nothing_twice() -> None:
    covariance = torch.diag(torch.arange(16, 0, -1).double())
    axes = pack_of("a", "pca", torch.eye(16)[:3]).directions
    assert span_variance(axes, covariance) == pytest.approx((16 + 15 + 14) / covariance.trace())
    assert span_variance([*axes, *axes], covariance) == pytest.approx(span_variance(axes, covariance))
    leaning = pack_of("a", "x", torch.tensor([[1.0, 0], [1.0, 1.0]]) @ torch.eye(16)[:2]).directions
    assert span_variance(leaning, covariance) == pytest.approx((16 + 15) / covariance.trace())
    pair = pack_of("a", "x", torch.tensor([[0.0, 1.0], [0.1, 1.0]]) @ torch.eye(16)[[0, 15]]).directions
    along = sum(float(d.vector.double() @ covariance @ d.vector.double()) for d in pair) / float(covariance.trace())
    assert span_variance(pair, covariance) > 3 * along  # a sum is no bound on it
    each = Direction("e", torch.eye(16)[:2], 1.0, LayerRange(0, 2))
    assert span_variance([each], covariance) == pytest.approx((16 + 15) / covariance.trace())


def test_the_covariance_is_that_of_the_codes() -> None:
    generator = toy_generator()
    with torch.no_grad():
        z = torch.randn(50_000, 16, generator=torch.Generator().manual_seed(9))
        codes = generator.mapping(z)[:, 0]
    expected = torch.cov(codes.T)
    assert (sample_covariance(generator) - expected).abs().max() < 0.05 * expected.abs().max()


def test_rows_say_what_is_known_and_what_is_a_sum() -> None:
    with_generator, without = compared(), compare(contenders())
    assert [row.is_sum for row in (*with_generator.rows, *without.rows)] == [False] * 3 + [True] * 3
    assert without.rows[0].variance == pytest.approx(0.5)
    assert [row.label for row in without.rows] == ["PCA", "SeFa", "random"]
    assert compare_page.cells(without.rows[0])[2] == "Σ 50%"
    assert compare_page.cells(without.rows[2])[3:] == ["–"] * 8
    assert compare_page.cells(without.rows[0])[-1] == "1.5 s"
    agreement = np.array(without.agreement, float)
    assert np.allclose(np.diag(agreement), 1, atol=1e-6)
    assert np.allclose(agreement, agreement.T)


def test_two_packs_of_one_method_go_by_their_names() -> None:
    packs = [random_pack("one", "pca", 1), random_pack("two", "pca", 2), random_pack("three", "own", 3)]
    assert label([Contender(pack) for pack in packs]) == ("one", "two", "three")
    assert label([Contender(packs[0])] * 2) == ("one", "one (2)")


@pytest.mark.parametrize(
    ("packs", "error", "message"),
    [
        (1, PackFormatError, "1 packs given; a comparison wants 2 to 12"),
        (13, PackFormatError, "13 packs given"),
        (2, PackMismatch, "only packs of one generator can be compared"),
    ],
)
def test_what_cannot_be_compared(packs: int, error: type[EiganError], message: str) -> None:
    found = [Contender(toy_pack())] * packs
    other = Contender(toy_pack(toy_generator(4)))
    with pytest.raises(error, match=message):
        compare([*found[:-1], other] if error is PackMismatch else found)


def test_a_generator_of_other_weights_is_refused() -> None:
    with pytest.raises(PackMismatch):
        compare(contenders(), toy_generator(4))


def with_effects(effects: list[dict[str, float]], ends: list[float]) -> Contender:
    pack = random_pack("p", "pca", 0, count=len(effects))
    metrics = toy_metrics(pack)
    entries = [
        entry.model_copy(update={"effects": found, "main": "smile", "range": (-end, end)})
        for entry, found, end in zip(metrics.directions, effects, ends, strict=True)
    ]
    return Contender(pack, metrics.model_copy(update={"directions": entries}))


def test_the_direction_picked_is_clean_and_reaches_far_enough() -> None:
    strong, clean, faint = {"smile": 0.9, "age": 0.9}, {"smile": -0.5, "age": 0.1}, {"smile": 0.01, "age": 0.0}
    best = best_for(with_effects([strong, clean, faint], [3, 3, 3]), "smile")
    assert best is not None
    assert best[0].name == "p-1"
    nearest = best_for(with_effects([strong, clean, faint], [0.5, 0.7, 3]), "smile")
    assert nearest is not None
    assert nearest[0].name == "p-0"  # none reaches a standard deviation: the one that moves it most
    assert best_for(with_effects([strong], [3]), "glasses") is None
    assert share_of(best[1], "smile") == pytest.approx(0.5 / 0.6)
    assert reach_of(best[1], "smile") == pytest.approx(1.5)


def test_the_same_edit_moves_the_attribute_alike_and_upwards() -> None:
    slow, back = with_effects([{"smile": 0.5}], [2.0]), with_effects([{"smile": -1.0}], [9.0])
    comparison = compare([slow, replace(back, pack=replace(back.pack, method={"name": "sefa"}))])
    first, second = same_edit(comparison, "smile")
    assert first.amounts == pytest.approx([-2, -1.5, 0, 1.5, 2])  # the ends of its range, not the 3 it would take
    assert [-1.0 * amount for amount in second.amounts] == pytest.approx(np.linspace(-TARGET, TARGET, 5))


def test_attributes_are_ordered_by_how_well_packs_move_them() -> None:
    found = with_effects([{"age": 0.1, "smile": 0.9, "light": 0.2}], [3.0])
    assert compare([found, found]).attributes == ["smile", "light", "age"]
    assert compare([Contender(toy_pack())] * 2).attributes == []


@pytest.fixture(scope="module")
def page() -> dict[str, bytes]:
    wording = Wording("Four ways", "What this is.", "Mind the caveat.", "## My notes\n\n- *PCA* wins.", "make it")
    return render_page(compared(), toy_generator(), seeds=[1, 2], wording=wording)


def test_every_picture_is_there_and_shown(page: dict[str, bytes]) -> None:
    text = page[PAGE].decode()
    shown = re.findall(r"\]\(([^)]+)\)", text)
    assert sorted(shown) == sorted(name for name in page if name != PAGE)
    for name in shown:
        assert Image.open(BytesIO(page[name])).format == "WEBP"
    for wanted in (
        MARK,
        "# Four ways",
        "**Mind the caveat.**",
        "## My notes\n\n- *PCA* wins.",
        "| SeFa | 5 |",
        "make it",
    ):
        assert wanted in text
    kinds = [token.type for token in MarkdownIt("commonmark").enable("table").parse(text)]
    assert kinds.count("table_open") == 2 if "| attribute |" in text else 1
    assert kinds.count("th_open") >= len(compare_page.HEADER)


def test_a_strip_has_a_row_for_each_measured_pack(page: dict[str, bytes]) -> None:
    strips = [name for name in page if name.startswith("edit-")]
    assert len(strips) == compare_page.NUM_EDITS
    picture = Image.open(BytesIO(page[strips[0]]))
    tiles = 5 * 34 - 2
    assert picture.size == (compare_page.LABEL_WIDTH + 2 * tiles + 10, 2 * 32 + 2)
    assert {name for name in page if name.startswith("sheet-")} == {
        f"sheet-{n}.webp" for n in ("pca", "sefa", "random")
    }


def test_the_middle_of_a_strip_is_the_picture_without_an_edit(page: dict[str, bytes]) -> None:
    strips = [np.asarray(Image.open(BytesIO(data)).convert("RGB"), float) for n, data in page.items() if "edit-" in n]
    left = compare_page.LABEL_WIDTH + 2 * 34
    middles = [strip[top : top + 32, left : left + 32] for strip in strips for top in (0, 34)]
    ends = [strip[top : top + 32, left - 68 : left - 36] for strip in strips for top in (0, 34)]
    assert max(np.abs(m - middles[0]).mean() for m in middles) < 12  # WebP is lossy
    assert np.mean([np.abs(e - middles[0]).mean() for e in ends]) > 15


def test_the_same_packs_give_the_same_page(page: dict[str, bytes]) -> None:
    again = render_page(compared(), toy_generator(), seeds=[1, 2])
    assert {n: d for n, d in again.items() if n != PAGE} == {n: d for n, d in page.items() if n != PAGE}


def test_attributes_can_be_chosen() -> None:
    files = render_page(compared(), toy_generator(), seeds=[1], attributes=["glasses", "unheard of"])
    assert [name for name in files if name.startswith("edit-")] == ["edit-glasses.webp"]


def test_a_page_of_what_nobody_measured_still_shows_pictures() -> None:
    packs = [Contender(varying_pack()), Contender(random_pack("b", "sefa", 1))]
    files = render_page(compare(packs, toy_generator()), toy_generator(), seeds=[1])
    assert set(files) == {PAGE, "agreement.webp", "variance.webp", "sheet-latentclr.webp", "sheet-sefa.webp"}
    text = files[PAGE].decode()
    assert "Of LatentCLR directions depend on the picture" in text
    assert "## The same edit" not in text


HOSTILE = ("<script>alert(1)</script>", "](http://evil.example)", "| x |", "```", "$\\frac{", "微")


def test_hostile_names_only_show() -> None:
    found = []
    for contender, text in zip(contenders()[:2], HOSTILE, strict=False):
        names = [f"{other}{text}" for other in HOSTILE[:5]]
        directions = tuple(replace(d, name=n) for d, n in zip(contender.pack.directions, names, strict=True))
        pack = replace(contender.pack, name=text, method={"name": text, "x": text}, directions=directions)
        found.append(Contender(pack, toy_metrics(pack, attributes=HOSTILE)))
    files = render_page(compare(found), toy_generator(), seeds=[1])
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(files[PAGE].decode())
    tokens = [t for token in parsed for t in [token, *(token.children or [])]]
    assert [t.content for t in tokens if t.type in ("html_block", "html_inline")] == [f"{MARK}\n"]
    assert not [t for t in tokens if t.type in ("link_open", "fence", "code_inline")]
    assert {t.attrGet("src") for t in tokens if t.type == "image"} == set(files) - {PAGE}


def measured_folder(folder: Path, pack: DirectionPack, **changes: Any) -> Path:
    metrics: Metrics = toy_metrics(pack).model_copy(update=changes)
    save_pack(pack, folder, {METRICS: write_metrics(metrics)})
    return folder


def test_a_contender_comes_with_its_metrics(tmp_path: Path, hub: FakeHub) -> None:
    pack = toy_pack()
    assert open_contender(str(measured_folder(tmp_path / "a", pack))).metrics == toy_metrics(pack)
    save_pack(pack, tmp_path / "b")
    assert open_contender(str(tmp_path / "b")).metrics is None
    files = pack_files(pack, {METRICS: write_metrics(toy_metrics(pack)), "previews/a.webp": b"x"})
    hub.store.push("user/measured", files, tag="v1.0.0")
    hub.store.push("user/plain", pack_files(pack, {}), tag="v1.0.0")
    assert open_contender("user/measured@v1.0.0").metrics == toy_metrics(pack)
    assert open_contender("user/plain@v1.0.0").metrics is None
    assert not [row for row in hub.log if "previews" in str(row) and "resolve" in str(row)]


def test_damaged_metrics_are_refused(tmp_path: Path) -> None:
    folder = measured_folder(tmp_path / "a", toy_pack())
    data = (folder / METRICS).read_bytes()
    (folder / METRICS).write_bytes(data.replace(b"14.2", b"10.2"))
    with pytest.raises(PackFormatError, match="not the file that config.json lists"):
        open_contender(str(folder))
    other = measured_folder(tmp_path / "b", toy_pack(), generator="0" * 64)
    with pytest.raises(PackFormatError, match="was measured on the generator 000000000000"):
        open_contender(str(other))


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "250"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_the_command_prints_one_table(tmp_path: Path) -> None:
    one = measured_folder(tmp_path / "one", random_pack("one", "pca", 1))
    save_pack(random_pack("[red]two", "own", 2), tmp_path / "two")
    output = run(one, tmp_path / "two")
    assert re.search(r"PCA.*5.*Σ 50%.*±3: 14.2, ±6: 61.5", output)
    assert "[red]two" in output
    assert "agreement: mean |cos|" in output
    assert f"{tmp_path / 'two'} was not measured; run: hub-export evaluate {tmp_path / 'two'}" in output
    assert f"{one} was not measured" not in output


def test_the_command_writes_a_page_and_writes_it_anew(tmp_path: Path, toy_folder: Path) -> None:
    packs = [
        measured_folder(tmp_path / n, random_pack(n, m, i)) for i, (n, m) in enumerate([("a", "pca"), ("b", "sefa")])
    ]
    (tmp_path / "notes.md").write_text("Written by hand.")
    more = ["--out", tmp_path / "page", "--generator", toy_folder, "--seeds", "1", "--attributes", "smile, age"]
    output = run(*packs, *more, "--notes", tmp_path / "notes.md", "--title", "Mine")
    text = (tmp_path / "page" / PAGE).read_text()
    assert "# Mine" in text
    assert "Written by hand." in text
    assert "edit-age.webp" in text
    assert "written, " in output
    assert "Σ" not in output
    run(*packs, *more)
    assert "Written by hand." not in (tmp_path / "page" / PAGE).read_text()


def test_a_folder_of_other_things_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / PAGE).write_text("# Not a page of ours")
    assert not is_page(tmp_path / "thesis")
    with pytest.raises(FitError, match="holds other files"):
        run("no-such-pack", "nor-this", "--out", tmp_path / "thesis")
    with pytest.raises(FitError, match="is a file"):
        run("no-such-pack", "nor-this", "--out", tmp_path / "thesis" / PAGE)
    with pytest.raises(FitError, match="cannot be read as text"):
        run("no-such-pack", "nor-this", "--notes", tmp_path / "none.md")
