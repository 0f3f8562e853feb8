"""Every exception that eigan and hub_export raise. A message says what was given, what was wanted, what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")
MAX_MESSAGE = 1200
MAX_TAIL = 300
MAX_LISTED = 80
TAG = re.compile(r"<(?=[A-Za-z/!?])")


class EiganError(Exception):
    """Root of everything raised on purpose; catch it to show one sentence to a person.

    Messages quote names out of strangers' files, and are printed by terminals and put into pages. Every one of them is
    made fit to be shown here, whoever raises it: see `presentable`.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(presentable(str(message)))


class CheckpointError(EiganError, ValueError):
    """Raised when a generator file cannot be read: truncated, malformed, too large, or weights that do not fit."""


class UnsafeCheckpoint(CheckpointError):
    """Raised when a file asks for something that is not on the weights allow-list. Nothing in the file was run."""


class UnknownArchitecture(CheckpointError):
    """Raised when a file was read safely but its weights belong to no generator that eigan knows."""


class PackFormatError(EiganError, ValueError):
    """Raised when a direction pack, preset or recipe is malformed, damaged or carries values out of range."""


class PackMismatch(EiganError, ValueError):
    """Raised when a pack was made for another generator than the one at hand."""


class UnknownName(EiganError, LookupError):
    """Raised when a name is looked up that the table or pack does not have; the message lists what it has."""


class InvalidCodes(EiganError, ValueError):
    """Raised when latents or codes have the wrong shape, or a value is outside what the generator accepts."""


class HubError(EiganError, OSError):
    """Raised when the Hub cannot give what was asked for: unreachable, not found, private, gated, or not cached."""


class FitError(EiganError, ValueError):
    """Raised when directions cannot be fitted with the recipe given."""


class FitInterrupted(FitError):
    """Raised when fitting was stopped by the user; the message says where the gathered statistics were kept."""


class NotConverged(FitError):
    """Raised when an iterative method stopped before reaching its tolerance."""


class PublishError(EiganError, RuntimeError):
    """Raised when a folder cannot be published; nothing half-written is left on the Hub."""


class PublishInterrupted(PublishError):
    """Raised when publishing was stopped by the user; the message says what is on the Hub. Running it again goes on."""


def presentable(message: str) -> str:
    """`message` on one line, without control characters and tags, its middle left out where it is too long."""
    if len(message) > 8 * MAX_MESSAGE:
        message = message[: 4 * MAX_MESSAGE] + message[-4 * MAX_MESSAGE :]
    shown = TAG.sub(r"\\x3c", message if message.isprintable() else "".join(map(_visible, message)))
    if len(shown) <= MAX_MESSAGE:
        return shown
    gap = " … "
    return shown[: MAX_MESSAGE - MAX_TAIL - len(gap)] + gap + shown[-MAX_TAIL:]


def _visible(ch: str) -> str:
    if ch.isprintable():
        return ch
    return " " if ch in "\t\r\n" else ch.encode("unicode_escape").decode()


def lookup(table: Mapping[str, T], name: str, noun: str) -> T:
    """The entry of `table` called `name`.

    Raises:
        UnknownName: with the known names, so that a typo can be mended at once.
    """
    try:
        return table[name]
    except KeyError:
        raise UnknownName(f"unknown {noun} {name!r}; known: {list_names(table)}") from None


def list_names(names: Iterable[str], limit: int = 20) -> str:
    """Names joined for a message, cut after `limit`; each of them cut, too, when it is long."""
    listed = list(names)
    tail = f", … ({len(listed)} in all)" if len(listed) > limit else ""
    return ", ".join(n if len(n) <= MAX_LISTED else f"{n[:MAX_LISTED]}…" for n in listed[:limit]) + tail
