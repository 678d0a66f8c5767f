// How do the pages of market data draw with Plotly? Loads it after the page is there, in the page's own colours.

let loading = null;

export function plotly(address) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("The chart library could not be loaded."));
    document.head.append(script);
  });
  return loading;
}

export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export const touch = matchMedia("(pointer: coarse)").matches;

export const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "", topojsonURL: "about:blank", doubleClick: false };

export function axis() {
  const font = { family: "JetBrains Mono, monospace", size: 11, color: token("--text-muted") };
  return { gridcolor: token("--line"), zeroline: false, linecolor: token("--line-strong"), tickfont: font, fixedrange: true, automargin: false };
}

/** What all charts have: colours, fonts, the line that follows the pointer. */
export function layout(own) {
  const x = { ...axis(), showgrid: false, fixedrange: touch, showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "dot", spikecolor: token("--line-strong") };
  return {
    height: 420,
    margin: { l: 8, r: 64, t: 12, b: 28 },
    paper_bgcolor: token("--surface-0"),
    plot_bgcolor: token("--surface-0"),
    font: { family: "Inter, system-ui, sans-serif", size: 12, color: token("--text") },
    separators: ".\u202f", // as figures and tables write numbers: a point, and thin spaces that do not break
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: token("--surface-1"), bordercolor: token("--line-strong"), font: { family: "JetBrains Mono, monospace", size: 12, color: token("--text") } },
    // On a phone a finger scrolls the page; the range buttons zoom.
    dragmode: touch ? false : "zoom",
    ...own,
    xaxis: { ...x, ...own.xaxis },
  };
}

/** Draw again when the colours change. */
export function onColours(draw) {
  document.addEventListener("themechange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

/** Put a holder for Plotly in the place of the server's drawing once it can be drawn, so that nothing jumps. */
export function holder(area, label) {
  const place = document.createElement("div");
  place.className = "price-chart__plot";
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", label);
  area.append(place);
  return place;
}
