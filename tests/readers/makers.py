"""Snapshots in NVIDIA's form, written without its code; pickles put together by hand."""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any

import torch

from eigan.generators.base import Generator


class GlobalName:
    """A global that is written by name and never imported."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self) -> None:  # the pickler wants functions to be callable
        raise AssertionError("a stand-in was called while writing")


class Call:
    """Pickles as a call of a global."""

    def __init__(self, module: str, name: str, *args: Any):
        self.function, self.args = GlobalName(module, name), args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


class NamingPickler(pickle._Pickler):  # type: ignore[name-defined, misc]
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, GlobalName):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        else:
            super().save(obj, save_persistent_id)


def dumps(value: Any, protocol: int = 4) -> bytes:
    file = io.BytesIO()
    NamingPickler(file, protocol).dump(value)
    return file.getvalue()


def module(class_name: str, parameters: dict[str, Any], modules: dict[str, Any], **attributes: Any) -> Call:
    state = {
        "training": False,
        "_parameters": {n: torch.nn.Parameter(t) for n, t in parameters.items()},
        "_buffers": {},
        "_modules": modules,
        "_non_persistent_buffers_set": set(),
        "_init_args": (),
        "_init_kwargs": {},
        **attributes,
    }
    meta = {"type": "class", "version": 6, "module_src": "", "class_name": class_name, "state": state}
    return Call("torch_utils.persistence", "_reconstruct_persistent_obj", meta)


def nest(weights: dict[str, torch.Tensor], class_name: str = "Generator") -> Call:
    """Modules that nest as the weights' dotted names do."""
    own = {name: tensor for name, tensor in weights.items() if "." not in name}
    inner: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in weights.items():
        if "." in name:
            first, rest = name.split(".", 1)
            inner.setdefault(first, {})[rest] = tensor
    return module(class_name, own, {name: nest(below, "Part") for name, below in inner.items()})


def snapshot(generator: Generator, protocol: int = 4, **others: Any) -> bytes:
    """network.pkl of `generator` (a family with NVIDIA's names)."""
    return dumps({"G": None, "D": None, **others, "G_ema": nest(dict(generator.weights()))}, protocol)


def short_text(text: str) -> bytes:
    data = text.encode()
    return b"\x8c" + bytes([len(data)]) + data


def long_bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data
