// The document in which rich output is drawn: no origin, no network, no way to the page but its own height.

import { marked } from "marked";
import type { BacktestShown } from "../events";
import { drawBacktest, drawBokeh, drawPlotly, forgetAll, redrawAll } from "./charts";
import { cleanMarkup, makeInert } from "./clean";
import { treeOf } from "./json_tree";
import { tableOf } from "./tables";

interface Incoming {
  qfp?: unknown;
  kind?: unknown;
  seq?: number;
  data?: Record<string, unknown>;
  backtest?: BacktestShown;
  theme?: string;
  scheme?: string;
  gains?: string;
}

const IMAGES = ["image/png", "image/jpeg", "image/gif"];
const list = document.querySelector("main") as HTMLElement;

makeInert();

function tell(message: object): void {
  parent.postMessage({ qfp: 1, ...message }, "*");
}

let told = -1;
new ResizeObserver(() => {
  const height = Math.ceil(list.getBoundingClientRect().height);
  if (height !== told) {
    told = height;
    tell({ kind: "height", height });
  }
}).observe(list);

addEventListener("message", (event: MessageEvent) => {
  if (event.source !== parent || typeof event.data !== "object" || event.data === null) return;
  const message = event.data as Incoming;
  if (message.qfp !== 1) return;
  if (message.kind === "hello") tell({ kind: "ready" });
  else if (message.kind === "reset") {
    forgetAll();
    list.replaceChildren();
  } else if (message.kind === "theme") {
    const root = document.documentElement;
    root.dataset.theme = message.theme === "contrast" ? "contrast" : message.scheme === "dark" ? "dark" : "light";
    root.style.colorScheme = message.scheme === "dark" ? "dark" : "light";
    root.dataset.gains = message.gains ?? "";
    redrawAll();
  } else if (message.kind === "display" && message.data) void draw(message.seq ?? 0, (holder) => display(holder, message.data ?? {}));
  else if (message.kind === "backtest" && message.backtest) {
    const { backtest } = message;
    void draw(message.seq ?? 0, (holder) => drawBacktest(holder, backtest));
  }
});

/** A place in order of appearance, filled when its library has come. A failure is said in that place. */
async function draw(seq: number, fill: (holder: HTMLElement) => void | Promise<void>): Promise<void> {
  const holder = document.createElement("section");
  holder.className = "output";
  holder.dataset.seq = String(seq);
  const after = [...list.children].find((other) => Number((other as HTMLElement).dataset.seq) > seq);
  list.insertBefore(holder, after ?? null);
  try {
    await fill(holder);
  } catch (error) {
    const note = document.createElement("p");
    note.className = "output__failed";
    note.textContent = `This output could not be drawn. ${error instanceof Error ? error.message : ""}`;
    holder.replaceChildren(note);
  }
}

/** The richest form that we draw. */
async function display(holder: HTMLElement, data: Record<string, unknown>): Promise<void> {
  const text = (mime: string): string => {
    const value = data[mime];
    return Array.isArray(value) ? value.join("") : String(value ?? "");
  };
  const image = IMAGES.find((mime) => mime in data);
  if ("application/vnd.plotly.v1+json" in data) await drawPlotly(holder, data["application/vnd.plotly.v1+json"]);
  else if ("application/vnd.qfp.bokeh+json" in data) await drawBokeh(holder, data["application/vnd.qfp.bokeh+json"]);
  else if ("application/vnd.qfp.table+json" in data) {
    const value = data["application/vnd.qfp.table+json"];
    holder.append(tableOf(typeof value === "string" ? JSON.parse(value) : (value as never)));
  } else if ("image/svg+xml" in data) holder.append(picture(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(text("image/svg+xml"))}`, text("text/plain")));
  else if (image) holder.append(picture(`data:${image};base64,${text(image).replace(/\s+/g, "")}`, text("text/plain")));
  else if ("text/html" in data) shadow(holder, text("text/html"));
  else if ("text/markdown" in data) shadow(holder, await marked.parse(text("text/markdown"), { async: true, gfm: true }), "markdown");
  else if ("text/latex" in data) holder.append(plain(text("text/latex"), "latex"));
  else if ("application/json" in data) {
    const tree = treeOf(data["application/json"]);
    tree.classList.add("json");
    holder.append(tree);
  } else holder.append(plain(text("text/plain")));
}

function picture(address: string, description: string): HTMLElement {
  const image = document.createElement("img");
  image.alt = description && !description.startsWith("<") ? description : "Picture shown by the run";
  image.draggable = false;
  image.src = address;
  return image;
}

/** Markup in a shadow tree: its styles reach nothing else, and the holder contains what is positioned. */
function shadow(holder: HTMLElement, markup: string, kind = "html"): void {
  const host = document.createElement("div");
  host.className = "markup";
  const root = host.attachShadow({ mode: "open" });
  const styles = document.createElement("link");
  styles.rel = "stylesheet";
  styles.href = document.documentElement.dataset.styles ?? "";
  const body = document.createElement("div");
  body.className = `markup__body markup__body--${kind}`;
  body.append(cleanMarkup(markup));
  if (!body.textContent?.trim() && !body.querySelector("img, svg, hr, table, progress, meter, canvas")) {
    holder.append(plain("This markup shows nothing here: scripts, forms and frames of a run are not executed.", "plain--note"));
    return;
  }
  root.append(styles, body);
  holder.append(host);
}

function plain(text: string, kind = ""): HTMLElement {
  const block = document.createElement("pre");
  block.className = `plain ${kind} ${text.trim().includes("\n") ? "" : "plain--line"}`.trim();
  block.textContent = text;
  return block;
}

tell({ kind: "ready" });
