"""Smaller pictures are planned with what stages cost lately, and shown in the colours of finished ones."""

from __future__ import annotations

import threading

import pytest
import torch

from eigan.preview import NUM_RECENT, StageLog, match_colours, repaint, rgb, shrink


def test_the_middle_of_the_last_measurements_counts() -> None:
    log = StageLog()
    assert log.expected(range(1), 1) is None
    for seconds, expected in [(9.0, 9.0), (1.0, 1.0), (1.2, 1.2), (50.0, 1.2), (1.1, 1.2), (1.1, 1.1)]:
        log.add(0, 1, seconds, None)
        assert log.expected(range(1), 1) == expected
    for _ in range(NUM_RECENT):
        log.add(0, 1, 3.0, None)
    assert log.expected(range(1), 1) == 3.0


def test_stages_add_up_and_none_may_be_unknown() -> None:
    log = StageLog()
    log.add(0, 1, 1.0, None)
    assert log.expected(range(2), 1) is None
    log.add(1, 1, 2.0, torch.zeros(1, 3, 8, 8))
    assert log.expected(range(2), 1) == 3.0
    assert log.expected(range(0), 1) == 0.0
    assert [log.size(stage) for stage in range(3)] == [0, 8, 0]


def test_another_number_of_pictures_counts_in_proportion_to_the_nearest() -> None:
    log = StageLog()
    log.add(0, 1, 1.0, None)
    assert log.expected(range(1), 4) == 4.0
    log.add(0, 8, 4.0, None)
    assert log.expected(range(1), 6) == 3.0
    assert log.expected(range(1), 2) == 2.0


def test_threads_may_write_and_read_at_once() -> None:
    log, failures = StageLog(), []

    def work(stage: int) -> None:
        try:
            for count in range(1, 200):
                log.add(stage, count, 1.0, None)
                log.expected(range(4), count)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(stage,)) for stage in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_map_of_colours_is_found_again() -> None:
    random = torch.Generator().manual_seed(0)
    early, planted = torch.rand(2, 3, 8, 8, generator=random) * 2 - 1, torch.randn(4, 3, generator=random) / 8
    finished = repaint(early, planted)
    assert finished.shape == (2, 3, 8, 8)
    by_hand = early[1, :, 2, 5] @ planted[:3] + planted[3]
    torch.testing.assert_close(finished[1, :, 2, 5], by_hand)
    torch.testing.assert_close(match_colours(early, finished), planted.double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colours_never_come_further_from_the_finished_picture(channels: int) -> None:
    random = torch.Generator().manual_seed(channels)
    early, finished = torch.randn(1, channels, 8, 8, generator=random), torch.rand(1, 3, 8, 8, generator=random)
    painted = repaint(early, match_colours(early, finished))
    assert (painted - finished).square().mean() < (rgb(early) - finished).square().mean()


def test_colours_are_those_that_are_seen() -> None:
    """An image far out of range is cut off when it is shown; the same cut off is no reason for other colours."""
    early = 5 * torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    painted = repaint(early, match_colours(early, early.clamp(-1, 1)))
    torch.testing.assert_close(painted, early.clamp(-1, 1))


def test_one_flat_colour_or_a_broken_picture_gives_finite_colours() -> None:
    finished = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    flat = repaint(torch.full((1, 3, 4, 4), 0.3), match_colours(torch.full((1, 3, 4, 4), 0.3), finished))
    torch.testing.assert_close(flat[0, :, 0, 0], finished.mean(dim=(0, 2, 3)))
    for broken in (float("nan"), float("inf"), -1e30):
        assert match_colours(torch.full((1, 3, 4, 4), broken), finished).isfinite().all()


def test_shrinking_averages() -> None:
    assert shrink(torch.tensor([[[[0.0, 1.0], [2.0, 5.0]]]]), 1).item() == 2.0
