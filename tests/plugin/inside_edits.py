"""Functions that run inside ComfyUI's process, for the nodes of edits, sweeps and fits. JSON out."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_management as mm
import torch
from PIL import Image


def part(name: str) -> Any:
    """A file of the plugin, as ComfyUI imported it."""
    modules = list(sys.modules.items())
    package = next(one for one, module in modules if "eigan" in one and hasattr(module, "comfy_entrypoint"))
    return sys.modules[f"{package}.{name}"]


def press_cancel(at: int) -> None:
    """Cancel is pressed when our nodes look whether it was, the `at`-th time; once."""
    ours, looks = part("comfy"), []
    own = ours.check_interrupt

    def looked() -> None:
        looks.append(1)
        if len(looks) == at:
            ours.check_interrupt = own
            mm.interrupt_current_processing()
        own()

    ours.check_interrupt = looked


def texts_of_sliders(pack_name: str, page: int) -> str:
    """What Edit Sliders says of a page."""
    amounts = {f"amount_{i}": 0.0 for i in range(8)}
    node, pack = part("nodes").NODES["EiganEditSliders"], part("opening").open_pack(pack_name)
    return str(node.execute(pack=pack, page=page, **amounts).args[1])


def fitted(method: str, generator_name: str = "toy/model.safetensors", **inputs: Any) -> dict[str, Any]:
    """Fit Directions of a generator: what the pack says, and a digest of its numbers."""
    loader, node = (part("nodes").NODES[name] for name in ("EiganLoadGenerator", "EiganFitDirections"))
    with torch.inference_mode():  # as ComfyUI does
        gan = loader.execute(generator_name=generator_name).args[0]
        pack = node.execute(generator=gan, method=method, **inputs).args[0]
    numbers = b"".join(d.vector.numpy().tobytes() + str(d.sigma).encode() for d in pack)
    return {
        "name": pack.name,
        "source": pack.source,
        "names": pack.names,
        "layers": sorted({str(d.layers) for d in pack}),
        "digest": hashlib.sha256(numbers).hexdigest(),
        "inference": any(d.vector.is_inference() for d in pack),
    }


def sheets_of_a_hub_pack() -> dict[str, Any]:
    """Its contact sheet where the Hub gives it, and where it does not; and what was asked of the Hub."""
    describing, asked = part("nodes.describing"), []
    pack = replace(part("opening").open_pack("heads"), source="org/heads@v1.0.0", revision="c" * 40)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "previews" / "contact-sheet.webp"
        path.parent.mkdir()
        Image.new("RGB", (20, 30)).save(path)

        def download(ref: Any, names: Any, **options: Any) -> Any:
            asked[:] = [ref.repo_id, ref.revision, list(names)]
            return SimpleNamespace(path=Path(folder))

        own, describing.hub.download = describing.hub.download, download
        try:
            there = describing.shipped_sheet(pack)
        finally:
            describing.hub.download = own
    return {"asked": asked, "there": list(there.shape), "gone": describing.shipped_sheet(pack)}
