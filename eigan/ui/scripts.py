"""The little JavaScript the page runs by itself: presets, reset and shuffle move controls at once, without the server.

Only numbers are written into it, never a stranger's text. What moves controls also renews the hidden `tick`, and that
asks for the picture: so there is one kind of request for pictures, one at a time, and the last one always wins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from eigan.ui.labels import SliderPlan
from eigan.ui.links import DEFAULT_PSI

PSI = "#psi input[type=range]"  # its ends may be widened by a link, so they are read from the page
SURPRISES = 1_000_000  # seeds the shuffle button draws from: short enough to read out
TICK = "performance.now()"
WITHIN = "(value, low, high, empty) => Number.isFinite(value) ? Math.min(Math.max(value, low), high) : empty"
Bounds = tuple[int, float, float, float]  # index among the inputs, lowest, highest, what an empty box means

SHUFFLE = f"() => [Math.floor(Math.random() * {SURPRISES}), {TICK}]"  # -> seed, tick
BY_HAND = "() => -1"  # -> active
ENTER_LOADS = """() => {
  let typed = false;  // since the arrow keys last moved: else Gradio's Enter takes the option that stood there before
  const inPicker = event => event.target.closest("#picker");
  document.addEventListener("input", event => { if (inPicker(event)) typed = true; }, true);
  document.addEventListener("keydown", event => {
    if (!inPicker(event)) return;
    if (event.key.startsWith("Arrow")) typed = false;
    if (event.key !== "Enter") return;
    if (typed) { event.stopImmediatePropagation(); event.target.blur(); }
    typed = false;
    setTimeout(() => document.querySelector("#load").click(), 200);  // once the box has taken what was typed
  }, true);
}"""  # run once, when the page has loaded


def bring_within(psi_index: int, num_inputs: int, bounds: Sequence[Bounds] = ()) -> str:
    """From an event's inputs to the inputs as they are sent: numbers typed beyond a slider's ends become the end.

    Gradio's server refuses such numbers with an error, and fails on a box that was just emptied.
    """
    return f"""(...values) => {{
  const within = {WITHIN};
  const inputs = values.slice(0, {num_inputs});
  for (const [i, low, high, empty] of {json.dumps(list(bounds))}) inputs[i] = within(inputs[i], low, high, empty);
  const psi = document.querySelector({json.dumps(PSI)});
  if (psi) inputs[{psi_index}] = within(inputs[{psi_index}], Number(psi.min), Number(psi.max), {DEFAULT_PSI});
  return inputs;
}}"""


def slider_bounds(plans: Sequence[SliderPlan], first: int) -> list[Bounds]:
    """Bounds of the pack's sliders, the inputs from `first` on; an empty box means 0."""
    return [(first + i, plan.minimum, plan.maximum, 0.0) for i, plan in enumerate(plans)]


def reset(plans: Sequence[SliderPlan]) -> str:
    """() -> active, tick, every slider: all at 0."""
    return f"() => [-1, {TICK}, ...{json.dumps([0.0] * len(plans))}]"


def press(index: int, amounts: Mapping[str, float], plans: Sequence[SliderPlan]) -> str:
    """(strength) -> active, tick, every slider: at the preset times the strength; those it does not name at 0."""
    return f"""(strength) => {{
  const within = {WITHIN};
  const sliders = {_goals(amounts, plans)};
  const stand = ([amount, low, high]) => within(Math.round(amount * strength * 1e6) / 1e6, low, high, 0);
  return [{index}, {TICK}, ...sliders.map(stand)];
}}"""


def scale(presets: Sequence[Mapping[str, float]], plans: Sequence[SliderPlan]) -> str:
    """(strength, active, tick, *sliders) -> active, tick, every slider: the preset pressed last, at this strength.

    Nothing moves when none was pressed since a slider was moved by hand.
    """
    goals = "[" + ", ".join(_goals(amounts, plans) for amounts in presets) + "]"
    return f"""(strength, active, tick, ...standing) => {{
  const within = {WITHIN};
  const sliders = {goals}[active];
  if (!sliders) return [active, tick, ...standing.slice(0, {len(plans)})];
  const stand = ([amount, low, high]) => within(Math.round(amount * strength * 1e6) / 1e6, low, high, 0);
  return [active, {TICK}, ...sliders.map(stand)];
}}"""


def _goals(amounts: Mapping[str, float], plans: Sequence[SliderPlan]) -> str:
    return json.dumps([(amounts.get(plan.name, 0.0), plan.minimum, plan.maximum) for plan in plans])
