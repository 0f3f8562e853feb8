"""What directions do, measured on pictures of them: `evaluate`, and the parts it is made of."""

from hub_export.evaluation.agreement import match
from hub_export.evaluation.measure import evaluate, with_measured_ranges
from hub_export.evaluation.scorers import Scorer, find_scorer

__all__ = ["Scorer", "evaluate", "find_scorer", "match", "with_measured_ranges"]
