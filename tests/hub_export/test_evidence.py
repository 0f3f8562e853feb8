"""metrics.json in a card: its table, its words, its plots, and the Hub's model-index."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCard

from eigan.errors import PackFormatError
from hub_export.card import render_card
from hub_export.metrics import METRICS, Frechet, write_metrics
from hub_export.plots import PLOTS
from hub_export.summary import others, summarize
from tests.fakehub.server import FakeHub
from tests.fakehub.store import card_problems
from tests.hub_export.cards import EXTRAS, HOSTILE, front_matter, headings, measured, tokens
from tests.toys import toy_generator, toy_pack
from tests.toys_metrics import toy_metrics
from tests.toys_models import varying_pack


def test_evidence_is_told_in_the_table_in_words_and_in_plots() -> None:
    pack = toy_pack()
    extras = measured(pack) | {PLOTS["drift"].path: b""}
    card = render_card(pack, extras)
    smile = toy_metrics(pack)["smile"]
    assert smile is not None
    first = others(smile)[0]
    moved = f"| yaw −0.70 | {first[0]} {first[1]:+.2f}".replace("+-", "−").replace(" -", " −")
    assert moved in card
    assert f"| {smile.purity:.2f} | 0.99 |" in card
    for wanted in (
        "## Evidence",
        "- Variance along the first 3 directions, in sum: 56",
        "within ±3 sigmas 14.2, within ±6 sigmas 61.5; between two sets of unedited pictures: 4.1",
        "200 pictures (seed 3, truncation psi 0.7)",
        "heads-attributes features, not FID, 1,000 pictures a side",
        f"![{PLOTS['drift'].title}](previews/plot-drift.webp)",
        PLOTS["drift"].note,
        "| [previews/plot-drift.webp](previews/plot-drift.webp) | plot |",
        "a scorer has the bias of what it was trained on",
    ):
        assert wanted in card
    assert PLOTS["variance"].path not in card
    plain = render_card(pack, EXTRAS)
    assert "## Evidence" not in plain
    assert "purity" not in plain


def test_a_direction_that_was_not_measured_has_dashes() -> None:
    pack = toy_pack()
    two = toy_metrics(pack).directions[1:]
    card = render_card(pack, measured(pack, directions=two))
    assert "| smile | sad | happy | 2-4 | 0.5 | -3 to 3 | – | – | – | – | – |" in card


def test_without_attributes_the_table_stays_narrow() -> None:
    pack = toy_pack()
    data = write_metrics(toy_metrics(pack, attributes=(), frechet=False))
    card = render_card(pack, {METRICS: data})
    assert "moves most" not in card
    assert "Mean drift of the picture" in card
    assert "Attributes" not in card


def test_the_hubs_model_index_goes_round(hub: FakeHub) -> None:
    pack = toy_pack().with_version("1.0.0")
    card = render_card(pack, measured(pack), repo_id="alice/smiles")
    data = ModelCard(card).data
    assert data.model_name == "toy"
    found = {(result.metric_type, result.metric_name): result.metric_value for result in data.eval_results}
    summary = summarize(toy_metrics(pack))
    assert found["monotonicity", "Mean monotonicity over the sliders' ranges (Spearman)"] == pytest.approx(
        summary.monotonicity, rel=1e-3
    )
    kinds = [kind for kind, _ in found]
    assert kinds.count("frechet-distance") == 2
    assert "fid" not in kinds
    assert {"explained-variance", "purity", "leak", "drift", "attributes-controlled"} <= set(kinds)
    assert all("not FID" in str(name) for kind, name in found if kind == "frechet-distance")
    assert yaml.safe_load(data.to_yaml()) == front_matter(card)
    assert card_problems(card) == []
    ModelCard(card).validate()  # asks the (fake) Hub, as an upload does


def test_only_inception_makes_it_fid() -> None:
    pack = toy_pack()
    frechet = Frechet(features="inception", num_images=1000, edited={"3": 9.0}, floor=1.0, published=12.0)
    card = render_card(pack, measured(pack, frechet=frechet))
    assert "fid" in [result.metric_type for result in ModelCard(card).data.eval_results]
    assert "Inception features (FID), 1,000 pictures a side" in card
    assert "not FID" not in card
    assert "as published, 12" in card


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "metrics.json is not valid JSON"),
        (b'{"format": "eigan-metrics"}', r"metrics.json: .*Field required"),
        (write_metrics(toy_metrics(toy_pack(toy_generator(5)))), "was measured on the generator .* Evaluate the pack"),
        (
            write_metrics(toy_metrics(varying_pack()).model_copy(update={"directions": []})),
            "measures none of the directions",
        ),
    ],
)
def test_evidence_of_something_else_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(PackFormatError, match=message):
        render_card(toy_pack(), {METRICS: data})


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.isprintable() and len(text) <= 60])
def test_hostile_measurements_only_show(text: str) -> None:
    pack = toy_pack()

    def card_of(name: str) -> str:
        metrics = toy_metrics(pack, attributes=(name, f"{name}2", f"{name}3"))
        frechet = Frechet(features=name, num_images=3, edited={name: 1e12}, floor=-1e12)
        changes = {"frechet": frechet, "features": name, "scorer": name}
        return render_card(pack, {METRICS: write_metrics(metrics.model_copy(update=changes))})

    benign, card = card_of("plain"), card_of(text)
    assert headings(card) == headings(benign)
    kinds, expected = ([t.type for t in tokens(c) if t.type not in ("text", "text_special")] for c in (card, benign))
    assert kinds == expected
    assert front_matter(card).keys() == front_matter(benign).keys()
    assert card_problems(card) == []
