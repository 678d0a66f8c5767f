// What of hostile markup may be drawn? The sanitiser of the output frame; the frame's policy is the wall behind it.

import DOMPurify from "dompurify";

const OPTIONS = {
  FORBID_TAGS: ["script", "form", "input", "button", "select", "textarea", "option", "iframe", "frame", "object", "embed", "base", "meta", "link", "audio", "video", "source", "track", "dialog", "portal"],
  FORBID_ATTR: ["href", "xlink:href", "action", "formaction", "target", "ping", "srcset", "poster", "background", "autofocus", "tabindex", "contenteditable", "popovertarget", "is", "name", "usemap"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: true,
  ADD_TAGS: ["style"],
  FORCE_BODY: true,
  RETURN_DOM_FRAGMENT: true as const,
};

DOMPurify.addHook("uponSanitizeAttribute", (node, data) => {
  if (data.attrName === "href" || data.attrName === "xlink:href") {
    // A link cannot lead anywhere from here; its address stays readable.
    if (node.localName === "a") (node as Element).setAttribute("title", data.attrValue.slice(0, 500));
    data.keepAttr = false;
  }
  if (data.attrName === "style") data.attrValue = cleanStyles(data.attrValue);
  else if (/url\s*\(/i.test(data.attrValue) && !/^\s*url\s*\(\s*['"]?#[\w-]+['"]?\s*\)\s*$/i.test(data.attrValue)) data.keepAttr = false;
  if (data.attrName === "src" && !/^data:image\/(png|jpeg|gif|webp|svg\+xml)[;,]/i.test(data.attrValue)) data.keepAttr = false;
});

DOMPurify.addHook("uponSanitizeElement", (node) => {
  if (node.nodeName.toLowerCase() === "style") node.textContent = cleanStyles(node.textContent ?? "");
});

/** Styles that fetch nothing. The policy blocks such requests anyway; this way they are not even tried. */
function cleanStyles(css: string): string {
  return css
    .replaceAll("\\", "")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/@(import|font-face|namespace)[^;{]*[;{]?/gi, "")
    .replace(/(image-set|cross-fade|image|src)\s*\(/gi, "none(")
    .replace(/url\s*\(\s*(?!['"]?data:image\/)/gi, "none(");
}

/** Takes the worst out before the markup is parsed: only so that the policy has nothing to report while it is. */
function quieten(markup: string): string {
  return markup.replace(/<[a-z!/][^>]*>?/gi, (tag) => tag.replace(/(^<\s*)(base|meta|link|script)\b/i, "$1x-$2").replace(/([\s/"'])on([a-z]+\s*=)/gi, "$1data-off-$2"));
}

export function cleanMarkup(markup: string): DocumentFragment {
  return DOMPurify.sanitize(quieten(markup), OPTIONS);
}

/** Markup as a string, for libraries that take nothing else. */
function cleanText(markup: string): string {
  const holder = document.createElement("div");
  holder.append(DOMPurify.sanitize(quieten(markup), { ...OPTIONS, FORBID_TAGS: [...OPTIONS.FORBID_TAGS, "style"], ADD_TAGS: [] }));
  return holder.innerHTML;
}

const LOOKS_LIKE_MARKUP = /<[a-z!/?]/i;
const PLOTLY_TAGS = new Set(["b", "strong", "i", "em", "u", "s", "sub", "sup", "br", "span"]);
const DANGEROUS_KEYS = new Set(["__proto__", "constructor", "prototype"]);

/** A Plotly figure without links, foreign images and code; its text keeps the few tags that Plotly draws. */
export function cleanFigure(value: unknown, key = "", depth = 0): unknown {
  if (depth > 60) return null;
  if (typeof value === "string") {
    if (key === "bdata") return value;
    if ((key === "source" || key === "imagesource") && !/^data:image\/(png|jpeg|gif|webp)[;,]/i.test(value)) return "";
    if (!LOOKS_LIKE_MARKUP.test(value)) return value;
    return value.replace(/<[^>]*>?/g, (tag) => {
      const name = /^<\/?\s*([a-z]+)/i.exec(tag)?.[1]?.toLowerCase() ?? "";
      if (name === "extra") return tag.startsWith("</") ? "</extra>" : "<extra>";
      if (!PLOTLY_TAGS.has(name)) return "";
      return tag.startsWith("</") ? `</${name}>` : `<${name}>`;
    });
  }
  if (Array.isArray(value)) return value.map((item) => cleanFigure(item, key, depth + 1));
  if (typeof value !== "object" || value === null) return value;
  const clean: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    if (DANGEROUS_KEYS.has(name)) continue;
    if (name === "images" && Array.isArray(item)) {
      clean[name] = item.filter((image) => /^data:image\//i.test(String((image as { source?: unknown })?.source ?? "")));
      continue;
    }
    clean[name] = cleanFigure(item, name, depth + 1);
  }
  return clean;
}

/** A Bokeh document without callbacks, addresses and live markup. */
export function cleanBokeh(value: unknown, key = "", depth = 0): unknown {
  if (depth > 200) return null;
  if (typeof value === "string") {
    if (key === "url" || key === "urls" || key === "tile_source") return "";
    return LOOKS_LIKE_MARKUP.test(value) ? cleanText(value) : value;
  }
  if (Array.isArray(value)) return value.map((item) => cleanBokeh(item, key, depth + 1));
  if (typeof value !== "object" || value === null) return value;
  const clean: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    if (DANGEROUS_KEYS.has(name)) continue;
    // Callbacks are code or navigation, which the policy forbids; as tags they are never called. They cannot just
    // be dropped: other parts of the document may refer to models that are described inside them.
    if (name === "js_property_callbacks" || name === "js_event_callbacks") {
      clean.tags = [...((clean.tags as unknown[]) ?? []), cleanBokeh(item, name, depth + 1)];
    } else if (name === "code" && typeof item === "string") clean[name] = "";
    else if (name !== "tags") clean[name] = cleanBokeh(item, name, depth + 1);
  }
  return clean;
}

/** Nothing that is pressed, dragged or sent inside the frame leads out of it. */
export function makeInert(): void {
  const stop = (event: Event): void => {
    const path = event.composedPath();
    if (event.type === "submit" || event.type === "dragstart" || path.some((node) => node instanceof Element && (node.localName === "a" || node.localName === "area"))) {
      event.preventDefault();
    }
  };
  for (const type of ["click", "auxclick", "submit", "dragstart", "drop"]) {
    addEventListener(type, stop, { capture: true });
  }
}
