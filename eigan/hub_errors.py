"""What went wrong with the Hub, told apart once and said as one sentence that tells a person what to do.

Works with huggingface_hub 1.16 to 2.x, whose HTTP libraries differ: network errors are known by where they come from.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from eigan.errors import HubError

if TYPE_CHECKING:
    from eigan.hub import HubRef

HTTP_LIBRARIES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"})
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

SENTENCES: tuple[tuple[type[Exception], str], ...] = (  # the first that fits, so subclasses stand before their parents
    (OfflineModeIsEnabled, "{ref} was asked for while HF_HUB_OFFLINE=1; unset it, or use what is cached or bundled"),
    (LocalTokenNotFoundError, "no Hub token on this machine; run `hf auth login`, or pass one"),
    (GatedRepoError, "{repo} is gated: accept its terms at {url} while signed in, run `hf auth login`, then try again"),
    (
        RepositoryNotFoundError,
        "{repo} is not on {endpoint}, or it is private and this token may not read it; check the spelling, "
        "or run `hf auth login` (or pass a token) of an account that may",
    ),
    (RevisionNotFoundError, "{repo} has no revision {revision!r}; {versions}"),
    (LocalEntryNotFoundError, "{ref} is not in the cache and the Hub could not give it; try again while online"),
    (EntryNotFoundError, "{ref} does not hold the file asked for; see {url}/tree/{revision}"),
)
STATUSES = {
    401: "the Hub does not accept this token (asked for {ref}); it may have expired: make one at "
    "{endpoint}/settings/tokens and run `hf auth login`",
    403: "this token may not read {repo}; give it that right at {endpoint}/settings/tokens",
    429: "the Hub limits how often it is asked and refused {ref} for now; wait {wait}, "
    "or sign in (`hf auth login`) for a higher limit",
}


def root_of(error: BaseException) -> BaseException:
    """What went wrong on the network, where huggingface_hub wrapped it as "not in the cache"."""
    return error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error


def status_of(error: BaseException) -> int | None:
    """The HTTP status the Hub answered with; None when it did not answer."""
    error = root_of(error)
    return int(error.response.status_code) if isinstance(error, HfHubHTTPError) else None


def is_unreachable(error: BaseException) -> bool:
    """Whether nothing, or nothing whole, came back: no network, no server, too slow, cut off."""
    error = root_of(error)
    if isinstance(error, (HfHubHTTPError, OfflineModeIsEnabled)):
        return False
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.split(".")[0] in HTTP_LIBRARIES


def is_transient(error: BaseException) -> bool:
    """Whether the same call may well succeed later."""
    status = status_of(error)
    return is_unreachable(error) or status == 429 or (status is not None and status >= 500)


def wait_seconds(error: BaseException) -> float:
    """How long a rate limit asks to wait, in seconds; 0 when it does not say."""
    error = root_of(error)
    if not isinstance(error, HfHubHTTPError) or status_of(error) != 429:
        return 0.0
    headers = error.response.headers
    said = f"t={headers.get('Retry-After', '')};{headers.get('ratelimit', '')}"
    return max((float(seconds) for seconds in re.findall(r"\bt=(\d{1,6})\b", said)), default=0.0)


def server_says(error: BaseException) -> str:
    """What the Hub gave as its reason, on one line."""
    said = getattr(error, "server_message", None) or str(error)
    return " ".join(said.split())[:300]


def explain(error: BaseException, ref: HubRef, versions: str = "leave the revision out for the newest") -> HubError:
    """`error` as one sentence about `ref`; `versions` says which revisions there are instead of a missing one."""
    error = root_of(error)
    facts = {
        "ref": str(ref),
        "repo": ref.repo_id,
        "revision": ref.revision or constants.DEFAULT_REVISION,
        "endpoint": constants.ENDPOINT,
        "url": f"{constants.ENDPOINT}/{ref.repo_id}",
        "versions": versions,
        "wait": f"{wait_seconds(error):g} s" if wait_seconds(error) else "a few minutes",
    }
    status = status_of(error)
    for kind, sentence in SENTENCES:
        if isinstance(error, kind):
            return HubError(sentence.format(**facts))
    if status in STATUSES:
        return HubError(STATUSES[status].format(**facts))
    if status is not None:
        remedy = "try again in a few minutes" if status >= 500 else server_says(error)
        return HubError(f"the Hub answered {status} for {ref}; {remedy}")
    if is_unreachable(error):
        return HubError(
            f"the Hub at {constants.ENDPOINT} cannot be reached for {ref} ({type(error).__name__}); check the network, "
            "or HF_ENDPOINT if you use a mirror. Bundled packs and those already downloaded still work"
        )
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return HubError(
            f"the disk is full: {ref} does not fit in {constants.HF_HUB_CACHE}; free some space or set HF_HOME, "
            "then try again"
        )
    return HubError(f"{ref} could not be downloaded: {type(error).__name__}: {server_says(error)}")
