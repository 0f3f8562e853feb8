"""Packs on the Hub, found for a person who waits: searched, their versions listed, and remembered for some minutes.

All visitors of a Space ask the Hub from one address, whose requests it counts. So the same question is asked once, no
question is waited for long, and a hosted page asks only so many. No Gradio.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from eigan import hub, sources
from eigan.errors import EiganError, HubError, UnknownName
from eigan.hub_errors import is_transient

if TYPE_CHECKING:
    from hub_export.catalogue import Listing

MAX_FOUND = 12  # packs of one search; each costs one request for its newest version
MAX_WORDS = 80
MAX_CELL = 120
SHOWN_NAMES = 4
MAX_SHOWN_NAME = 24
REMEMBERED_SECONDS = 300.0
FAILED_SECONDS = 15.0  # a failure is told again without asking
DOWN_SECONDS = 30.0  # a Hub that cannot be reached, or limits how often it is asked, is not asked anything
PATIENCE = 12.0  # seconds a person waits; the answer is kept when it comes later
MAX_REMEMBERED = 128
MAX_AT_ONCE = 6  # questions on their way
WINDOW = 300.0  # seconds in which a hosted page makes at most so many requests; the Hub's own limit is about 500
REQUESTS = 240

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class Asked(Generic[V]):
    """A question that was asked. until: when it is forgotten; None while its answer is on its way."""

    answer: Future[V] = field(default_factory=Future)
    until: float | None = None


class Remembered(Generic[K, V]):
    """Answers by question, for a while. Slow ones come to those who ask again; nobody asks twice what is on its way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = Lock()
        self._asked: OrderedDict[K, Asked[V]] = OrderedDict()
        self._at_once = BoundedSemaphore(MAX_AT_ONCE)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """What `make` answers to `key`, now or up to five minutes ago.

        Raises:
            HubError: no answer yet, or too many questions are on their way. What `make` raised, for a short while.
        """
        answer = self._answer(key, make)
        if not wait([answer], PATIENCE).done:
            raise HubError(
                f"the Hub has not answered within {PATIENCE:g} s; ask again in a moment, or open a bundled pack"
            )
        return answer.result()

    def _answer(self, key: K, make: Callable[[], V]) -> Future[V]:
        with self._lock:
            now = self._clock()
            for old in [k for k, asked in self._asked.items() if asked.until is not None and asked.until <= now]:
                del self._asked[old]
            if found := self._asked.get(key):
                self._asked.move_to_end(key)
                return found.answer
            if not self._at_once.acquire(blocking=False):
                raise HubError("the Hub is slow and many people are asking it; try again in a moment")
            asked = self._asked[key] = Asked()
            while len(self._asked) > MAX_REMEMBERED:
                self._asked.popitem(last=False)
        Thread(target=self._ask, args=(asked, make), daemon=True).start()
        return asked.answer

    def _ask(self, asked: Asked[V], make: Callable[[], V]) -> None:
        try:
            value = make()
        except Exception as error:  # noqa: BLE001 (handed to those who wait)
            asked.until = self._clock() + FAILED_SECONDS
            asked.answer.set_exception(error)
        else:
            asked.until = self._clock() + REMEMBERED_SECONDS
            asked.answer.set_result(value)
        finally:
            self._at_once.release()


class Allowance:
    """At most so many requests in a stretch of time, for all visitors together."""

    def __init__(self, requests: int = REQUESTS, clock: Callable[[], float] = time.monotonic):
        self.requests, self._clock = requests, clock
        self._spent: deque[tuple[float, int]] = deque()
        self._lock = Lock()

    def spend(self, requests: int) -> None:
        """Raises HubError when they are used up."""
        with self._lock:
            now = self._clock()
            while self._spent and self._spent[0][0] <= now - WINDOW:
                self._spent.popleft()
            if sum(count for _, count in self._spent) + requests > self.requests:
                wait = max(1, round(self._spent[0][0] + WINDOW - now)) if self._spent else round(WINDOW)
                raise HubError(
                    f"the Hub was asked very often from here; search again in {wait} s. A pack whose id you know opens "
                    "at once, and so do the bundled ones"
                )
            self._spent.append((now, requests))


class Finder:
    """Searches the Hub for packs. hosted: strangers use it, so the machine's own token is not used, nor its paths."""

    def __init__(self, *, hosted: bool = False, clock: Callable[[], float] = time.monotonic):
        self.hosted = hosted
        self._clock = clock
        self._allowance = Allowance(clock=clock)
        self._down: tuple[float, str] = (0.0, "")  # until when the Hub is not asked at all, and why
        self._packs: Remembered[tuple[str, str], list[Listing]] = Remembered(clock)
        self._versions: Remembered[str, list[str]] = Remembered(clock)

    def find_packs(self, search: str = "", generator: str = "") -> list[Listing]:
        """The most downloaded packs on the Hub that a word and a generator (a Hub id, with or without a revision) are
        found in.

        Raises:
            HubError: the Hub cannot be asked now; the sentence says what still works.
            UnknownName: the generator is not one on the Hub.
        """
        words, base = tidy(search), repository(generator)
        found = self._packs.get((words.casefold(), base), lambda: self._search(words, base))
        return list(found)

    def versions_of(self, source: str) -> list[str]:
        """The versions of a pack on the Hub, newest first ("v1.2.0"); none of a bundled pack or a folder.

        Raises:
            HubError: the Hub cannot be asked now.
        """
        ref = hub.parse_ref(source)
        if ref is None or ref.filename or self._is_here(source):
            return []
        return list(self._versions.get(ref.repo_id, lambda: self._list_versions(ref.repo_id)))

    def _search(self, words: str, generator: str) -> list[Listing]:
        from hub_export.catalogue import list_packs

        with self._asking("the list of packs", 1 + MAX_FOUND):
            found = list_packs(search=words, generator=generator, limit=MAX_FOUND, token=self._token)
            return [listing for listing in found if is_openable(listing)]

    def _list_versions(self, repo_id: str) -> list[str]:
        with self._asking(f"the versions of {repo_id}", 1):
            return hub.list_versions(repo_id, token=self._token)

    @contextmanager
    def _asking(self, what: str, requests: int) -> Iterator[None]:
        """Around a question. A Hub that is down is left alone for a while: its client's threads hang for minutes."""
        until, reason = self._down
        if self._clock() < until:
            raise HubError(reason)
        if self.hosted:
            self._allowance.spend(requests)
        try:
            with sensible(what):
                yield
        except HubError as error:
            if error.__cause__ is not None and is_transient(error.__cause__):
                self._down = (self._clock() + DOWN_SECONDS, str(error))
            raise

    def _is_here(self, source: str) -> bool:
        if sources.bundled_path(source):
            return True
        return not self.hosted and Path(source).exists()

    @property
    def _token(self) -> bool | None:
        return False if self.hosted else None


@contextmanager
def sensible(what: str) -> Iterator[None]:
    """Whatever else than an error made on purpose happens inside is one: an answer that no Hub gives."""
    try:
        yield
    except EiganError:
        raise
    except Exception as error:  # of any kind: the client takes the answer apart as it comes
        raise HubError(
            f"the Hub's answer to {what} makes no sense ({type(error).__name__}); try again later, "
            "or open a pack by its id"
        ) from error


def tidy(words: str) -> str:
    """What a person typed into the search box, on one line and not endless."""
    from hub_export.markdown import one_line

    return one_line(words[: 4 * MAX_WORDS])[:MAX_WORDS].strip()


def repository(generator: str) -> str:
    """The repository of a generator on the Hub, without its revision and file; "" for "".

    Raises:
        UnknownName: it is not on the Hub.
    """
    text = generator.strip()
    ref = hub.parse_ref(text)
    if text and ref is None:
        raise UnknownName(f"{text[:MAX_CELL]!r} is not on the Hub, so nobody can have published a pack for it there")
    return ref.repo_id if ref else ""


def is_openable(listing: Listing) -> bool:
    """Whether the pack's id is one; a mirror may answer anything."""
    ref = hub.parse_ref(listing.repo_id)
    return ref is not None and ref.repo_id == listing.repo_id


def source_of(listing: Listing) -> str:
    """What opens the newest version of a pack that was found."""
    return f"{listing.repo_id}@{listing.version}" if listing.version else listing.repo_id


def row(listing: Listing) -> tuple[str, ...]:
    """Pack, version, directions, generator, licence and likes, each plain bounded text, to be escaped where shown."""
    from hub_export.markdown import one_line

    names = listing.directions[:SHOWN_NAMES]
    more = f" and {len(listing.directions) - len(names)} more" if len(listing.directions) > len(names) else ""
    cells = (
        listing.repo_id + (f" ({listing.access})" if listing.access else ""),
        listing.version or "no version",
        ", ".join(one_line(name)[:MAX_SHOWN_NAME] for name in names) + more,
        listing.generator,
        listing.license or "not stated",
        f"{listing.likes:,}",
    )
    return tuple(one_line(cell)[:MAX_CELL] for cell in cells)


def label(listing: Listing) -> str:
    """The pack on one line, for a list to choose from."""
    pack, version, directions, generator, license, likes = row(listing)
    made_for = f"for {generator}" if generator else "generator not stated"
    words = [f"{pack} {version}", directions, made_for, f"licence {license}", f"{likes} likes"]
    return " · ".join(word for word in words if word)


def found_words(listings: list[Listing], search: str, generator: str) -> str:
    """One sentence about what a search found."""
    asked = (f" with {tidy(search)!r}" if tidy(search) else "") + (f" for {repository(generator)}" if generator else "")
    if not listings:
        return f"No pack on the Hub{asked}. Leave the word out, or look for packs of any generator."
    noun = "pack" if len(listings) == 1 else "packs"
    first = f"The {MAX_FOUND} most downloaded" if len(listings) >= MAX_FOUND else f"{len(listings)} {noun} on the Hub"
    return f"{first}{asked}. Choose one, and open it."


def sentence(error: EiganError) -> str:
    """An error as a sentence for the page, ended."""
    text = str(error)
    return text if text.endswith((".", "!", "?")) else f"{text}."
