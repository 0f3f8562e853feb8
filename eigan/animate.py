"""Animations of an edit: frames from one edit to another and back, written as animated WebP or H.264 MP4.

WebP goes through Pillow; MP4 through PyAV (`pip install "eigan[app]"`), which brings its own FFmpeg and x264.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from eigan.edit import Edit
from eigan.errors import EiganError, InvalidCodes, lookup
from eigan.generators.base import Codes, NoiseMode
from eigan.pose import STILL, Pose
from eigan.render import Renderer
from eigan.whole_files import write_whole

if TYPE_CHECKING:
    from types import ModuleType

Frame = npt.NDArray[np.uint8]  # (H, W, 3)
Easing = Literal["linear", "smooth"]

EASINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "smooth": lambda t: (1 - math.cos(math.pi * t)) / 2,  # slow where the move turns
}
MAX_FRAMES = 240
MAX_PIXELS = 2**26  # of all frames of a WebP, which are in memory together: 64 of 1024 x 1024
FPS = (1.0, 60.0)
ENCODER = "libx264"
BT709 = 1  # ITU-T H.273: primaries, transfer and matrix; what players take for pictures of this size
LIMITED = 1  # FFmpeg's AVCOL_RANGE_MPEG


def frames(
    renderer: Renderer,
    codes: Codes,
    edit: Edit,
    count: int,
    *,
    start: Edit | None = None,
    easing: Easing = "smooth",
    bounce: bool = True,
    size: int | None = None,
    noise_mode: NoiseMode = "const",
    pose: Pose = STILL,
) -> Iterator[Frame]:
    """Frames (H, W, 3), uint8, of codes (N, L, D) moving from `start` (None: not edited) to `edit`; N side by side.

    Frame i is of the codes start + e(i / (count - 1)) * (edit - start) with the easing e, which is what amounts between
    the two would move: the first is `start`, number `count` is `edit`. With `bounce` the way back follows without its
    two ends, 2 * count - 2 frames in all, so that a loop has no seam; a frame is drawn once, when it is asked for, and
    kept for the way back.
    size: the width in pixels of one picture, where it is to be smaller than the generator's.

    Raises:
        InvalidCodes: fewer than 2 frames or more than MAX_FRAMES, a bad size, or what the renderer refuses.
        UnknownName: an easing that there is not.
    """
    ease = lookup(EASINGS, easing, "easing")
    total = 2 * count - 2 if bounce else count
    if not (count >= 2 and total <= MAX_FRAMES):
        raise InvalidCodes(f"the animation has {total} frames; wanted 2 to {MAX_FRAMES}, the way back among them")
    if size is not None and size < 1:
        raise InvalidCodes(f"size is {size}; wanted 1 pixel or more")
    first, last = (start or Edit()).apply(codes), edit.apply(codes)

    def draw(i: int) -> Frame:
        between = first.lerp(last, ease(i / (count - 1)))  # rows that do not move keep their bits
        pictures = renderer.render(between, noise_mode=noise_mode, pose=pose)
        return np.concatenate([_shrunk(picture, size) for picture in pictures], axis=1)

    def run() -> Iterator[Frame]:
        back = []
        for i in range(count):
            frame = draw(i)
            if bounce and 0 < i < count - 1:
                back.append(frame)
            yield frame
        while back:
            yield back.pop()

    return run()


def write_webp(frames: Iterable[Frame], target: Path | BytesIO, fps: float, *, quality: int = 80) -> None:
    """Frames as an animated WebP that loops for ever; lossy, `quality` 0 (small) to 100.

    Raises:
        InvalidCodes: no frames, more than MAX_FRAMES or MAX_PIXELS, frames of different sizes, fps or quality out of
            range.
        OSError: the disk is full or not writable; what was there is as it was.
    """
    rate = _rate(fps)
    if not 0 <= quality <= 100:
        raise InvalidCodes(f"quality is {quality}; wanted 0 to 100")
    pictures, pixels = [], 0
    for frame in _checked(frames):
        pixels += frame.shape[0] * frame.shape[1]
        if pixels > MAX_PIXELS:
            raise InvalidCodes(
                f"the animation has more than {MAX_PIXELS:,} pixels; make it of fewer or smaller frames, or an MP4"
            )
        pictures.append(Image.fromarray(frame))
    buffer = BytesIO()
    pictures[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / rate),  # milliseconds a frame
        loop=0,
        lossless=False,
        quality=quality,
    )
    _write(buffer.getvalue(), target)


def write_mp4(frames: Iterable[Frame], target: Path | BytesIO, fps: float, *, quality: int = 18) -> None:
    """Frames as an MP4 that every browser plays: H.264, yuv420p, BT.709. An odd width or height grows by one pixel.

    quality: x264's constant rate factor, 0 (best) to 51. One frame is in memory at a time.

    Raises:
        EiganError: PyAV is not installed, or has no H.264 encoder.
        InvalidCodes: no frames, more than MAX_FRAMES, frames of different sizes, fps or quality out of range.
        OSError: the disk is full or not writable; what was there is as it was.
    """
    av, rate = _pyav(), _rate(fps)
    if not 0 <= quality <= 51:
        raise InvalidCodes(f"quality is {quality}; wanted 0 to 51")
    buffer = BytesIO()
    with av.open(buffer, mode="w", format="mp4") as container:
        stream: Any = None
        for frame in map(_even, _checked(frames)):
            if stream is None:
                stream = _add_stream(av, container, rate, frame.shape, quality)
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())  # what the encoder still holds
    _write(buffer.getvalue(), target)


def _add_stream(av: ModuleType, container: Any, rate: Fraction, shape: tuple[int, ...], quality: int) -> Any:
    try:
        stream = container.add_stream(ENCODER, rate=rate, options={"crf": str(quality)})
    except ValueError as error:  # PyAV's UnknownCodecError
        raise EiganError(
            f"this PyAV ({av.__version__}) cannot write H.264 ({error}); install the one of PyPI, `pip install av`"
        ) from None
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.color_range = LIMITED
    context.color_primaries = context.color_trc = context.colorspace = BT709
    return stream


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError:
        raise EiganError('an MP4 needs PyAV, which is not installed: pip install "eigan[app]"') from None
    return av


def _rate(fps: float) -> Fraction:
    if not FPS[0] <= fps <= FPS[1]:
        raise InvalidCodes(f"fps is {fps}; wanted {FPS[0]:g} to {FPS[1]:g}")
    return Fraction(fps).limit_denominator(1001)


def _checked(frames: Iterable[Frame]) -> Iterator[Frame]:
    """`frames`, one to MAX_FRAMES of one size."""
    shape: tuple[int, ...] | None = None
    for i, frame in enumerate(frames):
        if i == MAX_FRAMES:
            raise InvalidCodes(f"the animation has more than {MAX_FRAMES} frames; make it of fewer")
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.shape != (shape or frame.shape):
            raise InvalidCodes(
                f"frame {i} is {frame.dtype} {frame.shape}; wanted uint8 {shape or '(H, W, 3)'}, as the others"
            )
        shape = frame.shape
        yield frame
    if shape is None:
        raise InvalidCodes("the animation has no frames; wanted at least one")


def _shrunk(picture: Frame, size: int | None) -> Frame:
    height, width = picture.shape[:2]
    if size is None or size >= width:
        return picture
    return np.asarray(
        Image.fromarray(picture).resize((size, max(1, round(height * size / width))), Image.Resampling.BOX)
    )


def _even(frame: Frame) -> Frame:
    """`frame` with its last row and column repeated where their number is odd: yuv420p halves both."""
    odd = frame.shape[0] % 2, frame.shape[1] % 2
    return np.pad(frame, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else frame


def _write(data: bytes, target: Path | BytesIO) -> None:
    if isinstance(target, Path):
        write_whole(target, data)
    else:
        target.write(data)
