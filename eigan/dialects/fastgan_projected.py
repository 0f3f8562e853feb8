"""FastGAN as projected-gan saves it (checked against e1c246b): everything under `synthesis.`, spectral norm unfolded.

Sauer et al., NeurIPS 2021 (arXiv:2111.01007).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from eigan.dialects.base import Dialect
from eigan.dialects.fastgan_terra import TRANSPOSED, without_counters
from eigan.dialects.rules import rename_each
from eigan.dialects.spectral import fold_spectral_norm
from eigan.errors import CheckpointError
from eigan.generators.config import Sizes, shown
from eigan.generators.fastgan_config import FastGANConfig, first_convolution
from eigan.readers.base import Hint, RawCheckpoint

PREFIX = "synthesis."
EMBEDDING = "embed.weight"
STATED = ("img_resolution", "img_channels", "z_dim")


def translate(raw: RawCheckpoint) -> RawCheckpoint | None:
    """The weights without `synthesis.`, folded; None when it is no projected FastGAN.

    Left out are what never reaches a picture: rows of the class embedding (1,000, whatever the data) after the number
    of classes that the file states, and the 256 px block that 128 px networks carry along.

    Raises:
        CheckpointError: a weight cannot be folded, or the file states more classes than the embedding has.
    """
    if f"{PREFIX}init.init.0.weight_orig" not in raw.weights:
        return None
    named = rename_each(raw.weights, lambda name: name.removeprefix(PREFIX), "a projected FastGAN")
    weights = without_unused_block(fold_spectral_norm(without_counters(named), TRANSPOSED))
    if EMBEDDING in weights:
        weights[EMBEDDING] = used_rows(weights[EMBEDDING], raw.hints.get("c_dim"))
    return replace(raw, weights=weights, hints={name: raw.hints[name] for name in STATED if name in raw.hints})


def without_unused_block(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The picture of a 128 px network is drawn from the 128 px block; the width of `to_big` tells."""
    after = first_convolution(weights, 256)
    if after not in weights or first_convolution(weights, 512) in weights:
        return weights
    sizes = Sizes(weights, FastGANConfig.family)
    drawn_from = sizes.of("to_big.weight", 4)[1]
    at_128, at_256 = (sizes.of(first_convolution(weights, r), 4)[0] // 2 for r in (128, 256))
    if not drawn_from == at_128 != at_256:
        return weights
    return {name: tensor for name, tensor in weights.items() if not name.startswith(("feat_256.", "se_256."))}


def used_rows(embedding: Tensor, stated: Hint) -> Tensor:
    """The rows of classes 0 to `stated` - 1; all of them when the file does not say."""
    if isinstance(stated, bool) or not isinstance(stated, int) or stated < 1 or embedding.ndim != 2:
        return embedding
    if stated > len(embedding):
        raise CheckpointError(
            f"the file says c_dim is {shown(stated)}; its weights have {len(embedding)} class embeddings"
        )
    return embedding[:stated].clone()


DIALECT = Dialect("fastgan", translate, "projected-gan's FastGAN")
