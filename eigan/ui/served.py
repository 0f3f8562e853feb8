"""Files made for the page: written to Gradio's cache under a person's file name, and no more of them than a bound.

Gradio deletes them after a day; a hundred visitors dragging sliders would fill a disk sooner.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

FLEETING = 64 * 2**20  # bytes of pictures that were seen while something was dragged
LASTING = 2 * 2**30  # bytes of what a person may still want to download


class Shelf:
    """At most `max_bytes` of files in Gradio's cache; the oldest go first. Safe between threads."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self._lock = Lock()
        self._files: OrderedDict[str, int] = OrderedDict()
        self._total = 0

    def put(self, data: bytes, name: str) -> str:
        """The path of a file called `name` that holds `data`; the same content is one file."""
        with self._lock:  # so that no other thread throws the file away between writing and noting
            path = str(save_bytes_to_cache(data, name, get_upload_folder()))
            self._total += len(data) - self._files.pop(path, 0)
            self._files[path] = len(data)
            while self._total > self.max_bytes and len(self._files) > 1:
                old, size = self._files.popitem(last=False)
                self._total -= size
                Path(old).unlink(missing_ok=True)
        return path


fleeting, lasting = Shelf(FLEETING), Shelf(LASTING)
