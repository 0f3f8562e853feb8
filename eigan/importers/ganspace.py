"""GANSpace's component files (.npz), and the same components as e4e, PTI and HyperStyle keep them (ffhq_pca.pt).

GANSpace: Härkönen et al., NeurIPS 2020, arXiv:2004.02546; checked against harskish/ganspace, commit 5a704c4. All arrays
are float32; `lat_comp` are unit directions in the latent space, whatever layer the components were fitted on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from eigan.errors import PackFormatError
from eigan.importers.base import (
    Contents,
    Move,
    Opened,
    Request,
    Space,
    numbered,
    read_numbers,
    read_rows,
    shape_of,
    taken,
)
from eigan.importers.named import add_names, check_space, names_for

FILE_NAME = re.compile(r"(?P<model>[\w.-]+?)_(?P<layer>[\w.]+?)_(?P<estimator>(?:ipca|fbpca|pca|ica|spca)[\w.-]*)")
E4E_KEYS = {"comp", "mean", "std"}
E4E_NAMES = "stylegan2-ffhq"


def sniff(file: Opened) -> bool:
    return file.container == "npz" and bool({"lat_comp", "act_comp"} & set(file.value))


def read(file: Opened, request: Request) -> Contents:
    """Every component as a move "pc-00", ..., and the named edits of the model that the file's name says.

    Raises:
        PackFormatError: arrays that contradict each other.
        UnknownName: names that eigan does not have.
    """
    arrays = file.value
    if "lat_comp" not in arrays:
        raise PackFormatError("it holds components of activations (act_comp) and no directions of codes (lat_comp)")
    vectors = read_rows(arrays["lat_comp"], "lat_comp")
    check_shapes(arrays, len(vectors), vectors.shape[1])
    count = taken(len(vectors), request)
    stdev = read_values(arrays, "lat_stdev", len(vectors))
    act_stdev, ratio = (read_values(arrays, key, len(vectors)) for key in ("act_stdev", "var_ratio"))
    space, space_from = space_of(file, stdev)
    moves = tuple(
        Move(
            name,
            vectors[i],
            sigma=float(stdev[i]) if stdev is not None and space == "w" else None,
            description=f"Component {i} of {file.name}.",
            metrics={
                "component": float(i),
                **({} if act_stdev is None else {"activation_stdev": float(act_stdev[i])}),
                **({} if ratio is None else {"explained_variance_ratio": float(ratio[i])}),
            },
        )
        for i, name in enumerate(numbered("pc", len(vectors))[:count])
    )
    match = FILE_NAME.match(file.stem)
    contents = Contents(
        moves=moves,
        unit="sigma of the file" if space == "w" else "length of the vector; GANSpace's own sigma is 1 in z",
        space=space,
        space_from=space_from,
        description="Components fitted with GANSpace (Härkönen et al., NeurIPS 2020, arXiv:2004.02546).",
        origin={
            "decomposition": match.groupdict() if match else {},
            "arrays": {name: list(array.shape) for name, array in sorted(arrays.items())},
        },
    )
    names = names_for(file.stem, request, "ganspace")
    if names is not None:
        check_space(names, space)
    return add_names(contents, names)


def check_shapes(arrays: Mapping[str, Any], count: int, dim: int) -> None:
    """Raise PackFormatError where the arrays disagree on how many components there are, or of how many numbers."""
    for key in ("act_comp", "act_stdev", "lat_stdev", "var_ratio", "random_stdevs"):
        shape = shape_of(arrays[key]) if key in arrays else None
        if shape is not None and shape[:1] != (count,):
            raise PackFormatError(f"{key} has shape {shape}; lat_comp holds {count} components")
    if "lat_mean" in arrays and math.prod(shape_of(arrays["lat_mean"]) or ()) != dim:
        raise PackFormatError(f"lat_mean has shape {shape_of(arrays['lat_mean'])}; lat_comp has {dim} numbers each")


def read_values(arrays: Mapping[str, Any], key: str, count: int) -> Tensor | None:
    """The (count,) numbers under `key`, float64; None when the file has none. Raises PackFormatError."""
    if key not in arrays:
        return None
    shape = shape_of(arrays[key]) or (0,)
    if math.prod(shape) != count:
        raise PackFormatError(f"{key} has shape {shape}; the file holds {count} components")
    values = read_numbers(arrays[key], key).double().reshape(-1)
    if bool((values < 0).any()):
        raise PackFormatError(f"{key} holds negative numbers; the file is damaged")
    return values


def space_of(file: Opened, stdev: Tensor | None) -> tuple[Space | Literal[""], str]:
    """w when codes were measured along the directions, z when GANSpace wrote 1 for all; else by what is left.

    Old files have no lat_stdev: there, directions of codes that are the components themselves were fitted in w.
    """
    if stdev is not None:
        return ("z" if bool((stdev == 1).all()) else "w"), "the file"
    if file.stem.endswith("_w"):
        return "w", "the file name"
    lat, act = file.value["lat_comp"], file.value.get("act_comp")
    if shape_of(act) == shape_of(lat) and torch.equal(read_rows(lat, "lat_comp"), read_rows(act, "act_comp")):
        return "w", "the file"
    return "", ""


def sniff_e4e(file: Opened) -> bool:
    return file.container == "torch" and isinstance(file.value, dict) and set(file.value) == E4E_KEYS


def read_e4e(file: Opened, request: Request) -> Contents:
    """ffhq_pca.pt: comp (K, 1, D), mean (D,) and std (K,) of w; named as GANSpace's StyleGAN2 FFHQ unless told not to.

    Raises:
        PackFormatError: arrays that contradict each other.
    """
    vectors = read_rows(file.value["comp"], "comp")
    count = taken(len(vectors), request)
    stdev = read_values(file.value, "std", len(vectors))
    moves = tuple(
        Move(
            name,
            vectors[i],
            sigma=None if stdev is None else float(stdev[i]),
            description=f"Component {i} of {file.name}.",
            metrics={"component": float(i)},
        )
        for i, name in enumerate(numbered("pc", len(vectors))[:count])
    )
    contents = Contents(
        moves=moves,
        unit="sigma of the file",
        space="w",
        space_from="the file",
        description="GANSpace's components as e4e, PTI and HyperStyle ship them.",
        origin={"arrays": {name: list(shape_of(value) or ()) for name, value in sorted(file.value.items())}},
    )
    is_ffhq = vectors.shape[1] == 512 and "ffhq" in file.stem.lower()
    return add_names(contents, names_for(file.stem, request, "ganspace", usual=E4E_NAMES if is_ffhq else ""))
