"""Files and folders that are no checkpoint: the message says what they look like."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from eigan.errors import CheckpointError
from eigan.readers import READERS, read_checkpoint
from eigan.readers.base import Reader
from tests.toys import toy_pack


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "y")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return file.getvalue()


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, lat_comp=np.zeros(3), lat_mean=np.zeros(3))
    return file.getvalue()


def saved_by_numpy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


KINDS = {
    "nothing": (b"", "an empty file"),
    "text": (b"just some words", 'it is text that begins "just some words'),
    "text in other letters": ("привет ".encode() * 100, "it is text"),
    "json": (b'{"a": 1}', "it is text"),
    "page": (b"<!DOCTYPE html><html><head><title>Sign in</title>", "HTML page"),
    "error": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "HTML page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "gzip": (gzip.compress(b"x" * 100), "gzip"),
    "zip": (zipped("x"), "a zip archive of x, which torch.save did not write"),
    "zip with odd names": (zipped("a\n\x1b[31m", "b"), "cannot be read: the zip archive has a member named 'a"),
    "zip that leads elsewhere": (zipped("../b"), "outside itself"),
    "zip of many": (zipped(*map(str, range(50))), r"of 0, 1, 2, 3, 4, 5, … \(50 in all\)"),
    "zip, cut": (zipped("x")[:-1], "cannot be read: .* has no directory at its end"),
    "zip, empty": (zipped(), "an empty zip archive"),
    "arrays": (arrays(), r"a NumPy archive of lat_comp\.npy, .*hub-export import"),
    "tar": (tarred(), "tar archive"),
    "numpy": (saved_by_numpy(), "NumPy array"),
    "picture": (b"\x89PNG\r\n\x1a\n", "PNG"),
    "zeros": (bytes(2000), "nothing but zeros"),
    "noise": (bytes(range(128, 256)) * 4, "binary data of no known kind"),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("suffix", [".pkl", ".safetensors", ""])
def test_the_message_says_what_it_looks_like(name: str, suffix: str, tmp_path: Path) -> None:
    data, message = KINDS[name]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_the_message_lists_every_reader(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"words")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "x")
    assert all(reader.describes in str(caught.value) for reader in READERS.values())
    assert all(isinstance(reader, Reader) for reader in READERS.values())


def test_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pkl")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_checkpoint(tmp_path / "w.pkl")


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="an empty folder"):
        read_checkpoint(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CheckpointError, match=r"a folder with notes\.txt"):
        read_checkpoint(tmp_path)
    for name in ("a.pkl", "b.pkl"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"2 checkpoints; name one: a\.pkl, b\.pkl"):
        read_checkpoint(tmp_path)
    toy_pack().save(tmp_path / "pack")
    with pytest.raises(CheckpointError, match="direction pack"):
        read_checkpoint(tmp_path / "pack")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_checkpoint(tmp_path / "gone.pkl")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path / "loop")
