// A strip of small pictures to choose from: the history. Words are written as text, never as HTML.
const list = document.createElement("ol");
list.className = "eigan-strip";
element.replaceChildren(list);

function draw() {
  const { items = [], at = -1, label = "" } = props.value || {};
  list.setAttribute("aria-label", label);
  list.replaceChildren(...items.map((item, index) => {
    const picture = document.createElement("img");
    picture.src = item.src;
    picture.alt = "";
    const button = document.createElement("button");
    button.type = "button";
    button.title = item.words;
    button.setAttribute("aria-label", `${index + 1}: ${item.words}`);
    if (index === at) button.setAttribute("aria-current", "true");
    button.append(picture);
    button.addEventListener("click", () => trigger("select", { index }));
    const entry = document.createElement("li");
    entry.append(button);
    return entry;
  }));
  list.hidden = items.length < 2;
  const current = list.querySelector("[aria-current]");
  if (current) list.scrollLeft = current.offsetLeft - list.clientWidth / 2;
}

watch("value", draw);
draw();
