// How is a table of a run drawn? Sortable, with a head that stays, figures to the right; text only, never markup.

import type { ColumnTable } from "../events";

const NARROW_SPACE = "\u202f";

export function tableOf(table: ColumnTable & { total_rows?: number; caption?: string }): HTMLElement {
  const columns = (table.columns ?? []).map((column) => (typeof column === "string" ? { name: column, kind: "" } : column));
  const rows = (table.rows ?? []).filter(Array.isArray);
  const kinds = columns.map((column, at) => column.kind || guess(rows, at));
  const digits = kinds.map((kind, at) => (kind === "number" ? digitsOf(rows, at) : 0));

  const wrap = document.createElement("div");
  wrap.className = "table-wrap";
  wrap.tabIndex = 0;
  wrap.setAttribute("role", "region");
  const element = document.createElement("table");
  const shown = rows.length;
  const total = table.total_rows ?? table.total ?? shown;
  const words = [table.caption, total > shown ? `${grouped(shown, 0)} of ${grouped(total, 0)} rows` : ""].filter(Boolean).join(" · ");
  wrap.setAttribute("aria-label", words || "Table");
  if (words) element.createCaption().textContent = words;

  const head = element.createTHead().insertRow();
  const body = element.createTBody();
  let sorted = -1;
  let descending = false;
  columns.forEach((column, at) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = kinds[at] ?? "";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.name || "\u00a0";
    button.title = "Sort";
    button.onclick = () => {
      descending = sorted === at ? !descending : kinds[at] === "number";
      sorted = at;
      for (const other of head.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      fill([...rows].sort((a, b) => (descending ? -1 : 1) * compare(a[at], b[at])));
    };
    cell.append(button);
    head.append(cell);
  });

  const fill = (ordered: unknown[][]): void => {
    const lines = document.createDocumentFragment();
    for (const row of ordered) {
      const line = document.createElement("tr");
      columns.forEach((_, at) => {
        const cell = document.createElement("td");
        cell.className = kinds[at] ?? "";
        cell.textContent = written(row[at], kinds[at] ?? "", digits[at] ?? 0);
        line.append(cell);
      });
      lines.append(line);
    }
    body.replaceChildren(lines);
  };
  fill(rows);
  wrap.append(element);
  return wrap;
}

function guess(rows: unknown[][], at: number): string {
  const values = rows.map((row) => row[at]).filter((value) => value !== null && value !== undefined && value !== "");
  return values.length > 0 && values.every((value) => typeof value === "number") ? "number" : "text";
}

/** As many decimals as the column needs, at most four for small figures, so that the points stand below each other. */
function digitsOf(rows: unknown[][], at: number): number {
  let needed = 0;
  let largest = 0;
  for (const row of rows) {
    const value = row[at];
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    largest = Math.max(largest, Math.abs(value));
    // Seven figures are enough to tell, and hide the noise of binary fractions.
    const text = String(Number(value.toPrecision(7)));
    const point = text.indexOf(".");
    if (text.includes("e-")) needed = 6;
    else if (point >= 0) needed = Math.max(needed, text.length - point - 1);
  }
  return Math.min(needed, largest >= 1000 ? 2 : largest >= 1 ? 4 : 6);
}

function grouped(value: number, digits: number): string {
  const text = Math.abs(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replaceAll(",", NARROW_SPACE);
  return value < 0 ? `\u2212${text}` : text;
}

function written(value: unknown, kind: string, digits: number): string {
  if (value === null || value === undefined) return "–";
  if (kind === "number" && typeof value === "number") return Number.isFinite(value) ? grouped(value, digits) : String(value);
  if (kind === "date") return String(value).replace(/T00:00:00(\.0+)?(Z|\+00:00)?$/, "").replace("T", " ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function compare(a: unknown, b: unknown): number {
  const missing = (value: unknown): boolean => value === null || value === undefined || (typeof value === "number" && Number.isNaN(value));
  if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b));
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
