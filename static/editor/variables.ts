// What does the interpreter of a session hold? The list of its variables, or the rows of a table that somebody reads.

import { announce, find, make } from "./page";

const LATER = "As it was before the last cell: it is read anew as soon as no cell runs.";
const UNREACHED = "The server cannot be reached. Press Variables again in a moment.";

/** What a link of the variables or of a table is called. */
function nameOf(link: HTMLElement): string {
  return link.title || link.textContent || "";
}

export class VariablesView {
  private loads = 0;
  private opening = 0;
  private due = false;
  private address: string;

  constructor(private readonly place: HTMLElement, private readonly list: string) {
    this.address = list;
    place.addEventListener("click", (event) => {
      const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>("a[data-look]") : null;
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.opening += 1; // a cell's end meanwhile must not bring back what was shown before it
      void this.load(link.href, nameOf(link)).finally(() => {
        this.opening -= 1;
        if (this.due && !this.opening) this.renew();
      });
    });
  }

  /** A cell may have changed what is shown: the same rows and columns of it are asked for again. */
  renew(): void {
    this.due = this.opening > 0;
    if (!this.due) void this.load(this.address, "");
  }

  /** Another interpreter holds none of it. */
  clear(): void {
    this.loads += 1; // what is on its way is of the one before
    this.address = this.list;
    this.place.removeAttribute("aria-busy");
    this.place.replaceChildren();
  }

  /** called: the name of what somebody has opened; "" where it is read anew without being asked for. */
  private async load(address: string, called: string): Promise<void> {
    this.loads += 1;
    const mine = this.loads;
    this.place.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(address, { headers: { "HX-Request": "true", Accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector<HTMLElement>("[data-table], [data-variables]");
      if (!fresh) throw new Error("not understood");
      if (mine !== this.loads) return; // something else was asked for meanwhile
      const table = find("[data-table]", this.place);
      if (!called && table && ["busy", "silent"].includes(fresh.dataset.refused ?? "")) this.keep(table, LATER);
      else this.put(fresh, called);
      this.address = address;
    } catch {
      if (mine !== this.loads) return;
      const table = find("[data-table]", this.place);
      if (!called && table) this.keep(table, UNREACHED);
      else this.place.replaceChildren(make("p", { class: "pane__empty", role: "status" }, UNREACHED));
    } finally {
      if (mine === this.loads) this.place.removeAttribute("aria-busy");
    }
  }

  /** Nobody answers now: what is read stays, and says why it may be old. */
  private keep(table: HTMLElement, why: string): void {
    const said = find("[data-later]", table);
    if (said) said.textContent = why;
    else find(".data__head", table)?.after(make("p", { class: "muted small", role: "status", "data-later": "" }, why));
  }

  private put(fresh: HTMLElement, called: string): void {
    const focused = document.activeElement instanceof HTMLElement && this.place.contains(document.activeElement) ? document.activeElement : null;
    const before = find(".table-wrap", this.place);
    const [top, left] = [before?.scrollTop ?? 0, before?.scrollLeft ?? 0];
    this.place.replaceChildren(document.adoptNode(fresh));
    const wrap = find(".table-wrap", this.place);
    if (called) announce(find("[role=status]", this.place)?.textContent ?? "Variables", true);
    else wrap?.scrollTo({ top, left, behavior: "instant" });
    if (!focused) return;
    const name = called || nameOf(focused); // what renews itself leaves the keyboard where it is
    const links = [...this.place.querySelectorAll<HTMLElement>("a[data-look]")];
    (focused === before ? wrap : (links.find((link) => nameOf(link) === name) ?? links[0]))?.focus({ preventScroll: !called });
  }
}
