"""The shared set of hostile files, when this machine has it: every one that a checkpoint loader can be given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HOSTILE = Path(os.environ.get("EIGAN_HOSTILE", ROOT.parent / "shared/hostile"))
FOLDERS = ("pkl", "nvidia", "torch", "truncated", "safetensors", "archives", "numpy", "yaml", "json")
LOADS = {"nv-module-src-exec", "nv-module-src-exec-gema-only"}  # good weights beside source text that must not run
MARKERS = Path("/tmp/eigan-pwned")
MAX_SECONDS, MAX_MEGABYTES = 5.0, 500.0

LOAD = """
import json, resource, sys, time
import torch
from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError
resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
for path in sys.stdin.read().split("\\0"):
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        Checkpoint.open(path).build()
        outcome = "loaded"
    except CheckpointError as error:
        outcome = f"refused: {error}"
    except BaseException as error:
        outcome = f"broke: {type(error).__name__}: {error}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([path, outcome, time.process_time() - began, grown]))
"""


def entries() -> list[dict[str, Any]]:
    index = HOSTILE / "INDEX.json"
    listed = json.loads(index.read_text())["entries"] if index.is_file() else []
    return [e for e in listed if e["file"] and e["file"].split("/")[0] in FOLDERS]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[str, float, float]]:
    """File -> what happened, seconds, megabytes more at the peak; all loaded one after another in one process."""
    shutil.rmtree(MARKERS, ignore_errors=True)
    paths = "\0".join(str(HOSTILE / e["file"]) for e in entries())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # the folder of the files is the working directory: a loader that imports would find the helper module there
    done = subprocess.run(
        [sys.executable, "-c", LOAD], input=paths, cwd=HOSTILE / "pkl", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    return {path: (outcome, seconds, grown) for path, outcome, seconds, grown in lines}


@pytest.mark.parametrize("entry", entries(), ids=lambda e: e["name"])
def test_nothing_runs_and_the_refusal_is_clean(
    entry: dict[str, Any], outcomes: dict[str, tuple[str, float, float]]
) -> None:
    outcome, seconds, grown = outcomes[str(HOSTILE / entry["file"])]
    assert outcome == "loaded" if entry["name"] in LOADS else outcome.startswith("refused: ")
    assert seconds < MAX_SECONDS and grown < MAX_MEGABYTES
    assert not MARKERS.exists()
