"""The page's behaviour without a browser: what each opening and each move updates, and what is said when it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from eigan.errors import EiganError, HubError, PackFormatError
from eigan.pose import Pose
from eigan.recipe import PictureRecipe, read_png, write_png
from eigan.ui import build_app, scripts
from eigan.ui.app import is_hosted
from eigan.ui.editor import Editor, Opened, Scene, edit_endpoint, plainly, read_amounts, read_pose
from eigan.ui.labels import plan_slider
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from eigan.ui.page import lay_out
from eigan.ui.session import Studios
from tests.fakehub.server import FakeHub
from tests.toys import toy_direction, toy_generator
from tests.toys_models import varying_pack
from tests.ui.bundles import hostile_pack, write_bundles
from tests.ui.visitor import render_directly

HEADERS = {"host": "here:1"}


@pytest.fixture
def editor(toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    with gr.Blocks():
        return Editor(lay_out(["toy-words"], hosted=False), Studios(), "toy-words", {})


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
    plans = {plan.name: plan for plan in editor.plans(updates[editor.page.opened])}
    assert (plans["smile"].value, plans["smile"].maximum) == (4.25, 4.3)


def test_sliders_of_directions_that_depend_on_the_picture(editor: Editor, toy_bundles: Path) -> None:
    varying_pack(toy_generator()).save(toy_bundles / "varying")
    updates = editor.arrive({"pack": "varying", "seed": "5", "psi": "0.7", "edit": "turn:2"}, HEADERS)
    pack, opened = editor.studios.open("varying").pack, updates[editor.page.opened]
    assert (picture(updates, editor) == render_directly(pack, 5, 0.7, {"turn": 2.0})).all()
    assert [plan.info.endswith("depends on the picture") for plan in editor.plans(opened)] == [True, False, True]
    moved = editor.follow(opened, Scene(5, 0.7, 0, False), {"turn": 2.0, "tilt": -1.0}, HEADERS)
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
        editor = Editor(lay_out([], hosted=False), Studios(), "", {})
    with pytest.warns(UserWarning, match="No picture yet"):
        assert list(editor.arrive({}, HEADERS)) == [editor.page.badge]


def test_an_unreachable_hub_is_told_with_what_goes_on_working(editor: Editor, hub: FakeHub) -> None:
    with pytest.raises(HubError, match="bundled packs go on working: toy-words"):
        editor.prepare_pack("nobody/nothing", Scene(1, 0.7, 0, False))


def test_moves_follow_and_a_box_being_typed_into_waits(editor: Editor) -> None:
    opened: Opened = editor.arrive({}, HEADERS)[editor.page.opened]
    updates = editor.follow(opened, Scene(3, 0.7, 0, True), {"smile": 1.0, "age": None}, HEADERS)
    assert updates is not None
    pack = editor.studios.open("toy-words").pack
    assert (picture(updates, editor) == render_directly(pack, 3, 0.7, {"smile": 1.0})).all()
    before, after = shown(updates, editor.page.comparison)
    assert read_png(Path(before)).amounts == {}
    assert read_png(Path(after)).amounts == {"smile": 1.0}
    assert editor.follow(opened, Scene(None, 0.7, 0, False), {}, HEADERS) is None


def test_a_pose_has_sliders_only_where_the_generator_has_one(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    pose = Pose(0.25, -0.1, 30.0)
    opened: Opened = editor.arrive({"pose": "0.25,-0.1,30"}, HEADERS)[editor.page.opened]
    assert editor.pose_plans(opened) == [] and opened["pose"] == [0.0, 0.0, 0.0]
    studio = editor.studios.open("toy-words")
    monkeypatch.setattr(type(studio.generator), "has_pose", True)
    opened = editor.arrive({"pose": "0.25,-0.1,30"}, HEADERS)[editor.page.opened]
    plans = editor.pose_plans(opened)
    assert [plan.value for plan in plans] == [0.25, -0.1, 30.0]
    assert read_pose([plan.value for plan in plans]) == pose and read_pose([]) == Pose()
    updates = editor.follow(opened, Scene(3, 0.7, 0, False, pose), {}, HEADERS)
    assert updates is not None and "pose=0.25,-0.1,30.0" in updates[editor.page.link]
    assert read_png(Path(shown(updates, editor.page.picture))).pose == pose
    with pytest.raises(PackFormatError, match="Reload"):
        read_pose([1.0])


def test_a_picture_brings_back_its_recipe(editor: Editor, tmp_path: Path) -> None:
    opened = editor.arrive({"seed": "21", "edit": "hair:2"}, HEADERS)
    prepared = editor.prepare_picture(Path(shown(opened, editor.page.picture)))
    updates = editor.show(prepared, False, HEADERS)
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


def test_the_endpoint_gives_a_png_with_its_recipe(editor: Editor) -> None:
    edit = edit_endpoint(editor.studios)
    file = edit("toy-words", 4, {"smile": 1.5}, 0.8)
    assert read_png(Path(file.path)).amounts == {"smile": 1.5}
    with pytest.raises(gr.Error, match="unknown direction"):
        edit("toy-words", 4, {"nobody": 1.0})
    with pytest.raises(gr.Error, match="&#x27;nobody/"):  # a toast shows HTML
        edit("nobody/nothing/at all", 4)


def test_sliders_of_another_page_are_refused() -> None:
    plans = [plan_slider(toy_direction())]
    assert read_amounts(plans, [1.0]) == {"smile": 1.0}
    with pytest.raises(PackFormatError, match="Reload the page"):
        read_amounts(plans, [1.0, 2.0])


def test_scripts_hold_numbers_only(editor: Editor) -> None:
    pack = hostile_pack(editor.studios.open("toy-words").generator)  # type: ignore[arg-type]
    plans = [plan_slider(direction) for direction in pack]
    amounts = [preset.amounts for preset in pack.presets]
    texts = [scripts.press(0, amounts[0], plans), scripts.scale(amounts, plans), scripts.reset(plans)]
    texts.append(scripts.bring_within(2, 9, scripts.slider_bounds(plans, 5)))
    assert not any("pwned" in text or "script>" in text for text in texts)
    assert scripts.reset(plans).endswith("...[0.0, 0.0]]")


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
    assert list(endpoints) == ["/edit"]
    assert [p["parameter_name"] for p in endpoints["/edit"]["parameters"]] == [
        "pack",
        "seed",
        "amounts",
        "truncation_psi",
        "class_index",
    ]


def test_a_hosted_page_offers_no_folders() -> None:
    with gr.Blocks():
        assert "folder" not in str(lay_out([], hosted=True).picker.info)
        assert "folder" in str(lay_out([], hosted=False).picker.info)


def test_every_refusal_is_an_eigan_error(editor: Editor) -> None:
    for source in ("", "../..", "a/b/c", "x" * 5000):
        with pytest.raises(EiganError):
            editor.prepare_pack(source, Scene(1, 0.7, 0, False))
