// How large is each pane, and which is shown on a small screen? Splitters by pointer and keyboard, tabs on a phone.

import { find, remembered } from "./page";

const STEP = 2;

interface Split { name: string; smallest: number; largest: number; initial: number }

const SPLITS: Record<string, Split> = {
  files: { name: "--files-size", smallest: 0, largest: 28, initial: 14 },
  code: { name: "--code-share", smallest: 20, largest: 80, initial: 50 },
  console: { name: "--console-share", smallest: 10, largest: 85, initial: 26 },
};

export function watchSplitters(root: HTMLElement): void {
  for (const handle of root.querySelectorAll<HTMLElement>("[role=separator][data-split]")) {
    const key = handle.dataset.split ?? "";
    const split = SPLITS[key];
    if (!split) continue;
    const storage = `pane:${key}`;
    const inverted = handle.hasAttribute("data-inverted");
    let value = Number(remembered.get(storage) ?? Number.NaN);
    if (!Number.isFinite(value)) value = split.initial;

    const set = (wanted: number, keep = true): void => {
      value = Math.min(split.largest, Math.max(split.smallest, wanted));
      root.style.setProperty(split.name, `${value}%`);
      if (key === "code") root.style.setProperty("--code-fraction", String(value / 100));
      root.toggleAttribute(`data-${key}-closed`, value < 4);
      handle.setAttribute("aria-valuenow", String(Math.round(value)));
      if (keep) remembered.set(storage, String(value));
    };
    handle.setAttribute("aria-valuemin", String(split.smallest));
    handle.setAttribute("aria-valuemax", String(split.largest));
    set(value, false);

    const across = (): boolean => getComputedStyle(handle).cursor === "col-resize";
    handle.addEventListener("keydown", (event) => {
      const wider = across() ? "ArrowRight" : "ArrowDown";
      const narrower = across() ? "ArrowLeft" : "ArrowUp";
      const direction = inverted ? -1 : 1;
      if (event.key === wider) set(value + STEP * direction);
      else if (event.key === narrower) set(value - STEP * direction);
      else if (event.key === "Home") set(split.smallest);
      else if (event.key === "End") set(split.largest);
      else if (event.key === "Enter") set(split.initial);
      else return;
      event.preventDefault();
    });
    handle.addEventListener("dblclick", () => set(split.initial));
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      handle.setPointerCapture(event.pointerId);
      const box = (handle.closest<HTMLElement>("[data-split-area]") ?? root).getBoundingClientRect();
      const wide = across();
      let moved = false;
      root.dataset.dragging = wide ? "col" : "row";
      const move = (now: PointerEvent): void => {
        moved ||= Math.abs(now.clientX - event.clientX) + Math.abs(now.clientY - event.clientY) > 3;
        if (!moved) return;
        const share = wide ? (now.clientX - box.left) / box.width : (now.clientY - box.top) / box.height;
        const filesShare = key === "code" && wide ? filesWidth(root) / box.width : 0;
        const at = key === "code" && wide ? (share - filesShare) / (1 - filesShare) : share;
        set((inverted ? 1 - at : at) * 100);
      };
      const up = (): void => {
        handle.removeEventListener("pointermove", move);
        handle.removeEventListener("pointerup", up);
        handle.removeEventListener("pointercancel", up);
        delete root.dataset.dragging;
        // A press without a drag steps through three sizes, for those who cannot drag.
        if (!moved) set(next(value, split));
      };
      handle.addEventListener("pointermove", move);
      handle.addEventListener("pointerup", up);
      handle.addEventListener("pointercancel", up);
    });
  }
}

function filesWidth(root: HTMLElement): number {
  return find("#pane-files", root)?.getBoundingClientRect().width ?? 0;
}

function next(value: number, split: Split): number {
  const sizes = [split.smallest, split.initial, split.initial + (split.largest - split.initial) / 2];
  return sizes.find((size) => size > value + 1) ?? (sizes[0] as number);
}

/** Tabs show one pane at a time under 720 px; above, all are there and the tabs are not drawn. */
export class PaneTabs {
  private readonly tabs: HTMLButtonElement[];

  constructor(private readonly root: HTMLElement) {
    this.tabs = [...document.querySelectorAll<HTMLButtonElement>("[data-pane-tab]")];
    for (const tab of this.tabs) {
      tab.addEventListener("click", () => this.show(tab.dataset.paneTab ?? "code"));
      tab.addEventListener("keydown", (event) => {
        const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
        if (!by) return;
        const other = this.tabs[(this.tabs.indexOf(tab) + by + this.tabs.length) % this.tabs.length];
        other?.focus();
        other?.click();
      });
    }
    document.addEventListener("showpane", (event) => {
      const pane = (event as CustomEvent<string>).detail;
      // A question of the program is answered where its text stands; on a wide screen both are visible.
      if (this.isNarrow) this.show(pane);
    });
  }

  get isNarrow(): boolean {
    return matchMedia("(max-width: 719px)").matches;
  }

  get current(): string {
    return this.root.dataset.pane ?? "code";
  }

  show(pane: string): void {
    this.root.dataset.pane = pane;
    for (const tab of this.tabs) {
      const chosen = tab.dataset.paneTab === pane;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) tab.removeAttribute("data-news");
    }
  }

  /** Something arrived in a pane that is not shown. */
  news(pane: string): void {
    if (this.current === pane) return;
    for (const tab of this.tabs) if (tab.dataset.paneTab === pane) tab.setAttribute("data-news", "");
  }
}
