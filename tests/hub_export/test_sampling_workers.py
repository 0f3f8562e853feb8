"""Workers run torch on one thread each, keep the order, and leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from hub_export.workers import on_one_thread, parallel_map, single_threaded_workers


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("num_workers", [0, 1, 2, 5])
def test_results_keep_their_order(num_workers: int) -> None:
    assert list(parallel_map(lambda i: i * i, range(100), num_workers)) == [i * i for i in range(100)]


def test_every_worker_has_one_thread_and_the_caller_keeps_its_own() -> None:
    with single_threaded_workers(3) as pool:
        inside = [pool.submit(torch.get_num_threads) for _ in range(30)]
        assert {future.result() for future in inside} == {1}
        assert torch.get_num_threads() == 2
        outside: list[int] = []
        thread = threading.Thread(target=lambda: outside.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert outside == [2]
    assert torch.get_num_threads() == 2


def test_one_thread_for_one_piece_of_work() -> None:
    assert on_one_thread(torch.get_num_threads) == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert on_one_thread(threading.get_ident) == threading.get_ident()


def test_few_results_are_held() -> None:
    started: list[int] = []

    def work(i: int) -> int:
        started.append(i)
        return i

    results = parallel_map(work, range(1000), 2)
    next(results)
    assert len(started) <= 5
    results.close()  # type: ignore[attr-defined]


def test_errors_come_through_and_threads_end() -> None:
    before = threading.active_count()

    def work(i: int) -> float:
        return 1 / (5 - i)

    with pytest.raises(ZeroDivisionError):
        list(parallel_map(work, range(100), 3))
    assert threading.active_count() == before


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    for value in parallel_map(lambda i: i, range(1000), 2):
        if value == 3:
            break
    del value
    assert threading.active_count() == before
