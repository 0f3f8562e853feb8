"""StyleCLIP's global directions live in style space, behind the affine layers, where eigan has no codes: refused.

StyleCLIP: Patashnik et al., ICCV 2021, arXiv:2103.17249; fs3.npy relates each style channel to CLIP's numbers, and the
pickles beside it hold means and spreads of the channels of every layer.
"""

from __future__ import annotations

from typing import NoReturn

from eigan.errors import PackFormatError
from eigan.importers.base import Opened, Request, is_leaf, shape_of

CLIP_DIM = 512
MIN_CHANNELS = 1024  # of a small StyleGAN2; 6,048 at 1024 pixels. No generator's codes have as many directions


def sniff(file: Opened) -> bool:
    shape = shape_of(file.value)
    if file.container == "npy" and shape is not None:
        return len(shape) == 2 and shape[0] > MIN_CHANNELS and shape[1] == CLIP_DIM
    return file.container in ("pickle", "torch") and is_layered(file.value)


def is_layered(value: object) -> bool:
    """A list of arrays, one a layer, or a list of such lists (means and spreads)."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    lists = [item for item in value if isinstance(item, (list, tuple))] if len(value) <= 4 else []
    return all(is_leaf(item) for item in value) or (
        len(lists) == len(value) and all(item and all(is_leaf(v) for v in item) for item in lists)
    )


def read(file: Opened, request: Request) -> NoReturn:
    raise PackFormatError(
        "it holds StyleCLIP's style space (S): a number for each channel behind the affine layers. eigan edits codes "
        "(w or z), and a move in S has no counterpart there. Use directions in w: e4e's interfacegan_directions, "
        "InterFaceGAN's *_w_boundary.npy, or GANSpace's components."
    )
