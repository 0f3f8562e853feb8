"""From `python app.py` to the first picture in a browser, and to the server's first answer.

    python -m benchmarks.cold_start

Every run is a fresh process with caches of its own, without the network, beside a browser that is open already and has
never seen the page. What the disk holds is in memory: the first run is a warm-up and does not count. "cpu" are the
seconds of processor time that the app itself took until then, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import date
from pathlib import Path
from typing import Any

import gradio
import torch
from playwright.sync_api import Browser, sync_playwright

from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
REPOSITORY = Path(__file__).parent.parent
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURE = "#picture img"
LIMIT = 8.0  # seconds to the first picture
PATIENCE = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(home: Path, port: int) -> subprocess.Popen[bytes]:
    """The app, as a person starts it, without the network."""
    environ = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HOME": str(home / "hf"),
        "HF_HUB_OFFLINE": "1",
    }
    for name in ("SPACE_ID", "SYSTEM", "OMP_WAIT_POLICY"):
        environ.pop(name, None)
    with (home / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "app.py"], cwd=REPOSITORY, env=environ, stdout=log, stderr=subprocess.STDOUT
        )


def wait_for_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the page itself is served. Raises RuntimeError if the app ends first or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.02)
    raise RuntimeError(f"the app did not answer:\n{log.read_text()}")


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time that the app took so far, of all its threads (Linux; elsewhere 0)."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(browser: Browser) -> dict[str, float]:
    """Seconds from the start of the process to the server's answer and to the first picture."""
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_port()
        url = f"http://127.0.0.1:{port}/"
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        began = time.perf_counter()
        process = start(home, port)
        try:
            wait_for_answer(url, process, home / "log.txt")
            answered = time.perf_counter() - began
            page.goto(url, wait_until="commit", timeout=PATIENCE * 1e3)
            picture = page.locator(PICTURE).first
            picture.wait_for(state="visible", timeout=PATIENCE * 1e3)
            page.wait_for_function(
                "path => { const img = document.querySelector(path); return img && img.complete && img.naturalWidth; }",
                arg=PICTURE,
                timeout=PATIENCE * 1e3,
            )
            return {"answered": answered, "picture": time.perf_counter() - began, "cpu": cpu_seconds(process)}
        finally:
            process.terminate()
            process.wait(30)
            context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--result", type=Path, default=RESULTS / f"cold_start-{date.today()}.json")
    options = parser.parse_args()
    described = machine(torch.get_num_threads(), gradio)
    found = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGS)
        described["chromium"] = browser.version
        runs = [measure(browser) for _ in range(options.rounds + 1)][1:]
        browser.close()
    summary = {key: statistics.median(run[key] for run in runs) for key in ("answered", "picture", "cpu")}
    record: dict[str, Any] = {"benchmark": "cold_start", "date": str(date.today()), "machine": described}
    record |= {"limit_seconds": LIMIT, "summary": summary, "runs": runs}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(
        f"answered after {summary['answered']:.2f} s, first picture after {summary['picture']:.2f} s (limit {LIMIT} s)"
    )
    print(f"processor time of the app until then {summary['cpu']:.2f} s; written to {options.result}")


if __name__ == "__main__":
    main()
