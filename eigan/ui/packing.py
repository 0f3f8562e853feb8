"""A named pack as files: its previews, card and changelog, a .zip of it, or a folder of this machine. No Gradio."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eigan.errors import PackFormatError
from eigan.format import is_pack, pack_files, read_pack, save_pack
from eigan.pack import DirectionPack
from eigan.ui.session import Recent, Studio, pack_key
from hub_export.card import render_card
from hub_export.changelog import UNRELEASED, write_sections
from hub_export.previews import render_previews, slugs
from hub_export.staging import CHANGELOG, README

Progress = Callable[[int, int, str], None]

MAX_PACK_BYTES = 64 * 2**20
PREVIEW_SECONDS = 60.0
PREVIEWS = ((3, 7), (3, 5), (1, 5), (1, 3))  # seeds and amounts, the most that are quick enough
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same pack, the same bytes


@dataclass(frozen=True)
class Built:
    """A named pack with the pictures and texts that go with it. notes: what a person should know, plain sentences."""

    pack: DirectionPack
    extras: Mapping[str, bytes]
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """A name for the pack's folder or file, safe on every system."""
        return slugs([self.pack.name])[0]

    def zipped(self) -> bytes:
        """The pack's folder as a .zip; the same pack gives the same bytes."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(pack_files(self.pack, self.extras).items()):
                info = zipfile.ZipInfo(f"{self.folder}/{name}", ZIP_DATE)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, data)
        return buffer.getvalue()


def check_size(pack: DirectionPack) -> None:
    """Raise PackFormatError for a pack that is too large to be made while a page waits."""
    tensors = [d.vector for d in pack] + [t for d in pack if d.model is not None for t in d.model.tensors().values()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > MAX_PACK_BYTES:
        raise PackFormatError(
            f"the pack has {size:,} bytes of vectors and models; at most {MAX_PACK_BYTES:,} are made on this page. "
            "Make it with `hub-export name` from the names file"
        )


def finish(pack: DirectionPack, studio: Studio, progress: Progress | None = None) -> Built:
    """`pack` with previews, card and changelog. Where the generator is slow there are fewer and smaller previews, or
    none, and `notes` says so."""
    seeds, amounts = preview_plan(len(pack), studio.renderer.expected_seconds() or 0.0)
    extras: dict[str, bytes] = {}
    notes = []
    if seeds:
        extras = render_previews(
            studio.generator, pack, seeds=range(seeds), num_amounts=amounts, progress=progress, max_tile=128
        )
    if (seeds, amounts) != PREVIEWS[0]:
        less = f"{amounts} pictures of {seeds} seed(s) a direction" if seeds else "no pictures"
        notes.append(f"The generator is slow here, so the pack has {less}; `hub-export name` makes them all.")
    changes = f"- {len(pack)} named directions, {len(pack.presets)} presets."
    extras[CHANGELOG] = write_sections({UNRELEASED: changes}).encode()
    extras[README] = render_card(pack, extras, changes=changes).encode()
    return Built(pack, extras, tuple(notes))


def preview_plan(num_directions: int, seconds_each: float) -> tuple[int, int]:
    """(seeds, amounts) of the previews that can be drawn in PREVIEW_SECONDS; (0, 0) when none can."""
    fitting = (p for p in PREVIEWS if num_directions * p[0] * p[1] * seconds_each <= PREVIEW_SECONDS)
    return next(fitting, (0, 0))


def save_to(built: Built, folder: str) -> Path:
    """Write the pack as `folder` of this machine: new, empty, or an earlier pack of that name.

    Raises:
        PackFormatError: no folder is named, it holds anything else, or it cannot be written.
    """
    text = folder.strip()
    if not text:
        raise PackFormatError("no folder was given; write where the pack shall go, such as ~/packs/people")
    try:
        path = Path(text).expanduser()
        if is_pack(path) and (old := read_pack(path).name) != built.pack.name:
            raise PackFormatError(f"{path} holds the pack {old!r}; give another folder, or remove it")
        save_pack(built.pack, path, built.extras)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, PackFormatError):
            raise
        raise PackFormatError(f"{text[:200]} cannot be written: {error}") from None
    return path


def words_of(built: Built) -> str:
    """'3 directions, 1 preset, 4 pictures': plain text."""
    pictures = sum(name.startswith("previews/") for name in built.extras)
    counts = {"direction": len(built.pack), "preset": len(built.pack.presets), "picture": pictures}
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items() if count)


_finished: Recent[str, Built] = Recent(4)  # looked at, published and saved one after the other


def finished(pack: DirectionPack, studio: Studio, progress: Progress | None = None) -> Built:
    """As `finish`; the last few are kept. Raises PackFormatError for a pack that is too large."""
    check_size(pack)
    return _finished.get(pack_key(pack), lambda: finish(pack, studio, progress))
