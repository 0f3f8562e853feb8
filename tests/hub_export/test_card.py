"""The model card: what it tells, and that nothing in a stranger's pack can do more than be read."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from eigan.format import EXTRA_FILE, read_extras, save_pack
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor
from eigan.readers.safetensors import GeneratorConfig
from hub_export import cli_publish
from hub_export.card import render_card, render_generator_card
from hub_export.changelog import read_sections, write_sections
from hub_export.cli import app
from hub_export.markdown import escape, literal
from hub_export.plots import PLOTS, render_plots
from hub_export.recipe import Recipe
from hub_export.recipe_file import RecipeFile
from tests.fakehub.store import card_problems
from tests.hub_export.cards import EXTRAS, HOSTILE, front_matter, headings, hostile_pack, measured, tokens
from tests.toys import toy_pack
from tests.toys_metrics import toy_metrics
from tests.toys_models import varying_pack


def test_tells_what_a_user_needs() -> None:
    card = render_card(toy_pack().with_version("1.2.0"), EXTRAS, repo_id="alice/smiles", changes="- louder\n* softer")
    for wanted in (
        'eigan.DirectionPack.load("alice/smiles@v1.2.0")',
        'pack["smile"]',
        "?pack=alice/smiles@v1.2.0",
        "| smile | sad | happy | 2-4 | 0.5 | -3 to 3 | – |",
        "| older and happy | smile +2, age +1.5 | two at once |",
        "![All directions at a glance](previews/contact-sheet.webp)",
        "![smile: sad to happy](previews/smile.webp)",
        "num_samples = 1000\nseed = 0\n",
        "**Load Direction Pack** `alice/smiles@v1.2.0`",
        "**Edit Direction**",
        "GANSpace",
        toy_pack().made_for.fingerprint,
        "## Limits and bias",
        "## Changes in 1.2.0\n\n- louder\n- softer\n",
        "| [previews/smile.webp](previews/smile.webp) |",
        "hub-export fit --generator generator.pkl --out my-pca recipe.toml",
    ):
        assert wanted in card
    assert "age.webp" not in card


def test_front_matter_is_the_hubs() -> None:
    pack = toy_pack().with_version("1.2.0")
    card = render_card(pack, EXTRAS, repo_id="alice/smiles")
    assert front_matter(card) == {
        "library_name": "eigan",
        "license": "cc0-1.0",
        "model_name": "toy",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["eigan", "gan", "latent-directions", "stylegan2", "pca"],
        "thumbnail": "https://huggingface.co/alice/smiles/resolve/v1.2.0/previews/contact-sheet.webp",
        "widget": [{"text": "smile", "output": {"url": "previews/smile.webp"}}],
    }
    assert ModelCard(card).data.library_name == "eigan"
    assert card_problems(card) == []


@pytest.mark.parametrize(
    ("source", "revision", "base"),
    [
        ("acme/ffhq", "0" * 40, "acme/ffhq"),
        ("acme/ffhq@v1.0.0:net.pkl", "0" * 40, "acme/ffhq"),
        ("models/ffhq", "", None),  # a path that looks like a Hub id
        ("/home/me/ffhq.pkl", "", None),
        ("demo", "", None),
    ],
)
def test_the_base_model_is_named_only_when_it_is_on_the_hub(source: str, revision: str, base: str | None) -> None:
    pack = toy_pack()
    card = render_card(replace(pack, made_for=replace(pack.made_for, source=source, revision=revision)), {})
    assert front_matter(card).get("base_model") == base
    assert front_matter(card).get("base_model_relation") == (base and "adapter")


@pytest.mark.parametrize(
    ("license", "field", "note"),
    [
        ("", None, "No licence is stated: check"),
        ("MIT", "mit", "Licence: MIT."),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", "for non-commercial use only"),
        ("NVIDIA Source Code License", "other", "NVIDIA's weights are for non-commercial use only"),
        ("my-own", "other", "Check its terms"),
    ],
)
def test_licences(license: str, field: str | None, note: str) -> None:
    card = render_card(replace(toy_pack(), license=license), {})
    assert front_matter(card).get("license") == field
    assert note in card
    assert ("NVIDIA" in card) == ("NVIDIA" in license)
    assert card_problems(card) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_only_shows(text: str) -> None:
    benign, card = render_card(hostile_pack("plain"), EXTRAS), render_card(hostile_pack(text), EXTRAS)
    assert headings(card)[1:] == headings(benign)[1:]
    assert len(headings(card)) == len(headings(benign))
    kinds = [t.type for t in tokens(card)]
    assert not {"html_block", "html_inline", "blockquote_open", "ordered_list_open", "hr", "s_open"} & set(kinds)
    for kind in (
        "fence",
        "code_inline",
        "link_open",
        "table_open",
        "td_open",
        "th_open",
        "bullet_list_open",
        "heading_open",
    ):
        expected = [t.type for t in tokens(benign)].count(kind)
        if kind in ("fence", "heading_open"):  # one block fewer for an unknown method; one heading more with pictures
            assert kinds.count(kind) <= expected + 1
        elif kind != "link_open":
            assert kinds.count(kind) == expected, kind
    for token in tokens(card):
        for target in ("href", "src"):
            address = token.attrGet(target)
            assert address is None or EXTRA_FILE.fullmatch(str(address)) or str(address) in (
                "config.json", "directions.safetensors", "presets.json",
            )  # fmt: skip
    fields = front_matter(card)
    assert set(fields) <= {"library_name", "license", "license_name", "model_name", "pipeline_tag", "tags", "widget"}
    assert fields["library_name"] == "eigan"
    assert fields["license"] == "other"
    assert re.fullmatch("[a-z0-9-]+", fields["license_name"])
    assert card_problems(card) == []


@pytest.mark.parametrize("text", [t for t in HOSTILE if "\n" not in t and t.isprintable()])
def test_what_is_escaped_reads_as_it_was_written(text: str) -> None:
    (paragraph,) = [
        t for t in MarkdownIt("commonmark", {"html": True}).enable("table").parse(str(escape(text))) if t.children
    ]
    shown = "".join(child.content for child in paragraph.children or [])
    assert shown == " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_code_literals_are_one_line_of_python(text: str) -> None:
    assert "\n" not in literal(text)
    assert ast.literal_eval(literal(text)) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_recipe_is_a_file_that_repeats_the_fit_and_nothing_else(text: str, tmp_path: Path) -> None:
    pack = toy_pack()
    visible = not any(ch in text for ch in "‮‬\x85")
    pack = replace(pack, made_for=replace(pack.made_for, source=text), license=text, name=text if visible else "p")
    blocks = [t.content for t in tokens(render_card(pack, {})) if t.type == "fence" and t.info == "toml"]
    if not text.isprintable():
        assert [block for block in blocks if not block.replace("\n", "").isprintable()] == []
    for block in blocks:
        (tmp_path / "recipe.toml").write_text(block)
        file = RecipeFile.read(tmp_path / "recipe.toml")
        assert (file.generator, file.license) == (text, text)
        assert file.recipe({}) == Recipe("pca", num_samples=1000)
    assert blocks or not visible
    commands = [t.content for t in tokens(render_card(pack, {})) if t.type == "fence" and t.info == "sh"]
    assert set(commands) <= {"hub-export fit --out my-pca recipe.toml\n"}


def test_a_named_pack_has_a_recipe_for_each_source() -> None:
    sources = {"ffhq pca": dict(toy_pack().method), "ffhq-sefa": {"name": "sefa", "normalize": "none", "history": [1]}}
    card = render_card(replace(toy_pack(), method={"name": "named", "sources": sources, "by": "hand"}), {})
    assert "save this as `recipe-ffhq-pca.toml`" in card
    assert 'normalize = "none"' in card
    assert "| by | hand |" in card
    assert "history" not in card
    assert "sources / " not in card


@pytest.mark.parametrize("method", [{"name": "import", "file": "x.npz"}, {"name": "pca", "layers": 3}, {"name": 7}, {}])
def test_no_recipe_is_made_up(method: dict[str, Any]) -> None:
    card = render_card(replace(toy_pack(), method=method), {})
    assert "toml" not in card
    assert all(f"| {key} |" in card for key in method if key != "name")


def test_a_random_baseline_says_what_it_is() -> None:
    assert "what any method has to beat" in render_card(replace(toy_pack(), method={"name": "random"}), {})


@pytest.mark.parametrize(
    ("architecture", "method", "call"),
    [
        ("stylegan2", {}, "(z, truncation_psi=0.7)"),
        ("stylegan2", {"class_index": 3}, "(z, 3, truncation_psi=0.7)"),
        ("biggan", {}, "(z, 0, truncation_psi=0.6)"),
        ("pggan", {}, "(z)"),
        ("of-tomorrow", {"class_index": "evil()"}, "(z, truncation_psi=0.7)"),
    ],
)
def test_the_snippet_is_one_that_runs(architecture: str, method: dict[str, Any], call: str) -> None:
    pack = toy_pack()
    made_for = replace(pack.made_for, architecture=architecture)
    card = render_card(replace(pack, made_for=made_for, method={"name": "x", **method}), {})
    assert f"codes = generator.mapping{call}\n" in card


def test_directions_that_depend_on_the_picture_say_so() -> None:
    assert "depend on the picture, by a small network" in render_card(varying_pack(), {})
    assert "gives each picture its own move (sigma is a mean over pictures): turn, tilt." in render_card(
        varying_pack(), {}
    )
    pack = varying_pack()
    alone = replace(pack, directions=(pack["turn"],), presets=())
    assert "Every direction depends on the picture" in render_card(alone, {})
    assert "on the picture" not in render_card(toy_pack(), {})


def test_the_card_command_draws_the_plots_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack, old = toy_pack(), PLOTS["learning"].path
    save_pack(pack, tmp_path / "pack", measured(pack) | {old: b"of an earlier fit", PLOTS["drift"].path: b"old"})
    assert CliRunner().invoke(app, ["card", str(tmp_path / "pack")], catch_exceptions=False).exit_code == 0
    extras = read_extras(tmp_path / "pack")
    assert old not in extras
    assert {n: d for n, d in extras.items() if "plot-" in n} == render_plots(pack, toy_metrics(pack))
    assert "![Which attribute each direction moves](previews/plot-effects.webp)" in extras["README.md"].decode()
    monkeypatch.setattr(cli_publish, "can_draw", lambda: False)
    output = CliRunner().invoke(app, ["card", str(tmp_path / "pack")], catch_exceptions=False).output
    assert "plots were left as they were" in output
    assert read_extras(tmp_path / "pack") == extras


def test_extras_of_other_names_are_not_linked() -> None:
    assert "evil" not in render_card(toy_pack(), {"previews/../evil.webp": b"", "evil](x).md": b""})


def test_the_same_pack_gives_the_same_card() -> None:
    cards = {render_card(toy_pack(), dict(order)) for order in (EXTRAS.items(), reversed(EXTRAS.items()))}
    assert len(cards) == 1


def test_thousands_of_hyper_parameters_do_not_flood_the_page() -> None:
    pack = replace(toy_pack(), method={"name": "pca", **{f"k{i}": i for i in range(5000)}})
    assert len(render_card(pack, {})) < 20_000


def test_explained_variance_is_a_percentage() -> None:
    direction = Direction(
        "d", toy_pack()["smile"].vector, 1.0, LayerRange(0, 8), metrics={"explained_variance_ratio": 0.1234}
    )
    pack = DirectionPack("p", MadeFor("stylegan2", "0" * 64, 32, 8, 16), (direction,), {"name": "pca"})
    card = render_card(pack, {})
    assert "| 12.3% |" in card
    assert "1 direction for" in card


@pytest.mark.parametrize("text", HOSTILE)
def test_generator_cards_are_as_careful(text: str) -> None:
    config = GeneratorConfig(
        format="eigan-generator",
        format_version=1,
        architecture=text,
        config={text: text},
        license=text,
        description=text,
        source={"file": text},
    )
    card = render_generator_card(config, repo_id="alice/heads", version="1.0.0", changes=text)
    assert 'eigan.load_generator("alice/heads@v1.0.0")' in card
    assert not {"html_block", "html_inline", "link_open", "image", "hr"} & {t.type for t in tokens(card)}
    assert len(headings(card)) == 5
    assert card_problems(card) == []


def test_changelogs_are_read_as_people_write_them() -> None:
    text = "# Changes\r\n\r\n## Unreleased\n- new\n\n## v1.1.0 (2024-05-01)\n- b\n### detail\nx\n\n## 1.0.0\n\n- a"
    assert read_sections(text) == {"Unreleased": "- new", "1.1.0": "- b\n### detail\nx", "1.0.0": "- a"}
    assert read_sections(write_sections({"2.0.0": "x", "1.0.0": "y"})) == {"2.0.0": "x", "1.0.0": "y"}
    assert read_sections("") == read_sections("nothing\n## else\n") == {}
