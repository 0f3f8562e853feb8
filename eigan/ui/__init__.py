"""The app's parts. `build_app` makes the page, `launch` serves it. Needs gradio (pip install "eigan[app]")."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # Gradio reads it when it is imported

from eigan.ui.app import build_app, launch  # after the line above, on purpose

__all__ = ["build_app", "launch"]
