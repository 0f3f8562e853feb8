"""Layer ranges: half-open inside, inclusive for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eigan.errors import PackFormatError
from eigan.layers import LayerRange

ranges = st.tuples(st.integers(0, 17), st.integers(1, 18)).filter(lambda r: r[0] < r[1]).map(lambda r: LayerRange(*r))


@given(ranges)
def test_printing_and_parsing_are_inverse(layers: LayerRange) -> None:
    assert LayerRange.parse(str(layers), 18) == layers


@given(ranges, ranges)
def test_overlap_is_sharing_a_layer(a: LayerRange, b: LayerRange) -> None:
    assert a.overlaps(b) == any(layer in b for layer in range(a.start, a.stop))


def test_printed_inclusive() -> None:
    assert (str(LayerRange(8, 10)), str(LayerRange(8, 9)), len(LayerRange(8, 10))) == ("8-9", "8", 2)
    assert LayerRange.parse("all", 18) == LayerRange(0, 18)


@pytest.mark.parametrize("text", ["", "9-8", "x", "1-2-3", "-1", "17-18", "99999", "8..9"])
def test_bad_text_is_refused(text: str) -> None:
    with pytest.raises(PackFormatError):
        LayerRange.parse(text, 18)


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (4, 2), (-1, 2), (0, 1000)])
def test_bad_ranges_are_refused(start: int, stop: int) -> None:
    with pytest.raises(PackFormatError):
        LayerRange(start, stop)
