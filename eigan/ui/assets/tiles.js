// Groups of small pictures to choose from: a contact sheet (layout "cards"), a sweep (layout "rows"). A click is the
// event `select` with index [group, tile]. Names come from strangers' packs: they are written as text, never as HTML.
const list = document.createElement("ul");
list.setAttribute("role", "list");
element.replaceChildren(list);

const make = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};

function tileButton(tile, pictures, title, group, index) {
  const words = `${title} at ${tile.under}`;
  const button = make("button", { type: "button", title: words, "aria-label": words },
    make("img", { src: pictures[tile.picture], alt: "", loading: "lazy", decoding: "async" }),
    make("span", { class: "under", text: tile.under }));
  button.addEventListener("click", () => {
    list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    trigger("select", { index: [group, index] });
  });
  return button;
}

function draw() {
  const { label = "", layout = "cards", pictures = [], groups = [] } = props.value || {};
  list.className = `eigan-tiles ${layout}`;
  list.setAttribute("aria-label", label);
  list.hidden = !groups.length;
  list.replaceChildren(...groups.map(({ title, about, tiles }, group) => make("li", {},
    make("div", { class: "what" }, make("span", { class: "name", text: title }), make("span", { class: "about", text: about })),
    make("div", { class: "pictures" }, ...tiles.map((tile, i) => tileButton(tile, pictures, title, group, i))))));
}

watch("value", draw);
draw();
