"""One edit as several packs make it, drawn on the picture that is on the page, each with the recipe that puts it there.

What is compared: `eigan.ui.rivals`. No Gradio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from eigan.combine import combine
from eigan.errors import EiganError, PackFormatError, PackMismatch, UnknownName, list_names
from eigan.pack import Direction, DirectionPack
from eigan.recipe import PictureRecipe
from eigan.render import Renderer
from eigan.reproduce import draw
from eigan.ui.fitting import parse_fit
from eigan.ui.rivals import Rival, chosen_edit, contender_of, rival_of
from eigan.ui.session import Studio, Studios, pin
from hub_export.compare import Contender

MAX_COMPARED = 8  # packs beside the open one

Progress = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True)
class Entrant:
    """A pack that takes part. source: what opens the same again. further: what a recipe that uses it opens beside the
    page's first pack. combined: the pack that such a recipe's names are found in; names: its own names -> those there.
    """

    contender: Contender
    source: str
    further: tuple[str, ...]
    combined: DirectionPack
    names: Mapping[str, str]


@dataclass(frozen=True)
class Offer:
    """The edit by one pack. name: of the direction, in the recipe, which makes the edit and is complete. pictures: the
    opposite of the edit, without it, with it."""

    rival: Rival
    name: str
    recipe: PictureRecipe
    pictures: tuple[Image.Image, Image.Image, Image.Image]


def open_entrants(studios: Studios, studio: Studio) -> list[Entrant]:
    """The packs that are open, one for each. Raises EiganError."""
    sources = (studio.source, *studio.further)
    packs = [studio.pack] if len(sources) == 1 else [studios.load_pack(source) for source in sources]
    names, found = iter(studio.pack.names), []
    for source, pack in zip(sources, packs, strict=True):
        own = {name: next(names) for name in pack.names}
        found.append(Entrant(contender_of(pack), source, studio.further, studio.pack, own))
    return found


def further_entrants(
    studios: Studios, studio: Studio, opened: Sequence[Entrant], sources: Iterable[str]
) -> tuple[list[Entrant], list[str]]:
    """Those that `sources` name, each once and none of `opened`; and a sentence for each that cannot take part."""
    found: list[Entrant] = []
    problems: list[str] = []
    known = {entrant.source for entrant in opened}
    for text in dict.fromkeys(source.strip() for source in sources if source.strip()):
        if len(found) == MAX_COMPARED:
            problems.append(f"{MAX_COMPARED} packs are compared at once; {text} and what follows it are left out.")
            break
        try:
            entrant = _entrant(studios, studio, text)
        except EiganError as error:
            problems.append(f"{text} is left out: {error}")
            continue
        if entrant.source not in known:
            known.add(entrant.source)
            found.append(entrant)
    return found, problems


def owner_of(entrants: Sequence[Entrant], name: str) -> tuple[Entrant, Direction]:
    """Whose direction is called `name` on the page, and the direction. Raises UnknownName."""
    for entrant in entrants:
        for own, shown in entrant.names.items():
            if shown == name:
                return entrant, entrant.contender.pack[own]
    known = list_names(shown for entrant in entrants for shown in entrant.names.values())
    raise UnknownName(f"no direction {name!r} is open any more; choose one of {known}")


def make_offers(
    renderer: Renderer,
    recipe: PictureRecipe,
    name: str,
    amount: float,
    opened: Sequence[Entrant],
    others: Sequence[Entrant],
    progress: Progress | None = None,
) -> tuple[list[Offer], list[str]]:
    """The edit by `amount` along the direction called `name` as the open packs and the others make it, drawn on the
    recipe's picture, everything else of which stays; the chosen one first. And sentences for what cannot be drawn.

    renderer: of the recipe's generator; recipe: complete.

    Raises:
        PackFormatError: an amount of 0. UnknownName: no such direction.
    """
    if not amount:
        raise PackFormatError("the amount is 0, which is no edit; move it to one side")
    owner, direction = owner_of(opened, name)
    if name in recipe.layers:
        direction = direction.on(recipe.layers[name])
    chosen = chosen_edit(owner.contender, direction, amount)
    base = replace(recipe, amounts={n: a for n, a in recipe.amounts.items() if n != name})
    entrants = [owner, *(e for e in opened if e is not owner), *others]
    still = Image.fromarray(draw(base, owner.combined, renderer)[0])
    offers, problems = [], []
    for done, entrant in enumerate(entrants):
        if progress is not None:
            progress(done, len(entrants))
        rival = chosen if entrant is owner else rival_of(chosen, entrant.contender)
        try:
            offers.append(_offer(renderer, recipe, base, entrant, rival, still))
        except EiganError as error:
            problems.append(f"{entrant.contender.pack.name} is left out: {error}")
    return offers, problems


def _offer(
    renderer: Renderer,
    recipe: PictureRecipe,
    base: PictureRecipe,
    entrant: Entrant,
    rival: Rival,
    still: Image.Image,
) -> Offer:
    name = entrant.names[rival.direction.name]
    standing = base.amounts.get(name, 0.0)  # another slider of the page, that is moved on from where it stands

    def edited(amount: float) -> PictureRecipe:
        amounts = {**base.amounts, name: standing + amount}
        return replace(recipe, amounts=amounts, further=entrant.further)

    back, forth = (edited(amount) for amount in rival.amounts)
    ends = [Image.fromarray(draw(one, entrant.combined, renderer)[0]) for one in (back, forth)]
    return Offer(rival, name, forth, (ends[0], still, ends[1]))


def _entrant(studios: Studios, studio: Studio, text: str) -> Entrant:
    """The pack that `text` names beside those of `studio`. Raises EiganError."""
    pack = studios.load_pack(studios.check_source(text))
    if pack.made_for.fingerprint != studio.generator.fingerprint:
        raise PackMismatch(f"it was made for {pack.made_for}, another generator than the one that is open")
    source = pack.source if parse_fit(text) else pin(text, pack.revision)
    combined = combine([studio.pack, pack])
    names = dict(zip(pack.names, combined.names[len(studio.pack) :], strict=True))
    return Entrant(contender_of(pack), source, (*studio.further, source), combined, names)
