"""Checkpoint: find a generator's weights (path, bundled name, Hub), read them safely, recognise them, build it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from eigan.dialects import translate
from eigan.errors import CheckpointError, HubError, UnknownArchitecture, list_names
from eigan.generators import ARCHITECTURES
from eigan.generators.base import Generator
from eigan.plain_files import expanded
from eigan.readers import RawCheckpoint, read_checkpoint, safetensors
from eigan.web import fetch_url, is_url, without_secrets

if TYPE_CHECKING:
    from eigan.hub import HubFolder, HubRef

MAX_DOWNLOAD_BYTES = 4 * 2**30
OTHER_FILES = ("*.safetensors", "*.pkl", "*.pt", "*.pth", "*.bin")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A generator's weights, read and recognised; no network has been built yet.

    architecture, config: a name in ARCHITECTURES and its `config()`. weights: published name -> float32 tensor.
    container: the reader that read it. fingerprint: as the file states it, "" when it does not; `verify` checks it.
    source: what `open` was given. revision: commit of the Hub repository, "" for files. path: where it was read on this
    machine. origin: where the file says that its weights came from.
    """

    architecture: str
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor] = field(repr=False)
    container: str
    source: str
    revision: str = ""
    fingerprint: str = ""
    license: str = ""
    path: Path | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        source: str | Path,
        *,
        token: str | bool | None = None,
        offline: bool = False,
        max_bytes: int = MAX_DOWNLOAD_BYTES,
    ) -> Checkpoint:
        """The checkpoint at a path, under a bundled name, on the Hub ("org/name", "org/name@v1.0.0:network.pkl"), or
        at an https address.

        Bundled names win over paths, paths over Hub repositories. Nothing in the file is ever run. The token goes to
        the Hub alone. max_bytes: more than that is never downloaded.

        Raises:
            UnsafeCheckpoint: the file asks for more than weights need.
            CheckpointError: not found, truncated, malformed, or weights that do not fit together.
            UnknownArchitecture: weights of no generator that eigan knows.
            HubError: the Hub cannot give it.
        """
        path, revision = locate(source, token=token, offline=offline, max_bytes=max_bytes)
        shown = without_secrets(str(source)) if is_url(str(source)) else str(source)
        return replace(recognize(read_checkpoint(path), shown, revision), path=path)

    def build(self) -> Generator:
        """The generator: evaluation mode, frozen, on the CPU. It uses these weights themselves, no copy is made.

        Raises:
            CheckpointError: naming the weights that are missing, unexpected, of another shape or not finite.
        """
        with torch.device("meta"):
            generator = ARCHITECTURES[self.architecture].from_config(self.config)
        generator.load_weights(self.weights, assign=True)
        generator.source, generator.revision = self.source, self.revision
        return generator.eval()

    def verify(self) -> str:
        """The fingerprint of the weights, checked against the one that the file states. Raises CheckpointError."""
        actual = self.build().fingerprint
        if self.fingerprint not in ("", actual):
            raise CheckpointError(
                f"{self.source} states the fingerprint {self.fingerprint[:12]}…; its weights have {actual[:12]}…. "
                "The files were changed or mixed up; download them again."
            )
        return actual


def locate(
    source: str | Path, *, token: str | bool | None, offline: bool, max_bytes: int = MAX_DOWNLOAD_BYTES
) -> tuple[Path, str]:
    """Where the checkpoint's files are on this machine, and the Hub commit they came from. Downloads if need be."""
    if not str(source).strip() or "\0" in str(source):
        raise CheckpointError("no checkpoint given; give a path, a bundled name or a Hub repository (org/name)")
    if isinstance(source, str):
        from eigan.sources import bundled_path

        bundled = bundled_path(source)
        if bundled is not None:
            return bundled, ""
    path = expanded(source)
    if _exists(path):
        return path, ""
    if isinstance(source, str) and is_url(source):
        return fetch_url(source, max_bytes=max_bytes, offline=offline), ""
    if isinstance(source, str):
        from eigan.hub import parse_ref

        ref = parse_ref(source)
        if ref is not None:
            return _download(ref, token=token, offline=offline, max_bytes=max_bytes)
    raise CheckpointError(
        f"{str(source)[:200]!r} is no file or folder here, no bundled generator, no Hub repository (org/name) and no "
        "https address"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a path, for example
        return False


def _download(ref: HubRef, *, token: str | bool | None, offline: bool, max_bytes: int) -> tuple[Path, str]:
    from eigan.hub import download

    def get(*patterns: str, lone: Sequence[str] = ()) -> HubFolder:
        return download(ref, patterns, max_bytes=max_bytes, lone=lone, token=token, offline=offline)

    if ref.filename:
        folder = get(ref.filename, (PurePosixPath(ref.filename).parent / safetensors.CONFIG).as_posix())
        return folder.path / ref.filename, folder.commit
    try:
        folder = get(safetensors.CONFIG, safetensors.WEIGHTS)
    except HubError as error:
        if error.__cause__ is not None:  # the Hub itself failed; without a cause, it only has no such files
            raise
    else:
        if (folder.path / safetensors.WEIGHTS).is_file():
            return folder.path, folder.commit
    folder = get(safetensors.CONFIG, *OTHER_FILES, lone=OTHER_FILES)
    found = [p for p in folder.path.rglob("*") if any(p.match(pattern) for pattern in OTHER_FILES)]
    return (found[0] if len(found) == 1 else folder.path), folder.commit


def recognize(raw: RawCheckpoint, source: str, revision: str = "") -> Checkpoint:
    """`raw` under the architecture it belongs to.

    Raises:
        UnknownArchitecture: no architecture claims the weights.
        CheckpointError: one does, but the weights or what the file says of them cannot be.
    """
    if raw.config is not None and raw.architecture not in ARCHITECTURES:
        raise UnknownArchitecture(
            f"{source} holds a {raw.architecture!r}; this eigan knows {list_names(ARCHITECTURES)}"
        )
    try:
        raw = raw if raw.config is not None else translate(raw)
        architecture, config = raw.architecture, raw.config
        if config is None:
            claims = ((name, kind.infer_config(raw.weights, raw.hints)) for name, kind in ARCHITECTURES.items())
            architecture, config = next(((name, found) for name, found in claims if found is not None), ("", None))
    except CheckpointError as error:
        raise type(error)(f"{source}: {error}") from None
    if config is None:
        names = list_names(sorted(raw.weights), 4)
        raise UnknownArchitecture(
            f"the weights in {source} ({names}) belong to no generator that eigan knows: {list_names(ARCHITECTURES)}"
        )
    return Checkpoint(
        architecture=architecture,
        config=config,
        weights=raw.weights,
        container=raw.container,
        source=source,
        revision=revision,
        fingerprint=raw.fingerprint,
        license=raw.license,
        origin=raw.source,
    )
