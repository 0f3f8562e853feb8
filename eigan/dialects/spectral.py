"""Spectral normalisation folded into plain weights: x.weight_orig, x.weight_u and x.weight_v become x.weight.

Miyato et al., ICLR 2018 (arXiv:1802.05957); stored as torch.nn.utils.spectral_norm stores it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from eigan.errors import CheckpointError

ORIG, LEFT, RIGHT = "weight_orig", "weight_u", "weight_v"


def fold_spectral_norm(weights: Mapping[str, Tensor], transposed: Collection[str] = ()) -> dict[str, Tensor]:
    """`weights` with every weight_orig divided by its σ, as "weight"; everything else as it is, in the same order.

    σ = uᵀ W v with the stored u and v, as in evaluation (no power iteration; they need not have converged), computed
    in float64; the result is float32. W is weight_orig as a matrix whose rows are dimension 0, or dimension 1 for
    transposed convolutions: the sizes of u and v tell which. transposed: layers ("init.init.0") known to be transposed
    convolutions, for those whose first two dimensions are equal. Files of torch 0.4 have the finished weight in place
    of v; it is taken.

    Raises:
        CheckpointError: a part is missing, does not fit the others, or σ is 0 or not finite.
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        layer, dot, last = name.rpartition(".")
        if last in (LEFT, RIGHT) and f"{layer}{dot}{ORIG}" in weights:
            continue
        if last == ORIG:
            folded[f"{layer}{dot}weight"] = _fold(weights, f"{layer}{dot}", transposed=layer in transposed)
        elif not (last == "weight" and f"{name}_orig" in weights):
            folded[name] = tensor
    return folded


def _fold(weights: Mapping[str, Tensor], prefix: str, *, transposed: bool) -> Tensor:
    weight, u, v = weights[f"{prefix}{ORIG}"], weights.get(f"{prefix}{LEFT}"), weights.get(f"{prefix}{RIGHT}")
    finished = weights.get(f"{prefix}weight")
    if finished is not None:
        if v is not None:
            raise CheckpointError(f"the file holds {prefix}weight twice: as it is, and as {ORIG}, {LEFT} and {RIGHT}")
        return finished
    if u is None or v is None:
        missing = f"{prefix}{LEFT if u is None else RIGHT}"
        raise CheckpointError(f"{prefix}{ORIG} cannot be normalised: missing {missing}; the checkpoint is incomplete")
    if not all(part.is_floating_point() for part in (weight, u, v)):
        raise CheckpointError(f"{prefix}{ORIG}, {LEFT} and {RIGHT} are not all floating point numbers")
    sigma = float(u.double() @ (_matrix(weight, u, v, prefix, transposed=transposed).double() @ v.double()))
    if sigma == 0 or not -float("inf") < sigma < float("inf"):
        raise CheckpointError(f"{prefix}{ORIG} has the spectral norm {sigma}; the checkpoint is damaged")
    return (weight.double() / sigma).float()


def _matrix(weight: Tensor, u: Tensor, v: Tensor, prefix: str, *, transposed: bool) -> Tensor:
    """weight_orig as the matrix (len(u), len(v)) that was normalised."""
    for axis in (1, 0) if transposed else (0, 1):
        if weight.ndim > axis and u.ndim == v.ndim == 1 and len(u) == weight.shape[axis]:
            matrix: Tensor = weight.movedim(axis, 0).flatten(1) if weight.ndim > 1 else weight[:, None]
            if matrix.shape == (len(u), len(v)):
                return matrix
    shapes = [tuple(part.shape) for part in (weight, u, v)]
    raise CheckpointError(f"{prefix}{ORIG}, {LEFT} and {RIGHT} have shapes {shapes}, which do not fit together")
