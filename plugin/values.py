"""What the wires carry: GanGenerator, GanLatent and GanEdit, and how they become eigan's recipes and back. No ComfyUI.

A DIRECTION_PACK is an `eigan.DirectionPack`. One whose `source` is empty cannot be named in a recipe: recipes of edits
with it carry the edited codes in place of the moves, and so draw the same picture.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from eigan.combine import combine
from eigan.edit import Edit, Slider
from eigan.errors import InvalidCodes, PackMismatch
from eigan.generators.base import Codes, Generator, NoiseMode
from eigan.hub import parse_ref
from eigan.latent_files import Latent
from eigan.layers import LayerRange
from eigan.pack import MAX_AMOUNT, Direction, DirectionPack, MadeFor, check_number
from eigan.pose import STILL, Pose
from eigan.recipe import MAX_FURTHER, MAX_MOVES, PictureRecipe
from eigan.render import Renderer
from eigan.reproduce import recipe_codes
from eigan.targets import keep

MAX_BATCH = 256  # pictures of one latent


class Handle(Protocol):
    """Who moves a generator between devices. `load` puts it, whole, where it is to run; `renderer` draws with it."""

    @property
    def renderer(self) -> Renderer: ...

    def load(self) -> None: ...


@dataclass(frozen=True, eq=False)
class GanGenerator:
    """A generator on a wire. Nothing may run it but through `ready`: it may lie on another device until then."""

    generator: Generator
    handle: Handle

    def ready(self) -> Renderer:
        """Its renderer, with the weights on the device that ComfyUI has for models now."""
        self.handle.load()
        return self.handle.renderer

    def allowed_psi(self, psi: float) -> float:
        """`psi` as this generator takes it: 1 where there is no truncation, 0 to 1 where it is a threshold of z."""
        if self.generator.truncation == "none":
            return 1.0
        return min(max(psi, 0.0), 1.0) if self.generator.truncation == "threshold" else psi

    @property
    def source(self) -> str:
        """What opens it again, by the commit it came from where it is of the Hub."""
        ref = parse_ref(self.generator.source)
        if ref is None or ref.revision or not self.generator.revision:
            return self.generator.source
        return str(replace(ref, revision=self.generator.revision))


@dataclass(frozen=True)
class Origin:
    """How the codes of one picture were made: of a seed; or, where `latent` is there, of nothing but themselves."""

    seed: int = 0
    truncation_psi: float = 1.0
    class_index: int | None = None
    latent: Latent | None = None

    def recipe(self) -> PictureRecipe:
        """The recipe of the picture without an edit; its pack is still to be named. Raises PackFormatError."""
        return PictureRecipe(
            pack="",
            seed=self.seed,
            truncation_psi=self.truncation_psi,
            class_index=self.class_index,
            latent=self.latent,
        )


@dataclass(frozen=True, eq=False)
class GanLatent:
    """Where pictures start: codes (N, L, D), float32, on the CPU, one origin for each, of one generator.

    Codes are never changed in place: every node that is given this value shares them.
    """

    codes: Codes
    origins: tuple[Origin, ...]
    made_for: MadeFor

    def __post_init__(self) -> None:
        if not 1 <= len(self.codes) <= MAX_BATCH or len(self.codes) != len(self.origins):
            raise InvalidCodes(f"a latent has {len(self.codes)} pictures; wanted 1 to {MAX_BATCH}")

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of_origins(cls, gan: GanGenerator, origins: Sequence[Origin]) -> GanLatent:
        """The codes of each origin, made alone: as `eigan.draw` makes them, to the last bit.

        Raises:
            InvalidCodes: a seed or class out of range, a latent of another generator. PackFormatError: a bad psi.
        """
        if len(origins) > MAX_BATCH:
            raise InvalidCodes(f"{len(origins)} pictures were asked for; at most {MAX_BATCH} in one latent")
        generator = gan.ready().generator
        fitted = [replace(one, truncation_psi=gan.allowed_psi(one.truncation_psi)) for one in origins]
        rows = [recipe_codes(one.recipe(), generator).to("cpu", torch.float32) for one in fitted]
        empty = torch.zeros(0, generator.num_layers, generator.code_dim)
        return cls(torch.cat([empty, *rows]), tuple(fitted), MadeFor.describe(generator))

    @classmethod
    def of_codes(cls, gan: GanGenerator, codes: Codes) -> GanLatent:
        """Codes (N, L, D) that no seed gives: mixed, inverted, loaded. Raises InvalidCodes, PackFormatError."""
        gan.generator.check_codes(codes)
        rows = codes.detach().to("cpu", torch.float32, copy=True)
        origins = tuple(Origin(latent=Latent.of(row)) for row in rows[: MAX_BATCH + 1])
        return cls(rows, origins, MadeFor.describe(gan.generator))

    def check_fits(self, generator: Generator) -> None:
        """Raise PackMismatch unless these are codes of exactly this generator's weights."""
        if self.made_for.fingerprint != generator.fingerprint:
            raise PackMismatch(
                f"the latent was made for {self.made_for}; this generator is {MadeFor.describe(generator)}. "
                "Make the latent with the generator that draws it."
            )


@dataclass(frozen=True, eq=False)
class Aim:
    """A direction of a pack on the layers that it moves here. Equal where both say the same."""

    pack: DirectionPack
    name: str
    layers: LayerRange

    @classmethod
    def at(cls, pack: DirectionPack, name: str, layers: str | LayerRange = "") -> Aim:
        """The direction called `name`, on its own layers ("") or those that people write: "all", "8-11".

        Raises:
            UnknownName: the pack has no such direction. PackFormatError: layers that it cannot move.
        """
        direction = pack[name]
        if isinstance(layers, str):
            layers = LayerRange.parse(layers, pack.made_for.num_layers) if layers.strip() else direction.layers
        direction.on(layers)
        return cls(pack, name, layers)

    @property
    def direction(self) -> Direction:
        return self.pack[self.name].on(self.layers)

    @property
    def key(self) -> Hashable:
        return (pack_key(self.pack), self.name, self.layers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aim) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, eq=False)
class GanEdit:
    """All that is done to a picture after its codes were chosen. Immutable; nodes add to it by `moved` and `keeping`.

    packs: whose directions are moved or kept, the one first that names keep theirs in recipes. moves: (direction on
    layers, sigmas), zeros left out. kept: what the moves leave alone. noise_mode, pose: how the picture is drawn.

    Order-free: nodes that are chained in any order give the same edit, to the last bit of the picture.
    """

    packs: tuple[DirectionPack, ...] = ()
    moves: tuple[tuple[Aim, float], ...] = ()
    kept: tuple[Aim, ...] = ()
    noise_mode: NoiseMode = "const"
    pose: Pose = STILL

    def moved(self, amounts: Iterable[tuple[Aim, float]]) -> GanEdit:
        """This edit with directions moved by as many sigmas more; their packs are in it, even by 0 sigmas.

        Raises:
            PackFormatError: an amount that is not finite, or sums beyond 100. PackMismatch: packs of two generators.
        """
        parts: dict[Aim, list[float]] = {aim: [amount] for aim, amount in self.moves}
        for aim, amount in amounts:
            checked = check_number(amount, f"amount of {aim.name!r}", -MAX_AMOUNT, MAX_AMOUNT)
            parts.setdefault(aim, []).append(checked)
        totals = {aim: _total(each) for aim, each in parts.items()}
        for aim, total in totals.items():
            check_number(total, f"amount of {aim.name!r}, which is moved in several places,", -MAX_AMOUNT, MAX_AMOUNT)
        moves = [(aim, total) for aim, total in totals.items() if total]
        return self._with_packs(aim.pack for aim in parts)._with(moves, self.kept)

    def keeping(self, kept: Iterable[Aim]) -> GanEdit:
        """This edit, leaving the coordinates along `kept` alone, too. Raises PackMismatch."""
        aims = dict.fromkeys((*self.kept, *kept))
        return self._with_packs(aim.pack for aim in aims)._with(self.moves, aims)

    def drawn(self, noise_mode: NoiseMode | None = None, pose: Pose | None = None) -> GanEdit:
        """This edit drawn with another noise mode or pose; None for its own."""
        return replace(self, noise_mode=noise_mode or self.noise_mode, pose=pose or self.pose)

    def _with_packs(self, packs: Iterable[DirectionPack]) -> GanEdit:
        """With these, too. Packs stay in their order until there is a new one: then all are put in order."""
        there = {pack_key(pack): pack for pack in self.packs}
        new = {pack_key(pack): pack for pack in packs if pack_key(pack) not in there}
        found = sorted((*there.values(), *new.values()), key=pack_rank) if new else list(self.packs)
        for pack in found[1:]:
            if pack.made_for.fingerprint != found[0].made_for.fingerprint:
                raise PackMismatch(
                    f"pack {pack.name!r} is of {pack.made_for}, pack {found[0].name!r} of {found[0].made_for}; one "
                    "edit moves directions of one generator"
                )
        return replace(self, packs=tuple(found))

    def _with(self, moves: Iterable[tuple[Aim, float]], kept: Iterable[Aim]) -> GanEdit:
        """With these, in the order of packs and directions: sums of floats depend on it."""
        places = {
            (pack_key(pack), name): (rank, index)
            for rank, pack in enumerate(self.packs)
            for index, name in enumerate(pack.names)
        }

        def place(aim: Aim) -> tuple[tuple[int, int], LayerRange]:
            return places[pack_key(aim.pack), aim.name], aim.layers

        ordered = sorted(moves, key=lambda move: place(move[0]))
        return replace(self, moves=tuple(ordered), kept=tuple(sorted(kept, key=place)))

    def edit(self) -> Edit:
        """As eigan applies it. Raises PackFormatError when `eigan.keep` refuses."""
        aims = dict.fromkeys((*(aim for aim, _ in self.moves), *self.kept))
        directions = {aim: aim.direction for aim in aims}  # moved and kept: one object, which `keep` takes as the same
        edit = Edit(tuple(Slider(directions[aim], amount) for aim, amount in self.moves))
        return keep(edit, [directions[aim] for aim in self.kept])

    def check_fits(self, generator: Generator) -> None:
        """Raise PackMismatch unless every pack is of exactly this generator's weights."""
        for pack in self.packs:
            pack.check_fits(generator)

    @property
    def is_nameable(self) -> bool:
        """Whether a recipe can say it: every pack has a source, and a direction is on one range of layers."""
        aims = {*(aim for aim, _ in self.moves), *self.kept}
        names = {(pack_key(aim.pack), aim.name) for aim in aims}
        limits = len(self.packs) <= MAX_FURTHER + 1 and max(len(self.moves), len(self.kept)) <= MAX_MOVES
        return limits and len(names) == len(aims) and all(pack.source for pack in self.packs)


def pack_key(pack: DirectionPack) -> Hashable:
    """Equal for packs that are the same: by where they came from; by identity where that cannot be said."""
    return (pack.source, pack.revision) if pack.source else id(pack)


def pack_rank(pack: DirectionPack) -> tuple[str, str, str]:
    """Packs of one edit are ordered by it, whichever node came first."""
    return (pack.source, pack.revision, pack.name)


def pinned(source: str, revision: str) -> str:
    """`source` with the commit it came from, unless it names a revision already: a recipe must not drift with main."""
    ref = parse_ref(source)
    return source if not revision or ref is None or ref.revision else f"{source}@{revision}"


def names_in_recipe(packs: Sequence[DirectionPack]) -> dict[tuple[Hashable, str], str]:
    """(pack, direction) -> the direction's name in `eigan.combine` of the packs, which recipes use."""
    combined = iter(combine(packs).names) if packs else iter(())
    return {(pack_key(pack), name): next(combined) for pack in packs for name in pack.names}


def recipes(gan: GanGenerator, latent: GanLatent, edit: GanEdit) -> list[PictureRecipe]:
    """One for each picture of `latent` after `edit`: what the app writes for the same picture, and draws from it.

    An edit that no recipe can say goes into the codes: the recipe then starts from them, and moves nothing.
    """
    named = edit if edit.is_nameable else GanEdit(noise_mode=edit.noise_mode, pose=edit.pose)
    common = _named(gan, named)
    return [
        replace(
            common,
            seed=origin.seed,
            truncation_psi=origin.truncation_psi,
            class_index=origin.class_index,
            latent=origin.latent if named is edit else Latent.of(edit.edit().apply(codes[None])[0]),
        )
        for origin, codes in zip(latent.origins, latent.codes, strict=True)
    ]


def _named(gan: GanGenerator, edit: GanEdit) -> PictureRecipe:
    """The recipe of an edit that recipes can say; where it starts is still to be filled in."""
    names = names_in_recipe(edit.packs)
    shown = {aim: names[pack_key(aim.pack), aim.name] for aim in (*(aim for aim, _ in edit.moves), *edit.kept)}
    sources = [pinned(pack.source, pack.revision) for pack in edit.packs] or [f"sefa:{gan.source}"]
    return PictureRecipe(
        pack=sources[0],
        seed=0,
        amounts={shown[aim]: amount for aim, amount in edit.moves},
        generator=edit.packs[0].made_for.source if edit.packs else gan.source,
        fingerprint=gan.generator.fingerprint,
        pose=edit.pose if gan.generator.has_pose else STILL,
        further=tuple(sources[1:]),
        layers={name: aim.layers for aim, name in shown.items() if aim.layers != aim.pack[aim.name].layers},
        keep=tuple(shown[aim] for aim in edit.kept),
        noise_mode=edit.noise_mode,
    )


def latent_of(recipe: PictureRecipe, gan: GanGenerator) -> GanLatent:
    """Where the recipe's picture starts. psi and class are left out where the generator has none, as in the app.

    Raises:
        PackMismatch: the recipe is of another generator. InvalidCodes: its class or latent do not fit.
    """
    generator = gan.generator
    if recipe.fingerprint not in ("", generator.fingerprint):
        raise PackMismatch(
            f"the recipe was made with {recipe.generator or recipe.fingerprint[:12]}; this generator is "
            f"{MadeFor.describe(generator)}, with other weights. Load the recipe's own."
        )
    class_index = (recipe.class_index or 0) if generator.c_dim else None
    return GanLatent.of_origins(gan, [Origin(recipe.seed, recipe.truncation_psi, class_index, recipe.latent)])


def edit_of(recipe: PictureRecipe, packs: Sequence[DirectionPack]) -> GanEdit:
    """What the recipe does, with the packs that it names, in order; moves in the order in which it states them.

    Raises:
        UnknownName: a direction that the packs do not have. PackFormatError, InvalidCodes: layers that do not fit.
    """
    combined = combine(packs)
    places: Mapping[str, tuple[DirectionPack, str]] = dict(
        zip(combined.names, ((pack, name) for pack in packs for name in pack.names), strict=True)
    )

    def aim(name: str) -> Aim:
        direction = combined[name]  # says which there are, when there is none
        layers = recipe.layers.get(name, direction.layers)
        if layers.stop > combined.made_for.num_layers:
            raise InvalidCodes(
                f"the recipe moves {name!r} on layers {layers}; the generator has layers "
                f"0-{combined.made_for.num_layers - 1}"
            )
        return Aim.at(*places[name], layers)

    return GanEdit(
        packs=tuple(packs),
        moves=tuple((aim(name), amount) for name, amount in recipe.amounts.items()),
        kept=tuple(aim(name) for name in recipe.keep),
        noise_mode=recipe.noise_mode,
        pose=recipe.pose,
    )


def _total(amounts: list[float]) -> float:
    """Their sum, to nine digits, so that it does not tell in which order nodes were chained; a lone one as it is."""
    return amounts[0] if len(amounts) == 1 else round(math.fsum(amounts), 9)
