"""Plots of what was measured, for cards and comparison pages: names and numbers in, WebP bytes out, nothing kept."""

from __future__ import annotations

from hub_export.plots.canvas import can_draw, draw
from hub_export.plots.one_pack import PLOTS, render_plots

__all__ = ["PLOTS", "can_draw", "draw", "render_plots"]
