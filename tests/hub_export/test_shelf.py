"""What a method keeps is there whole or not at all: interrupted, on a full disk, killed, damaged, of another recipe."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest
import torch

import hub_export.shelf as shelf_module
from eigan.errors import FitError
from hub_export.shelf import NotKept, Shelf, forget, read_tensors, uninterrupted, write_tensors
from tests.hub_export.worlds import killed_while, write_for_ever

NOTES = {"generator": "g", "recipe": "r"}
STATE = {"weights": torch.arange(6.0).view(2, 3), "step": torch.tensor(7)}


def full_disk(*arguments: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def same(one: Mapping[str, torch.Tensor] | None, two: Mapping[str, torch.Tensor]) -> bool:
    return one is not None and one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in two)


def test_what_is_put_is_taken(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "new" / "state", NOTES)
    assert shelf.take() is None
    shelf.put(STATE)
    shelf.put({**STATE, "step": torch.tensor(8)})
    assert same(shelf.take(), {**STATE, "step": torch.tensor(8)})
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["state"]


def test_without_a_path_nothing_is_kept() -> None:
    Shelf().put(STATE)
    assert Shelf().take() is None


@pytest.mark.parametrize("notes", [{**NOTES, "recipe": "other"}, {"generator": "g", "recipe": "r", "more": "x"}])
def test_what_another_recipe_kept_is_refused(tmp_path: Path, notes: dict[str, str]) -> None:
    Shelf(tmp_path / "state", NOTES).put(STATE)
    with pytest.raises(FitError, match="Use the same recipe and generator, or fit without resuming"):
        Shelf(tmp_path / "state", notes).take()


def test_every_damage_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_tensors(path, STATE, NOTES)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    pieces = [b"", b"{}", whole[:4], whole[:8], whole[: length // 2], whole[:-1], whole + b"x", b"\xff" * 64]
    pieces += [
        whole.replace(b'"F32"', b'"X32"'),
        whole.replace(b'"g"', b"12 "),
        whole.replace(b"__metadata__", b"__metadat!__"),
    ]
    for damaged in pieces:
        path.write_bytes(damaged)
        with pytest.raises(FitError, match="nothing to resume from") as error:
            read_tensors(path)
        assert "fit again without resuming" in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state")
    with pytest.raises(FitError, match="not a regular file"):
        read_tensors(tmp_path / "state")


def test_ctrl_c_keeps_the_last_complete_state(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "state", NOTES)
    with pytest.raises(KeyboardInterrupt), shelf.keeping(lambda: STATE):
        raise KeyboardInterrupt
    assert same(shelf.take(), STATE)
    with pytest.raises(ZeroDivisionError), shelf.keeping(dict):
        raise ZeroDivisionError  # an error keeps nothing new
    assert same(shelf.take(), STATE)


@pytest.mark.parametrize("step", ["fsync", "fdopen"])
def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    shelf = Shelf(tmp_path / "state", NOTES)
    shelf.put(STATE)
    monkeypatch.setattr(shelf_module.os, step, full_disk)
    with pytest.raises(NotKept, match="could not be kept in .*state: No space left"), shelf.keeping(dict):
        raise KeyboardInterrupt
    assert same(shelf.take(), STATE)
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_second_ctrl_c_does_not_break_the_writing() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_killed_in_the_middle_of_writing(tmp_path: Path) -> None:
    """What was last kept is whole; the half that may lie beside it goes with `forget`."""
    path = tmp_path / "out[1].state"
    reached = killed_while(write_for_ever, path)
    tensors, notes = read_tensors(path)
    assert int(notes["step"]) >= reached
    assert bool((tensors["weights"] == float(notes["step"])).all())
    (tmp_path / f".{path.name}-abcd1234").write_bytes(b"half")
    (tmp_path / f"{path.name}-notes.txt").write_text("mine")
    forget(path)
    assert [p.name for p in tmp_path.iterdir()] == [f"{path.name}-notes.txt"]
    forget(path)
    forget(None)
