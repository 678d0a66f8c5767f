// The chart of one series: zoom fetches finer bars; adjustment and range change without a page load.
import { dayTicks } from "./shared/days.js";
import { axis, CONFIG, holder, layout, onColours, plotly, token } from "./shared/plot.js";

const chart = document.querySelector("#chart");
const area = chart.querySelector("[data-area]");
const sentence = chart.querySelector("[data-sentence]");
const density = chart.querySelector("[data-density]");
const rows = document.querySelector("[data-rows]");
const shown = { adjust: chart.dataset.adjust, range: chart.dataset.range || "", from: "", to: "", drawing: "line", log: false };
let data = null;
let place = null;
let asking = null;
let waiting = 0;

if (!shown.range) {
  const query = new URLSearchParams(location.search);
  shown.from = query.get("from") ?? "";
  shown.to = query.get("to") ?? "";
}

async function load() {
  asking?.abort();
  asking = new AbortController();
  const query = new URLSearchParams({ adjust: shown.adjust });
  if (shown.from || shown.to) {
    if (shown.from) query.set("from", shown.from);
    if (shown.to) query.set("to", shown.to);
  } else {
    query.set("range", shown.range || "all");
  }
  for (const name of chart.dataset.columns.split(" ").filter(Boolean)) query.append("c", name);
  chart.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(`${chart.dataset.bars}?${query}`, { signal: asking.signal, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).message ?? `The server answered ${answer.status}.`);
    data = await answer.json();
    await draw();
    tell();
    remember(query);
  } catch (error) {
    if (error.name === "AbortError") return;
    sentence.textContent = `The bars did not arrive. ${error.message} Reload the page to try again.`;
  }
  chart.removeAttribute("aria-busy");
}

/** The address says what is seen, so that it can be kept or sent. */
function remember(query) {
  if (!new URLSearchParams(location.search).has("c")) query.delete("c");
  if (query.get("range") === "all") query.delete("range");
  if (query.get("adjust") === "all") query.delete("adjust");
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  for (const link of document.querySelectorAll("a[download]")) {
    const address = new URL(link.href);
    address.searchParams.set("adjust", shown.adjust);
    link.href = address.href;
  }
}

function tell() {
  sentence.textContent = data.sentence;
  density.textContent = data.bars_per_point > 1 ? `Each point stands for ${data.bars_per_point} ${chart.dataset.noun}; zoom in to see all.` : "";
  place?.setAttribute("aria-label", data.sentence);
  const body = document.createElement("tbody");
  for (const cells of data.table.rows) {
    const row = body.insertRow();
    cells.forEach((text, at) => {
      const cell = row.insertCell();
      cell.className = at ? "number" : "date";
      cell.textContent = text;
    });
  }
  rows?.tBodies[0]?.replaceWith(body);
}

async function draw() {
  if (!data) return;
  const Plotly = await plotly(chart.dataset.plotly);
  const { dates, columns, marks } = data;
  const daily = (dates[0] ?? "").length === 10;
  const price = { hoverlabel: { namelength: 24 } };
  const traces = [];
  if (columns.open && shown.drawing === "candles") {
    const side = (colour) => ({ line: { color: token(colour), width: 1 }, fillcolor: token(colour) });
    traces.push({ type: "candlestick", x: dates, open: columns.open, high: columns.high, low: columns.low, close: columns.close, name: chart.dataset.symbol, increasing: side("--gain"), decreasing: side("--loss"), ...price });
  } else {
    const lines = columns.open ? ["close"] : Object.keys(columns).filter((name) => name !== "volume");
    lines.forEach((name, at) => traces.push({ type: "scatter", mode: "lines", x: dates, y: columns[name], name, connectgaps: false, line: { color: token(`--chart-${at + 1}`), width: 1.5 }, ...price }));
  }
  const volume = columns.volume?.some((value) => value > 0);
  if (volume) traces.push({ type: "bar", x: dates, y: columns.volume, yaxis: "y2", name: "volume", marker: { color: token("--line-strong"), line: { width: 0 } }, hovertemplate: "%{y:,.4s}" });
  const splits = marks.filter((mark) => mark.split !== 1);
  const dividends = marks.filter((mark) => mark.dividend && mark.split === 1);
  const strip = (list, symbol, colour, text, name) => ({ type: "scatter", mode: "markers", x: list.map((mark) => mark.date), y: list.map(() => 0.5), yaxis: "y3", name, text: list.map(text), hovertemplate: "%{text}<extra></extra>", marker: { symbol, size: symbol === "circle" ? 5 : 10, color: token(colour) } });
  if (dividends.length) traces.push(strip(dividends, "circle", "--info", (mark) => `Dividend ${mark.dividend}`, "dividend"));
  if (splits.length) traces.push(strip(splits, "triangle-up", "--warn", (mark) => `Split ${mark.split} for 1`, "split"));
  // One line needs no name; what the marks below it mean does.
  const named = traces.filter((trace) => trace.type === "scatter" && !trace.yaxis).length > 1;
  if (!named) for (const trace of traces) trace.showlegend = trace.yaxis === "y3";
  const bottom = volume ? 0.3 : marks.length ? 0.1 : 0;
  const own = layout({
    showlegend: named || marks.length > 0,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
    bargap: 0,
    // Hours without bars are left out: a line across them would show prices that nobody knew.
    xaxis: { type: "date", rangebreaks: data.closed, tickangle: 0, ...(daily ? {} : dayTicks(data.closed, dates[0], dates[dates.length - 1], area.clientWidth)), rangeslider: { visible: false }, anchor: volume ? "y2" : "y", hoverformat: daily ? "%-d %b %Y" : "%-d %b %Y %H:%M UTC", range: [dates[0], dates[dates.length - 1]] },
    yaxis: { ...axis(), side: "right", domain: [bottom, 1], type: shown.log ? "log" : "linear", tickformat: small(columns) ? ".2~f" : "", exponentformat: "B", nticks: 7 },
    yaxis2: { ...axis(), side: "right", domain: [0, 0.2], exponentformat: "B", nticks: 3, visible: Boolean(volume) },
    yaxis3: { ...axis(), domain: volume ? [0.22, 0.28] : [0, 0.07], range: [0, 1], visible: false, showgrid: false },
  });
  if (own.showlegend) own.margin = { ...own.margin, t: 44 };
  // The names of hours have a second line for their day.
  if (!daily) own.margin = { ...own.margin, b: 40 };
  if (!place) {
    place = holder(area, sentence.textContent);
    await Plotly.newPlot(place, traces, own, CONFIG);
    area.querySelector(".series-chart")?.remove();
    place.on("plotly_relayout", zoomed);
    place.on("plotly_doubleclick", () => { pick("range", "all"); });
    chart.querySelector("[data-drawing]").hidden = false;
    chart.dataset.ready = "";
  } else {
    await Plotly.react(place, traces, own, CONFIG);
  }
}

/** Yields and returns are small fractions, and "5m" for 0.005 would be read as five million. */
function small(columns) {
  const values = (columns.close ?? Object.values(columns)[0] ?? []).filter((value) => value !== null);
  return values.length > 0 && Math.max(...values.map(Math.abs)) < 10;
}

function zoomed(change) {
  const from = change["xaxis.range[0]"];
  const to = change["xaxis.range[1]"];
  if (!from || !to) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const daily = (data.dates[0] ?? "").length === 10;
    shown.from = String(from).slice(0, daily ? 10 : 16);
    shown.to = String(to).slice(0, daily ? 10 : 16);
    shown.range = "";
    mark("[data-ranges]", "");
    void load();
  }, 200);
}

function mark(group, value) {
  for (const link of chart.querySelectorAll(`${group} a`)) link.toggleAttribute("aria-current", link.dataset.value === value);
  for (const link of chart.querySelectorAll(`${group} a[aria-current]`)) link.setAttribute("aria-current", "true");
}

function pick(what, value) {
  clearTimeout(waiting); // of a zoom before it
  shown[what] = value;
  if (what === "range") shown.from = shown.to = "";
  mark(what === "range" ? "[data-ranges]" : "[data-adjustments]", value);
  void load();
}

for (const [group, what] of [["[data-ranges]", "range"], ["[data-adjustments]", "adjust"]]) {
  chart.querySelector(group)?.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    pick(what, link.dataset.value);
  });
}
chart.querySelector("[data-drawing]").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  if (button.dataset.value === "log") shown.log = on;
  else shown.drawing = on ? "candles" : "line";
  void draw();
});
onColours(() => void draw());
void load();
