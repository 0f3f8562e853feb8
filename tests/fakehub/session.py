"""One fake Hub for the whole test session. Import this before anything imports huggingface_hub: it reads these once."""

from __future__ import annotations

import os
import tempfile

from tests.fakehub.server import FakeHub

HUB = FakeHub().start()
HF_HOME = tempfile.TemporaryDirectory(prefix="eigan-hf-home-", ignore_cleanup_errors=True)

os.environ.update(
    HF_ENDPOINT=HUB.url,
    HF_HOME=HF_HOME.name,
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_XET_TELEMETRY_ENABLED="0",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    GRADIO_ANALYTICS_ENABLED="False",
    no_proxy="127.0.0.1,localhost",
    NO_PROXY="127.0.0.1,localhost",
)
for name in (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HUB_CACHE",
    "HF_TOKEN_PATH",
):
    os.environ.pop(name, None)
