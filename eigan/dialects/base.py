"""A dialect: the names and conventions under which another code base keeps the weights of a network that eigan has."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from eigan.readers.base import RawCheckpoint


class Dialect(NamedTuple):
    """How one code base's weights are known, and said in eigan's names.

    translate: None when the weights are not this dialect's. Else the same network with the names, orientations and
    scales of `architecture`, and hints as that architecture's `infer_config` takes them (or its config outright); the
    tensors given are not changed. Raises CheckpointError when they are this dialect's but incomplete or absurd.
    """

    architecture: str  # a name in ARCHITECTURES
    translate: Callable[[RawCheckpoint], RawCheckpoint | None]
    describes: str  # "rosinality/stylegan2-pytorch", for messages
