"""factor.pt of rosinality's closed_form_factorization.py: eigenvectors of the modulation weights (SeFa).

SeFa: Shen & Zhou, CVPR 2021, arXiv:2007.06600; rosinality/stylegan2-pytorch, commit bef283a: column i is direction i,
largest eigenvalue first; apply_factor.py adds degree * direction to w of all layers, before truncation.
"""

from __future__ import annotations

from eigan.errors import PackFormatError
from eigan.importers.base import Contents, Move, Opened, Request, clean_text, is_leaf, numbered, read_rows, taken

KEYS = {"ckpt", "eigvec"}


def sniff(file: Opened) -> bool:
    return file.container == "torch" and isinstance(file.value, dict) and is_leaf(file.value.get("eigvec"))


def read(file: Opened, request: Request) -> Contents:
    """Column i of the eigenvectors as "sefa-00", "sefa-01", ..., on all layers.

    Raises:
        PackFormatError: eigenvectors that are no square matrix.
    """
    columns = read_rows(file.value["eigvec"], "eigvec")
    if columns.shape[0] != columns.shape[1]:
        raise PackFormatError(f"eigvec has shape {tuple(columns.shape)}; wanted a square matrix, a direction a column")
    names = numbered("sefa", len(columns))[: taken(len(columns), request)]
    return Contents(
        moves=tuple(
            Move(name, columns[:, i], description=f"Eigenvector {i} of the modulation weights, column {i} of the file.")
            for i, name in enumerate(names)
        ),
        unit="degree of apply_factor.py: distance in w, before truncation",
        space="w",
        space_from="the file",
        description="Closed-form factorisation (SeFa, arXiv:2007.06600) as rosinality's stylegan2-pytorch writes it: "
        "raw weights of all layers, not normalised.",
        origin={"checkpoint": clean_text(file.value.get("ckpt")).replace("\\", "/").rpartition("/")[2]},
    )
