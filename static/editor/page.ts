// Small things every module of the workspace needs: finding elements, making them from text, writing figures.

const NARROW_SPACE = "\u202f";
const UNIT_SPACE = "\u00a0";

export function find<Kind extends Element = HTMLElement>(selector: string, within: ParentNode = document): Kind | null {
  return within.querySelector<Kind>(selector);
}

export function need<Kind extends Element = HTMLElement>(selector: string, within: ParentNode = document): Kind {
  const found = within.querySelector<Kind>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

type Child = Node | string | null | undefined | false;

/** An element with attributes and children. Strings become text, never markup. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name, attributes: Record<string, string | boolean | number | null | undefined> = {}, ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

/** What a refusal says, with the advice to sign up as a link that leads back here. */
export function leading(text: string): (Node | string)[] {
  const [before = "", after] = text.split(/Sign up\b(.*)/s);
  const register = `/register?next=${encodeURIComponent(location.pathname + location.search)}`;
  return after === undefined ? [text] : [before, make("a", { href: register }, "Sign up"), after];
}

/** A copy of an icon that the template put into <template id="icons">. */
export function icon(name: string): Node {
  const drawings = find<HTMLTemplateElement>("#icons");
  const drawing = drawings?.content.querySelector(`[data-icon="${name}"] svg`);
  return drawing ? drawing.cloneNode(true) : document.createTextNode("");
}

export function duration(seconds: number): string {
  if (seconds < 0.9995) return `${Math.max(0, seconds * 1000).toFixed(0)}${UNIT_SPACE}ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)}${UNIT_SPACE}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${UNIT_SPACE}s`;
  return `${Math.floor(whole / 60)}${UNIT_SPACE}min ${String(whole % 60).padStart(2, "0")}${UNIT_SPACE}s`;
}

/** For a clock that moves: whole seconds, so that nothing jitters. */
export function elapsed(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}${UNIT_SPACE}s`;
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function bytesize(bytes: number): string {
  let size = bytes;
  let unit = "B";
  for (const next of ["kB", "MB", "GB"]) {
    if (size < 999.5) break;
    size /= 1000;
    unit = next;
  }
  return `${unit !== "B" && size < 10 ? size.toFixed(1) : size.toFixed(0)}${UNIT_SPACE}${unit}`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en").replaceAll(",", NARROW_SPACE);
}

export function plural(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

export function clock(moment: Date): string {
  return `${String(moment.getHours()).padStart(2, "0")}:${String(moment.getMinutes()).padStart(2, "0")}`;
}

function csrfToken(): string {
  return find<HTMLInputElement>("input[name=csrfmiddlewaretoken]")?.value ?? "";
}

/** A form post as fetch sends it. Rejects when the server cannot be reached. */
export function post(url: string, fields: Record<string, string>, headers: Record<string, string> = {}, keepalive = false): Promise<Response> {
  const body = new URLSearchParams(fields);
  return fetch(url, {
    method: "POST",
    body,
    keepalive,
    headers: { "X-CSRFToken": csrfToken(), Accept: "application/json", ...headers },
  });
}

export function jsonScript<Value>(id: string, within: ParentNode = document): Value | null {
  const script = find(`script[id="${id}"]`, within);
  if (!script?.textContent) return null;
  try {
    return JSON.parse(script.textContent) as Value;
  } catch {
    return null;
  }
}

/** Preferences of this browser; a browser that refuses storage just forgets them. */
export const remembered = {
  get(key: string): string | null {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set(key: string, value: string | null): boolean {
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, value);
      return true;
    } catch {
      return false;
    }
  },
};

const ANNOUNCE_EVERY_MS = 10_000;
let announcedAt = -ANNOUNCE_EVERY_MS;
let announced = "";

/** Say something to screen readers: phases at once, anything else at most every ten seconds. */
export function announce(text: string, urgent = false): void {
  const region = find("#announcer");
  const now = performance.now();
  if (!region || text === announced || (!urgent && now - announcedAt < ANNOUNCE_EVERY_MS)) return;
  announced = text;
  announcedAt = now;
  region.textContent = text;
}

/** A message that floats for a few seconds and takes itself away. */
export function toast(text: string, tone: "info" | "success" | "warning" | "error" = "info", ...extra: Child[]): HTMLElement {
  find(".toast--floating")?.remove();
  const dismiss = make("button", { type: "button", class: "button button--quiet button--small", "data-dismiss": ".toast", "aria-label": "Dismiss this message" }, icon("x"));
  const box = make("div", { class: `toast toast--${tone} toast--floating`, role: tone === "error" ? "alert" : "status" }, make("span", {}, text, ...extra), dismiss);
  document.body.append(box);
  if (!extra.length) setTimeout(() => box.remove(), tone === "error" ? 12_000 : 5_000);
  return box;
}
