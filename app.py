"""The eigan app: `python app.py`, from a bare clone, an installed package or a Hugging Face Space."""

from __future__ import annotations

import os

# Read by torch's threads when it is imported. Waiting threads that spin turn 15 ms a picture into a second and more as
# soon as something else wants the same cores, as on a shared Space.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from eigan.ui.command import main

if __name__ == "__main__":
    main()
