"""The little JavaScript the page runs by itself, apart from the panel's (assets/panel.js).

Only numbers are written into it, never a stranger's text. What draws another seed also renews the hidden `tick`, and
that asks for the picture: so there is one kind of request for pictures, one at a time, and the last one always wins.
"""

from __future__ import annotations

import json

from eigan.ui.links import DEFAULT_PSI

PSI = "#psi input[type=range]"  # its ends may be widened by a link, so they are read from the page
SURPRISES = 1_000_000  # seeds the shuffle button draws from: short enough to read out
TICK = "performance.now()"
WITHIN = "(value, low, high, empty) => Number.isFinite(value) ? Math.min(Math.max(value, low), high) : empty"

SHUFFLE = f"() => [Math.floor(Math.random() * {SURPRISES}), {TICK}]"  # -> seed, tick
RESET = """() => { document.querySelector("#panel .eigan-panel").dispatchEvent(new Event("eigan-reset")); }"""
ON_LOAD = """() => {
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
  document.addEventListener("keydown", event => {  // undo and redo, but in a text box, which has its own
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    if (event.target.matches("textarea, input:not([type=range])")) return;
    event.preventDefault();
    document.querySelector(event.shiftKey ? "#redo" : "#undo").click();
  });
  for (const kind of ["focusin", "click"]) document.addEventListener(kind, event => {  // to type over the name there
    if (event.target.matches?.("#class-index input")) event.target.select();
  });
  document.addEventListener("click", event => {  // Gradio 6.31 reckons that no picture is shown larger than it is
    const image = event.isTrusted && event.target.closest("#picture .image-container > button")?.querySelector("img");
    if (!image) return;
    const box = image.getBoundingClientRect();
    const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
    if (!(scale > 1)) return;
    event.stopImmediatePropagation();
    const place = (at, start, size) => start + size / 2 + (at - start - size / 2) / scale;
    const [clientX, clientY] = [place(event.clientX, box.left, box.width), place(event.clientY, box.top, box.height)];
    event.target.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX, clientY }));
  }, true);
  const hint = () => document.querySelector("#hint");
  const seen = () => { try { return localStorage.getItem("eigan-hint") } catch { return null } };
  if (seen()) hint()?.remove();
  document.addEventListener("click", event => {
    if (!event.target.closest("#hint button")) return;
    try { localStorage.setItem("eigan-hint", "seen") } catch { /* then it comes back */ }
    hint().remove();
  });
}"""  # run once, when the page has loaded


def bring_within(psi_index: int, num_inputs: int) -> str:
    """From an event's inputs to the inputs as they are sent: a psi typed beyond the slider's ends becomes the end.

    Gradio's server refuses such numbers with an error, and fails on a box that was just emptied.
    """
    return f"""(...values) => {{
  const within = {WITHIN};
  const inputs = values.slice(0, {num_inputs});
  const psi = document.querySelector({json.dumps(PSI)});
  if (psi) inputs[{psi_index}] = within(inputs[{psi_index}], Number(psi.min), Number(psi.max), {DEFAULT_PSI});
  return inputs;
}}"""
