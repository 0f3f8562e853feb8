"""LayerRange: which rows of the codes something reads or moves. Half-open in code and files, printed inclusive."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eigan.errors import PackFormatError

MAX_LAYERS = 512  # more rows than any generator has; bounds what a file can ask for


@dataclass(frozen=True, order=True)
class LayerRange:
    """Rows start <= l < stop of the codes.

    Raises:
        PackFormatError: not 0 <= start < stop <= 512.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= MAX_LAYERS:
            raise PackFormatError(f"layer range [{self.start}, {self.stop}) is empty or out of 0..{MAX_LAYERS}")

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, layer: int) -> bool:
        return self.start <= layer < self.stop

    def __str__(self) -> str:
        """Inclusive, as people write it: '8-9', or '8' for a single layer."""
        return str(self.start) if len(self) == 1 else f"{self.start}-{self.stop - 1}"

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)

    def overlaps(self, other: LayerRange) -> bool:
        return self.start < other.stop and other.start < self.stop

    @classmethod
    def parse(cls, text: str, num_layers: int) -> LayerRange:
        """The range that '8-9', '8' or 'all' names (inclusive, as printed), of a generator with `num_layers`."""
        if text.strip().lower() == "all":
            return cls(0, num_layers)
        match = re.fullmatch(r"\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*", text)
        if not match:
            raise PackFormatError(f"cannot read layers {text!r}; write 'all', '8' or '8-11' (both ends included)")
        start = int(match[1])
        layers = cls(start, int(match[2] or start) + 1)
        if layers.stop > num_layers:
            raise PackFormatError(f"layers {layers} do not exist; this generator has layers 0-{num_layers - 1}")
        return layers
