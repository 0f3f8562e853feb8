"""The Compare tab without a browser: what is compared, what is drawn, which recipe a row puts on the page, what is
said."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from eigan.combine import combine
from eigan.errors import PackFormatError, UnknownName
from eigan.layers import LayerRange
from eigan.pack import DirectionPack, MadeFor, Preset
from eigan.recipe import PictureRecipe
from eigan.render import Renderer
from eigan.ui import offers as offers_file
from eigan.ui.compare import Compare, bundled_for, choose, lay_out_compare, offered_packs, shown
from eigan.ui.desk import Desk
from eigan.ui.editor import Editor, Now
from eigan.ui.offer_words import TILE, about_numbers, caption, cited_list, row_value, signed, tile_address
from eigan.ui.offers import Offer, further_entrants, make_offers, open_entrants, owner_of
from eigan.ui.page import lay_out
from eigan.ui.panel import standing
from eigan.ui.session import Studio, Studios
from hub_export.metrics import METRICS, write_metrics
from tests.toys import toy_direction, toy_generator
from tests.toys_metrics import toy_metrics
from tests.ui.bundles import HOSTILE, hostile_pack

GENERATOR = toy_generator()


def write_pack(folder: Path, pack: DirectionPack, *, measured: bool = True) -> None:
    """A pack of a bundle's, with measurements beside it."""
    pack.save(folder)
    if measured:
        (folder / METRICS).write_bytes(write_metrics(toy_metrics(pack)))


def rival_pack() -> DirectionPack:
    """Another pack of the bundles' generator; one of its names is taken by toy-words."""
    names = ("smile", "second", "third")
    directions = tuple(toy_direction(name, (0, 8), seed=50 + i) for i, name in enumerate(names))
    made_for = replace(MadeFor.describe(GENERATOR), source="toy")
    presets = (Preset("p", {"smile": 1.0}),)
    return DirectionPack("Toy rival", made_for, directions, {"name": "ica"}, presets, license="mit", version="2.1.0")


@pytest.fixture
def studios(toy_bundles: Path) -> Studios:
    write_pack(toy_bundles / "toy-rival", rival_pack())
    write_pack(toy_bundles / "toy-words", Studios().load_pack("toy-words"))
    return Studios()


@pytest.fixture
def words(studios: Studios) -> Studio:
    return studios.open("toy-words")


def recipe_of(studio: Studio, **values: Any) -> PictureRecipe:
    given: dict[str, Any] = {"pack": studio.source, "seed": 5, "truncation_psi": 0.7}
    return studio.complete(PictureRecipe(**(given | values)))


def offered(
    studios: Studios, studio: Studio, recipe: PictureRecipe, *sources: str, name: str = "smile", amount: float = 2.0
) -> tuple[list[Offer], list[str]]:
    opened = open_entrants(studios, studio)
    others, problems = further_entrants(studios, studio, opened, sources)
    offers, undrawn = make_offers(Renderer(studio.generator), recipe, name, amount, opened, others)
    return offers, [*problems, *undrawn]


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)


# what is compared and drawn


def test_rows_are_the_direct_renders_and_their_recipes_bring_them_back(studios: Studios, words: Studio) -> None:
    recipe = recipe_of(words, amounts={"smile": 1.0, "age": -1.5}, keep=("light",))
    offers, problems = offered(studios, words, recipe, "toy-sefa", "toy-rival")
    assert problems == []
    assert [offer.rival.contender.pack.name for offer in offers] == ["Toy words", "Toy components", "Toy rival"]
    assert [offer.rival.reason for offer in offers] == ["chosen", "cosine", "effect"]
    bare = replace(recipe, amounts={"age": -1.5})
    for offer in offers:
        studio = studios.open(offer.recipe.pack, offer.recipe.further)
        assert (pixels(studio.render(offer.recipe)) == pixels(offer.pictures[2])).all(), "what the page will show"
        other_side = replace(offer.recipe, amounts={**offer.recipe.amounts, offer.name: offer.rival.amounts[0]})
        assert (pixels(studio.render(other_side)) == pixels(offer.pictures[0])).all()
        assert (pixels(words.render(bare)) == pixels(offer.pictures[1])).all(), "without the edit the rest stays"
        assert studio.complete(offer.recipe) == offer.recipe
        assert offer.recipe.amounts["age"] == -1.5 and offer.recipe.keep == ("light",)
    assert len({offer.pictures[2].tobytes() for offer in offers}) == 3


def test_a_name_that_is_taken_is_the_combined_packs(studios: Studios, words: Studio) -> None:
    rival = studios.load_pack("toy-rival")
    offers, _ = offered(studios, words, recipe_of(words), "toy-rival")
    names = combine([words.pack, rival]).names
    assert offers[1].name in names[len(words.pack) :]
    assert offers[1].rival.direction.name in rival.names
    assert offers[1].recipe.further == ("toy-rival",)
    assert offers[1].rival.direction.name == "smile" and offers[1].name == "smile (Toy rival)"


def test_packs_that_are_open_already_take_part_as_they_are(studios: Studios) -> None:
    both = studios.open("toy-words", ["toy-rival"])
    recipe = recipe_of(both, amounts={"smile (Toy rival)": 0.5})
    offers, problems = offered(studios, both, recipe, "toy-words", "toy-rival", "toy-sefa")
    assert problems == []
    assert [offer.rival.contender.pack.source for offer in offers] == ["toy-words", "toy-rival", "toy-sefa"]
    moved_on = offers[1]
    assert moved_on.name == "smile (Toy rival)" and moved_on.recipe.further == ("toy-rival",)
    assert moved_on.recipe.amounts[moved_on.name] == pytest.approx(0.5 + moved_on.rival.amounts[1]), (
        "from where it stood"
    )
    assert offers[2].recipe.further == ("toy-rival", "toy-sefa")
    chosen, _ = offered(studios, both, recipe, name="smile (Toy rival)", amount=1.0)
    assert [offer.rival.contender.pack.source for offer in chosen] == ["toy-rival", "toy-words"]
    assert chosen[0].recipe.amounts == {"smile (Toy rival)": 1.0}


def test_layers_that_were_changed_are_those_of_the_edit(studios: Studios, words: Studio) -> None:
    recipe = recipe_of(words, amounts={"smile": 1.0}, layers={"smile": LayerRange(0, 2)})
    offers, _ = offered(studios, words, recipe, "toy-rival")
    assert offers[0].recipe.layers == {"smile": LayerRange(0, 2)}
    assert (pixels(words.render(offers[0].recipe)) == pixels(offers[0].pictures[2])).all()
    assert offers[1].rival.reason == "cosine", "it was not measured there"
    assert offers[1].recipe.layers == {}


def test_who_cannot_take_part_is_told_and_the_others_do(
    studios: Studios, words: Studio, toy_bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_for = MadeFor.describe(toy_generator(9))
    alien = replace(rival_pack(), name="alien", made_for=made_for)
    alien.save(toy_bundles / "toy-alien")
    offers, problems = offered(studios, words, recipe_of(words), "toy-alien", "nobody", " toy-sefa ", "", "toy-sefa")
    assert [offer.rival.contender.pack.source for offer in offers] == ["toy-words", "toy-sefa"]
    assert len(problems) == 2
    assert "toy-alien is left out" in problems[0] and "another generator" in problems[0]
    assert "nobody is left out" in problems[1]
    monkeypatch.setattr(offers_file, "MAX_COMPARED", 1)
    offers, problems = offered(studios, words, recipe_of(words), "toy-sefa", "toy-rival")
    assert len(offers) == 2 and "toy-rival and what follows it are left out" in problems[0]


def test_strangers_compare_no_folders(toy_bundles: Path, tmp_path: Path) -> None:
    rival_pack().save(tmp_path / "mine")
    hosted = Studios(hosted=True)
    studio = hosted.open("toy-words")
    _, problems = further_entrants(hosted, studio, open_entrants(hosted, studio), [str(tmp_path / "mine")])
    assert len(problems) == 1 and "Folders can be opened only" in problems[0]


def test_a_row_that_cannot_be_drawn_is_left_out(studios: Studios, words: Studio, toy_bundles: Path) -> None:
    full = tuple(f"toy-{i}" for i in range(8))
    recipe = replace(recipe_of(words), further=full)
    offers, problems = offered(studios, replace(words, further=()), recipe, "toy-rival")
    assert len(offers) == 2, "the entrant says what is opened, not the recipe"
    entrants = open_entrants(studios, words)
    others, _ = further_entrants(studios, words, entrants, ["toy-rival"])
    crowded = [replace(others[0], further=(*full, "toy-rival"))]
    offers, problems = make_offers(Renderer(words.generator), recipe_of(words), "smile", 1.0, entrants, crowded)
    assert len(offers) == 1 and "Toy rival is left out" in problems[0] and "at most 8" in problems[0]


def test_no_edit_and_no_direction_are_refused(studios: Studios, words: Studio) -> None:
    with pytest.raises(PackFormatError, match="amount is 0"):
        offered(studios, words, recipe_of(words), amount=0.0)
    with pytest.raises(UnknownName, match="no direction 'nobody'"):
        offered(studios, words, recipe_of(words), name="nobody")
    assert owner_of(open_entrants(studios, words), "age")[1].name == "age"


def test_progress_is_told_for_each_pack(studios: Studios, words: Studio) -> None:
    told: list[tuple[int, int]] = []
    opened = open_entrants(studios, words)
    others, _ = further_entrants(studios, words, opened, ["toy-rival", "toy-sefa"])
    make_offers(
        Renderer(words.generator), recipe_of(words), "smile", 1.0, opened, others, lambda *args: told.append(args)
    )
    assert told == [(0, 3), (1, 3), (2, 3)]


# what is said


class Texts(HTMLParser):
    """The tags of some HTML, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_row_says_what_it_is(studios: Studios, words: Studio) -> None:
    offers, _ = offered(studios, words, recipe_of(words), "toy-sefa", "toy-rival")
    rows = [row_value(offer) for offer in offers]
    json.dumps(rows)
    assert [row["title"] for row in rows] == ["PCA", "SeFa", "ICA"]
    assert [row["pack"] for row in rows] == ["Toy words 1.0.0", "Toy components", "Toy rival 2.1.0"]
    assert rows[0]["chosen"] and rows[0]["edit"] == "smile +2" and rows[0]["facts"][0].startswith("leak 0.")
    assert "not measured" in rows[1]["note"] and not any("leak" in fact for fact in rows[1]["facts"])
    assert any(fact.startswith("cosine ") for fact in rows[1]["facts"])
    assert [tile["under"] for tile in rows[0]["pictures"]] == ["−2", "0", "+2"]
    shown_pixels = Image.open(BytesIO(base64.b64decode(rows[0]["pictures"][2]["src"].partition(",")[2])))
    assert (pixels(shown_pixels) == pixels(offers[0].pictures[2])).all()


def test_large_pictures_are_shrunk_for_the_page() -> None:
    address = tile_address(Image.new("RGB", (1024, 1024), "red"))
    with Image.open(BytesIO(base64.b64decode(address.partition(",")[2]))) as small:
        assert small.size == (TILE, TILE) and len(address) < 20_000


def test_the_tables_hold_what_was_measured(studios: Studios, words: Studio) -> None:
    offers, _ = offered(studios, words, recipe_of(words), "toy-sefa", "toy-rival")
    text = Texts(about_numbers(offers)).text
    for offer in offers:
        assert offer.rival.contender.pack.name in text
    numbers = offers[2].rival.numbers
    assert numbers is not None and f"{numbers.share:.2f}" in text
    table = about_numbers(offers)
    unmeasured = re.search(r'<th scope="row">Toy components</th>(.*?)</tr>', table)
    assert unmeasured is not None and unmeasured[1].count("<td>–</td>") == 5


def test_the_caption_says_where_numbers_come_from(studios: Studios, words: Studio) -> None:
    recipe = recipe_of(words, amounts={"smile": 2.0, "age": 1.5})
    offers, _ = offered(studios, words, recipe, "toy-rival")
    told = Texts(caption(recipe, offers)).text
    assert "seed 5: age +1.5" in told and "hub-export evaluate" in told and "200 pictures" in told
    plain = studios.open("toy-sefa")
    offers, _ = offered(studios, plain, recipe_of(plain), name="component 0")
    assert "not measured" in Texts(caption(recipe_of(plain), offers)).text


def test_strangers_text_stays_text(studios: Studios, toy_bundles: Path) -> None:
    hostile = hostile_pack(GENERATOR)
    write_pack(toy_bundles / "hostile", replace(hostile, made_for=replace(hostile.made_for, source="toy")))
    studio = studios.open("hostile")
    offers, _ = offered(studios, studio, recipe_of(studio), "toy-words", name=HOSTILE["direction"])
    html = (
        about_numbers(offers) + caption(offers[0].recipe, offers) + cited_list([o.rival.contender.pack for o in offers])
    )
    found = Texts(html)
    assert found.tags <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "b", "ul", "li"}
    assert HOSTILE["name"] in found.text and HOSTILE["direction"] in found.text


@pytest.mark.parametrize(
    ("value", "words"), [(1.5, "+1.5"), (-0.25, "−0.25"), (2.0, "+2"), (-11.0, "−11"), (10.0, "+10")]
)
def test_signs(value: float, words: str) -> None:
    assert signed(value) == words


# the tab


@pytest.fixture
def desk(studios: Studios) -> Iterator[tuple[Desk, Compare]]:
    with gr.Blocks():
        page, tabs = lay_out(["toy-words"], hosted=False)
        with tabs.compare:
            tab = lay_out_compare(tabs.compare)
        yield Desk(Editor(page, studios, "toy-words", {})), tab


def now_of(desk: Desk, amounts: dict[str, float], source: str = "toy-words") -> Now:
    studio = desk.studios.open(source)
    recipe = recipe_of(studio, amounts=amounts)
    return Now(studio, recipe, standing(amounts=amounts, layers={}, keep=(), pose=()))


def test_the_slider_moved_furthest_is_chosen_first(desk: tuple[Desk, Compare]) -> None:
    page, tab = desk
    updates = choose(page, tab, now_of(page, {"age": -0.5, "light": 2.0}), None)
    assert updates[tab.direction]["value"] == "light" and updates[tab.amount]["value"] == 2.0
    updates = choose(page, tab, now_of(page, {"age": -0.5, "light": 2.0}), "smile")
    assert updates[tab.direction]["value"] == "smile"
    low, high = page.studios.open("toy-words").pack["smile"].amount_range
    assert low <= updates[tab.amount]["value"] <= high and updates[tab.amount]["value"]
    assert "closed to open" in updates[tab.amount]["info"]
    gone = choose(page, tab, now_of(page, {}), "no such slider")
    assert gone[tab.direction]["value"] == "smile"
    far = choose(page, tab, now_of(page, {"smile": 9.5}), None)
    assert far[tab.amount]["maximum"] >= 9.5, "a link may ask for more than the slider's range"


def test_bundled_packs_of_the_same_generator_are_offered(desk: tuple[Desk, Compare], toy_bundles: Path) -> None:
    page, _ = desk
    made_for = MadeFor.describe(toy_generator(9))
    replace(rival_pack(), name="alien", made_for=made_for).save(toy_bundles / "toy-alien")
    (toy_bundles / "broken").mkdir()
    (toy_bundles / "broken" / "config.json").write_text('{"format": "eigan-directions"')
    now = now_of(page, {})
    assert sorted(bundled_for(now.studio.generator.fingerprint)) == ["toy-rival", "toy-sefa", "toy-words"]
    update = offered_packs(now)
    assert sorted(update["value"]) == ["toy-rival", "toy-sefa", "toy-words"]
    assert update["choices"][-2:] == ["sefa:toy", "pca:toy"]


def test_a_comparison_fills_the_whole_tab(desk: tuple[Desk, Compare]) -> None:
    page, tab = desk
    now = now_of(page, {"age": 1.0})
    with pytest.warns(UserWarning, match="nobody is left out"):
        updates = shown(page, tab, now, "smile", 2.0, ["toy-rival", "nobody"], gr.Progress())
    assert len(updates[tab.rows]["rows"]) == len(updates[tab.offers]) == 2
    assert "Toy rival" in updates[tab.cited] and "hyvarinen1999fastica" in updates[tab.bibtex]
    assert PictureRecipe.from_json(updates[tab.recipe]) == now.recipe
    recipe, name = updates[tab.offers][1]
    prepared = page.editor.prepare_recipe(PictureRecipe.from_json(recipe))
    assert prepared["further"] == ["toy-rival"] and name == "smile (Toy rival)"
