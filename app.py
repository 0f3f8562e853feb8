"""The eigan app: `python app.py`, from a bare clone, an installed package or a Hugging Face Space."""

from __future__ import annotations

import contextlib
import gc
import os

gc.disable()  # hardly anything that an import makes is garbage: looking for it takes a fifth of the start

# Read by torch's threads when it is imported. Waiting threads that spin turn 15 ms a picture into a second and more as
# soon as something else wants the same cores, as on a shared Space.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if os.environ.get("SPACES_ZERO_GPU"):
    with contextlib.suppress(ImportError):
        import spaces  # noqa: F401  (ZeroGPU's package changes torch, so it comes first)

from eigan.ui.memory import keep_pages  # noqa: E402
from eigan.ui.stubs import no_stubs  # noqa: E402

with no_stubs():
    from eigan.ui import gpu  # noqa: F401  (the functions that ask for a GPU have to be there when the app starts)
    from eigan.ui.command import main

gc.freeze()  # what is imported now stays, and is never looked through again
gc.enable()

if __name__ == "__main__":
    keep_pages()
    main()
