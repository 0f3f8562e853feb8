"""Messages quote strangers' files; they stay one printable line of bounded length, whoever raises them."""

from __future__ import annotations

import pickle

import pytest

from eigan import errors
from eigan.errors import MAX_MESSAGE, CheckpointError, EiganError, HubError, list_names, presentable

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EiganError)]
HOSTILE = {
    "terminal": "\x1b[31m\x07\x00\x9b2J",
    "direction": "abc\u202etxt.exe\u200b",
    "surrogate": "\ud800\udfff",
    "lines": "fine\r\nroot: all is well\u2028really",
    "tags": "<script>alert(1)</script><img src=x><!-- x --><?php",
    "long": "\x1b<b>" * 10**6,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_message_steers_a_terminal_or_a_page(kind: type[EiganError], name: str) -> None:
    message = str(kind(f"the file says {HOSTILE[name]}; download it again"))
    assert message.isprintable() and len(message) <= MAX_MESSAGE
    assert not any(tag in message for tag in ("<s", "</", "<i", "<!", "<?", "<b"))
    assert message.startswith("the file says ") and message.endswith("; download it again")


def test_ordinary_messages_stay_as_they_are() -> None:
    for message in ("3 < 4, “Größe” <2 px, 日本", "a < b", ""):
        assert presentable(message) == message == str(CheckpointError(message))


def test_a_message_is_made_presentable_once() -> None:
    once = presentable(HOSTILE["long"])
    assert presentable(once) == once
    assert str(pickle.loads(pickle.dumps(HubError(HOSTILE["long"])))) == once


def test_listed_names_are_cut() -> None:
    assert list_names(["x" * 500, "y"]) == f"{'x' * 80}…, y"
