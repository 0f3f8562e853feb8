"""Gradio's components come without type stubs at start-up, and are the same components."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import gradio as gr

from eigan.ui.stubs import no_stubs

REPOSITORY = Path(__file__).parents[2]
COUNT = """
import json, sys
import torch
from eigan.ui.stubs import no_stubs
from contextlib import nullcontext
written = []
def watch(event, args):
    if event == "open" and str(args[0]).endswith(".pyi"):
        written.append(args[0])
sys.addaudithook(watch)
with no_stubs() if sys.argv[1] == "without" else nullcontext():
    import gradio
print(json.dumps([len(written), callable(gradio.Slider.release), gradio.Slider(0, 1, label="a").get_config()["label"]]))
"""


def test_importing_gradio_touches_no_stub() -> None:
    def run(how: str) -> list[object]:
        done = subprocess.run(
            [sys.executable, "-c", COUNT, how], cwd=REPOSITORY, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout.splitlines()[-1]))

    assert run("without") == [0, True, "a"]
    assert run("with")[0] != 0, "Gradio writes no stubs any more: eigan.ui.stubs can go"


def test_a_component_defined_here_gets_no_stub_and_everybody_else_is_answered() -> None:
    find = inspect.getfile
    with no_stubs():

        class Box(gr.HTML):
            """A component of this file's."""

        assert inspect.getfile(Box) == __file__
    assert inspect.getfile is find
    assert not Path(__file__).with_suffix(".pyi").exists()


def test_app_leaves_the_collector_on() -> None:
    code = "import gc, app; print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=180)
    assert done.stdout.split() == ["True", "True"], done.stderr
