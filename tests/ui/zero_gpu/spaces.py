"""A stand-in for Hugging Face's `spaces` on a ZeroGPU Space: what it does to a function, without the GPU.

As the real one, it runs decorated functions in a fork of the process, pickles what goes in and out, and reduces an
exception to a gr.Error with the name of its class. REFUSAL: said by the next calls instead, as to a visitor whose
minutes are spent.
"""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Callable
from functools import wraps
from multiprocessing.connection import Connection
from typing import Any

TORCH_CAME_FIRST = "torch" in sys.modules
CALL_SECONDS = 60
REFUSAL = ""
decorated: list[str] = []
asked: list[float] = []  # seconds, of each call


def GPU(*, duration: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: N802
    def decorate(task: Callable[..., Any]) -> Callable[..., Any]:
        decorated.append(task.__name__)

        @wraps(task)
        def handler(*args: Any, **kwargs: Any) -> Any:
            asked.append(duration(*args, **kwargs) if callable(duration) else duration)
            if REFUSAL:
                raise _error(REFUSAL)
            return _run_in_fork(task, pickle.dumps((args, kwargs)))

        return handler

    return decorate


def _run_in_fork(task: Callable[..., Any], given: bytes) -> Any:
    context = multiprocessing.get_context("fork")
    near, far = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(task, given, far), daemon=True)
    worker.start()
    far.close()
    try:
        if not near.poll(CALL_SECONDS):
            raise TimeoutError(f"{task.__name__} did not answer from its fork within {CALL_SECONDS} s")
        failed, value = pickle.loads(near.recv_bytes())
    finally:
        worker.kill()
        worker.join()
    if failed:
        raise _error(value)
    return value


def _work(task: Callable[..., Any], given: bytes, out: Connection) -> None:
    args, kwargs = pickle.loads(given)
    try:
        answer = (False, task(*args, **kwargs))
    except Exception as error:  # noqa: BLE001
        answer = (True, type(error).__name__)
    out.send_bytes(pickle.dumps(answer))


def _error(message: str) -> Exception:
    import gradio as gr

    return gr.Error(message, title="ZeroGPU worker error")
