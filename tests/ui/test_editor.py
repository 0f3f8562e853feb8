"""The page's behaviour without a browser: what each opening and each move updates, and what is said when it cannot."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gradio as gr
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from eigan.edit import Edit, Slider
from eigan.errors import EiganError, HubError, PackFormatError
from eigan.latents import seeded_z
from eigan.layers import LayerRange
from eigan.pose import Pose
from eigan.recipe import PictureRecipe, read_png, write_png
from eigan.render import Renderer
from eigan.targets import keep
from eigan.ui import build_app, served
from eigan.ui.app import is_hosted
from eigan.ui.editor import Editor, Opened, Scene, View, overlaps, plainly
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from eigan.ui.page import lay_out
from eigan.ui.session import Recent, Studio, Studios
from tests.fakehub.server import FakeHub
from tests.toys import toy_generator
from tests.toys_models import varying_pack
from tests.ui.bundles import write_bundles
from tests.ui.visitor import render_directly

HEADERS = {"host": "here:1"}


@pytest.fixture
def editor(toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    with gr.Blocks():
        return Editor(lay_out(["toy-words"], hosted=False)[0], Studios(), "toy-words", {})


def shown(updates: dict[Any, Any], component: Any) -> Any:
    """What a component's value becomes."""
    update = updates[component]
    return update.get("value") if isinstance(update, dict) and "__type__" in update else update


def picture(updates: dict[Any, Any], editor: Editor) -> np.ndarray:
    with Image.open(shown(updates, editor.page.picture)) as image:
        return np.asarray(image)


def test_first_visit(editor: Editor) -> None:
    updates = editor.arrive({}, HEADERS)
    pack = editor.studios.open("toy-words").pack
    assert (picture(updates, editor) == render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {})).all()
    assert updates[editor.page.link] == f"http://here:1/?pack=toy-words&seed={DEFAULT_SEED}&psi={DEFAULT_PSI}"
    assert set(updates) == set(editor.page.everything), "every part of the page is set"


def test_a_link_is_followed_to_the_last_pixel(editor: Editor) -> None:
    updates = editor.arrive({"pack": "toy-words", "seed": "5", "psi": "1.5", "edit": "smile:4.25,age:-1"}, HEADERS)
    pack = editor.studios.open("toy-words").pack
    assert (picture(updates, editor) == render_directly(pack, 5, 1.5, {"smile": 4.25, "age": -1.0})).all()
    assert updates[editor.page.psi]["maximum"] == 1.5, "the slider is widened to what the link asks"
    panel = updates[editor.page.panel]
    assert panel["amounts"] == {"smile": 4.25, "age": -1.0}
    assert next(plan["high"] for plan in panel["plans"] if plan["name"] == "smile") == 4.3


def test_sliders_of_directions_that_depend_on_the_picture(editor: Editor, toy_bundles: Path) -> None:
    varying_pack(toy_generator()).save(toy_bundles / "varying")
    updates = editor.arrive({"pack": "varying", "seed": "5", "psi": "0.7", "edit": "turn:2"}, HEADERS)
    pack, opened, panel = editor.studios.open("varying").pack, updates[editor.page.opened], updates[editor.page.panel]
    assert (picture(updates, editor) == render_directly(pack, 5, 0.7, {"turn": 2.0})).all()
    assert [plan["hint"].endswith("depends on the picture") for plan in panel["plans"]] == [True, False, True]
    moved = editor.follow(opened, panel | {"amounts": {"turn": 2.0, "tilt": -1.0}}, Scene(5, 0.7), View(), HEADERS)
    assert moved is not None
    assert (picture(moved, editor) == render_directly(pack, 5, 0.7, {"turn": 2.0, "tilt": -1.0})).all()


@pytest.mark.parametrize("query", [{"seed": "-1"}, {"psi": "x"}, {"pack": "no such"}, {"edit": "nobody:1"}])
def test_a_broken_link_falls_back(editor: Editor, query: dict[str, str]) -> None:
    with pytest.warns(UserWarning, match="This link cannot be shown"):
        updates = editor.arrive(query, HEADERS)
    assert f"seed={DEFAULT_SEED}&" in updates[editor.page.link]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["pack", "seed", "psi", "class", "edit"]), st.text(max_size=30), min_size=1))
@pytest.mark.filterwarnings("ignore:This link")
def test_no_link_brings_the_page_down(editor: Editor, query: dict[str, str]) -> None:
    assert editor.page.picture in editor.arrive(query, HEADERS)


def test_without_any_bundle_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EIGAN_DIRECTIONS", str(tmp_path))
    with gr.Blocks():
        editor = Editor(lay_out([], hosted=False)[0], Studios(), "", {})
    with pytest.warns(UserWarning, match="No picture yet"):
        assert list(editor.arrive({}, HEADERS)) == [editor.page.badge]


def test_an_unreachable_hub_is_told_with_what_goes_on_working(editor: Editor, hub: FakeHub) -> None:
    with pytest.raises(HubError, match="bundled packs go on working: toy-words"):
        editor.prepare_pack("nobody/nothing", Scene(1, 0.7))


def standing(editor: Editor, query: dict[str, str] | None = None) -> tuple[Opened, dict[str, Any]]:
    """What a session holds after it arrived, and what its panel says."""
    updates = editor.arrive(query or {}, HEADERS)
    return updates[editor.page.opened], updates[editor.page.panel]


def test_moves_follow_and_a_box_being_typed_into_waits(editor: Editor) -> None:
    opened, panel = standing(editor)
    panel |= {"amounts": {"smile": 1.0}}
    updates = editor.follow(opened, panel, Scene(3, 0.7), View(comparing=True), HEADERS)
    assert updates is not None
    pack = editor.studios.open("toy-words").pack
    assert (picture(updates, editor) == render_directly(pack, 3, 0.7, {"smile": 1.0})).all()
    before, after = shown(updates, editor.page.comparison)
    assert read_png(Path(before)).amounts == {}
    assert read_png(Path(after)).amounts == {"smile": 1.0}
    assert editor.follow(opened, panel, Scene(None, 0.7), View(), HEADERS) is None
    assert editor.follow(None, panel, Scene(1, 0.7), View(), HEADERS) is None


def test_a_panel_of_another_opening_is_not_followed(editor: Editor) -> None:
    opened, _ = standing(editor)
    _, other = standing(editor, {"pack": "toy-sefa"})
    other |= {"amounts": {}}
    assert editor.follow(opened, other, Scene(1, 0.7), View(), HEADERS) is None


def test_while_something_is_dragged_only_the_picture_changes(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Studio, "is_slow_for", lambda *_: False)
    opened, panel = standing(editor)
    panel |= {"amounts": {"smile": 1.0}, "moving": True}
    updates = editor.follow(opened, panel, Scene(3, 0.7), View(), HEADERS)
    assert updates is not None and list(updates) == [editor.page.picture]
    pack = editor.studios.open("toy-words").pack
    assert (picture(updates, editor) == render_directly(pack, 3, 0.7, {"smile": 1.0})).all()


def test_layers_and_what_is_kept_are_followed(editor: Editor) -> None:
    opened, panel = standing(editor)
    panel |= {"amounts": {"smile": 2.0}, "layers": {"smile": "1-2"}, "keep": ["age"]}
    updates = editor.follow(opened, panel, Scene(3, 0.7), View(), HEADERS)
    assert updates is not None
    studio = editor.studios.open("toy-words")
    edit = keep(Edit((Slider(studio.pack["smile"].on(LayerRange(1, 3)), 2.0),)), [studio.pack["age"]])
    codes = studio.generator.mapping(seeded_z([3], studio.generator.z_dim), truncation_psi=0.7)
    assert (picture(updates, editor) == Renderer(studio.generator).render(codes, edit)[0]).all()
    again = editor.arrive(dict(parse_qsl(urlsplit(updates[editor.page.link]).query)), HEADERS)
    assert (picture(again, editor) == picture(updates, editor)).all()
    assert {key: again[editor.page.panel][key] for key in ("layers", "keep")} == {
        "layers": {"smile": "1-2"},
        "keep": ["age"],
    }
    with pytest.raises(PackFormatError, match="do not exist"):
        editor.follow(opened, panel | {"layers": {"smile": "1-200"}}, Scene(3, 0.7), View(), HEADERS)


def test_a_pose_has_sliders_only_where_the_generator_has_one(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    pose = Pose(0.25, -0.1, 30.0)
    _, panel = standing(editor, {"pose": "0.25,-0.1,30"})
    assert panel["poses"] == [] and panel["pose"] == [0.0, 0.0, 0.0]
    studio = editor.studios.open("toy-words")
    monkeypatch.setattr(type(studio.generator), "has_pose", True)
    opened, panel = standing(editor, {"pose": "0.25,-0.1,30"})
    assert len(panel["poses"]) == 3 and panel["pose"] == [0.25, -0.1, 30.0]
    updates = editor.follow(opened, panel, Scene(3, 0.7), View(), HEADERS)
    assert updates is not None and "pose=0.25,-0.1,30.0" in updates[editor.page.link]
    assert read_png(Path(shown(updates, editor.page.picture))).pose == pose
    with pytest.raises(PackFormatError, match="Reload"):
        editor.follow(opened, panel | {"pose": [1.0]}, Scene(3, 0.7), View(), HEADERS)


def test_going_back_and_forth(editor: Editor) -> None:
    arrived = editor.arrive({}, HEADERS)
    opened, panel, history = (arrived[part] for part in (editor.page.opened, editor.page.panel, editor.page.history))
    for amount in (1.0, 2.0):
        updates = editor.follow(
            opened, panel | {"amounts": {"smile": amount}}, Scene(5, 0.7), View(history=history), HEADERS
        )
        assert updates is not None
        history = updates[editor.page.history]
    assert len(history.steps) == 3 and history.at == 2
    prepared = editor.prepare_step(history, history.at - 1)
    assert prepared is not None
    back = editor.show(prepared, panel, View(history=history), HEADERS)
    assert back[editor.page.panel]["amounts"] == {"smile": 1.0}
    assert (back[editor.page.history].at, len(back[editor.page.history].steps)) == (1, 3)
    assert editor.prepare_step(back[editor.page.history], 1) is None
    ahead = editor.prepare_step(back[editor.page.history], 2)
    assert ahead is not None and PictureRecipe.from_json(ahead["recipe"]).amounts == {"smile": 2.0}


def test_locks_outlive_another_opening_of_the_same_pack(editor: Editor) -> None:
    _, panel = standing(editor)
    prepared = editor.prepare_recipe(PictureRecipe("toy-words", 5, amounts={"smile": 1.0}))
    updates = editor.show(prepared, panel | {"locked": ["smile"]}, View(), HEADERS)
    assert updates[editor.page.panel]["locked"] == ["smile"]


def test_one_of_several_pictures_is_chosen_by_where_it_lies(editor: Editor) -> None:
    opened, panel = standing(editor)
    now = editor.stand(opened, panel, Scene(5, 0.7))
    size = now.studio.generator.resolution
    found = [editor.prepare_seed_at(now, View(count=4), x, y) for y in (1, size + 5) for x in (1, size + 5)]
    assert [PictureRecipe.from_json(one["recipe"]).seed for one in found if one] == [5, 6, 7, 8]
    assert editor.prepare_seed_at(now, View(), 1, 1) is None


def test_what_overlaps_is_told(editor: Editor) -> None:
    studio = editor.studios.open("toy-words")
    assert overlaps(studio, studio.complete(PictureRecipe("", 1, amounts={"smile": 1.0}))) == ""
    same = replace(studio.pack["smile"], name="<grin>")
    studio = replace(studio, pack=replace(studio.pack, directions=(*studio.pack.directions, same)))
    told = overlaps(studio, studio.complete(PictureRecipe("", 1, amounts={"smile": 1.0, "<grin>": -2.0})))
    assert "smile and &lt;grin&gt; work against each other (-1.00)" in told


@pytest.mark.parametrize(
    "panel", [None, 7, "x", [], {}, {"turn": 1}, {"turn": "t", "amounts": {"smile": float("nan")}}]
)
def test_a_malformed_panel_is_one_sentence(editor: Editor, panel: Any) -> None:
    opened, good = standing(editor)
    spoilt = good | panel if isinstance(panel, dict) and panel else panel
    with pytest.raises(PackFormatError, match="Reload the page"):
        editor.follow(opened, spoilt, Scene(1, 0.7), View(), HEADERS)


def test_a_picture_brings_back_its_recipe(editor: Editor, tmp_path: Path) -> None:
    opened = editor.arrive({"seed": "21", "edit": "hair:2"}, HEADERS)
    prepared = editor.prepare_picture(Path(shown(opened, editor.page.picture)))
    updates = editor.show(prepared, None, View(), HEADERS)
    assert (picture(updates, editor) == picture(opened, editor)).all()
    assert updates[editor.page.seed] == 21
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    with pytest.raises(PackFormatError, match="carries no recipe"):
        editor.prepare_picture(tmp_path / "plain.png")


def test_a_picture_of_other_weights_is_told(editor: Editor, tmp_path: Path) -> None:
    write_png(Image.new("RGB", (4, 4)), PictureRecipe("toy-words", 1, fingerprint="0" * 64), tmp_path / "other.png")
    with pytest.warns(UserWarning, match="other weights"):
        editor.prepare_picture(tmp_path / "other.png")


def test_errors_reach_the_person_as_text() -> None:
    @plainly
    def fail() -> None:
        raise PackFormatError("no <img src=x onerror=alert(1)> here")

    with pytest.raises(gr.Error) as caught:
        fail()
    assert "<" not in caught.value.message
    assert caught.value.print_exception is False


@pytest.mark.parametrize(
    ("environ", "hosted"), [({}, False), ({"SPACE_ID": "u/s"}, True), ({"SYSTEM": "spaces"}, True)]
)
def test_a_space_is_hosted(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], hosted: bool) -> None:
    for name in ("SPACE_ID", "SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert is_hosted() is hosted


def test_building_the_app_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EIGAN_DIRECTIONS", str(write_bundles(tmp_path)))
    monkeypatch.setattr(Studios, "open", lambda *_: pytest.fail("a pack was opened"))
    endpoints = build_app(hosted=True).get_api_info()["named_endpoints"]
    assert set(endpoints) == {"/edit", "/sweep", "/packs", "/directions"}


def test_a_hosted_page_offers_no_folders() -> None:
    with gr.Blocks():
        assert "folder" not in str(lay_out([], hosted=True)[0].picker.info)
        assert "folder" in str(lay_out([], hosted=False)[0].picker.info)


def test_every_refusal_is_an_eigan_error(editor: Editor) -> None:
    for source in ("", "../..", "a/b/c", "x" * 5000):
        with pytest.raises(EiganError):
            editor.prepare_pack(source, Scene(1, 0.7))


def slow_clock(seconds: float) -> Any:
    """A clock that goes on by `seconds` each time it is read: every stage takes as long."""
    return (step * seconds for step in count()).__next__


def test_a_slow_generator_is_dragged_as_a_small_picture_and_drawn_whole_at_rest(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eigan.render.MIN_PREVIEW", 8)
    studio = editor.studios.open("toy-words")
    slow = Renderer(studio.generator, clock=slow_clock(0.15))
    studio = replace(studio, renderer=slow, pictures=Recent(4))
    recipe = PictureRecipe("toy-words", 3, 0.7)
    assert editor._moving(studio, recipe, View()) is not None, "nothing was measured yet"
    moved = editor._moving(studio, replace(recipe, amounts={"smile": 1.0}), View())
    assert moved is not None
    with Image.open(moved[editor.page.picture]) as small:
        assert small.width < slow.generator.resolution
    assert editor._moving(studio, recipe, View(count=4)) is None, "several are drawn when it rests"
    with Image.open(served.lasting.put(studio.png(replace(recipe, amounts={"smile": 1.0})), "x.png")) as whole:
        assert whole.width == slow.generator.resolution
