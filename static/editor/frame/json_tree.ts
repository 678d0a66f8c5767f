// How is a JSON value shown? As a tree that opens level by level; text only.

const SHOWN_AT_MOST = 500;

export function treeOf(value: unknown, name = "", depth = 0): HTMLElement {
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    const details = document.createElement("details");
    details.open = depth === 0;
    const summary = document.createElement("summary");
    const words = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
    summary.append(label(name), words);
    details.append(summary);
    const fill = (): void => {
      if (details.childElementCount > 1) return;
      for (const [key, item] of entries.slice(0, SHOWN_AT_MOST)) details.append(treeOf(item, key, depth + 1));
      if (entries.length > SHOWN_AT_MOST) details.append(`… ${entries.length - SHOWN_AT_MOST} more`);
    };
    if (details.open) fill();
    else details.addEventListener("toggle", fill);
    return details;
  }
  const line = document.createElement("div");
  const text = document.createElement("span");
  text.className = typeof value === "string" ? "json-string" : "json-value";
  text.textContent = typeof value === "string" ? JSON.stringify(value) : String(value);
  line.append(label(name), text);
  return line;
}

function label(name: string): HTMLElement {
  const element = document.createElement("span");
  element.className = "json-key";
  element.textContent = name ? `${name}: ` : "";
  return element;
}
