"""Official StyleGAN pickles (karras2019stylegan-*.pkl): TensorFlow's variable names and orientations.

Karras et al., CVPR 2019 (arXiv:1812.04948). Names are those of NVlabs/stylegan's `training/networks_stylegan.py`; the
translation agrees with genforce's converter (197feee). Kernels are (height, width, in, out), matrices (in, out); none
is flipped, not even those that upsample: below 128 px they correlate in both, from 128 px they are transposed in both.
The blur filter is code there and a weight here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.dialects.rules import Rule, rename, rename_each, transposed
from eigan.dialects.tensorflow import RESOLUTION, check_arguments, filter_of, kernels, static_arguments
from eigan.errors import CheckpointError
from eigan.generators.config import MAX_MAPPING_LAYERS, check_stated, count_indices, largest_resolution, resolutions_to
from eigan.generators.stylegan_config import infer_config
from eigan.readers.base import RawCheckpoint

DESCRIBES = "a TensorFlow StyleGAN"
COMPONENT = re.compile(r"(?:Gs?/)?(?:G_)?(mapping|synthesis)/|Gs?/(?=(?:lod|dlatent_avg)$)")
KNOWN_BY = {"synthesis/4x4/Const/bias", "synthesis/4x4/Dense/bias"}
LEVELS = ("lod", "synthesis/lod")

FIXED: dict[str, Any] = {  # arguments that change the network, and the one value of each that eigan draws
    "use_styles": True,
    "const_input_layer": True,
    "use_wscale": True,
    "use_pixel_norm": False,
    "use_instance_norm": True,
    "normalize_latents": True,
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
}
SIZES = {  # arguments that shapes say again -> our config's names
    "resolution": "resolution",
    "num_channels": "img_channels",
    "label_size": "c_dim",
    "latent_size": "z_dim",
    "dlatent_size": "w_dim",
    "mapping_layers": "num_mapping_layers",
}


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """`raw` as genforce would name it, with its config; None when it is not an official StyleGAN's Gs.

    Raises:
        CheckpointError: a StyleGAN of a form that eigan does not draw, incomplete, or contradicting itself.
    """
    if not KNOWN_BY & {plain_name(name) for name in raw.weights}:
        return None
    variables = rename_each(raw.weights, plain_name, DESCRIBES)
    arguments = static_arguments(raw.hints)
    check_arguments(arguments, FIXED, "StyleGAN")
    check_start(variables)
    resolutions = resolutions_to(largest_resolution(variables, RESOLUTION))
    weights = rename(variables, dict(rules_for(variables, resolutions)), DESCRIBES, ignored=LEVELS)
    weights["synthesis.lod"] = level_of_detail(variables, arguments)
    kernel = filter_of(arguments, "blur_filter", (1, 2, 1), most=3)
    for layer in range(2, 2 * len(resolutions), 2):
        channels = weights[f"synthesis.layer{layer}.weight"].shape[0]
        weights[f"synthesis.layer{layer}.blur.kernel"] = kernel.expand(channels, 1, -1, -1).clone()
    hints = {
        "fused_scale": arguments.get("fused_scale", "auto"),
        "mapping_lr_multiplier": arguments.get("mapping_lrmul", 0.01),
    }
    config = infer_config(weights, hints) or {}
    for name, ours in SIZES.items():
        check_stated(arguments, name, config[ours])
    return RawCheckpoint(weights, hints, raw.container, raw.license, raw.source, DIALECT.architecture, config)


def plain_name(name: str) -> str:
    """A variable's name as the pickle nests it, "synthesis/4x4/Conv/weight"; listings write "G_synthesis/4x4/..."."""
    match = COMPONENT.match(name)
    return name if match is None else (f"{match[1]}/" if match[1] else "") + name[match.end() :]


def check_start(variables: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError when the network is the paper's ablation that starts from w."""
    if "synthesis/4x4/Dense/bias" in variables:
        raise CheckpointError("the network starts from a dense layer; eigan's StyleGAN starts from a constant")


def rules_for(variables: Mapping[str, Tensor], resolutions: tuple[int, ...]) -> Iterator[tuple[str, Rule]]:
    """Our name -> rule, for a network of these resolutions and whatever options its names show."""
    yield "truncation.w_avg", Rule("dlatent_avg", 1)
    if "mapping/LabelConcat/weight" in variables:
        yield "mapping.label_weight", Rule("mapping/LabelConcat/weight", 2)
    depth = count_indices(variables, r"mapping/Dense(\d+)/", MAX_MAPPING_LAYERS, "a mapping layer")
    for i in range(max(depth, 1)):
        yield f"mapping.dense{i}.weight", Rule(f"mapping/Dense{i}/weight", 2, transposed)
        yield f"mapping.dense{i}.bias", Rule(f"mapping/Dense{i}/bias", 1)
    has_noise = any(name.startswith("synthesis/noise") for name in variables)
    for block, r in enumerate(resolutions):
        for layer, scope in enumerate(("Conv0_up", "Conv1") if block else ("Const", "Conv"), start=2 * block):
            yield from layer_rules(layer, f"synthesis/{r}x{r}/{scope}/", has_noise=has_noise)
        output = f"synthesis/ToRGB_lod{len(resolutions) - 1 - block}/"
        if r == resolutions[-1] or any(name.startswith(output) for name in variables):
            yield f"synthesis.output{block}.weight", Rule(f"{output}weight", 4, kernels)
            yield f"synthesis.output{block}.bias", Rule(f"{output}bias", 1)


def layer_rules(layer: int, scope: str, *, has_noise: bool) -> Iterator[tuple[str, Rule]]:
    ours = f"synthesis.layer{layer}."
    if layer:
        yield f"{ours}weight", Rule(f"{scope}weight", 4, kernels)
    else:
        yield f"{ours}const", Rule(f"{scope}const", 4)
    yield f"{ours}bias", Rule(f"{scope}bias", 1)
    yield f"{ours}style.weight", Rule(f"{scope}StyleMod/weight", 2, transposed)
    yield f"{ours}style.bias", Rule(f"{scope}StyleMod/bias", 1)
    if has_noise:
        yield f"{ours}apply_noise.weight", Rule(f"{scope}Noise/weight", 1)
        yield f"{ours}apply_noise.noise", Rule(f"synthesis/noise{layer}", 4)


def level_of_detail(variables: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> Tensor:
    """Gs's own `lod`, which it hands to its synthesis at every call; 0 for networks that do not grow."""
    found = next((variables[name] for name in LEVELS if name in variables), None)
    if found is None or arguments.get("structure") == "fixed":
        return torch.zeros(())
    if found.numel() != 1:
        raise CheckpointError(f"lod has shape {tuple(found.shape)}; wanted one number")
    return found.reshape(()).clone()


DIALECT = Dialect("stylegan", translate, "NVIDIA's TensorFlow StyleGAN")
