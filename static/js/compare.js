// Several series, each 100 at the start: the server's drawing becomes one that can be pointed at.
import { axis, CONFIG, holder, layout, onColours, plotly, token } from "./shared/plot.js";

const chart = document.querySelector("#comparison");
const area = chart.querySelector("[data-area]");
const data = JSON.parse(document.querySelector("#comparison-data").textContent);
let place = null;
let log = false;

async function draw() {
  const Plotly = await plotly(chart.dataset.plotly);
  const traces = data.lines.map((line, at) => ({
    type: "scatter", mode: "lines", x: data.dates, y: line.values, name: line.name, line: { color: token(`--chart-${at + 1}`), width: 1.75 }, hovertemplate: "%{y:,.1f}",
  }));
  const daily = (data.dates[0] ?? "").length === 10;
  const own = layout({
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
    margin: { l: 8, r: 64, t: 40, b: 28 },
    xaxis: { type: "date", hoverformat: daily ? "%-d %b %Y" : "%-d %b %Y %H:%M UTC" },
    yaxis: { ...axis(), side: "right", type: log ? "log" : "linear", tickformat: "", exponentformat: "B", nticks: 7 },
  });
  if (!place) {
    place = holder(area, chart.querySelector("figcaption").textContent);
    await Plotly.newPlot(place, traces, own, { ...CONFIG, doubleClick: "reset" });
    area.querySelector(".series-chart")?.remove();
    chart.querySelector("[data-drawing]").hidden = false;
    chart.dataset.ready = "";
  } else {
    await Plotly.react(place, traces, own, { ...CONFIG, doubleClick: "reset" });
  }
}

chart.querySelector("[data-drawing]").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  log = !log;
  button.setAttribute("aria-pressed", String(log));
  void draw();
});
onColours(() => void draw());
void draw();
