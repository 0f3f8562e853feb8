"""Files made for the page: written to Gradio's cache under a person's file name, and no more of them than a bound.

Gradio deletes them after a day; a hundred visitors dragging sliders would fill a disk sooner.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock

from gradio.utils import get_upload_folder

FLEETING = 64 * 2**20  # bytes of pictures that were seen while something was dragged
LASTING = 2 * 2**30  # bytes of what a person may still want to download
SHELVES = "shelves"  # the folder of them all in Gradio's cache, beside what people have uploaded


class Shelf:
    """At most `max_bytes` of files in a folder of Gradio's cache; the oldest go first. Safe between threads."""

    def __init__(self, name: str, max_bytes: int):
        self.name, self.max_bytes = name, max_bytes
        self._lock = Lock()
        self._files: OrderedDict[Path, int] = OrderedDict()
        self._total = 0

    def put(self, data: bytes, name: str) -> str:
        """The path of a file called `name` that holds `data`; the same content is one file."""
        path = Path(get_upload_folder()).resolve() / SHELVES / self.name / sha256(data).hexdigest() / Path(name).name
        with self._lock:  # so that no other thread throws the file away between writing and noting
            if path.is_file():  # somebody may be reading it: it is not written again
                os.utime(path)
            else:
                _write(path, data)
            self._total += len(data) - self._files.pop(path, 0)
            self._files[path] = len(data)
            while self._total > self.max_bytes and len(self._files) > 1:
                old, size = self._files.popitem(last=False)
                self._total -= size
                _remove(old)
        return str(path)


def _write(path: Path, data: bytes) -> None:
    """All of the file or none of it, whoever looks meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _remove(path: Path) -> None:
    """The file and the folder that it had to itself."""
    path.unlink(missing_ok=True)
    with suppress(OSError):  # the same content is there under another name
        path.parent.rmdir()


fleeting, lasting = Shelf("fleeting", FLEETING), Shelf("lasting", LASTING)
