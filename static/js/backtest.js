// The charts of one backtest: drawn once they come into view; zooming fetches the points of that stretch.
import { dayTicks } from "./shared/days.js";
import { written } from "./shared/numbers.js";
import { axis, CONFIG, layout, onColours, plotly, token } from "./shared/plot.js";

const ROLES = { main: "--gain", up: "--gain", fall: "--loss", down: "--loss", benchmark: "--line-strong" };
const TICKS = { currency: "", percent: ",.2~f", ratio: ".2~f", price: ",~f", count: "" };
const DIGITS = { currency: 2, percent: 1, ratio: 2, price: 4, count: 0 };
// As figures and tables write percentages: with a space before the sign.
const times = (form) => (form === "percent" ? 100 : 1);
const suffix = (form) => (form === "percent" ? "\u00a0%" : "");
const told = (value, form) => written(value, DIGITS[form], suffix(form));
const scaled = (values, form) => (form === "percent" ? values.map((value) => (value === null ? null : value * 100)) : values);

const drawn = [];

function translucent(colour, alpha) {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!context) return colour;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `rgba(${red},${green},${blue},${alpha})`;
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.area = figure.querySelector("[data-area]");
    this.log = figure.querySelector("[data-log]");
    this.whole = figure.querySelector("[data-whole]");
    this.sentence = figure.querySelector("figcaption").textContent;
    this.range = null;
    this.place = null;
    this.waiting = 0;
    this.asking = null;
    this.log?.addEventListener("click", () => {
      this.log.setAttribute("aria-pressed", String(this.log.getAttribute("aria-pressed") !== "true"));
      void this.draw();
    });
    this.whole.addEventListener("click", () => this.zoom(null));
  }

  async load() {
    this.asking?.abort();
    this.asking = new AbortController();
    const query = this.range ? `?${new URLSearchParams({ from: this.range[0], to: this.range[1] })}` : "";
    try {
      const answer = await fetch(`${this.figure.dataset.chart}${query}`, { signal: this.asking.signal, headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      this.data = await answer.json();
      await this.draw();
    } catch (error) {
      // The drawing of the server stays where it is.
      if (error.name !== "AbortError") console.warn(error.message);
    }
  }

  zoom(range) {
    this.range = range;
    this.whole.hidden = range === null;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => void this.load(), 150);
  }

  traces() {
    return this.data.traces.map((trace) => {
      const colour = token(ROLES[trace.role] ?? "--gain");
      const [x, y] = [scaled(trace.x, this.data.x_form), scaled(trace.y, this.data.form)];
      const across = this.data.x_form === "date" ? () => "" : (at) => `${told(x[at], this.data.x_form)}, `;
      const said = y.map((value, at) => across(at) + told(value, this.data.form));
      const base = { x, y, name: trace.name, customdata: said, hovertemplate: "%{customdata}" };
      if (trace.mode === "bars") return { ...base, type: "bar", marker: { color: colour, line: { width: 0 } } };
      if (trace.mode === "points") return { ...base, type: "scatter", mode: "markers", marker: { color: colour, size: 8, symbol: trace.role === "down" ? "triangle-down" : "triangle-up" } };
      const line = { ...base, type: "scatter", mode: "lines", line: { color: colour, width: trace.role === "benchmark" ? 1.25 : 1.75, shape: trace.mode === "steps" ? "hv" : "linear" } };
      return trace.mode === "area" ? { ...line, fill: "tozeroy", fillcolor: translucent(colour, 0.22) } : line;
    });
  }

  /** The first and the last moment that is seen. */
  ends() {
    const moments = this.data.traces.flatMap((trace) => [trace.x[0], trace.x.at(-1)]).sort();
    const [from, to] = this.range ?? [];
    const same = (moment) => moment?.replace(" ", "T") ?? "";
    return [same(from) > moments[0] ? same(from) : moments[0], to && same(to) < moments.at(-1) ? same(to) : moments.at(-1)];
  }

  /** Where all of a drawdown is 0, an axis of Plotly's choice would go up to 100 %. */
  neverFell() {
    return this.data.key === "drawdown" && this.data.traces.every((trace) => trace.y.every((value) => value === 0));
  }

  async draw() {
    if (!this.data) return;
    const Plotly = await plotly(this.figure.dataset.plotly);
    const dates = this.data.x_form === "date";
    const several = this.data.traces.length > 1;
    const level = this.data.level === null ? null : this.data.level * times(this.data.form);
    const months = this.data.traces.every((trace) => trace.mode === "bars");
    const timed = this.data.traces.some((trace) => String(trace.x[0]).length > 10);
    const own = layout({
      height: undefined,
      autosize: true,
      margin: { l: 8, r: 62, t: several ? 28 : 10, b: dates && !timed && !months ? 26 : 40 },
      showlegend: several,
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 }, itemclick: false, itemdoubleclick: false },
      hovermode: dates ? "x unified" : "closest",
      bargap: 0.15,
      shapes: level === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: token("--line-strong"), width: 1, dash: "dash" } }],
      xaxis: dates
        ? {
          type: "date",
          tickangle: 0,
          // Hours without bars are left out: a line across them would show prices that nobody knew.
          rangebreaks: this.data.closed,
          ...(timed ? dayTicks(this.data.closed, ...this.ends(), this.area.clientWidth) : {}),
          hoverformat: months ? "%b %Y" : timed ? "%-d %b %Y %H:%M UTC" : "%-d %b %Y",
          // Of a few months an axis of Plotly's choice would name the hours.
          ...(months && this.data.traces[0].x.length < 4 ? { dtick: "M1", tickformat: "%b %Y" } : {}),
          ...(this.range ? { range: this.range } : {}),
        }
        : { tickformat: TICKS[this.data.x_form], ticksuffix: suffix(this.data.x_form), exponentformat: "B", title: { text: this.data.x_title, font: { size: 11, color: token("--text-muted") } } },
      yaxis: { ...axis(), side: "right", type: this.log?.getAttribute("aria-pressed") === "true" ? "log" : "linear", tickformat: TICKS[this.data.form], ticksuffix: suffix(this.data.form), exponentformat: "B", nticks: 6, ...(this.neverFell() ? { range: [-10, 0] } : {}) },
    });
    if (this.place) return void (await Plotly.react(this.place, this.traces(), own, CONFIG));
    this.place = document.createElement("div");
    this.place.className = "result-chart__plot";
    this.place.setAttribute("role", "img");
    this.place.setAttribute("aria-label", `${this.data.title}. ${this.sentence}`);
    this.area.append(this.place);
    await Plotly.newPlot(this.place, this.traces(), own, CONFIG);
    for (const svg of this.area.querySelectorAll("svg.ts-chart")) svg.setAttribute("aria-hidden", "true");
    this.figure.dataset.ready = "";
    if (this.log) this.log.hidden = false;
    if (!dates) return;
    this.place.on("plotly_relayout", (change) => {
      const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (from && to) this.zoom([String(from).slice(0, 19), String(to).slice(0, 19)]);
    });
    this.place.on("plotly_doubleclick", () => this.zoom(null));
  }
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    const chart = new Chart(entry.target);
    drawn.push(chart);
    void chart.load();
  }
}, { rootMargin: "300px" });
function watch(within) {
  for (const figure of within.querySelectorAll("[data-chart]")) near.observe(figure);
}
watch(document);
// The page of a walk-forward gets its charts when its last window is done.
document.addEventListener("htmx:afterSwap", (event) => watch(event.detail.elt));
onColours(() => { for (const chart of drawn) void chart.draw(); });
