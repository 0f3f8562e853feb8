"""Workers run torch on one thread each, keep the order, and leave nothing behind."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator

import pytest
import torch

import hub_export.sampling as sampling
from hub_export import Recipe
from hub_export.fit import gather
from hub_export.moments import Moments
from hub_export.sampling import stream_w
from hub_export.workers import (
    draws_ahead,
    exact_products,
    num_cores,
    on_one_thread,
    parallel_map,
    single_threaded_workers,
)
from tests.toys import toy_generator


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


def test_blocks_drawn_ahead_are_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of CUDA and mps, walked by a CPU: the same bytes of w, the same moments to float64's rounding."""
    torch.set_num_threads(1)  # products of a piece in float32: their rounding depends on the threads of the caller
    generator = toy_generator(c_dim=3)
    recipe = Recipe("pca", num_samples=20 * 1024 + 300).resolve(generator)
    expected, moments = torch.cat(list(stream_w(generator, recipe, start=500))), Moments(16)
    gather(moments, generator, recipe)
    monkeypatch.setattr(sampling, "draws_ahead", lambda device: True)
    monkeypatch.setattr(importlib.import_module("hub_export.fit"), "draws_ahead", lambda device: True)
    assert torch.equal(torch.cat(list(stream_w(generator, recipe, start=500))), expected)
    ahead, seen = Moments(16), []
    gather(ahead, generator, recipe, lambda done, total, what: seen.append(done))
    assert seen[-1] == ahead.count == moments.count
    assert torch.allclose(ahead.covariance, moments.covariance, rtol=1e-12, atol=1e-14)


def test_only_the_cpu_draws_when_asked() -> None:
    assert [draws_ahead(torch.device(name)) for name in ("cpu", "cuda", "cuda:1", "mps")] == [False, True, True, True]


def test_cores_are_shared_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    alone = num_cores()
    assert alone >= 1
    for beside, expected in (("1", alone), ("2", max(1, alone // 2)), ("9999", 1), ("0", alone), ("many", alone)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", beside)
        assert num_cores() == expected


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_are_exact_and_the_programs_choice_stays(precision: str) -> None:
    flags, before = torch.backends.cuda.matmul, torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        allowed = flags.allow_tf32
        with exact_products(torch.device("cpu")):
            assert flags.allow_tf32 == allowed
        for error in (None, ZeroDivisionError):
            with contextlib.suppress(ZeroDivisionError), exact_products(torch.device("cuda")):
                assert getattr(flags, "fp32_precision", "ieee") != "tf32"
                if error:
                    raise error
            assert (torch.get_float32_matmul_precision(), flags.allow_tf32) == (precision, allowed)
    finally:
        torch.set_float32_matmul_precision(before)
