// The draft of a named pack: a table with a row for each direction. Its buttons are the event `select` with index, and
// what: "edit" or "remove". Everything in it was typed by somebody: it is written as text, never as HTML.
const HEADS = ["Name", "From", "Poles", "Layers", "Range", ""];
const table = document.createElement("div");
table.className = "eigan-draft";
element.replaceChildren(table);

function cell(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function actionButton(text, what, index, name) {
  const button = cell("button", text);
  button.type = "button";
  button.setAttribute("aria-label", `${text} ${name}`);
  button.addEventListener("click", () => trigger("select", { index, what }));
  return button;
}

function draw() {
  const { entries = [], empty = "" } = props.value || {};
  if (!entries.length) { table.replaceChildren(cell("p", empty, "empty")); return; }
  const head = document.createElement("tr");
  head.append(...HEADS.map((text) => cell("th", text)));
  const rows = entries.map((entry, index) => {
    const row = document.createElement("tr"), actions = cell("td", "", "actions"), name = cell("td", entry.name, "name");
    if (entry.description) name.append(cell("span", entry.description, "about"));
    actions.append(actionButton("Edit", "edit", index, entry.name), actionButton("Remove", "remove", index, entry.name));
    row.append(name, ...["from", "poles", "layers", "range"].map((key) => cell("td", entry[key])), actions);
    return row;
  });
  const body = document.createElement("table"), thead = document.createElement("thead"), tbody = document.createElement("tbody");
  body.setAttribute("aria-label", "Directions of the draft");
  thead.append(head);
  tbody.append(...rows);
  body.append(thead, tbody);
  table.replaceChildren(body);
}

watch("value", draw);
draw();
