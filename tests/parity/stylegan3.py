"""StyleGAN3, T and R, in NVIDIA's pickles against the official code."""

from __future__ import annotations

from eigan.generators.stylegan3 import StyleGAN3
from tests.parity.check import Expected, check_style_based, mapped


def check(case: Expected) -> None:
    feature = case.meta.get("feature_layer", "").replace("synthesis.", "blocks.")
    generator = check_style_based(case, feature_module=feature)
    assert isinstance(generator, StyleGAN3)
    for name in case.names("fourier"):
        case.compare(name, generator.features(mapped(case, generator, name), "input"), "feature")
    transformed = [name for name in case.names("image") if ".transformed" in name]
    if transformed:  # the official code's user transform is the buffer, so the file's own is replaced
        generator.load_weights({**generator.weights(), "synthesis.input.transform": case["transform"]})
    for name in transformed:
        case.compare(name, generator.synthesis(mapped(case, generator, name)), "image")
