"""A pack whose directions depend on the code, published: the weights go along, the card says what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from eigan.format import save_pack
from eigan.model_file import MODELS
from eigan.sources import load_pack
from hub_export.card import render_card
from hub_export.publish import publish
from tests.fakehub.server import FakeHub
from tests.toys_models import varying_pack


def test_models_are_published_and_loaded(hub: FakeHub, tmp_path: Path) -> None:
    save_pack(varying_pack(), tmp_path / "pack")
    published = publish(tmp_path / "pack", "alice/turns", "1.0.0", token="hf_alice")
    assert MODELS in published.uploaded
    back, pack = load_pack("alice/turns@v1.0.0", token=False), varying_pack()
    assert back.version == "1.0.0"
    codes = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    amounts = {"turn": 1.5, "smile": 1.0, "tilt": -2.0}
    torch.testing.assert_close(back.edit(amounts).apply(codes), pack.edit(amounts).apply(codes))


def test_the_card_lists_the_file_where_it_is() -> None:
    pack = varying_pack()
    assert f"[{MODELS}]({MODELS})" in render_card(pack, {})
    assert MODELS not in render_card(replace(pack, directions=(pack["smile"],), presets=()), {})
