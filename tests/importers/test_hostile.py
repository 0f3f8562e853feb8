"""The shared set of hostile files, when this machine has it, given to the importers: all of them, whatever they are of.

Also what a set cannot hold: pipes, links, folders.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eigan import import_directions
from eigan.errors import CheckpointError, PackFormatError
from tests.importers.makers import components
from tests.toys import toy_generator, toy_pack

ROOT = Path(__file__).parents[2]
HOSTILE = Path(os.environ.get("EIGAN_HOSTILE", ROOT.parent / "shared/hostile"))
MARKERS = Path("/tmp/eigan-pwned")
MAX_SECONDS, MAX_MEGABYTES = 5.0, 500.0

IMPORT = """
import json, resource, sys, time
from eigan import import_directions
from eigan.errors import CheckpointError, PackFormatError
from tests.toys import toy_generator
resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
generator = toy_generator()
for path in sys.stdin.read().split("\\0"):
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        import_directions(path, generator)
        outcome = "imported"
    except (PackFormatError, CheckpointError) as error:
        outcome = f"refused: {error}"
    except BaseException as error:
        outcome = f"broke: {type(error).__name__}: {error}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([path, outcome, time.process_time() - began, grown]))
"""


def entries() -> list[dict[str, Any]]:
    index = HOSTILE / "INDEX.json"
    listed = json.loads(index.read_text())["entries"] if index.is_file() else []
    return [e for e in listed if e["file"]]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[str, float, float]]:
    """File -> what happened, seconds, megabytes more at the peak; all imported one after another in one process."""
    shutil.rmtree(MARKERS, ignore_errors=True)
    paths = "\0".join(str(HOSTILE / e["file"]) for e in entries())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # the folder of the files is the working directory: a reader that imports would find the helper module there
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        input=paths,
        cwd=HOSTILE / "pkl",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    return {path: (outcome, seconds, grown) for path, outcome, seconds, grown in lines}


@pytest.mark.parametrize("entry", entries(), ids=lambda e: e["name"])
def test_nothing_runs_and_the_refusal_is_clean(
    entry: dict[str, Any], outcomes: dict[str, tuple[str, float, float]]
) -> None:
    outcome, seconds, grown = outcomes[str(HOSTILE / entry["file"])]
    assert outcome.startswith("refused: ")
    assert outcome.isprintable(), "a message must not steer a terminal"
    assert seconds < MAX_SECONDS and grown < MAX_MEGABYTES
    assert not MARKERS.exists()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(CheckpointError, match="regular file"):
        import_directions(tmp_path / "pipe.npz", toy_generator())


def test_folders_say_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match="one file"):
        import_directions(tmp_path, toy_generator())
    toy_pack().save(tmp_path / "pack")
    with pytest.raises(PackFormatError, match=r"DirectionPack\.load"):
        import_directions(tmp_path / "pack", toy_generator())


def test_the_name_of_a_file_never_steers_a_terminal(tmp_path: Path) -> None:
    odd = tmp_path / "a\x1b[31m\u202eb.npz"
    shutil.copy(components(tmp_path), odd)
    pack = import_directions(odd, toy_generator())
    assert pack.name.isprintable() and pack.method["file"].isprintable()
    assert all(d.description.isprintable() for d in pack)
    odd.write_bytes(b"PK\3\4")
    with pytest.raises(CheckpointError) as error:
        import_directions(odd, toy_generator())
    assert str(error.value).isprintable()
