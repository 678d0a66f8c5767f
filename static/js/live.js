// A page that asks again until its run has ended ([data-live]): of each answer only the parts that have changed are put
// in, and one in which somebody is choosing, typing or pressing waits until nobody does.

const served = new WeakMap(); // part -> as the server wrote it
const waiting = new Map(); // part that somebody may be using -> what takes its place, or null
const SCROLLED = ".table-wrap, .heat__wrap";
const TYPED = "select, input:not([type=hidden]), textarea";
const PRESSED = "a, button, summary, [tabindex]";
const TOKEN = /<input[^>]* name="csrfmiddlewaretoken"[^>]*>/g; // another one in each answer
const LOOK_MS = 200; // so soon it is asked again whether a part is in use
let looking = 0;

/** The same name for the same thing in two versions; several of one name are told apart by their order. */
function inOrder(things, nameOf) {
  const named = new Map();
  for (const thing of things) {
    const name = nameOf(thing);
    let at = 0;
    while (named.has(`${name} ${at}`)) at += 1;
    named.set(`${name} ${at}`, thing);
  }
  return named;
}

function partsOf(page) {
  for (const part of page.children) {
    if (!served.has(part)) served.set(part, part.outerHTML.replace(TOKEN, ""));
  }
  const named = (part) => part.id || part.getAttribute("aria-labelledby") || part.getAttribute("aria-label") || part.className;
  return inOrder(page.children, named);
}

const controlsOf = (part) => inOrder(part.querySelectorAll(TYPED), (control) => `${control.type} ${control.name}`);

function isUsed(part) {
  return part.matches(":active") || (part.contains(document.activeElement) && document.activeElement.matches(TYPED));
}

/** What somebody had chosen, typed, opened, scrolled to and stood on in a part goes over to the one that takes its place. */
function carry(from, to) {
  const controls = controlsOf(from);
  for (const [name, control] of controlsOf(to)) {
    const before = controls.get(name);
    if (!before) continue;
    if (before.options) {
      if ([...control.options].some((option) => option.value === before.value)) control.value = before.value;
    } else if (before.value !== before.defaultValue) control.value = before.value;
    if (before.checked !== before.defaultChecked) control.checked = before.checked;
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

/** Scripts that draw what has come are told. */
function tell(part) {
  part.dispatchEvent(new CustomEvent("htmx:afterSwap", { bubbles: true, detail: { elt: part } }));
}

/** What waits is put in, but where somebody is. */
function settle() {
  clearTimeout(looking);
  for (const [old, part] of waiting) {
    if (isUsed(old)) continue;
    waiting.delete(old);
    if (part) {
      carry(old, part);
      tell(part);
    } else old.remove();
  }
  if (waiting.size) looking = setTimeout(settle, LOOK_MS);
}

function renew(shown, fresh) {
  const before = partsOf(shown);
  let last = null;
  waiting.clear();
  for (const [name, part] of partsOf(fresh)) {
    const old = before.get(name);
    before.delete(name);
    if (!old) {
      if (last) last.after(part);
      else shown.prepend(part);
      tell(part);
    } else if (served.get(old) !== served.get(part)) waiting.set(old, part);
    last = old ?? part;
  }
  for (const left of before.values()) waiting.set(left, null);
  settle();
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target: shown, serverResponse, shouldSwap } = event.detail;
  if (!shouldSwap || !shown.matches("[data-live]")) return;
  const fresh = new DOMParser().parseFromString(serverResponse, "text/html").getElementById(shown.id);
  if (!fresh) return;
  event.detail.shouldSwap = false;
  document.adoptNode(fresh);
  renew(shown, fresh);
  const wanted = ["hx-get", "hx-trigger"].map((name) => [name, fresh.getAttribute(name)]);
  if (wanted.every(([name, value]) => shown.getAttribute(name) === value)) return;
  for (const [name, value] of wanted) {
    if (value === null) shown.removeAttribute(name);
    else shown.setAttribute(name, value);
  }
  setTimeout(() => window.htmx.process(shown)); // when this answer is done with: it asks as often as it says, or no more
});

for (const page of document.querySelectorAll("[data-live]")) partsOf(page);
