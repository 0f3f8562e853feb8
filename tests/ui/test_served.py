"""Files made for the page: what is put there stays what it was, and no more of it than the bound."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eigan.ui.served import Shelf


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def stored(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_the_same_content_is_one_file(cache: Path) -> None:
    shelf = Shelf("a", 1000)
    first = shelf.put(b"one", "x.png")
    assert shelf.put(b"one", "x.png") == first
    assert Path(first).read_bytes() == b"one"
    assert Path(shelf.put(b"two", "x.png")).read_bytes() == b"two"
    assert len(stored(cache)) == 2


def test_the_oldest_go_and_leave_nothing_behind(cache: Path) -> None:
    shelf = Shelf("a", 25)
    paths = [Path(shelf.put(bytes([i]) * 10, "x.png")) for i in range(4)]
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert [path.parent.exists() for path in paths] == [False, False, True, True]
    shelf.put(bytes([2]) * 10, "x.png")  # asked for again: now the newest
    shelf.put(bytes([9]) * 10, "x.png")
    assert [path.exists() for path in paths] == [False, False, True, False]


def test_one_file_may_be_larger_than_the_shelf(cache: Path) -> None:
    shelf = Shelf("a", 5)
    assert Path(shelf.put(b"0123456789", "x.png")).exists()


def test_what_one_shelf_throws_away_another_still_has(cache: Path) -> None:
    fleeting, lasting = Shelf("fleeting", 10), Shelf("lasting", 1000)
    fleeting.put(b"0123456789", "x.png")
    kept = Path(lasting.put(b"0123456789", "x.png"))
    fleeting.put(b"abcdefghij", "x.png")
    assert kept.read_bytes() == b"0123456789"


def test_a_file_that_was_deleted_is_made_again(cache: Path) -> None:
    shelf = Shelf("a", 1000)
    path = Path(shelf.put(b"one", "x.png"))
    path.unlink()
    assert Path(shelf.put(b"one", "x.png")).read_bytes() == b"one"


def test_a_name_is_only_a_name(cache: Path) -> None:
    assert cache in Path(Shelf("a", 1000).put(b"one", "../../../x.png")).parents


def test_whoever_reads_meanwhile_sees_all_of_it(cache: Path) -> None:
    shelf, data = Shelf("a", 10**8), bytes(2_000_000)
    path = Path(shelf.put(data, "x.png"))
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(shelf.put, data, "x.png") for _ in range(50)]
        sizes = {path.stat().st_size for _ in range(2000)}
        assert {future.result() for future in writing} == {str(path)}
    assert sizes == {len(data)}
