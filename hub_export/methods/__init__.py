"""Fitting methods. METHODS is the only place that lists them: one file and one line here add another."""

from __future__ import annotations

from hub_export.methods import ica, latentclr, local, pca, random, sefa
from hub_export.methods.base import Basis, Method, Problem

METHODS: dict[str, Method] = {
    "pca": pca.METHOD,
    "ica": ica.METHOD,
    "sefa": sefa.METHOD,
    "latentclr": latentclr.METHOD,
    "local": local.METHOD,
    "random": random.METHOD,
}

__all__ = ["METHODS", "Basis", "Method", "Problem"]
