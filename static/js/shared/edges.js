// Does more stand beside what a sideways scrolling table or program shows? Marks it, so that the style can let its edge fade.

const WIDE = ".table-wrap, .heat__wrap, .code pre";
const seen = new WeakSet();

function mark(wrap) {
  const hidden = wrap.scrollWidth - wrap.clientWidth;
  wrap.toggleAttribute("data-more", hidden > 2 && wrap.scrollLeft < hidden - 2);
}

const sizes = new ResizeObserver((entries) => { for (const entry of entries) mark(entry.target.closest(WIDE) ?? entry.target); });

function watch(within) {
  for (const wrap of within.querySelectorAll(WIDE)) {
    if (seen.has(wrap)) continue;
    seen.add(wrap);
    sizes.observe(wrap);
    if (wrap.firstElementChild) sizes.observe(wrap.firstElementChild);
    wrap.addEventListener("scroll", () => mark(wrap), { passive: true });
  }
}

watch(document);
document.addEventListener("htmx:afterSwap", () => watch(document));
