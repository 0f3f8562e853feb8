"""The app's parts. `build_app` makes the page, `launch` serves it; they need gradio (pip install "eigan[app]").

Gradio is imported with them and not before: files here that say "No Gradio" are used where it is not installed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # Gradio reads it when it is imported

if TYPE_CHECKING:
    from eigan.ui.app import build_app, launch

__all__ = ["build_app", "launch"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from eigan.ui import app

    return getattr(app, name)
