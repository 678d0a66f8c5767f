// Which days does an axis name whose nights are left out? Plotly places its own in the whole time, where some fall together.

const MOST_DAYS = 60; // beyond, months are named, which stand far enough apart
const ROOM = 64; // pixels for one day

/**
 * @param {{values: string[], dvalue: number}[]} closed hours without bars
 * @param {string} first when the first bar begins
 * @param {string} last
 * @param {number} width of the chart, in pixels
 * @returns {object} settings of the axis; none where its own choice is as good
 */
export function dayTicks(closed, first, last, width) {
  const [start, stop] = [inUtc(first), inUtc(last)];
  const begun = closed.flatMap(({ values, dvalue }) => values.map((value) => inUtc(value) + dvalue));
  const days = new Map();
  for (const moment of [start, ...begun.filter((each) => each > start && each <= stop).sort((one, other) => one - other)]) {
    const day = new Date(moment).toISOString().slice(0, 10);
    if (!days.has(day)) days.set(day, new Date(moment).toISOString().slice(0, 19));
  }
  if (days.size < 3 || days.size > MOST_DAYS) return {};
  const every = Math.ceil((days.size * ROOM) / Math.max(ROOM, width - ROOM));
  return { tickmode: "array", tickvals: [...days.values()].filter((_, at) => at % every === 0), tickformat: "%-d %b" };
}

/** A day alone is one of UTC already.
 * @param {string} text */
function inUtc(text) {
  return Date.parse(text.length > 10 ? `${text.replace(" ", "T")}Z` : text);
}
