"""What changed between two versions of a direction pack, a generator or a folder, and how large a step that is. Pure.

Major: an edit saved for the old version fails, or moves the codes otherwise, with the new one. Minor: something was
added. Patch: anything else (semver.org, 2.0.0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from eigan.hub import version_key
from eigan.pack import Direction, DirectionPack, MadeFor, Preset
from eigan.readers.safetensors import GeneratorConfig
from hub_export.markdown import one_line

Bump: TypeAlias = Literal["major", "minor", "patch"]
BUMPS: tuple[Bump, ...] = ("major", "minor", "patch")
SAME_COSINE = 0.9999  # 0.8 degrees: no picture tells the two apart
ROUNDING = 1e-6  # of a cosine in float32
SAME_SIGMA = 0.01  # relative
NUM_CODES = 64  # that directions which depend on the code are compared at
MAX_LINES = 40
MAX_VALUE = 60  # characters of a value that are shown


@dataclass(frozen=True)
class Change:
    """One thing that changed. kind: "added", "removed", "renamed", "moved", ...; subject: the direction, preset, ..."""

    kind: str
    subject: str
    text: str
    bump: Bump = "patch"

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


@dataclass(frozen=True)
class Difference:
    """Every change from one version to another, the gravest first. Empty, and so false, when both say the same."""

    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def of(self, kind: str) -> list[str]:
        """The subjects of all changes of that kind."""
        return [change.subject for change in self.changes if change.kind == kind]

    @property
    def bump(self) -> Bump:
        """The step that semantic versioning asks for."""
        return min((change.bump for change in self.changes), key=BUMPS.index, default="patch")

    def next_version(self, version: str) -> str:
        """The version after "1.2.3" that this difference asks for; under 1.0.0 a breaking change raises the minor."""
        major, minor, patch = version_key(version)
        bumps = {"major": (major + 1, 0, 0), "minor": (major, minor + 1, 0), "patch": (major, minor, patch + 1)}
        numbers = bumps[self.bump]
        if major == 0:
            numbers = (0, minor + 1, 0) if self.bump == "major" else (0, minor, patch + 1)
        return ".".join(map(str, numbers))

    def lines(self, limit: int = MAX_LINES) -> list[str]:
        """One change a line, those that break saved edits first and marked so; strangers' text is on one line."""
        shown = [f"{'breaking: ' if c.bump == 'major' else ''}{one_line(str(c))}" for c in self.changes[:limit]]
        left = len(self.changes) - len(shown)
        return shown + ([f"… and {left:,} more changes"] if left else [])


@dataclass(frozen=True)
class FileChanges:
    """Names of files, by what became of them."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    same: tuple[str, ...] = ()

    def of(self, name: str) -> str:
        """What became of the file: "added", "changed", "deleted" or "same"."""
        return next((kind for kind in ("added", "changed", "deleted") if name in getattr(self, kind)), "same")


def compare_files(old: Mapping[str, Any], new: Mapping[str, Any], alike: Callable[[Any, Any], bool]) -> FileChanges:
    """The files of two folders, name -> anything of which `alike(old, new)` says whether the bytes are the same."""
    both = sorted(old.keys() & new.keys())
    same = {name for name in both if alike(old[name], new[name])}
    return FileChanges(
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(name for name in both if name not in same),
        deleted=tuple(sorted(old.keys() - new.keys())),
        same=tuple(sorted(same)),
    )


def compare_packs(old: DirectionPack, new: DirectionPack) -> Difference:
    """What changed from `old` to `new`. Version, source and revision of the packs themselves are left out."""
    return _sorted(
        *_compare_made_for(old.made_for, new.made_for),
        *_compare_directions(old.directions, new.directions),
        *_compare_presets(old.presets, new.presets),
        *_compare_values("method", _flatten(old.method), _flatten(new.method)),
        *_compare_facts(old, new, ("name", "license", "description")),
    )


def compare_generators(old: GeneratorConfig, new: GeneratorConfig) -> Difference:
    """What changed between the manifests of two generator folders; fingerprints stand for the weights."""
    changes = []
    if old.fingerprint != new.fingerprint:
        text = f"OTHER WEIGHTS, fingerprint {_short(old.fingerprint)} -> {_short(new.fingerprint)}; "
        changes.append(Change("weights", "generator", text + "no pack made for the old one fits", "major"))
    if old.architecture != new.architecture:
        changes.append(Change("architecture", "generator", _from_to(old.architecture, new.architecture), "major"))
    return _sorted(
        *changes,
        *_compare_values("config", _flatten(old.config), _flatten(new.config)),
        *_compare_values("origin", _flatten(old.source), _flatten(new.source)),
        *_compare_facts(old, new, ("license", "description")),
    )


def _sorted(*changes: Change) -> Difference:
    return Difference(tuple(sorted(changes, key=lambda change: BUMPS.index(change.bump))))


def _compare_made_for(old: MadeFor, new: MadeFor) -> Iterator[Change]:
    if old.fingerprint != new.fingerprint:
        text = f"ANOTHER GENERATOR, weights {_short(old.fingerprint)} -> {_short(new.fingerprint)}; "
        yield Change("generator", "generator", text + "the pack no longer fits the old one", "major")
    for name in ("architecture", "resolution", "num_layers", "code_dim", "code_space", "source", "revision"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Change("generator facts", f"generator {name}", _from_to(before, after))


def _compare_directions(old: Sequence[Direction], new: Sequence[Direction]) -> Iterator[Change]:
    before, after = {d.name: d for d in old}, {d.name: d for d in new}
    gone = [d for d in old if d.name not in after]
    fresh = [d for d in new if d.name not in before]
    renamed = _find_renamed(gone, fresh)
    for direction in gone:
        if (now := renamed.get(direction.name)) is None:
            yield Change("removed", direction.name, "direction removed", "major")
        else:
            yield Change("renamed", direction.name, f"renamed to {now.name}", "major")
            yield from _compare_direction(direction, now)
    taken = {d.name for d in renamed.values()}
    for direction in fresh:
        if direction.name not in taken:
            yield Change("added", direction.name, f"direction added, layers {direction.layers}", "minor")
    for name, direction in before.items():
        if name in after:
            yield from _compare_direction(direction, after[name])
    remeasured = [n for n, d in before.items() if n in after and dict(d.metrics) != dict(after[n].metrics)]
    if remeasured:
        yield Change("measurements", "measurements", f"of {_count(remeasured, 'direction')} changed")
    kept = [d.name for d in old if d.name in after]
    if kept != [d.name for d in new if d.name in before]:
        yield Change("order", "directions", "in another order")


def _compare_direction(old: Direction, new: Direction) -> Iterator[Change]:
    """Changes of one direction, under the name it has now."""
    yield from _compare_move(old, new)
    if old.layers != new.layers:
        yield Change("layers", new.name, f"layers {old.layers} -> {new.layers}", "major")
    if old.sigma != new.sigma:
        ratio = new.sigma / old.sigma
        text = f"sigma {old.sigma:.4g} -> {new.sigma:.4g}, the same amount moves {ratio:.3g} times as far"
        yield Change("sigma", new.name, text, "major" if abs(ratio - 1) > SAME_SIGMA else "patch")
    if old.amount_range != new.amount_range:
        ends = ("{:g} to {:g}".format(*d.amount_range) for d in (old, new))
        yield Change("range", new.name, "range {} -> {}".format(*ends))
    if old.poles != new.poles:
        ends = ("{} / {}".format(*(p or "–" for p in d.poles)) for d in (old, new))
        yield Change("poles", new.name, "poles {} -> {}".format(*ends))
    if old.description != new.description:
        yield Change("description", new.name, "description changed")


def _compare_move(old: Direction, new: Direction) -> Iterator[Change]:
    """Whether the direction points elsewhere. Those that depend on the code are compared at the same random codes."""
    if old.model is None and new.model is None and torch.equal(old.vector, new.vector):
        return
    cosine = _cosine(old, new)
    where = "" if old.model is None and new.model is None else f", mean over {NUM_CODES} codes"
    if cosine is None:
        yield Change("moved", new.name, "moved: nothing is left of the codes it moved", "major")
    elif cosine < -SAME_COSINE:
        yield Change("reversed", new.name, "reversed: plus is now what minus was", "major")
    elif cosine < SAME_COSINE:
        text = f"moved: |cos| to the old is {abs(cosine):.3f}{where}; the name now edits something else"
        yield Change("moved", new.name, text, "major")
    elif cosine < 1.0 - ROUNDING:
        yield Change("refined", new.name, f"refined: |cos| to the old is {cosine:.6f}{where}")


def _cosine(old: Direction, new: Direction) -> float | None:
    """Cosine of the two moves, mean over the layers both have (and over codes); None where they share none."""
    if old.code_dim != new.code_dim:
        return None
    if old.model is not None or new.model is not None:
        codes = torch.randn(NUM_CODES, old.code_dim, generator=torch.Generator().manual_seed(0))
        return float((_unit_moves(old, codes) * _unit_moves(new, codes)).sum(dim=-1).mean())
    if old.vector.ndim == new.vector.ndim == 1:
        return float(old.vector.double() @ new.vector.double())
    start, stop = max(old.layers.start, new.layers.start), min(old.layers.stop, new.layers.stop)
    if start >= stop:
        return None
    rows = [d.vector.double().expand(len(d.layers), -1)[start - d.layers.start :][: stop - start] for d in (old, new)]
    return float((rows[0] * rows[1]).sum(dim=-1).mean())


def _unit_moves(direction: Direction, codes: Tensor) -> Tensor:
    """Where the direction points at each of `codes` (N, D): (N, D)."""
    if direction.model is None:
        vector = direction.vector if direction.vector.ndim == 1 else direction.vector.mean(dim=0)
        unit: Tensor = vector / vector.norm()
        return unit.expand_as(codes)
    moves: Tensor = direction.model.directions(codes)[0]
    return moves


def _find_renamed(gone: Sequence[Direction], fresh: Sequence[Direction]) -> dict[str, Direction]:
    """Old name -> the new direction with the same vectors, of either sign; each is taken once, in order."""
    renamed: dict[str, Direction] = {}
    for shape in dict.fromkeys(tuple(d.vector.shape) for d in gone):
        before = [d for d in gone if tuple(d.vector.shape) == shape]
        after = [d for d in fresh if tuple(d.vector.shape) == shape]
        if not after:
            continue
        rows = torch.stack([d.vector.flatten() for d in after])
        norm = rows[0].norm() ** 2
        taken: set[int] = set()
        for direction in before:
            alike = ((rows @ direction.vector.flatten()).abs() / norm >= SAME_COSINE).nonzero().flatten().tolist()
            match = next((i for i in alike if i not in taken), None)
            if match is not None:
                taken.add(match)
                renamed[direction.name] = after[match]
    return renamed


def _compare_presets(old: Sequence[Preset], new: Sequence[Preset]) -> Iterator[Change]:
    before, after = {p.name: p for p in old}, {p.name: p for p in new}
    for name, preset in before.items():
        now = after.get(name)
        if now is None:
            yield Change("preset removed", name, "preset removed", "major")
        elif dict(preset.amounts) != dict(now.amounts):
            moves = (", ".join(f"{n} {a:+g}" for n, a in p.amounts.items()) for p in (preset, now))
            yield Change("preset changed", name, "preset {} -> {}".format(*map(_cut, moves)))
        elif preset.description != now.description:
            yield Change("preset changed", name, "description of the preset changed")
    for name in (n for n in after if n not in before):
        yield Change("preset added", name, "preset added", "minor")


def _compare_values(noun: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Settings, by dotted name."""
    for key in [*old, *(k for k in new if k not in old)]:
        if key not in new:
            yield Change(noun, f"{noun} {key}", f"was {_shown(old[key])}, is no longer stated")
        elif key not in old:
            yield Change(noun, f"{noun} {key}", f"is {_shown(new[key])}, was not stated")
        elif old[key] != new[key]:
            yield Change(noun, f"{noun} {key}", _from_to(old[key], new[key]))


def _compare_facts(old: object, new: object, names: Sequence[str]) -> Iterator[Change]:
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            noun = {"license": "licence"}.get(name, name)
            yield Change(noun, noun, _from_to(before or "none stated", after or "none stated"))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _from_to(old: Any, new: Any) -> str:
    return f"{_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return _cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def _short(fingerprint: str) -> str:
    return fingerprint[:12] or "not stated"


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
