"""Fitting methods. METHODS is the only place that lists them: one file and one line here add another."""

from __future__ import annotations

from hub_export.methods import pca, sefa
from hub_export.methods.base import Basis, Method, Problem

METHODS: dict[str, Method] = {
    "pca": pca.METHOD,
    "sefa": sefa.METHOD,
}

__all__ = ["METHODS", "Basis", "Method", "Problem"]
