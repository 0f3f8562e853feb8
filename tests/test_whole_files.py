"""A file is written as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from eigan.whole_files import write_whole


def test_a_file_is_replaced_by_the_whole(tmp_path: Path) -> None:
    for data in (b"first", b"second", b""):
        write_whole(tmp_path / "x", data)
        assert (tmp_path / "x").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_was_there_stays_when_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"first")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "x", b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"first")]
    with pytest.raises(OSError):
        write_whole(tmp_path / "nowhere" / "x", b"second")
