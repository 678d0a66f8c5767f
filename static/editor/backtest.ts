// What stands around the curve of a backtest? Above it its figures, below it what they can claim and how they were made.

import type { EventOf, Figure } from "./events";
import { find, icon, make } from "./page";

/** What is drawn of a backtest in the page itself, where nothing that a program shows can reach it. */
export interface BacktestDrawn { head: HTMLElement; findings: HTMLElement }

/** inProgress: whether its tests are still to come, which stands beside "Verified" until their first finding is there. */
export function drawBacktest(event: EventOf<"backtest">, inProgress = false): BacktestDrawn {
  const figures = figureList(event.figures.slice(0, HEAD_FIGURES), event.verified);
  const badge = make("span", { class: `badge badge--plain ${event.verified ? "badge--verified" : "badge--warn"}` },
    icon(event.verified ? "shield-check" : "triangle-alert"), event.verified ? "Verified" : "Not verified");
  const conventions = make("details", { class: "backtest__conventions" },
    make("summary", {}, make("span", { class: "truncate" }, ["All figures", ...event.conventions.map(sentenceless)].join(" · "))),
    figureTable(event.figures),
    make("ul", {}, ...event.conventions.map((line) => make("li", {}, line))));
  const chosen = event.survivorship ? make("span", { class: "badge badge--plain badge--warn", title: event.survivorship }, icon("triangle-alert"), "Survivorship: not controlled") : "";
  const made = event.synthetic ? make("span", { class: "badge badge--plain badge--warn", title: event.synthetic }, icon("triangle-alert"), "Synthetic data") : "";
  const tested = inProgress && make("span", { class: "badge badge--plain badge--sum badge--info" }, icon("clock"), "Being checked");
  const head = make("div", { class: "backtest__head" }, make("h2", {}, event.url ? make("a", { href: event.url, title: "All charts, tables and the report" }, event.strategy) : event.strategy), badge, tested, chosen, made);
  const block = make("section", { class: "backtest", "aria-label": `Backtest of ${event.strategy}`, "data-backtest": String(event.backtest), "data-params": paramsText(event.params) }, head,
    event.verified ? "" : make("p", { class: "muted small" }, "As told by the program, not verified:"), figures);
  block.append(...(event.remarks ?? []).map((line) => make("p", { class: "backtest__remark small" }, line)));
  // What is still open is no trade yet, and no reason to ask why there is none.
  if (event.trades.total === 0 && !event.figures.some((figure) => figure.key === "exposure" && figure.value)) block.append(noTrades(event.no_trades));
  const findings = make("section", { class: "backtest", "aria-label": `What the backtest of ${event.strategy} can claim` },
    make("p", { class: "muted small" }, [event.verified_text, event.survivorship].filter(Boolean).join(" ")), conventions);
  return { head: block, findings };
}

/** What a backtest is called among others of its run: where several have one name, with its parameters. */
export function tabName(block: HTMLElement, all: HTMLElement[]): string {
  const named = (each: HTMLElement): string => cut(find("h2", each)?.textContent ?? "", 32);
  const alone = all.every((each) => each === block || named(each) !== named(block));
  return [named(block), alone ? "" : block.dataset.params].filter(Boolean).join(" ");
}

/** "n1 10, n2 20"; what is long is cut, as it names and does not tell all. */
function paramsText(params: Record<string, unknown> = {}): string {
  return cut(Object.entries(params).map(([name, value]) => `${name} ${value}`).join(", "), 48);
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Right below the curve, and in a word at the top; a second finding replaces the first. */
export function putClaims({ head, findings }: BacktestDrawn, box: HTMLElement): void {
  const old = find<HTMLDetailsElement>(".claims", findings);
  if (old) {
    box.toggleAttribute("open", old.open || (box.hasAttribute("open") && !old.matches(".claims--red")));
    const held = old.contains(document.activeElement);
    old.replaceWith(box);
    if (held) find("summary", box)?.focus({ preventScroll: true });
  } else findings.prepend(box);
  const sum = find(".claims__badge", box);
  for (const badge of head.querySelectorAll(".badge--problem, .badge--sum")) badge.remove();
  const [verified] = head.querySelectorAll(".backtest__head .badge");
  if (sum) verified?.after(sumBadge(box, sum));
  const leak = box.dataset.looksAhead;
  // Its profit is then no gain, and that its numbers were replayed no praise: see badge.css and card.css.
  for (const part of [head, findings]) part.toggleAttribute("data-looks-ahead", leak !== undefined);
  find(".leak", head)?.remove();
  if (leak !== undefined) {
    find(".backtest__head", head)?.after(make("p", { class: "leak small" }, leak));
    verified?.before(
      make("a", { class: "badge badge--plain badge--problem", href: "/docs/honesty#look-ahead" }, icon("triangle-alert"), "Look-ahead"));
  }
}

/** What the box comes to; pressed, it leads there. */
function sumBadge(box: HTMLElement, sum: HTMLElement): HTMLElement {
  const badge = make("a", { class: `badge badge--plain badge--sum ${TONES[box.dataset.state ?? ""] ?? ""}`, href: `#${box.id}`, title: "What this result can claim" },
    ...[...sum.childNodes].map((node) => node.cloneNode(true)));
  badge.addEventListener("click", (event) => {
    event.preventDefault();
    box.toggleAttribute("open", true);
    box.scrollIntoView({ block: "nearest" });
    find("summary", box)?.focus();
  });
  return badge;
}

const TONES: Record<string, string> = { green: "badge--fine", blue: "badge--info", amber: "badge--warn", red: "badge--crit" };

/** How many figures stand above the charts; the others wait with the conventions. */
const HEAD_FIGURES = 8;

function figureList(figures: Figure[], verified: boolean): HTMLElement {
  return make("dl", { class: verified ? "figures" : "figures figures--told" }, ...figures.map((figure) =>
    make("div", {}, make("dt", {}, gloss(figure)),
      make("dd", { class: [verified && toneOf(figure.key, figure.value), figure.text.length > 10 && "figures__long"].filter(Boolean).join(" ") || null, title: figure.full }, figure.text))));
}

/** Every figure by group, in the order of the table. */
function figureTable(figures: Figure[]): HTMLElement {
  const groups = new Map<string, Figure[]>();
  for (const figure of [...figures].sort((one, other) => (one.place ?? -1) - (other.place ?? -1))) {
    const group = figure.group || "Others";
    groups.set(group, [...(groups.get(group) ?? []), figure]);
  }
  return make("div", { class: "figure-groups" }, ...[...groups].map(([group, members]) =>
    make("table", {}, make("caption", {}, group), make("tbody", {}, ...members.map((figure) =>
      make("tr", {}, make("th", { scope: "row" }, gloss(figure)),
        make("td", { class: toneOf(figure.key, figure.value) || null, title: figure.full }, figure.text)))))));
}

/** The name of a figure with its definition, which static/js/shared/gloss.js shows. */
function gloss(figure: Figure): HTMLElement {
  return make("a", { class: "gloss", href: figure.anchor ?? `/docs/metrics#${figure.key}`, "data-gloss": figure.help ?? "" }, figure.label);
}

/** "Orders fill at the next open." -> without its full stop, to stand in a row of facts. */
function sentenceless(text: string): string {
  return text.replace(/\.$/, "");
}

function toneOf(key: string, value: number | null): string {
  // What is written as 0.0 % is no loss to the eye.
  if (value === null || Math.abs(value) < 0.0005) return "";
  if (key.includes("drawdown") && !key.includes("longest")) return "loss";
  if (key.includes("return") || key === "cagr" || key === "alpha") return value > 0 ? "gain" : "loss";
  return "";
}

function noTrades(reason?: string): HTMLElement {
  const heading = make("h3", {}, icon("info"), "The strategy made no trade");
  if (reason) return make("div", { class: "no-trades" }, heading, make("p", {}, reason));
  return make("div", { class: "no-trades" }, heading,
    make("ul", {},
      make("li", {}, "The signal may never have been true: print it, or show() it beside the price."),
      make("li", {}, "The warm-up may be longer than the data: compare the longest window with the number of bars."),
      make("li", {}, "The cash may be below the price of one share: raise cash, or trade a fraction of it."),
      make("li", {}, "All orders may have been refused, for want of margin or by a limit never reached: see the console."),
    ));
}

