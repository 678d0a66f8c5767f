// What does this word mean? Links and buttons of the class "gloss" carry their definition; one floating note shows it on
// hover, on keyboard focus and on a tap or click, for links with a link to the formula. Without this script they lead
// there themselves.

const OPEN_AFTER = 140;
const CLOSE_AFTER = 220;
const GAP = 6;

/** @type {HTMLElement | null} */
let note = null;
/** @type {HTMLElement | null} */
let word = null;
/** Opened by a click: stays until the next one, Escape or a scroll. */
let pinned = false;
/** The focus goes back to the word, which opens nothing. */
let returning = false;
let timer = 0;

/** @param {EventTarget | null} target */
function glossOf(target) {
  return target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest(".gloss[data-gloss]")) : null;
}

function inNote(target) {
  return note !== null && target instanceof Node && note.contains(target);
}

function makeNote() {
  const made = document.createElement("div");
  made.id = "gloss-note";
  made.className = "gloss-note";
  made.popover = "manual";
  made.setAttribute("role", "note");
  const text = document.createElement("p");
  text.id = "gloss-text";
  const link = document.createElement("a");
  // Whoever reads a result keeps it: the manual opens beside it.
  link.target = "_blank";
  made.append(text, link);
  made.addEventListener("pointerenter", () => clearTimeout(timer));
  made.addEventListener("pointerleave", () => hideSoon());
  made.addEventListener("focusout", (event) => {
    if (!inNote(event.relatedTarget)) hide();
  });
  document.body.append(made);
  return made;
}

/** @param {HTMLElement} found */
function show(found) {
  clearTimeout(timer);
  if (word && word !== found) hide();
  note ??= makeNote();
  const [text, link] = /** @type {[HTMLElement, HTMLAnchorElement]} */ ([...note.children]);
  text.textContent = found.dataset.gloss ?? "";
  link.hidden = !found.hasAttribute("href");
  link.setAttribute("href", found.getAttribute("href") ?? "");
  link.textContent = "Formula";
  link.setAttribute("aria-label", `Formula: ${found.textContent?.trim() ?? ""}, in a new tab`);
  word = found;
  found.setAttribute("aria-describedby", text.id);
  note.showPopover();
  place(found, note);
}

/** Below the word, or above it where there is no room; always inside the window. */
function place(found, shown) {
  const at = found.getBoundingClientRect();
  const size = shown.getBoundingClientRect();
  const below = at.bottom + GAP;
  const top = below + size.height > innerHeight - GAP ? Math.max(GAP, at.top - GAP - size.height) : below;
  shown.style.setProperty("top", `${top}px`);
  shown.style.setProperty("left", `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`);
}

/** Whether some of it shows in what was scrolled, the window or a part of the page. */
function isInside(scrolled, found) {
  const at = found.getBoundingClientRect();
  const part = scrolled instanceof Element && scrolled.contains(found) ? scrolled.getBoundingClientRect() : null;
  return at.bottom > (part?.top ?? 0) && at.top < (part?.bottom ?? innerHeight);
}

function hide() {
  clearTimeout(timer);
  pinned = false;
  word?.removeAttribute("aria-describedby");
  word = null;
  if (note?.matches(":popover-open")) note.hidePopover();
}

function hideSoon() {
  clearTimeout(timer);
  if (!pinned) timer = setTimeout(() => inNote(document.activeElement) || hide(), CLOSE_AFTER);
}

document.addEventListener("pointerover", (event) => {
  if (word && !word.isConnected) hide(); // a new result has taken its place
  const found = event.pointerType === "touch" ? null : glossOf(event.target);
  if (!found) return;
  clearTimeout(timer);
  if (found !== word && !pinned) timer = setTimeout(() => show(found), OPEN_AFTER);
});
document.addEventListener("pointerout", (event) => {
  if (event.pointerType === "touch" || !glossOf(event.target)) return;
  clearTimeout(timer);
  hideSoon();
});
document.addEventListener("focusin", (event) => {
  if (returning) return;
  const found = glossOf(event.target);
  // A tap focuses, too, and its click follows.
  if (found?.matches(":focus-visible")) show(found);
  else if (!found && !inNote(event.target)) hide();
});
document.addEventListener("click", (event) => {
  const found = glossOf(event.target);
  if (!found) {
    if (!inNote(event.target)) hide();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // into a new tab, as any link
  event.preventDefault();
  if (pinned && found === word) {
    hide();
    return;
  }
  show(found);
  pinned = true;
  // Pressed by keyboard: on to the note's own link; Escape comes back.
  if (event.detail === 0) note?.querySelector("a:not([hidden])")?.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !word) return;
  const from = inNote(document.activeElement) ? word : null;
  event.preventDefault();
  returning = true;
  hide();
  from?.focus();
  returning = false;
});
addEventListener("scroll", (event) => {
  if (!word || !note || inNote(event.target)) return;
  // The keyboard scrolls to what it reaches, after it has reached it; who scrolls on leaves it.
  if (word === document.activeElement && !pinned && isInside(event.target, word)) place(word, note);
  else hide();
}, { capture: true, passive: true });
addEventListener("resize", hide);
