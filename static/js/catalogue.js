// Series ticked for comparison stay ticked while the list is searched and narrowed down.
const form = document.querySelector("#compare");
const names = form.querySelector("[data-picked]");
const none = form.querySelector("[data-none]");
const most = Number(form.dataset.most);
const picked = new Set();

function show() {
  for (const box of document.querySelectorAll("#found input[form='compare']")) {
    box.checked = picked.has(box.value);
    box.disabled = !box.checked && picked.size >= most;
  }
  form.classList.toggle("picked--some", picked.size > 0);
  none.hidden = picked.size === 0;
  // What is ticked and not listed now is sent all the same.
  const listed = new Set([...document.querySelectorAll("#found input[form='compare']")].map((box) => box.value));
  names.replaceChildren(...[...picked].map((name) => {
    const chip = document.createElement("span");
    chip.className = "chip mono";
    chip.textContent = name;
    if (!listed.has(name)) {
      const field = document.createElement("input");
      field.type = "hidden";
      field.name = "s";
      field.value = name;
      chip.append(field);
    }
    return chip;
  }));
}

// On its way down: the search around the boxes must not take a tick for one of its own choices.
document.addEventListener("change", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || box.getAttribute("form") !== "compare") return;
  event.stopPropagation();
  if (box.checked) picked.add(box.value);
  else picked.delete(box.value);
  show();
}, true);
none.addEventListener("click", () => {
  picked.clear();
  show();
});
document.addEventListener("htmx:afterSwap", show);
for (const box of document.querySelectorAll("#found input[form='compare']:checked")) picked.add(box.value);
form.classList.add("picked--live");
show();

// On a wide window the choices stand beside the list.
const facets = () => document.querySelector("#facets");
const wide = matchMedia("(min-width: 1024px)");
const open = () => { if (wide.matches) facets()?.setAttribute("open", ""); };
wide.addEventListener("change", open);
document.addEventListener("htmx:afterSwap", open);
open();
