"""StyleGAN2 in NVIDIA's pickles against the official code."""

from __future__ import annotations

from tests.parity.check import Expected, check_style_based


def check(case: Expected) -> None:
    check_style_based(case, feature_module=case.meta.get("feature_layer", "").replace("synthesis.", "blocks."))
