"""`python app.py` in a process of its own, as a person or a Space would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eigan import sources
from tests.fakehub.server import FakeHub
from tests.ui.conftest import REPOSITORY, Served, free_port, wait_for_server

SPACE = {"SPACE_ID": "acme/eigan", "SYSTEM": "spaces", "EIGAN_CACHE_GB": "1"}
UNSET = ("SPACE_ID", "SYSTEM", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "GRADIO_MCP_SERVER")


@dataclass(frozen=True)
class Running(Served):
    """A running app, and its process. cache: Gradio's, where it keeps what was uploaded and made."""

    pid: int
    cache: Path

    def memory(self) -> int:
        """Resident bytes of the process."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def serving(home: Path, bundles: Path, *, arguments: Sequence[str] = (), **environ: str) -> Iterator[Running]:
    """The app on a free port, with a Hub and caches of its own under `home`."""
    hub, port, log = FakeHub().start(), free_port(), home / "log.txt"
    env = {name: value for name, value in os.environ.items() if name not in UNSET}
    env |= {
        sources.BUNDLE_ENV: str(bundles),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", *arguments],
            cwd=REPOSITORY,
            env=env | environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for_server(url, process, log)
        yield Running(url, bundles, hub, log, process.pid, home / "gradio")
    finally:
        process.terminate()
        process.wait(20)
