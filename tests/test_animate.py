"""Animations: the frames are those of the edit, and both files give them back when they are decoded."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from eigan import EiganError, InvalidCodes, Renderer, UnknownName, seeded_z
from eigan import animate as animate_file
from eigan.animate import Frame, frames, write_mp4, write_webp
from tests.toys import toy_generator, toy_pack

GENERATOR = toy_generator()
PACK = toy_pack(GENERATOR)
RENDERER = Renderer(GENERATOR)
CODES = GENERATOR.mapping(seeded_z([5], 16))
EDIT = PACK.edit({"smile": 4.0, "age": -2.0})
COUNT = 7

# The move


def drawn(edit: Any, codes: torch.Tensor = CODES) -> Frame:
    return Renderer(GENERATOR).render(codes, edit)[0]


def test_it_goes_from_nothing_to_the_edit_and_back_without_a_seam() -> None:
    found = list(frames(RENDERER, CODES, EDIT, COUNT))
    assert len(found) == 2 * COUNT - 2
    assert np.array_equal(found[0], drawn(None)) and np.array_equal(found[COUNT - 1], drawn(EDIT))
    assert close(found[COUNT // 2], drawn(0.5 * EDIT))  # the middle of either easing
    for i in range(1, COUNT - 1):
        assert np.array_equal(found[-i], found[i])
    assert len({frame.tobytes() for frame in found}) == COUNT


def test_easings_and_a_start_of_its_own() -> None:
    start = PACK.edit({"age": 3.0})
    found = list(frames(RENDERER, CODES, EDIT, 5, start=start, easing="linear", bounce=False))
    assert len(found) == 5
    for i, frame in enumerate(found):
        assert close(frame, drawn((1 - i / 4) * start + i / 4 * EDIT))
    smooth = list(frames(RENDERER, CODES, EDIT, 5, bounce=False))
    assert close(smooth[2], drawn(0.5 * EDIT))
    assert close(smooth[1], drawn((1 - 0.5**0.5) / 2 * EDIT))


def test_a_move_as_long_as_there_is_goes_from_end_to_end() -> None:
    far = PACK.edit({"smile": 100.0})
    found = list(frames(RENDERER, CODES, far, 3, start=-far, bounce=False))
    assert close(found[0], drawn(-far)) and close(found[1], drawn(None)) and close(found[2], drawn(far))


def test_several_codes_stand_side_by_side_and_may_be_smaller() -> None:
    two = GENERATOR.mapping(seeded_z([5, 6], 16))
    whole = next(frames(RENDERER, two, EDIT, 2))
    assert whole.shape == (32, 64, 3)
    assert np.abs(whole[:, :32].astype(int) - drawn(None)).max() <= 1  # a batch rounds otherwise
    small = next(frames(RENDERER, two, EDIT, 2, size=16))
    assert small.shape == (16, 32, 3)
    assert np.abs(small - whole.reshape(16, 2, 32, 2, 3).mean(axis=(1, 3))).max() <= 1
    assert next(frames(RENDERER, two, EDIT, 2, size=500)).shape == (32, 64, 3)


def test_frames_are_drawn_when_they_are_asked_for_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer, calls = Renderer(GENERATOR), []
    real = renderer.render
    monkeypatch.setattr(renderer, "render", lambda *args, **more: calls.append(1) or real(*args, **more))
    found = frames(renderer, CODES, EDIT, COUNT)
    assert not calls
    next(found)
    assert len(calls) == 1
    assert len(list(found)) == 2 * COUNT - 3 and len(calls) == COUNT


def test_noise_is_the_recipes() -> None:
    still = next(frames(RENDERER, CODES, EDIT, 2, noise_mode="none"))
    assert np.array_equal(still, Renderer(GENERATOR).render(CODES, noise_mode="none")[0])


@pytest.mark.parametrize("more", [{"count": 1}, {"count": 0}, {"count": 122}, {"count": 241, "bounce": False}])
def test_too_many_or_too_few_are_refused_before_one_is_drawn(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidCodes, match="wanted 2 to 240"):
        frames(RENDERER, CODES, EDIT, **more)


def test_other_values_are_refused() -> None:
    with pytest.raises(InvalidCodes, match="size is 0"):
        frames(RENDERER, CODES, EDIT, 2, size=0)
    with pytest.raises(UnknownName, match="unknown easing 'jump'; known: linear, smooth"):
        frames(RENDERER, CODES, EDIT, 2, easing="jump")  # type: ignore[arg-type]


def close(one: Frame, other: Frame) -> bool:
    """The same picture but for rounding, which may turn a level."""
    return int(np.abs(one.astype(int) - other).max()) <= 1


# The files


def gradients(count: int = COUNT, height: int = 48, width: int = 64) -> list[Frame]:
    """Smooth pictures that turn redder from frame to frame."""
    found = []
    for i in range(count):
        across = np.linspace(0, 200, width)[None, :].repeat(height, axis=0)
        down = np.linspace(30, 255, height)[:, None].repeat(width, axis=1)
        found.append(np.stack([np.full_like(across, 250 * i / count), across, down], axis=2).astype(np.uint8))
    return found


def away(decoded: Frame, wanted: Frame) -> float:
    """How far two pictures are apart, in levels, on average."""
    return float(np.abs(decoded.astype(int) - wanted).mean())


def decode_webp(data: bytes) -> list[Frame]:
    picture = Image.open(BytesIO(data))
    found = []
    for i in range(picture.n_frames):
        picture.seek(i)
        found.append(np.asarray(picture.convert("RGB")))
    return found


def decode_mp4(data: bytes) -> list[Frame]:
    with av.open(BytesIO(data)) as container:
        return [to_rgb(frame.to_ndarray(format="yuv420p"), frame.width) for frame in container.decode(video=0)]


def to_rgb(planes: npt.NDArray[np.uint8], width: int) -> Frame:
    """Rec. ITU-R BT.709, limited range: what the file says that it holds, turned into RGB without PyAV."""
    height = len(planes) * 2 // 3
    luma = (planes[:height].astype(float) - 16) / 219
    blue, red = (
        (part.reshape(height // 2, width // 2).repeat(2, axis=0).repeat(2, axis=1) - 128.0) / 224
        for part in np.split(planes[height:].ravel(), 2)
    )
    green = luma - 0.1873 * blue - 0.4681 * red
    rgb = np.stack([luma + 1.5748 * red, green, luma + 1.8556 * blue], axis=2)
    return np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8)


WRITERS: list[tuple[Callable[..., None], Callable[[bytes], list[Frame]]]] = [
    (write_webp, decode_webp),
    (write_mp4, decode_mp4),
]


@pytest.mark.parametrize(("write", "decode"), WRITERS)
def test_every_frame_comes_back(write: Callable[..., None], decode: Callable[[bytes], list[Frame]]) -> None:
    buffer, given = BytesIO(), gradients()
    write(iter(given), buffer, 24)
    found = decode(buffer.getvalue())
    assert len(found) == COUNT
    for decoded, wanted in zip(found, given, strict=True):
        assert decoded.shape == wanted.shape and away(decoded, wanted) < 3
    assert away(found[0], given[1]) > 8  # so that another frame would be told


@pytest.mark.parametrize(("write", "decode"), WRITERS)
def test_a_move_is_written_and_read_again(
    write: Callable[..., None], decode: Callable[[bytes], list[Frame]], tmp_path: Path
) -> None:
    """The toy's pictures are noise, which is the hardest that there is to compress."""
    given = list(frames(RENDERER, CODES, EDIT, COUNT))
    write(given, tmp_path / "move", 12, quality=95 if write is write_webp else 5)
    found = decode((tmp_path / "move").read_bytes())
    assert len(found) == len(given)
    for i in (0, COUNT // 2, COUNT - 1):
        distances = [away(found[i], frame) for frame in given[:COUNT]]
        assert int(np.argmin(distances)) == i
    assert [path.name for path in tmp_path.iterdir()] == ["move"]


def test_a_webp_loops_for_ever_at_its_speed_and_gets_smaller_with_its_quality() -> None:
    sizes = []
    for quality in (90, 20):
        buffer = BytesIO()
        write_webp(gradients(), buffer, 12.5, quality=quality)
        picture = Image.open(buffer)
        picture.seek(0)
        picture.load()
        assert (picture.info["loop"], picture.info["duration"], picture.n_frames) == (0, 80, COUNT)
        sizes.append(len(buffer.getvalue()))
    assert sizes[1] < sizes[0]


def test_an_mp4_is_what_every_browser_plays() -> None:
    buffer = BytesIO()
    write_mp4(gradients(), buffer, 12.5)
    with av.open(BytesIO(buffer.getvalue())) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, float(stream.average_rate)) == ("h264", "yuv420p", 12.5)
        assert (context.colorspace, context.color_range, context.color_primaries, context.color_trc) == (1, 1, 1, 1)
        assert container.format.name.startswith("mov,mp4")


def test_odd_sizes_grow_by_their_last_row_and_column() -> None:
    buffer, given = BytesIO(), gradients(3, 33, 47)
    write_mp4(given, buffer, 24)
    found = decode_mp4(buffer.getvalue())
    assert found[0].shape == (34, 48, 3)
    assert away(found[2][:33, :47], given[2]) < 3 and away(found[2][33, :47], given[2][32]) < 8


@pytest.mark.parametrize("write", [write_webp, write_mp4])
def test_what_cannot_be_written_is_told_and_leaves_nothing(write: Callable[..., None], tmp_path: Path) -> None:
    def endless() -> Iterator[Frame]:
        return itertools.repeat(np.zeros((16, 16, 3), np.uint8))

    target, one = tmp_path / "x", gradients(1)
    for given, more, message in [
        ([], {}, "no frames"),
        (endless(), {}, "more than 240 frames"),
        ([*one, one[0][:10]], {}, "frame 1 is uint8"),
        ([one[0][..., 0]], {}, "frame 0 is uint8"),
        ([one[0].astype(float)], {}, "frame 0 is float64"),
        (one, {"fps": 0}, "fps is 0"),
        (one, {"fps": 1000}, "fps is 1000"),
        (one, {"fps": float("nan")}, "fps is nan"),
        (one, {"quality": 101}, "quality is 101"),
        (one, {"quality": -1}, "quality is -1"),
    ]:
        with pytest.raises(InvalidCodes, match=message):
            write(given, target, **{"fps": 24, **more})
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError):
        write(one, tmp_path / "nowhere" / "x", 24)


def test_a_webp_is_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animate_file, "MAX_PIXELS", 3 * 48 * 64)
    write_webp(gradients(3), BytesIO(), 24)
    with pytest.raises(InvalidCodes, match="fewer or smaller frames, or an MP4"):
        write_webp(gradients(4), BytesIO(), 24)


def test_without_pyav_a_person_learns_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(EiganError, match=r'pip install "eigan\[app\]"'):
        write_mp4(gradients(), BytesIO(), 24)
    write_webp(gradients(), BytesIO(), 24)


def test_a_pyav_without_h264_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animate_file, "ENCODER", "no such encoder")
    with pytest.raises(EiganError, match="cannot write H.264"):
        write_mp4(gradients(), BytesIO(), 24)
