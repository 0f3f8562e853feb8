"""Many directions at once: eight sliders a page, and what is moved together under a preset's name."""

from __future__ import annotations

from eigan.errors import PackFormatError, UnknownName, list_names
from eigan.pack import MAX_DIRECTIONS, Direction, DirectionPack, check_number

from ..comfy import DirectionPackType, GanEditType, GanNode, io
from ..values import Aim, GanEdit
from .edits import CATEGORY, REACH

SLIDERS = 8  # of a page
MAX_INTENSITY = 2.0


class EiganEditSliders(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganEditSliders",
            display_name="Edit Sliders",
            category=CATEGORY,
            description=(
                "Eight directions of a pack at once: page 0 has its first eight, page 1 the next. Sliders at 0 do "
                "nothing. Which slider is which direction stands in the text."
            ),
            inputs=[
                DirectionPackType.Input("pack", tooltip="The pack that has the directions."),
                io.Int.Input(
                    "page",
                    default=0,
                    min=0,
                    max=MAX_DIRECTIONS // SLIDERS - 1,
                    tooltip="Which eight: page 0 moves directions 0 to 7 of the pack, page 1 directions 8 to 15, and "
                    "so on.",
                ),
                *(
                    io.Float.Input(
                        f"amount_{i}",
                        default=0.0,
                        min=-REACH,
                        max=REACH,
                        step=0.1,
                        display_mode=io.NumberDisplay.slider,
                        tooltip=f"How far to move direction {i} of the page, in sigmas. 0 does nothing.",
                    )
                    for i in range(SLIDERS)
                ),
                GanEditType.Input("edit", optional=True, tooltip="An edit to add to."),
            ],
            outputs=[
                GanEditType.Output("edited", display_name="edit", tooltip="The edit with these moves in it."),
                io.String.Output(
                    "sliders",
                    display_name="sliders",
                    tooltip="Which slider is which direction: wire it to Preview Any.",
                ),
            ],
        )

    @classmethod
    def run(cls, pack: DirectionPack, page: int, edit: GanEdit | None = None, **amounts: float) -> io.NodeOutput:
        directions = page_of(pack, page)
        given = [amounts[f"amount_{i}"] for i in range(SLIDERS)]
        for i, amount in enumerate(given):
            if i >= len(directions) and amount != 0:
                raise PackFormatError(
                    f"amount_{i} is {amount}, and page {page} of pack {pack.name!r} has {len(directions)} directions "
                    "alone; set that slider to 0"
                )
        moves = [(Aim.at(pack, one.name), amount) for one, amount in zip(directions, given, strict=False)]
        lines = [f"- amount_{i}: {about(one)}" for i, one in enumerate(directions)]
        labels = {"sliders": [one.name for one in directions]}  # the page names the sliders after them
        return io.NodeOutput((edit or GanEdit()).moved(moves), "\n".join(lines), ui=labels)


def page_of(pack: DirectionPack, page: int) -> tuple[Direction, ...]:
    """The directions of a page, SLIDERS or, on the last one, fewer. Raises UnknownName beyond the pack."""
    found = pack.directions[page * SLIDERS : (page + 1) * SLIDERS] if page >= 0 else ()
    if not found:
        last = (len(pack) - 1) // SLIDERS
        raise UnknownName(
            f"page {page} is beyond the pack: {pack.name!r} has {len(pack)} directions, on page 0"
            + (f" to {last}" if last else " alone")
        )
    return found


def about(direction: Direction) -> str:
    """'smile: serious … smiling, layers 2-9, −6 to +4' in one line."""
    low, high = (f"{end:+g}".replace("-", "−") for end in direction.amount_range)
    poles = [" … ".join(direction.poles)] if all(direction.poles) else []
    return f"{direction.name}: {', '.join([*poles, f'layers {direction.layers}', f'{low} to {high}'])}"


class EiganApplyPreset(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganApplyPreset",
            display_name="Apply Preset",
            category=CATEGORY,
            description="Moves the directions of one of the pack's presets together: its amounts times an intensity.",
            inputs=[
                DirectionPackType.Input("pack", tooltip="The pack that has the preset."),
                io.String.Input(
                    "preset",
                    default="",
                    tooltip="The preset's name, as the pack has it. Describe Pack lists them; a wrong name is answered "
                    "with the names there are.",
                ),
                io.Float.Input(
                    "intensity",
                    default=1.0,
                    min=-MAX_INTENSITY,
                    max=MAX_INTENSITY,
                    step=0.05,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="What the preset's amounts are multiplied by: 1 as it was made, 0 nothing, below 0 the "
                    "opposite.",
                ),
                GanEditType.Input("edit", optional=True, tooltip="An edit to add to."),
            ],
            outputs=[GanEditType.Output("edited", display_name="edit", tooltip="The edit with the preset in it.")],
        )

    @classmethod
    def run(cls, pack: DirectionPack, preset: str, intensity: float, edit: GanEdit | None = None) -> io.NodeOutput:
        if not pack.presets:
            raise UnknownName(f"pack {pack.name!r} has no presets; move its directions by Edit Sliders")
        chosen = pack.preset(preset.strip())
        times = check_number(intensity, "intensity", -MAX_INTENSITY, MAX_INTENSITY)
        moves = [(Aim.at(pack, name), amount * times) for name, amount in chosen.amounts.items()]
        return io.NodeOutput((edit or GanEdit()).moved(moves))


class EiganKeep(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganKeep",
            display_name="Keep",
            category=CATEGORY,
            description=(
                "Makes an edit leave directions alone: what it moves is made orthogonal to them, so that a smile no "
                "longer adds years. Anywhere in the chain it holds for the whole edit; a direction that is itself "
                "moved still moves."
            ),
            inputs=[
                DirectionPackType.Input("pack", tooltip="The pack that has the directions to keep."),
                io.String.Input(
                    "directions",
                    default="",
                    multiline=True,
                    placeholder="age, glasses",
                    tooltip="What must stay as it is: names of directions, one a line or with commas between them.",
                ),
                GanEditType.Input("edit", optional=True, tooltip="An edit to add to."),
            ],
            outputs=[GanEditType.Output("edited", display_name="edit", tooltip="The edit that leaves them alone.")],
        )

    @classmethod
    def run(cls, pack: DirectionPack, directions: str, edit: GanEdit | None = None) -> io.NodeOutput:
        names = names_in(directions, pack)
        if not names:
            raise UnknownName(f"no directions to keep were named; pack {pack.name!r} has {list_names(pack.names)}")
        whole = (edit or GanEdit()).keeping([Aim.at(pack, name) for name in names])
        whole.edit()  # says here, and not in another node, that nothing would be left of a move
        return io.NodeOutput(whole)


def names_in(text: str, pack: DirectionPack) -> list[str]:
    """The names that a text lists, one a line or with commas between them; names with commas in them have a line."""
    known, found = set(pack.names), []
    for line in (line.strip() for line in text.splitlines()):
        found += [line] if line in known else [part.strip() for part in line.split(",")]
    return [name for name in dict.fromkeys(found) if name]
