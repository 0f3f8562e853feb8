"""Files of directions, written the way their own tools write them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[Any]
DIM = 16  # of the toy generator's codes


def unit_rows(count: int, dim: int = DIM, seed: int = 0) -> Array:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def components(
    folder: Path, name: str = "stylegan2-toy_style_ipca_c4_n1000_w.npz", count: int = 4, **changes: Any
) -> Path:
    """GANSpace's decomposition.py: float32 arrays, savez_compressed; a change of None leaves an array out."""
    rows = unit_rows(count)
    arrays: dict[str, Any] = {
        "act_comp": rows[:, None],
        "act_mean": np.zeros((1, DIM), np.float32),
        "act_stdev": np.linspace(3, 1, count, dtype=np.float32),
        "lat_comp": rows[:, None],
        "lat_mean": np.zeros((1, DIM), np.float32),
        "lat_stdev": np.linspace(2, 1, count, dtype=np.float32) * 1.01,
        "var_ratio": np.linspace(0.5, 0.1, count, dtype=np.float32),
        "random_stdevs": np.ones(count, np.float32),
    }
    arrays.update(changes)
    np.savez_compressed(folder / name, **{k: v for k, v in arrays.items() if v is not None})
    return folder / name


def edit_fields(**changes: Any) -> dict[str, Any]:
    """GANSpace's interactive.py, export_direction."""
    row = unit_rows(1)
    return {
        "name": "Light direction ",
        "sigma_range": np.float64(4.0),
        "component_index": 15,
        "act_comp": row,
        "lat_comp": row,
        "latent_space": "W",
        "act_stdev": 1.044,
        "lat_stdev": 1.0335,
        "model_name": "StyleGAN2",
        "output_class": "ffhq",
        "decomposition": {"name": "ipca", "components": 80, "samples": 10, "layer": "style", "class_name": "ffhq"},
        "edit_type": "latent",
        "truncation": 0.9,
        "edit_start": 3,
        "edit_end": 5,
        "example_seed": 1941578080,
    } | changes


def pickled(path: Path, value: Any, protocol: int = 3) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def saved(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def torch_saved(path: Path, value: Any, *, legacy: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def mlp(dim: int, depth: int) -> nn.Sequential:
    """LatentCLR's create_mlp: linear (with bias), then [normalisation, ReLU, linear] as often as the depth asks."""
    found = nn.Sequential()
    found.add_module("linear_1", nn.Linear(dim, dim))
    for i in range(1, depth):
        found.add_module(f"batchnorm_{i}", nn.BatchNorm1d(dim))
        found.add_module(f"relu_{i}", nn.ReLU())
        found.add_module(f"linear_{i + 1}", nn.Linear(dim, dim, bias=i + 1 < depth))
    return found


class Conditional(nn.Module):
    """K independent networks of a code, as LatentCLR's conditional models."""

    def __init__(self, count: int, dim: int, depth: int):
        super().__init__()
        self.nets = nn.ModuleList(mlp(dim, depth) for _ in range(count))

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([net(z) for net in self.nets])


def conditional(count: int = 3, dim: int = DIM, depth: int = 3, seed: int = 0) -> Conditional:
    torch.manual_seed(seed)
    model = Conditional(count, dim, depth)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()  # type: ignore[union-attr,operator]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr,operator]
    for net in model.nets:
        net[-1].weight.data.mul_(0.3)  # type: ignore[index,union-attr]
        first = net[0] if depth == 1 else net[-1]  # type: ignore[index]
        if first.bias is not None:
            first.bias.data.normal_()
    return model.eval()


def checkpoint(state: dict[str, Tensor]) -> dict[str, Any]:
    """A trainer's snapshot: the model among things that nobody needs."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter])
    return {
        "iteration": 10,
        "optimizer": optimizer.state_dict(),
        "model": state,
        "projector": {},
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [5]).state_dict(),
        "scaler": {},
    }
