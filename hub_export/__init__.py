"""hub_export: fit directions of a generator and publish them as versioned artifacts on the Hub."""

from hub_export.evaluation import evaluate
from hub_export.fit import fit
from hub_export.recipe import Recipe

__all__ = ["Recipe", "evaluate", "fit"]
