"""TensorFlow-era snapshots, written without TensorFlow: networks as records, variables as NumPy arrays."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from eigan.generators.stylegan2 import StyleGAN2
from tests.dialects.stylegan2_exports import to_tensorflow
from tests.readers.makers import GlobalName, NamingPickler

NETWORK = GlobalName("dnnlib.tflib.network", "Network")


@dataclass
class Network:
    """A network, and the attributes that its state has."""

    state: dict[str, Any] = field(default_factory=dict)


class NetworkPickler(NamingPickler):
    """Writes a Network as Python writes an instance of dnnlib.tflib.network.Network."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if not isinstance(obj, Network):
            super().save(obj, save_persistent_id)
            return
        if id(obj) in self.memo:
            self.write(self.get(self.memo[id(obj)][0]))
            return
        if self.proto >= 2:
            self.save(NETWORK)
            self.write(pickle.EMPTY_TUPLE + pickle.NEWOBJ)
        else:
            self.save(GlobalName("copy_reg", "_reconstructor"))
            self.write(pickle.MARK)
            self.save(NETWORK)
            self.save(GlobalName("__builtin__", "object"))
            self.write(pickle.NONE + pickle.TUPLE + pickle.REDUCE)
        self.memoize(obj)
        self.save(obj.state)
        self.write(pickle.BUILD)


def dumps(value: Any, protocol: int = 4) -> bytes:
    file = io.BytesIO()
    NetworkPickler(file, protocol).dump(value)
    return file.getvalue()


def network(
    name: str,
    arrays: dict[str, Any],
    components: dict[str, Network] | None = None,
    static_kwargs: dict[str, Any] | None = None,
    **changes: Any,
) -> Network:
    state = {
        "version": 4,
        "name": name,
        "static_kwargs": static_kwargs or {},
        "components": components or {},
        "build_module_src": "import os; os.system('touch /tmp/eigan-pwned')",
        "build_func_name": "G_main",
        "variables": [*arrays.items()],
    }
    return Network({**state, **changes})


def as_variable(tensor: Tensor) -> Any:
    """Arrays; without axes, NumPy's scalars, as a TensorFlow session gives them."""
    return tensor.numpy() if tensor.ndim else np.float32(tensor.item())


def nest(weights: dict[str, Tensor], name: str = "Gs", **static_kwargs: Any) -> Network:
    """A generator of two components, by the variables' names."""
    own = {n: as_variable(t) for n, t in weights.items() if "/" not in n}
    parts = {
        part: {n.removeprefix(f"{part}/"): as_variable(t) for n, t in weights.items() if n.startswith(f"{part}/")}
        for part in ("synthesis", "mapping")
    }
    components = {part: network(f"G_{part}", found, {}, dict(static_kwargs)) for part, found in parts.items()}
    return network(name, own, components, dict(static_kwargs))


def snapshot(generator: StyleGAN2, protocol: int = 4, **static_kwargs: Any) -> bytes:
    """network.pkl: (G, D, Gs), G with other weights."""
    weights = to_tensorflow(generator)
    other = {name: tensor * 2 + 1 for name, tensor in weights.items()}
    discriminator = network("D", {"4x4/FromRGB/weight": np.zeros((1, 1, 3, 4), np.float32)})
    return dumps((nest(other, "G", **static_kwargs), discriminator, nest(weights, **static_kwargs)), protocol)
