"""ComfyUI's door, for a clone of this repository in custom_nodes/. Inert anywhere else: pytest runs it, too."""

import sys

if "folder_paths" in sys.modules:
    from .plugin import comfy_entrypoint

    WEB_DIRECTORY = "./plugin/web"
    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
