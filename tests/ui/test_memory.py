"""Freed memory is kept where the C library can be told to, and nothing happens where it cannot."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from eigan.ui import memory

REPOSITORY = Path(__file__).parents[2]
# pages touched for the first time when a 64 MiB tensor is made again and again, in a thread as the app's are
FAULTS = """
import resource, sys, threading, torch
from eigan.ui.memory import keep_pages
if sys.argv[1] == "keep":
    keep_pages()
def work():
    for turn in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_second_picture_finds_the_pages_of_the_first() -> None:
    def count(how: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, how], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    anew = count("leave")
    if anew < 32:  # as many as 2 MiB pages fit
        pytest.skip("this system does not count page faults")
    assert count("keep") < 16


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert memory.keep_pages() is False
