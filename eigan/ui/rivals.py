"""Which direction of each pack makes the same edit, and how far it has to be moved for that. No Gradio, no pictures.

Where the effects of both packs were measured (metrics.json, by `hub-export evaluate`), the same edit is the one that
moves the same attribute, equally far. Elsewhere it is the one that adds to the codes what is most nearly parallel.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from eigan import sources
from eigan.edit import overlap
from eigan.errors import EiganError
from eigan.pack import MAX_AMOUNT, Direction, DirectionPack
from hub_export.compare import LABELS, Contender, best_for, share_of
from hub_export.evidence import metrics_of
from hub_export.metrics import MAX_METRICS_BYTES, METRICS, DirectionMetrics
from hub_export.recipe_text import accounts_of
from hub_export.summary import per_sigma

log = logging.getLogger(__name__)

TARGET = 1.5  # standard deviations of the attribute that an edit is shown at, until somebody says how far
SHORT = 0.95  # of the way: an edit that gets less far is said to be short of it
MIN_EFFECT = 1e-6  # standard deviations per sigma; less is none
MAX_DEPTH = 6  # of accounts within accounts

Reason = Literal["chosen", "effect", "cosine"]


@dataclass(frozen=True)
class Numbers:
    """What was measured of one direction, about one attribute; None for what was not.

    effect: standard deviations of the attribute per sigma. share: of |effect| in the sum of all |effects|. leak: the
    strongest other |effect|, relative to it. monotonicity: of the direction's own main attribute. drift: per sigma.
    """

    effect: float
    share: float
    leak: float | None
    monotonicity: float
    drift: float | None


@dataclass(frozen=True)
class Rival:
    """The edit as one pack makes it. direction: of its pack, by the pack's own name; amounts: in sigmas of it, for the
    opposite of the edit and for the edit itself, in whole hundredths unless its slider ends elsewhere.

    cosine: between what this and the chosen edit add to the codes. reason: why this direction. attribute: what it was
    chosen for, "" where that was not measured. reach: how much of the way it gets before its slider ends, 0 to 1.
    """

    contender: Contender
    direction: Direction
    amounts: tuple[float, float]
    cosine: float
    reason: Reason
    attribute: str = ""
    reach: float = 1.0

    @property
    def numbers(self) -> Numbers | None:
        """What was measured of its direction, about the attribute or else about its own main one."""
        entry = entry_of(self.contender, self.direction)
        attribute = self.attribute or (entry.main if entry else "")
        return numbers_of(entry, attribute) if entry and attribute in entry.effects else None

    @property
    def is_short(self) -> bool:
        """Whether its slider ends before the edit is made as far as the chosen one makes it."""
        return self.reach < SHORT


def contender_of(pack: DirectionPack) -> Contender:
    """A loaded pack with what was measured of it; damaged or foreign measurements count as none."""
    try:
        data = sources.pack_file(pack, METRICS, MAX_METRICS_BYTES)
        return Contender(pack, metrics_of(pack, {METRICS: data}) if data else None)
    except EiganError as error:
        log.warning("what was measured of %s cannot be read: %s", pack.source, error)
        return Contender(pack)


def entry_of(contender: Contender, direction: Direction) -> DirectionMetrics | None:
    """What was measured of `direction`; None when it now moves other layers than it was measured on."""
    return contender.entry(direction) if contender.pack[direction.name].layers == direction.layers else None


def chosen_edit(contender: Contender, direction: Direction, amount: float) -> Rival:
    """The edit that the others are compared with. direction: of the contender's pack, perhaps on other layers."""
    entry = entry_of(contender, direction)
    return Rival(contender, direction, (_tidy(-amount), _tidy(amount)), 1.0, "chosen", entry.main if entry else "")


def rival_of(chosen: Rival, other: Contender) -> Rival:
    """What `other` has for the chosen edit: see the module. Its amounts stay within its sliders and measured ranges."""
    return _by_effect(chosen, other) or _by_cosine(chosen, other)


def default_amount(contender: Contender, direction: Direction) -> float:
    """An amount that shows what the direction does: 1.5 standard deviations of its main attribute, where that was
    measured, else half the way; forth, or back where the slider goes no other way."""
    low, high = direction.amount_range
    end = high or low
    entry = entry_of(contender, direction)
    effect = abs(entry.effects[entry.main]) if entry and entry.main else 0.0
    wanted = TARGET / effect if effect > MIN_EFFECT else abs(end) / 2
    return math.copysign(min(_tidy(wanted), abs(end)), end)


def numbers_of(entry: DirectionMetrics, attribute: str) -> Numbers:
    """What `entry` says about `attribute`, one of its effects."""
    effect = entry.effects[attribute]
    strongest = max((abs(value) for name, value in entry.effects.items() if name != attribute), default=0.0)
    return Numbers(
        effect=effect,
        share=share_of(entry, attribute),
        leak=strongest / abs(effect) if abs(effect) > MIN_EFFECT else None,
        monotonicity=abs(entry.monotonicity),
        drift=per_sigma(entry.drift),
    )


def method_words(pack: DirectionPack) -> str:
    """'PCA', 'ICA', 'sums of PCA': what made the directions, as far as the pack's own account says; plain text."""
    found = methods_of(pack)
    names = [LABELS.get(name, name) for name in found if name not in ("named", "isolate", "combined")]
    words = ", ".join(dict.fromkeys(names))[:60] or (found[0] if found else "unknown")
    return f"sums of {words}" if "isolate" in found and names else words


def methods_of(pack: DirectionPack) -> list[str]:
    """Names of the methods in the pack's account of itself, each once: ["pca"], ["isolate", "pca"]."""
    return list(dict.fromkeys(name for _, account in accounts_of(pack) for name in _names(account, 0)))


def _names(account: Mapping[str, Any], depth: int) -> Iterator[str]:
    name = account.get("name")
    if isinstance(name, str) and name.isprintable():
        yield name.lower()[:40]
    for value in account.values():
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            yield from _names(value, depth + 1)


def _by_effect(chosen: Rival, other: Contender) -> Rival | None:
    """The direction of `other` that moves the same attribute, equally far; None where that cannot be told."""
    entry = entry_of(chosen.contender, chosen.direction)
    found = best_for(other, chosen.attribute) if chosen.attribute else None
    if entry is None or found is None:
        return None
    direction, theirs = found
    effect = theirs.effects[chosen.attribute]
    if abs(effect) < MIN_EFFECT:
        return None
    factor = entry.effects[chosen.attribute] / effect
    low, high = _ends(direction, theirs)
    return _rival(chosen, other, direction, factor, (low, high), "effect", chosen.attribute)


def _by_cosine(chosen: Rival, other: Contender) -> Rival:
    """The direction of `other` that is most nearly parallel, moved as far in the codes as the chosen one."""
    edit = chosen.direction * 1.0
    cosines = [overlap(edit, direction) for direction in other.pack]
    best = max(range(len(cosines)), key=lambda i: abs(cosines[i]))
    direction = other.pack.directions[best]
    factor = math.copysign(_length(chosen.direction) / _length(direction), cosines[best])
    return _rival(chosen, other, direction, factor, direction.amount_range, "cosine", "")


def _rival(
    chosen: Rival,
    other: Contender,
    direction: Direction,
    factor: float,
    ends: tuple[float, float],
    reason: Reason,
    attribute: str,
) -> Rival:
    """`direction` moved by `factor` times the chosen amounts, as far as its ends let it."""
    low, high = ends
    wanted = [factor * amount for amount in chosen.amounts]
    back, forth = (min(max(_tidy(amount), low), high) + 0.0 for amount in wanted)  # no -0.0
    reach = min(forth / wanted[1], 1.0) if wanted[1] else 1.0
    cosine = overlap(chosen.direction * chosen.amounts[1], direction * forth) if forth else 0.0
    return Rival(other, direction, (back, forth), cosine, reason, attribute, reach)


def _ends(direction: Direction, entry: DirectionMetrics) -> tuple[float, float]:
    """How far it may be moved: as far as its slider goes, and as it was found to hold."""
    low, high = direction.amount_range
    return max(low, entry.range[0]), min(high, entry.range[1])


def _length(direction: Direction) -> float:
    """What one sigma adds to the codes, over all rows at once; the rows of a direction have length 1."""
    return direction.sigma * math.sqrt(len(direction.layers))


def _tidy(amount: float) -> float:
    """Whole hundredths, so that links and sliders stay readable; never beyond what an edit may hold."""
    return min(max(round(amount, 2), -MAX_AMOUNT), MAX_AMOUNT)
