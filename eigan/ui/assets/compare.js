// The same edit by several packs: one row each, with its pictures and a button that puts the edit on the page.
// Names and words come from strangers' packs: they are written as text (textContent, attributes), never as HTML.
const make = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
};
const list = make("ol", "eigan-rivals");
element.replaceChildren(list);

function tile({ src, words, under }) {
  const picture = make("img");
  picture.src = src;
  picture.alt = words;
  const figure = make("figure");
  figure.append(picture, make("figcaption", "", under));
  return figure;
}

function entry(row, index) {
  const about = make("div", "about"), pictures = make("div", "pictures");
  const button = make("button", "use", "Use this");
  button.type = "button";
  button.setAttribute("aria-label", `Use this: ${row.title}, ${row.edit}`);
  button.addEventListener("click", () => trigger("select", { index }));
  const facts = make("p", "facts");
  facts.append(...row.facts.map((fact) => make("span", "", fact)));
  about.append(make("h4", "", row.title), make("p", "pack", row.pack), make("p", "edit", row.edit), facts);
  if (row.note) about.append(make("p", "note", row.note));
  about.append(button);
  pictures.append(...row.pictures.map(tile));
  const made = make("li", row.chosen ? "chosen" : "");
  made.append(about, pictures);
  return made;
}

function draw() {
  const { rows = [], label = "" } = props.value || {};
  list.setAttribute("aria-label", label);
  list.replaceChildren(...rows.map(entry));
  list.hidden = !rows.length;
}

watch("value", draw);
draw();
