"""StyleGAN in genforce's checkpoints against genforce's code, and SeFa's directions in it."""

from __future__ import annotations

from tests.parity.check import Expected, check_style_based, mapped
from tests.parity.sefa import check_sefa


def check(case: Expected) -> None:
    feature_module = case.meta.get("feature_layer", "").replace("synthesis.", "blocks.")
    generator = check_style_based(case, w_names="wp", feature_module=feature_module)
    case.compare("w", generator.map_to_w(case["z"], case.get("c")), "w")
    for name in case.tensors:
        if name.startswith("style"):  # style03.wplus: what layer 3's affine makes of row 3
            layer = int(name[len("style") : len("style") + 2])
            affine = generator.get_submodule(f"blocks.layer{layer}.style")
            case.compare(name, affine(case["wplus"][:, layer]), "w")
    check_sefa(case, generator, mapped(case, generator, "wp.psi0.7"))
