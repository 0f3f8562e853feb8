"""plugin/comfy.py in the real core: memory, gradients, Cancel, folders, the layout of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.comfyui import REPOSITORY, Worker


def test_eigan_comes_from_the_repository_that_the_link_leads_into(worker: Worker) -> None:
    found = worker.call("inside.py", "where")
    assert Path(found["eigan"]) == REPOSITORY / "eigan" / "__init__.py"
    assert Path(found["hub_export"]) == REPOSITORY / "hub_export" / "__init__.py"
    assert str(REPOSITORY) not in found["path"] and not found["gradio"]


def test_gradients_pass_weights_and_codes_of_nodes(worker: Worker) -> None:
    """ComfyUI runs nodes in inference mode, whose tensors they never pass."""
    found = worker.call("inside.py", "tensors_that_gradients_pass")
    assert not found["weights"] and not found["codes"] and found["gradient"] > 0


def test_a_slider_of_late_layers_runs_late_stages_alone(worker: Worker) -> None:
    first, second, stages = worker.call("inside.py", "stages_run_by_two_renders")
    assert first == stages and 0 < second < stages


def test_cancel_stops_within_a_picture_and_the_next_is_whole(worker: Worker) -> None:
    found = worker.call("inside.py", "cancelled_within_a_picture")
    assert found == {"stopped": "at 5", "goes on": True}


@pytest.mark.parametrize("state", ["NORMAL_VRAM", "LOW_VRAM", "NO_VRAM", "HIGH_VRAM"])
def test_a_generator_lies_on_a_device_whole_or_not_at_all(worker: Worker, state: str) -> None:
    """ComfyUI moves leaf modules: parameters beside children, and buffers, would be left behind."""
    found = worker.call("inside.py", "lies_whole", state=state)
    assert found == {"places": ["meta"], "freed": 0, "still": ["meta"], "same": True}


def test_what_it_kept_goes_when_the_memory_is_wanted_back(worker: Worker) -> None:
    found = worker.call("inside.py", "pushed_out")
    assert found["trail"] > 0 and found["left"] == 0 and found["same"] and found["ordinary"]


def test_a_generator_that_no_node_holds_is_forgotten(worker: Worker) -> None:
    assert worker.call("inside.py", "forgotten") == {"gone": True, "loaded": 0}


def test_pictures_are_the_same_bytes_again(worker: Worker) -> None:
    assert worker.call("inside.py", "bytes_as_images") == {
        "ours": True,
        "theirs": True,
        "others": True,
        "kind": ["torch.float32", [1, 16, 16, 3], 0.0, 1.0],
        "beyond": [0, 128, 255],
    }


def test_only_listed_files_are_found(worker: Worker) -> None:
    listed = worker.base / "models/gan_generators/toy/model.safetensors"
    assert worker.call("inside.py", "found_files", name="toy/model.safetensors") == str(listed)
    for name in ("../gan_generators/toy/model.safetensors", str(listed), "toy/config.json", "toy", "", "a\0b"):
        assert "no file" in worker.call("inside.py", "found_files", name=name)


def test_only_listed_inputs_are_found(worker: Worker) -> None:
    place = worker.base / "input" / "some" / "picture.PNG"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"")
    assert worker.call("inside.py", "found_inputs", name="some/picture.PNG") == str(place)
    for name in ("../input/some/picture.PNG", str(place), "some", "", "a\0b"):
        assert "no file" in worker.call("inside.py", "found_inputs", name=name)
