"""Routes of the fake Hub that look for repositories, tell their history, and set who may read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fakehub.store import Repo

if TYPE_CHECKING:
    from tests.fakehub.server import Handler


def settings(h: Handler, repo: str) -> Any:
    found, wanted = h.writable(repo), h.json()
    found.gated = wanted.get("gated", found.gated)
    return wanted


def list_models(h: Handler) -> Any:
    """Public repositories, and those of the asker, that have all tags asked for; those with most downloads first."""
    account = h.account

    def is_wanted(repo: Repo) -> bool:
        asked = {name: (h.query.get(name) or [""])[0] for name in ("author", "search")}
        return (
            (not repo.private or (account is not None and account.belongs_to(repo.owner)))
            and set(h.query.get("filter", ())) <= set(repo.card_tags)
            and asked["author"] in ("", repo.owner)
            and asked["search"].lower() in repo.repo_id.lower()
        )

    found = sorted(filter(is_wanted, h.hub.store.repos.values()), key=lambda repo: -repo.downloads)
    limit = int((h.query.get("limit") or ["1000"])[0])
    return [
        {
            "id": repo.repo_id,
            "private": repo.private,
            "gated": repo.gate,
            "likes": repo.likes,
            "downloads": repo.downloads,
            "tags": repo.card_tags,
            "cardData": repo.card,
        }
        for repo in found[:limit]
    ]


def history(h: Handler, repo: str, revision: str) -> Any:
    found = h.readable(repo)
    days = {commit: day for day, commit in enumerate(found.commits, start=1)}
    return [
        {
            "id": commit,
            "title": found.messages.get(commit, ("", ""))[0],
            "message": found.messages.get(commit, ("", ""))[1],
            "authors": [{"user": found.owner}],
            "date": f"2026-01-{days[commit]:02}T12:00:00.000Z",
        }
        for commit in found.history(revision)
    ]
