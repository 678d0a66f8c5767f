// How are figures drawn? Plotly in the page's colours, Bokeh as it comes, and the chart of a backtest.

import { cleanBokeh, cleanFigure } from "./clean";
import { addressOf, load } from "./libraries";
import { tableOf } from "./tables";
// @ts-expect-error a plain script, which pages without a bundle share
import { dayTicks } from "../../js/shared/days.js";
// @ts-expect-error another of them
import { written } from "../../js/shared/numbers.js";
import type { BacktestShown, ColumnTable } from "../events";

interface PlotlyLibrary {
  react(element: HTMLElement, data: unknown[], layout: object, config: object): Promise<unknown>;
  relayout(element: HTMLElement, changes: object): Promise<unknown>;
  addFrames(element: HTMLElement, frames: unknown[]): Promise<unknown>;
  Plots: { resize(element: HTMLElement): void };
}
interface BokehLibrary {
  embed: { embed_item(item: unknown, target: HTMLElement): Promise<unknown> };
  set_log_level?(level: string): void;
  Models: { get(name: string): { prototype: any } };
}
declare global {
  interface Window {
    Plotly?: PlotlyLibrary;
    Bokeh?: BokehLibrary;
  }
}
type Figure = { data?: unknown[]; layout?: Record<string, any>; frames?: unknown[] };

// As figures and tables write numbers: a point, and thin spaces that do not break.
const SEPARATORS = ".\u202f";
const CONFIG = {
  displaylogo: false,
  responsive: true,
  showSendToCloud: false,
  plotlyServerURL: "",
  showLink: false,
  // A download needs rights that this document does not have.
  modeBarButtonsToRemove: ["toImage", "sendDataToCloud", "select2d", "lasso2d"],
  displayModeBar: "hover",
  topojsonURL: "about:blank",
  doubleClick: "reset",
};

const redrawers = new Map<HTMLElement, () => void>();

/** Draw everything again in the colours of now. */
export function redrawAll(): void {
  for (const redraw of redrawers.values()) redraw();
}

export function forgetAll(): void {
  redrawers.clear();
}

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function palette(): string[] {
  return Array.from({ length: 8 }, (_, at) => token(`--chart-${at + 1}`));
}

function ourTemplate(): object {
  const axis = { gridcolor: token("--line"), linecolor: token("--line-strong"), zerolinecolor: token("--line-strong"), tickcolor: token("--line-strong"), automargin: true, title: { standoff: 8 } };
  const sequential = [[0, token("--surface-2")], [1, token("--chart-1")]];
  return {
    data: Object.fromEntries(["surface", "heatmap", "contour", "histogram2d", "histogram2dcontour"].map((kind) => [kind, [{ colorscale: sequential }]])),
    layout: {
      colorway: palette(),
      separators: SEPARATORS,
      paper_bgcolor: token("--surface-0"),
      plot_bgcolor: token("--surface-0"),
      font: { family: "Inter, system-ui, sans-serif", size: 12, color: token("--text") },
      title: { font: { size: 14 }, x: 0, xref: "container", y: 1, yref: "container", yanchor: "top", pad: { l: 12, t: 14 } },
      xaxis: axis,
      yaxis: axis,
      hoverlabel: { bgcolor: token("--surface-1"), bordercolor: token("--line-strong"), font: { color: token("--text"), family: "JetBrains Mono, monospace", size: 12 } },
      legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom", font: { size: 12 } },
      margin: { l: 56, r: 16, t: 48, b: 40 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: token("--text-muted"), activecolor: token("--text") },
      colorscale: { sequential, diverging: [[0, token("--chart-2")], [0.5, token("--surface-2")], [1, token("--chart-1")]] },
      scene: Object.fromEntries(["xaxis", "yaxis", "zaxis"].map((name) => [name, { backgroundcolor: token("--surface-1"), gridcolor: token("--line"), zerolinecolor: token("--line-strong") }])),
    },
  };
}

/** Plotly's own default template is what nobody chose; ours takes its place. A chosen one stays. */
function isDefaultTemplate(template: any): boolean {
  if (!template || typeof template !== "object") return true;
  const colours = template.layout?.colorway;
  return !colours || (String(colours[0]).toLowerCase() === "#636efa" && template.layout?.plot_bgcolor === "#E5ECF6");
}

// The first colours of Plotly's default, which Plotly Express writes into every trace.
const DEFAULT_COLOURS = ["#636efa", "#ef553b", "#00cc96", "#ab63fa", "#ffa15a", "#19d3f3", "#ff6692", "#b6e880"];

function inOurColours(value: unknown, colours: string[], depth = 0): unknown {
  if (typeof value === "string") {
    const at = value.length === 7 ? DEFAULT_COLOURS.indexOf(value.toLowerCase()) : -1;
    return at < 0 ? value : colours[at];
  }
  if (depth > 4 || typeof value !== "object" || value === null) return value;
  // Data arrays are left alone: only a trace's settings hold colours worth changing.
  if (Array.isArray(value)) return depth === 0 ? value.map((item) => inOurColours(item, colours, 1)) : value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inOurColours(item, colours, depth + 1)]));
}

/** Where a frame is hidden as its chart is drawn, between one run and the next, there is no width for it until later. */
function whenShown(chart: HTMLElement): Promise<void> {
  if (chart.clientWidth) return Promise.resolve();
  return new Promise((resolve) => {
    new ResizeObserver((_, observer) => {
      if (chart.isConnected && !chart.clientWidth) return;
      observer.disconnect();
      resolve();
    }).observe(chart);
  });
}

export async function drawPlotly(holder: HTMLElement, raw: unknown): Promise<void> {
  const value = typeof raw === "string" ? (JSON.parse(raw) as unknown) : raw;
  const figure = cleanFigure(value) as Figure;
  if (!figure || typeof figure !== "object" || !Array.isArray(figure.data)) throw new Error("This is not a Plotly figure.");
  const chart = document.createElement("div");
  chart.className = "chart";
  const height = Math.min(4_000, Math.max(120, Number(figure.layout?.height) || 420));
  chart.style.blockSize = `${height}px`;
  holder.append(chart);
  await load(addressOf("plotly"));
  const draw = async (): Promise<void> => {
    const layout: Record<string, any> = { ...figure.layout, height, autosize: true };
    const ours = isDefaultTemplate(layout.template);
    if (ours) layout.template = ourTemplate();
    // The title stands above the legend, which stands above the plot.
    if (ours && !layout.margin?.t && (layout.title?.text ?? layout.title)) layout.margin = { ...layout.margin, t: 84 };
    if (typeof layout.width === "number" && layout.width > chart.clientWidth) delete layout.width;
    const data = structuredClone(ours ? inOurColours(figure.data, palette()) : figure.data) as unknown[];
    await whenShown(chart);
    await window.Plotly?.react(chart, data, layout, CONFIG);
  };
  await draw();
  if (Array.isArray(figure.frames) && figure.frames.length) await window.Plotly?.addFrames(chart, figure.frames);
  redrawers.set(chart, () => void draw());
}

export async function drawBokeh(holder: HTMLElement, raw: unknown): Promise<void> {
  const item = cleanBokeh(typeof raw === "string" ? JSON.parse(raw) : raw) as Record<string, unknown>;
  const text = JSON.stringify(item);
  await load(addressOf("bokeh"));
  await load(addressOf("bokehWidgets"));
  if (/"(DataTable|TableColumn|DataCube)"/.test(text)) await load(addressOf("bokehTables"));
  prepareBokeh();
  const target = document.createElement("div");
  target.className = "bokeh";
  holder.append(target);
  await window.Bokeh?.embed.embed_item({ ...item, target_id: null }, target);
}

let prepared = false;

/** Code inside a document is never executed. What backtesting.py does with it to draw its plot is done here instead. */
function prepareBokeh(): void {
  if (prepared || !window.Bokeh) return;
  prepared = true;
  window.Bokeh.set_log_level?.("off");
  const get = (args: any, name: string): any => (args instanceof Map ? args.get(name) : args?.[name]);
  const model = (name: string): any => window.Bokeh?.Models.get(name).prototype;
  model("CustomJS").execute = async () => undefined;
  model("CustomJSHover").format = (value: unknown) => String(value);
  const pairs = /^\s*return \[\.\.\.xs\]\.map\(i => \[0, i\]\);?\s*$/;
  model("CustomJSTransform").compute = (value: unknown) => value;
  model("CustomJSTransform").v_compute = function (values: Iterable<unknown>): unknown[] {
    return pairs.test(this.v_func) ? [...values].map((value) => [0, value]) : [...values];
  };
  model("CustomJSTickFormatter").doFormat = function (ticks: number[], options: unknown): string[] {
    const formatter = get(this.args, "formatter");
    const times = get(get(this.args, "source")?.data, "datetime");
    if (!formatter || !times) return ticks.map(String);
    const known = ticks.map((tick) => times[Math.round(tick)]);
    const labels = formatter.doFormat(known.filter((time) => time !== undefined), options) as string[];
    return known.map((time) => (time === undefined ? "" : (labels.shift() ?? "")));
  };
}

// The chart of a backtest ----------------------------------------------------------------------------------------

const RANGES: [string, number | "ytd" | null][] = [["1M", 1], ["6M", 6], ["YTD", "ytd"], ["1Y", 12], ["3Y", 36], ["All", null]];

export async function drawBacktest(holder: HTMLElement, backtest: BacktestShown): Promise<void> {
  const { dates, equity, drawdown, benchmark, closed } = backtest.chart;
  const held = backtest.figures.find((figure) => figure.key === "buy_and_hold")?.label ?? "Buy and hold";
  if (dates.length < 2) return;
  const days = dates.map((date) => date.slice(0, date.length > 10 && !/T00:00/.test(date) ? 16 : 10));
  const timed = days.some((day) => day.length > 10);
  const figure = document.createElement("figure");
  figure.className = "backtest";
  const title = element("h3", "backtest__title", `${backtest.strategy}: equity and drawdown`);
  const tools = element("div", "backtest__tools");
  const ranges = element("div", "segmented");
  ranges.setAttribute("role", "group");
  ranges.setAttribute("aria-label", "Range");
  const chart = element("div", "chart");
  chart.style.blockSize = "420px";
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", backtest.description);
  const last = new Date(dates[dates.length - 1] as string);
  const first = new Date(dates[0] as string);
  let range: [string, string] = [days[0] as string, days[days.length - 1] as string];
  let logarithmic = false;
  const buttons: HTMLButtonElement[] = [];
  for (const [name, months] of RANGES) {
    const start = months === null ? first : months === "ytd" ? new Date(Date.UTC(last.getUTCFullYear(), 0, 1)) : new Date(last);
    if (typeof months === "number") start.setUTCMonth(start.getUTCMonth() - months);
    if (months !== null && start <= first) continue;
    const button = element("button", "", name) as HTMLButtonElement;
    button.type = "button";
    button.setAttribute("aria-pressed", String(months === null));
    button.onclick = () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      range = [start.toISOString().slice(0, 10), days[days.length - 1] as string];
      void draw();
    };
    buttons.push(button);
  }
  ranges.append(...buttons);
  const log = element("button", "toggle", "Log scale") as HTMLButtonElement;
  log.type = "button";
  log.setAttribute("aria-pressed", "false");
  log.disabled = [...equity, ...(benchmark ?? [])].some((value) => value <= 0);
  log.onclick = () => {
    logarithmic = !logarithmic;
    log.setAttribute("aria-pressed", String(logarithmic));
    void draw();
  };
  tools.append(ranges, log);
  const caption = element("figcaption", "", backtest.description);
  figure.append(title, tools, chart, caption, lazyTable(`Data table, ${dates.length} points`, () => tableOf({
    columns: [{ name: "Date", kind: "date" }, { name: "Equity", kind: "number" }, ...(benchmark ? [{ name: held, kind: "number" }] : []), { name: "Drawdown (%)", kind: "number" }],
    rows: days.map((day, at) => [day, round(equity[at], 2), ...(benchmark ? [round(benchmark[at], 2)] : []), round((drawdown[at] ?? 0) * 100, 2)]),
  })));
  if (backtest.trades.rows.length) {
    const { rows, total = rows.length } = backtest.trades;
    figure.append(lazyTable(rows.length < total ? `Trades, the first ${rows.length} of ${total}` : `Trades, ${total}`, () => tableOf(inPercent(backtest.trades))));
  }
  const { holdings } = backtest;
  if (holdings?.rows.length) {
    figure.append(lazyTable(`Held at the end, ${holdings.rows.length}`, () => tableOf(inPercent(holdings))));
  }
  holder.append(figure);
  await load(addressOf("plotly"));

  const draw = async (): Promise<void> => {
    const spans = [equity, ...(benchmark ? [benchmark] : [])].map((values) => within(days, values, range));
    const low = Math.min(...spans.map((span) => span[0]));
    const high = Math.max(...spans.map((span) => span[1]));
    const pad = (high - low || 1) * 0.06;
    const gain = token("--gain");
    const loss = token("--loss");
    const grid = { gridcolor: token("--line"), zeroline: false, linecolor: token("--line-strong"), tickfont: { family: "JetBrains Mono, monospace", size: 11, color: token("--text-muted") }, fixedrange: true };
    const layout = {
      height: 420,
      margin: { l: 64, r: 12, t: 26, b: timed ? 40 : 28 },
      paper_bgcolor: token("--surface-0"),
      plot_bgcolor: token("--surface-0"),
      font: { family: "Inter, system-ui, sans-serif", size: 12, color: token("--text") },
      showlegend: false,
      hovermode: "x unified",
      hoverlabel: { bgcolor: token("--surface-1"), bordercolor: token("--line-strong"), font: { family: "JetBrains Mono, monospace", size: 12, color: token("--text") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: token("--text-muted"), activecolor: token("--text") },
      dragmode: "zoom",
      separators: SEPARATORS,
      xaxis: { ...grid, range, anchor: "y2", showgrid: false, fixedrange: false, showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "dot", spikecolor: token("--line-strong"), rangebreaks: closed ?? [], ...(closed ? dayTicks(closed, range[0], range[1], chart.clientWidth) : {}), hoverformat: timed ? "%-d %b %Y %H:%M UTC" : "%-d %b %Y" },
      yaxis: { ...grid, domain: [0.34, 1], type: logarithmic ? "log" : "linear", range: logarithmic ? [Math.log10(Math.max(low - pad, low * 0.97)), Math.log10(high * 1.03)] : [low - pad, high + pad], tickformat: "", exponentformat: "B", nticks: 6 },
      yaxis2: { ...grid, domain: [0, 0.26], tickformat: ".0f", ticksuffix: "\u00a0%", nticks: 4, rangemode: "tozero", ...(drawdown.some((fall) => fall !== 0) ? {} : { range: [-10, 0] }) },
      // Above their curves: within the plot they would lie over a line sooner or later.
      annotations: [
        { text: benchmark ? `Equity<span style="color:${token("--text-muted")}"> · ${held}</span>` : "Equity", xref: "paper", yref: "paper", x: 0, y: 1, xanchor: "left", yanchor: "bottom", showarrow: false, font: { color: gain, size: 12 } },
        { text: "Drawdown", xref: "paper", yref: "paper", x: 0, y: 0.265, xanchor: "left", yanchor: "bottom", showarrow: false, font: { color: loss, size: 12 } },
      ],
    };
    const fallen = drawdown.map((fall) => -Math.abs(fall) * 100);
    const data = [
      ...(benchmark ? [{ type: "scatter", mode: "lines", x: days, y: benchmark, name: held, line: { color: token("--line-strong"), width: 1.25 }, ...hover(benchmark, 0) }] : []),
      { type: "scatter", mode: "lines", x: days, y: equity, name: "Equity", line: { color: gain, width: 1.75 }, ...hover(equity, 0) },
      { type: "scatter", mode: "lines", x: days, y: fallen, yaxis: "y2", name: "Drawdown", line: { color: loss, width: 1.25 }, fill: "tozeroy", fillcolor: translucent(loss, 0.22), ...hover(fallen, 1, "\u00a0%") },
    ];
    await whenShown(chart);
    await window.Plotly?.react(chart, data, layout, { ...CONFIG, displayModeBar: false });
  };
  await draw();
  redrawers.set(chart, () => void draw());
}

function hover(values: number[], digits: number, unit = ""): object {
  return { customdata: values.map((value) => written(value, digits, unit)), hovertemplate: "%{customdata}" };
}

/** Lowest and highest value inside a range of dates. */
function within(days: string[], values: number[], range: [string, string]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  days.forEach((day, at) => {
    const value = values[at];
    if (day < range[0] || value === undefined || !Number.isFinite(value)) return;
    low = Math.min(low, value);
    high = Math.max(high, value);
  });
  return low <= high ? [low, high] : [0, 1];
}

/** Plotly knows rgba() but not color-mix(). */
function translucent(colour: string, alpha: number): string {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!context) return colour;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `rgba(${red},${green},${blue},${alpha})`;
}

function round(value: number | undefined, digits: number): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Number(value.toFixed(digits));
}

/** Returns come as fractions; people read percentages. */
function inPercent(table: ColumnTable): ColumnTable {
  const at = table.columns.findIndex((column) => column === "Return" || column === "Weight");
  if (at < 0) return table;
  return {
    columns: table.columns.map((column, index) => (index === at ? { name: `${String(column)} (%)`, kind: "number" } : column)),
    rows: table.rows.map((row) => row.map((value, index) => (index === at && typeof value === "number" ? round(value * 100, 2) : value))),
  };
}

function lazyTable(label: string, build: () => HTMLElement): HTMLElement {
  const details = document.createElement("details");
  details.append(element("summary", "", label));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(build());
  });
  return details;
}

function element(name: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
