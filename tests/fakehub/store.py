"""What the fake Hub remembers: accounts, repositories, commits, tags, uploaded objects."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


class Refused(Exception):
    """An answer other than 200; `code` is what the client reads from X-Error-Code."""

    def __init__(self, status: int, message: str, code: str = "", body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, body or {"error": message}


@dataclass(frozen=True)
class Account:
    """Who a token belongs to and what it may do."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    def belongs_to(self, owner: str) -> bool:
        return owner == self.name or owner in self.orgs


@dataclass(frozen=True)
class File:
    data: bytes
    is_lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def blob_id(self) -> str:
        content = self.data
        if self.is_lfs:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n"
            content = pointer.encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.blob_id


@dataclass
class Repo:
    repo_id: str
    private: bool = False
    gated: bool | str = False  # "auto" or "manual"; True is "manual"
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    messages: dict[str, tuple[str, str]] = field(default_factory=dict)  # commit -> title, description
    likes: int = 0
    downloads: int = 0

    @property
    def owner(self) -> str:
        return self.repo_id.split("/")[0]

    @property
    def files(self) -> dict[str, File]:
        return self.commits[self.head]

    @property
    def gate(self) -> bool | str:
        return "manual" if self.gated is True else self.gated

    @property
    def card(self) -> dict[str, Any]:
        """The front matter of the newest README.md."""
        parts = self.files.get("README.md", File(b"")).data.decode("utf-8", "replace").split("---\n", 2)
        card = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
        return card if isinstance(card, dict) else {}

    @property
    def card_tags(self) -> list[str]:
        """The tags that the Hub makes of a card."""
        card = self.card
        tags = [
            *card.get("tags", []),
            card.get("library_name"),
            f"license:{card['license']}" if "license" in card else "",
        ]
        if base := card.get("base_model"):
            tags += [f"base_model:{base}", f"base_model:{card.get('base_model_relation', 'finetune')}:{base}"]
        return [tag for tag in dict.fromkeys(tags) if tag]

    def history(self, revision: str) -> list[str]:
        """Commits that lead to the revision, newest first: here every repository is one line."""
        line = list(self.commits)
        return line[line.index(self.resolve(revision)) :: -1]

    def resolve(self, revision: str) -> str:
        """The commit that a branch, tag or commit id is."""
        if revision == "main":
            return self.head
        commit = self.tags.get(revision, revision)
        if commit not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit


class Store:
    def __init__(self) -> None:
        self.tokens: dict[str, Account] = {}
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self._counter = itertools.count()

    def create(self, repo_id: str, *, private: bool = False) -> Repo:
        repo = self.repos[repo_id] = Repo(repo_id, private)
        self.commit(repo, {".gitattributes": File(GITATTRIBUTES)})
        return repo

    def commit(self, repo: Repo, files: dict[str, File]) -> str:
        repo.head = hashlib.sha1(f"{repo.repo_id} {next(self._counter)}".encode()).hexdigest()
        repo.commits[repo.head] = files
        return repo.head

    def push(self, repo_id: str, files: dict[str, bytes], tag: str = "") -> str:
        """Put `files` into the repository as its next commit, as if somebody had; make it first if need be."""
        repo = self.repos.get(repo_id) or self.create(repo_id)
        added = {name: File(data, is_lfs=name.endswith(".safetensors")) for name, data in files.items()}
        commit = self.commit(repo, repo.files | added)
        if tag:
            repo.tags[tag] = commit
        return commit

    def account(self, authorization: str | None) -> Account | None:
        if not authorization:
            return None
        account = self.tokens.get(authorization.removeprefix("Bearer "))
        if account is None:
            raise Refused(401, "Invalid credentials in Authorization header")
        return account

    def readable(self, repo_id: str, account: Account | None, *, files: bool = False) -> Repo:
        """The repository, if this account may see it (and, with `files`, download it)."""
        repo = self.repos.get(repo_id)
        inside = repo is not None and account is not None and account.belongs_to(repo.owner)
        if repo is None or (repo.private and not inside):
            raise Refused(404 if account else 401, "Repository not found", "RepoNotFound")
        if files and repo.gated and not inside:
            raise Refused(403 if account else 401, "Access is restricted: accept the terms", "GatedRepo")
        return repo

    def writable(self, repo_id: str, account: Account | None) -> Repo:
        repo = self.readable(repo_id, account)
        if account is None:
            raise Refused(401, "Invalid username or password.")
        if account.role != "write" or not account.belongs_to(repo.owner):
            raise Refused(403, "Forbidden: you must have write access to this repo's content")
        return repo


def card_problems(readme: str) -> list[str]:
    """What the Hub would refuse in a README's front matter."""
    parts = readme.split("---\n", 2)
    if not readme.startswith("---\n") or len(parts) < 3:
        return []
    try:
        card = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    problems = []
    if not isinstance(card, dict):
        return ["front matter is not a mapping"]
    if not isinstance(card.get("license", ""), str):
        problems.append('"license" must be a string')
    if card.get("license") == "other" and not card.get("license_name"):
        problems.append('"license_name" is required when license is "other"')
    if not all(isinstance(tag, str) for tag in card.get("tags", [])):
        problems.append('"tags" must be an array of strings')
    if str(card.get("base_model", "a/b")).count("/") != 1:
        problems.append('"base_model" is not a model id')
    return problems
