// The panel: presets, a search box and one row for each direction. It holds where everything stands and tells the
// server with `input`; while something is being dragged `moving` is true, and once it rests, false.
// Names and words come from strangers' packs: they are written as text (textContent, attributes), never as HTML.
const SETTLE = 350; // ms after the last key press until the sliders count as resting
const INTENSITY = { low: 0, high: 1.5, step: 0.05 };
const POSE = ["x", "y", "angle"];

let key = "", turn = "", plans = [], poses = [], presets = [], numLayers = 1;
const named = (values = {}) => Object.assign(Object.create(null), values); // a name may be "constructor" or "__proto__"
let base = named(), layers = named(), pose = {}, keep = new Set(), locked = named(), pressed = named();
let rows = new Map(), settling = 0, asked = 0;

const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
};
const clamp = (value, plan) => Math.min(Math.max(value, plan.low), plan.high);
const tidy = (value) => Math.round(value * 1e6) / 1e6;

const chips = make("div", { id: "preset-buttons", role: "group", "aria-label": "Presets" });
const intensities = make("div", { class: "intensities" });
const search = make("input", { type: "search", id: "search", placeholder: "Find a slider", "aria-label": "Find a slider",
  oninput: () => filter() });
const movedOnly = make("button", { type: "button", class: "toggle", "aria-pressed": "false", text: "Moved only",
  onclick: () => { flip(movedOnly); filter(); } });
const found = make("span", { class: "found", role: "status" });
const tools = make("div", { class: "panel-tools" }, search, movedOnly, found);
const kept = make("p", { class: "kept", role: "status" });
const list = make("div", { id: "sliders", role: "group", "aria-label": "Sliders" });
const poseList = make("div", { id: "pose", role: "group", "aria-label": "Pose" });
element.replaceChildren(make("div", { class: "presets" }, chips, intensities), tools, kept, list, poseList);

function flip(button, on = button.getAttribute("aria-pressed") !== "true") {
  button.setAttribute("aria-pressed", String(on));
  return on;
}

// ---- where a slider stands: what was moved by hand, and what the pressed presets add to it

function added(name) {
  return presets.reduce((sum, p) => sum + (pressed[p.name] || 0) * (p.amounts[name] || 0), 0);
}
function recognised(amounts) { // presets that are on by the look of it, the largest first: after undo, or from a link
  const left = named(amounts), found = named(), size = (preset) => Object.keys(preset.amounts).length;
  for (const preset of [...presets].sort((a, b) => size(b) - size(a))) {
    const moves = Object.entries(preset.amounts);
    const share = tidy((left[moves[0][0]] || 0) / moves[0][1]);
    if (!(share > 0 && share <= INTENSITY.high)) continue;
    if (!moves.every(([name, amount]) => Math.abs((left[name] || 0) - share * amount) < 1e-5)) continue;
    found[preset.name] = share;
    for (const [name, amount] of moves) left[name] -= share * amount;
  }
  return found;
}
function total(name) {
  return name in locked ? locked[name] : tidy((base[name] || 0) + added(name));
}
function put(name, value) {
  base[name] = value - added(name);
}

function tell(moving) { // where everything stands, for whatever is sent next
  const amounts = named();
  for (const plan of plans) if (total(plan.name)) amounts[plan.name] = total(plan.name);
  props.value = { turn, moving, amounts: { ...amounts }, layers: { ...layers }, keep: [...keep],
    locked: Object.keys(locked), pose: POSE.map((axis) => pose[axis] || 0), pressed: { ...pressed } };
}
function send(moving) {
  clearTimeout(settling);
  cancelAnimationFrame(asked);
  tell(moving);
  trigger("input");
  if (moving) settling = setTimeout(() => send(false), SETTLE);
}
function sendSoon() { // at most once a frame while dragging
  cancelAnimationFrame(asked);
  clearTimeout(settling);
  asked = requestAnimationFrame(() => send(true));
}

// ---- one row

function percent(value, plan) { return (100 * (value - plan.low)) / (plan.high - plan.low); }

function paint(row) {
  const { plan, range, box } = row;
  const value = row.value();
  if (Number(range.value) !== value) range.value = value;
  if (document.activeElement !== box && box.value !== String(value)) box.value = value;
  const at = percent(value, plan), zero = percent(clamp(0, plan), plan);
  range.style.setProperty("--from", `${Math.min(at, zero)}%`);
  range.style.setProperty("--to", `${Math.max(at, zero)}%`);
  const pole = value < 0 ? plan.poles[0] : value > 0 ? plan.poles[1] : "";
  range.setAttribute("aria-valuetext", `${value} ${plan.unit}${pole ? `, ${pole}` : ""}`);
  row.node.classList.toggle("moved", value !== 0);
}

function addRow(plan, into, value, move) {
  const words = plan.poles[0] || plan.poles[1] ? `${plan.poles[0] || "−"} … ${plan.poles[1] || "+"}` : "";
  const label = { text: plan.name, class: "name" };
  const range = make("input", { type: "range", min: plan.low, max: plan.high, step: plan.step,
    "aria-label": `range slider for ${plan.name}` });
  const box = make("input", { type: "number", min: plan.low, max: plan.high, step: plan.step,
    "aria-label": `number input for ${plan.name}` });
  const row = { plan, range, box, value };
  const change = (number, moving) => {
    move(clamp(Number.isFinite(number) ? number : 0, row.plan));
    paint(row);
    moving ? sendSoon() : send(false);
  };
  range.addEventListener("input", () => change(range.valueAsNumber, true));
  range.addEventListener("pointerup", () => { paint(row); send(false); });
  box.addEventListener("input", () => change(box.valueAsNumber, true));
  box.addEventListener("change", () => { change(box.valueAsNumber, false); box.value = row.value(); });
  row.reset = make("button", { type: "button", class: "tool", "aria-label": `Reset ${plan.name}`, title: "Back to 0",
    text: "↺", onclick: () => change(0, false) });
  row.head = make("div", { class: "head" }, make("span", label), make("span", { class: "poles", text: words }),
    make("span", { class: "space" }), box, row.reset);
  row.node = make("div", { class: "row" }, row.head, range);
  into.append(row.node);
  paint(row);
  return row;
}

function addDirection(plan) {
  const { name } = plan;
  const row = addRow(plan, list, () => total(name), (value) => put(name, value));
  row.words = `${name} ${plan.poles.join(" ")} ${plan.about}`.toLowerCase();
  row.lock = make("button", { type: "button", class: "tool word", "aria-label": `Lock ${name}`, "aria-pressed": "false",
    title: "Lock: presets and reset leave it where it is", text: "lock", onclick: () => lock(row) });
  row.keep = make("button", { type: "button", class: "tool word", "aria-label": `Keep ${name}`, "aria-pressed": "false",
    title: "Keep: the other sliders may not change it", text: "keep", onclick: () => toggleKeep(row) });
  row.where = make("button", { type: "button", class: "where", "aria-label": `Layers of ${name}`, "aria-expanded": "false",
    title: "The layers that it moves", onclick: () => askLayers(row) });
  row.foot = make("div", { class: "foot" }, row.where, make("span", { class: "hint", text: plan.hint }),
    make("span", { class: "tools" }, row.lock, row.keep));
  row.node.append(row.foot);
  row.node.dataset.name = name;
  rows.set(name, row);
  mark(row);
}

function mark(row) { // lock, keep and layers as they are
  const { name } = row.plan;
  const isLocked = name in locked;
  flip(row.lock, isLocked);
  row.lock.textContent = isLocked ? "locked" : "lock";
  row.range.disabled = row.box.disabled = row.reset.disabled = isLocked;
  flip(row.keep, keep.has(name));
  row.where.textContent = (layers[name] ? `layers ${layers[name]} (own: ${row.plan.layers})` : `layers ${row.plan.layers}`);
  row.where.classList.toggle("changed", name in layers);
  row.node.classList.toggle("is-kept", keep.has(name));
  paint(row);
}

function lock(row) {
  const { name } = row.plan;
  if (name in locked) { const value = locked[name]; delete locked[name]; put(name, value); }
  else locked[name] = total(name);
  mark(row);
  send(false);
}

function toggleKeep(row) {
  const { name } = row.plan;
  keep.has(name) ? keep.delete(name) : keep.add(name);
  mark(row);
  tellKept();
  send(false);
}

function tellKept() {
  kept.replaceChildren();
  if (!keep.size) return;
  kept.append("Kept as they are: ");
  for (const name of keep) {
    kept.append(make("button", { type: "button", class: "chip", "aria-label": `Stop keeping ${name}`, text: `${name} ✕`,
      onclick: () => toggleKeep(rows.get(name)) }));
  }
}

function askLayers(row) {
  const open = row.foot.querySelector(".layers-box");
  row.where.setAttribute("aria-expanded", String(!open));
  if (open) { open.remove(); row.where.focus(); return; }
  const { name } = row.plan;
  const box = make("input", { type: "text", "aria-label": `Layers that ${name} moves`, value: layers[name] || row.plan.layers,
    size: 6, maxlength: 9 });
  const note = make("span", { class: "hint", role: "status", text: `0-${numLayers - 1}, all, or empty for its own` });
  const apply = () => {
    const given = box.value.trim().toLowerCase();
    const match = /^(\d{1,3})(?:\s*-\s*(\d{1,3}))?$/.exec(given === "all" ? `0-${numLayers - 1}` : given);
    const first = match && Number(match[1]), last = match && Number(match[2] ?? match[1]);
    if (given && (!match || first > last || last >= numLayers)) {
      note.textContent = `write layers of 0-${numLayers - 1}, as 4-7 or 4`;
      note.classList.add("wrong");
      return;
    }
    const chosen = given ? (first === last ? `${first}` : `${first}-${last}`) : row.plan.layers;
    if (chosen === row.plan.layers) delete layers[name]; else layers[name] = chosen;
    askLayers(row);
    mark(row);
    send(false);
  };
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); apply(); }
    if (event.key === "Escape") askLayers(row);
  });
  row.foot.append(make("span", { class: "layers-box" }, box,
    make("button", { type: "button", class: "tool word", text: "set", onclick: apply }), note));
  box.focus();
  box.select();
}

// ---- presets, reset, search

function drawPresets() {
  chips.replaceChildren();
  intensities.replaceChildren();
  for (const preset of presets) {
    const names = Object.entries(preset.amounts).map(([name, amount]) => `${name} ${amount > 0 ? "+" : ""}${amount}`);
    const chip = make("button", { type: "button", class: preset.own ? "chip own" : "chip", text: preset.name,
      title: `${preset.description ? `${preset.description} ` : ""}(${names.join(", ")})`,
      "aria-pressed": String(preset.name in pressed), onclick: () => press(preset) });
    chips.append(!preset.own ? chip : make("span", { class: "own-chip" }, chip,
      make("button", { type: "button", class: "tool", "aria-label": `Remove preset ${preset.name}`, title: "Remove", text: "✕",
        onclick: () => trigger("delete", { preset: preset.name }) })));
    if (preset.name in pressed) intensities.append(intensity(preset));
  }
  element.querySelector(".presets").hidden = !presets.length;
}

function intensity(preset) {
  const range = make("input", { type: "range", min: INTENSITY.low, max: INTENSITY.high, step: INTENSITY.step,
    "aria-label": `Intensity of ${preset.name}` });
  const says = make("output", {});
  const tell = () => {
    says.textContent = `${Math.round(100 * pressed[preset.name])} %`;
    range.setAttribute("aria-valuetext", says.textContent);
    range.style.setProperty("--from", "0%");
    range.style.setProperty("--to", `${(100 * pressed[preset.name]) / INTENSITY.high}%`);
  };
  range.value = pressed[preset.name];
  tell();
  range.addEventListener("input", () => {
    pressed[preset.name] = range.valueAsNumber;
    tell();
    widen(preset);
    sendSoon();
  });
  range.addEventListener("pointerup", () => send(false));
  return make("label", { class: "intensity" }, make("span", { text: preset.name }), range, says);
}

function press(preset) {
  if (preset.name in pressed) delete pressed[preset.name]; else pressed[preset.name] = 1;
  widen(preset);
  drawPresets();
  [...chips.querySelectorAll(".chip")].find((chip) => chip.textContent === preset.name)?.focus();
  filter();
  send(false);
}

function widen(preset) { // two presets together may go beyond a slider's ends: then the ends give way
  for (const name of Object.keys(preset.amounts)) {
    const row = rows.get(name);
    if (!row) continue;
    const value = total(name), plan = row.plan;
    plan.low = Math.min(plan.own[0], Math.floor(value / plan.step) * plan.step);
    plan.high = Math.max(plan.own[1], Math.ceil(value / plan.step) * plan.step);
    for (const input of [row.range, row.box]) { input.min = tidy(plan.low); input.max = tidy(plan.high); }
    paint(row);
  }
}

function resetAll() {
  base = named();
  pressed = named();
  pose = {};
  drawPresets();
  for (const row of rows.values()) paint(row);
  for (const row of poseRows) paint(row);
  filter();
  send(false);
}

function filter() {
  const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const onlyMoved = movedOnly.getAttribute("aria-pressed") === "true";
  let shown = 0;
  for (const row of rows.values()) {
    const fits = words.every((word) => row.words.includes(word)) && (!onlyMoved || total(row.plan.name) !== 0);
    row.node.hidden = !fits;
    shown += fits;
  }
  found.textContent = shown === rows.size ? "" : `${shown} of ${rows.size}`;
}

// ---- what the server says

let poseRows = [];

function read(value) { // a copy, whose amounts have no names but their own
  const copy = JSON.parse(JSON.stringify(value));
  for (const preset of copy.presets) preset.amounts = named(preset.amounts);
  return copy;
}

function takePresets(value) { // others of the same opening: the sliders stay where they are by now
  const totals = named(Object.fromEntries(plans.map(({ name }) => [name, total(name)])));
  ({ presets } = read(value));
  pressed = named(value.pressed);
  for (const { name } of plans) base[name] = totals[name] - added(name);
  drawPresets();
  tell(false);
}

function take(value) {
  if (!value || !value.plans) return;
  if (value.turn === turn) { takePresets(value); return; }
  const sameSliders = value.key === key && value.plans.length === plans.length
    && value.plans.every((plan, i) => plan.name === plans[i].name);
  ({ key, turn, plans, poses, presets, num_layers: numLayers } = read(value));
  layers = named(value.layers);
  keep = new Set(value.keep);
  pose = Object.fromEntries(POSE.map((axis, i) => [axis, value.pose[i]]));
  pressed = recognised(value.amounts);
  base = named(value.amounts);
  for (const name of Object.keys(base)) base[name] -= added(name);
  locked = named(Object.fromEntries(value.locked.map((name) => [name, value.amounts[name] || 0])));
  if (sameSliders) {
    for (const plan of plans) {
      const row = rows.get(plan.name);
      row.plan = plan;
      for (const input of [row.range, row.box]) { input.min = plan.low; input.max = plan.high; }
      mark(row);
    }
  } else {
    rows = new Map();
    list.replaceChildren();
    plans.forEach(addDirection);
    search.value = "";
    flip(movedOnly, false);
  }
  poseList.replaceChildren();
  poseRows = poses.map((plan, i) => addRow(plan, poseList, () => pose[POSE[i]] || 0, (to) => { pose[POSE[i]] = to; }));
  poseList.hidden = !poses.length;
  tools.hidden = plans.length < 8;
  drawPresets();
  tellKept();
  filter();
}

element.addEventListener("eigan-reset", resetAll);
element.classList.add("eigan-panel");
watch("value", () => take(props.value));
take(props.value);
