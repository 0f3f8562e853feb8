"""Functions that run inside ComfyUI's process (`worker.call("inside.py", name)`): what only it can see. JSON out."""

from __future__ import annotations

import gc
import sys
from typing import Any

import comfy.model_management as mm
import numpy as np
import torch

import eigan
from eigan.latents import seeded_z


def pack() -> Any:
    """Our custom node's package, as ComfyUI imported it."""
    return next(
        module for name, module in list(sys.modules.items()) if hasattr(module, "comfy_entrypoint") and "eigan" in name
    )


def part(name: str) -> Any:
    return sys.modules[f"{pack().__name__}.{name}"]


def where() -> dict[str, Any]:
    import hub_export

    return {
        "eigan": eigan.__file__,
        "hub_export": hub_export.__file__,
        "path": sys.path,
        "gradio": "gradio" in sys.modules,
    }


def generator() -> Any:
    """As the loader node gives it: under ComfyUI's inference mode."""
    node = part("nodes").NODES["EiganLoadGenerator"]
    with torch.inference_mode():
        return node.execute(generator_name="toy/model.safetensors").args[0]


def tensors_that_gradients_pass() -> dict[str, Any]:
    """Weights and codes of nodes are ordinary tensors: an inversion can go through them."""
    gan = generator()
    latents = part("nodes").NODES["EiganLatentFromSeed"]
    with torch.inference_mode():
        latent = latents.execute(generator=gan, seed=1, truncation=0.7).args[0]
        with torch.inference_mode(False), torch.enable_grad():
            codes = latent.codes.clone().requires_grad_()
            gan.ready().generator.synthesis(codes).square().mean().backward()
    weights = [tensor.is_inference() for tensor in gan.generator.state_dict().values()]
    return {"weights": any(weights), "codes": latent.codes.is_inference(), "gradient": float(codes.grad.abs().sum())}


def stages_run_by_two_renders() -> list[int]:
    """How many stages run: of the first picture, and when a direction of the last layers moves."""
    gan, counts = generator(), []
    codes = gan.generator.mapping(seeded_z([3], 16))
    moved = codes.clone()
    moved[:, -1] += 1.0
    kinds = {type(stage) for stage in gan.generator.stages}
    kept = {kind: kind.__call__ for kind in kinds}

    def counted(kind: type) -> Any:
        def call(self: Any, *given: Any) -> Any:
            counts[-1] += 1
            return kept[kind](self, *given)

        return call

    for kind in kinds:
        kind.__call__ = counted(kind)
    try:
        for row in (codes, moved):
            counts.append(0)
            part("comfy").draw(gan.ready(), row)
    finally:
        for kind in kinds:
            kind.__call__ = kept[kind]
    return [*counts, len(gan.generator.stages)]


def cancelled_within_a_picture() -> dict[str, Any]:
    """Cancel is pressed while the third stage runs."""
    gan = generator()
    codes, ran = gan.generator.mapping(seeded_z([3], 16)), []
    whole = part("comfy").draw(generator().ready(), codes)
    renderer = gan.ready()
    clock = renderer._clock

    def pressed() -> float:
        ran.append(1)
        if len(ran) == 5:  # before and after each stage
            mm.interrupt_current_processing()
        return float(clock())

    renderer._clock = pressed
    try:
        part("comfy").draw(renderer, codes)
        stopped = "not"
    except mm.InterruptProcessingException:
        stopped = f"at {len(ran)}"
    renderer._clock = clock
    return {"stopped": stopped, "goes on": bool(np.array_equal(part("comfy").draw(renderer, codes), whole))}


def lies_whole(state: str) -> dict[str, Any]:
    """On which devices everything is after loading, with ComfyUI's memory mode `state`; the meta device is the GPU."""
    gan = generator()
    patcher = gan.handle.patcher
    patcher.load_device = torch.device("meta")
    before, mm.vram_state = mm.vram_state, mm.VRAMState[state]
    asked = (mm.get_free_memory, mm.free_memory)
    mm.get_free_memory, mm.free_memory = (lambda *_: 2.0**20), (lambda *_, **__: [])
    try:
        renderer = gan.ready()
        places = {str(tensor.device) for tensor in (*gan.generator.parameters(), *gan.generator.buffers())}
        freed = patcher.partially_unload(torch.device("cpu"), 1000)
        still = {str(tensor.device) for tensor in (*gan.generator.parameters(), *gan.generator.buffers())}
    finally:
        mm.vram_state = before
        mm.get_free_memory, mm.free_memory = asked
        mm.current_loaded_models[:] = [one for one in mm.current_loaded_models if one.model is not patcher]
    return {"places": sorted(places), "freed": freed, "still": sorted(still), "same": renderer is gan.handle.renderer}


def pushed_out() -> dict[str, Any]:
    """What is left on the device when ComfyUI wants the memory back; and that the next picture is the same."""
    gan = generator()
    codes = gan.generator.mapping(seeded_z([3], 16))
    first = part("comfy").draw(gan.ready(), codes)
    trail = gan.handle.renderer.trail_bytes
    with torch.inference_mode():  # as another node does it
        mm.unload_all_models()
    left = gan.handle.renderer.trail_bytes
    again = part("comfy").draw(gan.ready(), codes)
    ordinary = not any(tensor.is_inference() for tensor in gan.generator.state_dict().values())
    return {"trail": trail, "left": left, "same": bool(np.array_equal(first, again)), "ordinary": ordinary}


def forgotten() -> dict[str, Any]:
    """A generator that no node holds any more is gone, and ComfyUI knows."""
    import weakref

    gan = generator()
    gan.ready()
    held = weakref.ref(gan.generator)
    del gan
    gc.collect()
    mm.cleanup_models()
    return {"gone": held() is None, "loaded": len([one for one in mm.current_loaded_models if one.model is None])}


def bytes_as_images() -> dict[str, Any]:
    """uint8 -> IMAGE -> uint8, by us and as ComfyUI's nodes save it; other layouts."""
    comfy = part("comfy")
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    image = comfy.to_image(levels)
    saved = np.clip(255.0 * image.numpy(), 0, 255).astype(np.uint8)
    grey, alpha = comfy.from_image(image[..., :1]), comfy.from_image(torch.cat([image, image[..., :1]], dim=3))
    return {
        "ours": bool(np.array_equal(comfy.from_image(image), levels)),
        "theirs": bool(np.array_equal(saved, levels)),
        "others": bool(np.array_equal(grey, levels) and np.array_equal(alpha, levels)),
        "kind": [str(image.dtype), list(image.shape), float(image.min()), float(image.max())],
        "beyond": comfy.from_image(torch.tensor([-1.0, 0.5, 2.0]).reshape(1, 1, 1, 3)).flatten().tolist(),
    }


def found_files(name: str) -> str:
    try:
        return str(part("comfy").find("gan_generators", name))
    except eigan.EiganError as error:
        return str(error)


def found_inputs(name: str) -> str:
    try:
        return str(part("comfy").find_input(name, (".png", ".json")))
    except eigan.EiganError as error:
        return str(error)
