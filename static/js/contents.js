// Marks in the contents list the heading being read.
const links = new Map(
  [...document.querySelectorAll(".contents a[href^='#']")].map((link) => [decodeURIComponent(link.hash.slice(1)), link]),
);
const headings = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);

function mark() {
  const line = 120;
  let current = headings[0];
  for (const heading of headings) {
    if (heading.getBoundingClientRect().top <= line) current = heading;
  }
  for (const [id, link] of links) link.toggleAttribute("aria-current", id === current?.id);
}

if (headings.length) {
  addEventListener("scroll", mark, { passive: true });
  mark();
}
