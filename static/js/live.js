// A page that asks again until its run has ended ([data-live]): of each answer only the parts that have changed are put
// in, and none in which somebody is choosing or typing, which waits for the next answer.

const served = new WeakMap(); // part -> as the server wrote it
const SCROLLED = ".table-wrap, .heat__wrap";
const TYPED = "select, input, textarea";
const PRESSED = "a, button, summary, [tabindex]";

/** The parts of a page by what they are called; several of one name in their order. */
function partsOf(page) {
  const parts = new Map();
  for (const part of page.children) {
    const name = part.id || part.getAttribute("aria-labelledby") || part.getAttribute("aria-label") || part.className;
    let at = 0;
    while (parts.has(`${name} ${at}`)) at += 1;
    parts.set(`${name} ${at}`, part);
    if (!served.has(part)) served.set(part, part.outerHTML);
  }
  return parts;
}

function isUsed(part) {
  return part.contains(document.activeElement) && document.activeElement.matches(TYPED);
}

/** What somebody had chosen, opened, scrolled to and stood on in a part goes over to the one that takes its place. */
function carry(from, to) {
  for (const select of to.querySelectorAll("select[name]")) {
    const before = from.querySelector(`select[name="${CSS.escape(select.name)}"]`);
    if ([...select.options].some((option) => option.value === before?.value)) select.value = before.value;
  }
  const opened = [...from.querySelectorAll("details")];
  to.querySelectorAll("details").forEach((details, at) => { details.open = opened[at]?.open ?? details.open; });
  const same = [...from.querySelectorAll(PRESSED)].indexOf(document.activeElement);
  const places = [...from.querySelectorAll(SCROLLED)].map((wrap) => [wrap.scrollTop, wrap.scrollLeft]);
  const name = (each) => [each.tagName, each.getAttribute("href"), each.getAttribute("aria-labelledby"), each.textContent].join(" ");
  const focused = same < 0 ? null : name(document.activeElement);
  from.replaceWith(to);
  to.querySelectorAll(SCROLLED).forEach((wrap, at) => wrap.scrollTo({ top: places[at]?.[0] ?? 0, left: places[at]?.[1] ?? 0, behavior: "instant" }));
  if (focused === null) return;
  const again = [...to.querySelectorAll(PRESSED)];
  (again.find((each) => name(each) === focused) ?? again[same])?.focus({ preventScroll: true });
}

/** Whether all of it is there now. put: of each part that has come. */
function renew(shown, fresh, put) {
  const before = partsOf(shown);
  let whole = true;
  let last = null;
  for (const [name, part] of partsOf(fresh)) {
    const old = before.get(name);
    before.delete(name);
    if (!old) {
      if (last) last.after(part);
      else shown.prepend(part);
    } else if (served.get(old) === served.get(part)) {
      last = old;
      continue;
    } else if (isUsed(old)) {
      whole = false;
      last = old;
      continue;
    } else carry(old, part);
    last = part;
    put(part);
  }
  for (const left of before.values()) {
    if (isUsed(left)) whole = false;
    else left.remove();
  }
  return whole;
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target: shown, serverResponse, shouldSwap } = event.detail;
  if (!shouldSwap || !shown.matches("[data-live]")) return;
  const fresh = new DOMParser().parseFromString(serverResponse, "text/html").getElementById(shown.id);
  if (!fresh) return;
  event.detail.shouldSwap = false;
  document.adoptNode(fresh);
  const wanted = ["hx-get", "hx-trigger", "data-live"].map((name) => [name, fresh.getAttribute(name)]);
  const told = (part) => part.dispatchEvent(new CustomEvent("htmx:afterSwap", { bubbles: true, detail: { elt: part } }));
  if (!renew(shown, fresh, told) || wanted.every(([name, value]) => shown.getAttribute(name) === value)) return;
  for (const [name, value] of wanted) {
    if (value === null) shown.removeAttribute(name);
    else shown.setAttribute(name, value);
  }
  setTimeout(() => window.htmx.process(shown)); // when this answer is done with: it asks as often as it says, or no more
});

for (const page of document.querySelectorAll("[data-live]")) partsOf(page);
