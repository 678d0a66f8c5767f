// How does a live session look? Cells with their outputs, the state of the interpreter, and what it holds.

import { type CellRun, CellView } from "./cell";
import { isFinal, type Param, STATUS_WORDS } from "./events";
import { announce, bytesize, elapsed, find, icon, leading, make, need, post, toast } from "./page";
import type { CellMark, SourceBox } from "./source";
import { VariablesView } from "./variables";

const POLL_MS = 15_000;
const LAST_MINUTES_S = 120;
const MARK = /^#\s?%%(.*)$/;

interface FileCell { index: number; title: string; first: number; line: number; last: number; source: string }

interface SessionState {
  number: number; state: "starting" | "idle" | "busy" | "ended"; words: string; why: string;
  idle_left: number; idle_seconds: number; memory_bytes: number | null; silent: string;
}

/** What a press asked for: the text and the values are those of the moment it was made. */
interface Wish { what: string; line: string; source: string; params: Record<string, string> }

export interface SessionObserver {
  params(): Record<string, string>;
  param(param: Param): void;
  stored(source: string, version: number | null): void;
  alone<Answer>(source: string, work: () => Promise<Answer>): Promise<Answer>;
  goToLine(line: number): void;
  began(): void;
  asked(): void;
}

/** Lines that begin inside a text in three quotes: what looks like a mark there is none. */
function linesInTexts(text: string): Set<number> {
  const found = new Set<number>();
  const pieces = /#[^\n]*|("""|''')(?:\\[^]|(?!\1)[^])*\1|"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*'/g;
  for (const piece of text.matchAll(pieces)) {
    if (!piece[1]) continue;
    const first = text.slice(0, piece.index).split("\n").length;
    const more = piece[0].split("\n").length - 1;
    for (let line = first + 1; line <= first + more; line += 1) found.add(line);
  }
  return found;
}

/** The cells of a file as they are marked while one types; the server has the last word when they are run. */
function splitCells(text: string): FileCell[] {
  const lines = text.split(/\r\n?|\n/);
  const quoted = linesInTexts(lines.join("\n"));
  const starts = lines.flatMap((line, at) => (MARK.test(line.trimEnd()) && !quoted.has(at + 1) ? [at + 1] : []));
  const cells: FileCell[] = [];
  const bounds = [0, ...starts, lines.length + 1];
  for (let at = 0; at + 1 < bounds.length; at += 1) {
    const start = bounds[at] as number;
    const end = bounds[at + 1] as number;
    const body = lines.slice(start, end - 1).join("\n");
    const title = start ? (MARK.exec((lines[start - 1] as string).trimEnd())?.[1] ?? "").trim().replace(/^\[markdown\]/, "").trim() : "";
    if (body.trim() || title || starts.length === 0) cells.push({ index: cells.length, title, first: Math.max(1, start), line: start + 1, last: Math.max(start, end - 1), source: body });
  }
  return cells;
}

export class SessionView {
  private state: SessionState | null = null;
  private readonly views = new Map<number, CellView>();
  private shownNumber = 0; // of the session whose cells are shown; 0 until it is known
  private heardAt = 0;
  private ticking = 0;
  private polling = 0;
  private warned = false;
  private readonly wishes: Wish[] = [];
  private sending = false;
  private entered = false;
  private asked = 0;
  private sent: number[] = []; // cells of the last press, of which something is to be told beside the variables
  private readonly pane = need("#pane-session");
  private readonly list = need("#session-cells");
  private readonly look = need("#session-look");
  private readonly variables: VariablesView;
  private readonly banner = need("#session-banner");
  private readonly empty = need("#session-empty");

  constructor(private readonly url: string, private readonly source: SourceBox, private readonly observer: SessionObserver) {
    for (const button of document.querySelectorAll<HTMLButtonElement>("[data-session]")) {
      button.addEventListener("click", () => this.press(button.dataset.session as string));
    }
    for (const tab of this.pane.querySelectorAll<HTMLButtonElement>("[data-session-tab]")) tab.addEventListener("click", () => this.showTab(tab.dataset.sessionTab as string));
    this.variables = new VariablesView(this.look, `${url}/_variables`);
    source.onChange(() => this.mark());
    source.onCursor(() => this.mark());
    source.onRunCell((line, what) => {
      source.moveTo(line);
      void this.run(what, line);
    });
    document.addEventListener("visibilitychange", () => { if (this.entered && document.visibilityState === "visible") void this.refresh(); });
  }

  enter(): void {
    this.entered = true;
    void this.refresh();
    clearInterval(this.ticking);
    this.ticking = window.setInterval(() => this.tick(), 1_000);
    this.mark();
  }

  leave(): void {
    this.entered = false;
    clearTimeout(this.polling);
    clearInterval(this.ticking);
    this.source.mark([]);
  }

  // What people do ---------------------------------------------------------------------------------------------

  runCell(goOn = false): void {
    const here = this.here();
    void this.run("cell", here?.first ?? 1);
    if (!goOn || !here) return;
    const next = splitCells(this.source.text)[here.index + 1];
    if (next) this.source.moveTo(next.line);
  }

  runAll(): void {
    void this.run("all", 1);
  }

  interrupt(): void {
    void this.act("interrupt");
  }

  /** Alt with an arrow: the cell before, or the next. */
  step(by: number): void {
    const cells = splitCells(this.source.text);
    const here = this.here();
    const target = cells[Math.min(cells.length - 1, Math.max(0, (here?.index ?? 0) + by))];
    if (target) this.source.moveTo(target.line);
  }

  private press(what: string): void {
    if (what === "cell") this.runCell();
    else if (what === "above") void this.run("above", this.here()?.first ?? 1);
    else if (what === "all") this.runAll();
    else void this.act(what);
  }

  private here(): FileCell | undefined {
    const line = this.source.line;
    return splitCells(this.source.text).findLast((cell) => cell.first <= line) ?? splitCells(this.source.text)[0];
  }

  private async run(what: string, line: number): Promise<void> {
    this.wishes.push({ what, line: String(line), source: this.source.text, params: this.observer.params() });
    if (this.sending) return;
    this.sending = true;
    try {
      // One after the other: cells run in the order they were asked for.
      for (let wish = this.wishes.shift(); wish; wish = this.wishes.shift()) {
        if (!(await this.send(wish))) this.wishes.length = 0; // what came after it may need what it did not get
      }
    } finally {
      this.sending = false;
    }
  }

  private async send({ what, line, source, params }: Wish): Promise<boolean> {
    try {
      const answer = await this.observer.alone(source, () => post(`${this.url}/cells`, { source, what, line, ...params }));
      const body = (await answer.json()) as { message: string; version: number; cells: CellRun[] };
      this.observer.stored(source, body.version ?? null);
      if (!answer.ok) {
        this.say(body.message || "The cell was not run.", "error");
        return false;
      }
      this.say("");
      this.asked += 1; // a state that is on its way knows nothing of these cells
      const anew = this.state === null || this.state.state === "ended";
      if (anew) {
        this.state = null; // a new one begins; the refresh below tells of it
        this.shownNumber = 0;
        this.clearCells();
      }
      for (const cell of body.cells) this.show(cell);
      this.sent = body.cells.map((cell) => cell.index);
      if (anew) this.showTab("cells");
      else this.draw(); // whoever reads a table goes on reading it
      this.observer.began();
      const asked = body.cells.at(-1);
      if (asked) this.views.get(asked.index)?.element.scrollIntoView({ block: "nearest" });
      await this.refresh();
      return true;
    } catch {
      toast("The server cannot be reached. Your text is kept here; run the cell again in a moment.", "error");
      return false;
    }
  }

  private async act(action: string): Promise<void> {
    if (action !== "keep") this.wishes.length = 0; // who stops it wants nothing more of it
    try {
      const answer = await post(`${this.url}/${action}`, {});
      const body = (await answer.json()) as { message?: string };
      if (!answer.ok) this.say(body.message ?? "That was not possible.", "error");
      if (action === "interrupt") announce("Interrupting the cell.", true);
    } catch {
      toast("The server cannot be reached. Try again in a moment.", "error");
    }
    await this.refresh();
  }

  // State ------------------------------------------------------------------------------------------------------

  async refresh(): Promise<void> {
    clearTimeout(this.polling);
    this.asked += 1;
    const mine = this.asked;
    let body: { session: SessionState | null; cells: CellRun[] } | null = null;
    try {
      const answer = await fetch(this.url, { headers: { Accept: "application/json" } });
      if (answer.ok) body = (await answer.json()) as { session: SessionState | null; cells: CellRun[] };
    } catch {
      // The state comes with the next poll; what is shown stays.
    }
    if (mine !== this.asked) return; // of two on their way the older must not have the last word
    if (body) {
      this.state = body.session;
      this.heardAt = Date.now();
      if (this.state && this.state.number !== this.shownNumber) {
        if (this.shownNumber) this.clearCells(); // else those that are shown are its own
        this.shownNumber = this.state.number;
      }
      for (const cell of body.cells) this.show(cell);
    }
    this.draw();
    if (this.entered) this.polling = window.setTimeout(() => void this.refresh(), POLL_MS);
  }

  private clearCells(): void {
    for (const view of this.views.values()) view.leave();
    this.views.clear();
    this.list.replaceChildren();
    this.variables.clear();
  }

  private show(cell: CellRun): void {
    const shown = this.views.get(cell.index);
    if (shown?.run === cell.run) {
      shown.update(cell);
      return;
    }
    const view = new CellView(cell, this.observer, {
      ended: () => {
        void this.refresh();
        if (this.tab === "variables") this.variables.renew();
      },
      asks: () => {
        if (view.question) this.observer.asked();
        this.draw();
      },
    });
    if (shown) {
      shown.leave();
      shown.element.replaceWith(view.element);
    } else {
      const after = [...this.views.entries()].filter(([index]) => index < cell.index).sort(([one], [other]) => other - one)[0];
      if (after) after[1].element.after(view.element);
      else this.list.prepend(view.element);
    }
    this.views.set(cell.index, view);
    view.follow();
    if (isFinal(cell.status) && this.tab === "variables") this.variables.renew(); // begun elsewhere, and over before it was heard of
    this.mark();
  }

  private draw(): void {
    const badge = need("#session-state");
    const state = this.state;
    badge.textContent = state ? state.words : "No session";
    badge.className = `badge ${state ? { busy: "badge--running", starting: "badge--queued", idle: "badge--succeeded", ended: "badge--cancelled" }[state.state] : "badge--plain"}`;
    need("#session-number").textContent = state ? [`Session ${state.number}`, state.memory_bytes && bytesize(state.memory_bytes), state.state !== "ended" && `ends after ${Math.round(state.idle_seconds / 60)} min without use`].filter(Boolean).join(" · ") : "";
    this.empty.hidden = this.views.size > 0;
    const alive = state !== null && state.state !== "ended";
    for (const button of document.querySelectorAll<HTMLButtonElement>("[data-session=interrupt]")) button.disabled = state?.state !== "busy" && state?.state !== "starting";
    for (const button of document.querySelectorAll<HTMLButtonElement>("[data-session=restart], [data-session=close]")) button.disabled = !alive;
    const asking = [...this.views.values()].find((view) => view.question);
    need("[data-session-tab=cells]").toggleAttribute("data-news", this.tab !== "cells" && (asking ?? this.unseen()) !== undefined);
    if (asking && this.tab !== "cells") this.noticeQuestion(asking);
    else if (state?.state === "ended") this.notice(state.why, "info");
    else if (state?.silent) this.notice(state.silent, "triangle-alert");
    else this.drawCountdown();
    this.mark();
  }

  /** What a cell waits for stands among the cells: said where those are not shown, with a way there. */
  private noticeQuestion(asking: CellView): void {
    const words = `${asking.name} waits for input: ${asking.question}`;
    if (this.banner.textContent?.startsWith(words)) return;
    this.notice(words, "circle-help", this.leadingTo("Answer", () => asking.focus()));
  }

  /** Of the cells that were asked for beside the variables: the one that runs, or else one that did not come through. */
  private unseen(): CellView | undefined {
    const sent = this.tab === "cells" ? [] : this.sent.map((index) => this.views.get(index)).filter((view) => view !== undefined);
    return sent.find((view) => !isFinal(view.status)) ?? sent.find((view) => view.status !== "succeeded");
  }

  private noticeUnseen(view: CellView): void {
    const words = isFinal(view.status) ? `${view.name}: ${STATUS_WORDS[view.status]}` : `${view.name} runs; what is shown is as it was before`;
    if (this.banner.textContent?.startsWith(words)) return;
    this.notice(words, isFinal(view.status) ? "circle-x" : "clock", this.leadingTo("Show the cell", () => view.element.scrollIntoView({ block: "nearest" })));
  }

  private leadingTo(words: string, then: () => void): HTMLElement {
    const button = make("button", { type: "button", class: "button button--small" }, words);
    button.addEventListener("click", () => {
      this.showTab("cells");
      then();
    });
    return button;
  }

  private drawCountdown(): void {
    const state = this.state;
    const left = state ? state.idle_left - (Date.now() - this.heardAt) / 1000 : 0;
    if (!state || state.state !== "idle" || left > LAST_MINUTES_S) {
      this.warned = false;
      const unseen = this.unseen();
      if (unseen) this.noticeUnseen(unseen);
      else this.notice("");
      return;
    }
    if (left <= 0) {
      this.notice("It ends now, without use.", "info");
      if (Date.now() - this.heardAt > 2_000) void this.refresh();
      return;
    }
    const words = `Ends in ${left > 60 ? `${Math.ceil(left / 60)} min` : elapsed(left)}; run something to keep it.`;
    if (!this.warned) {
      this.warned = true;
      announce(`The session ${words.toLowerCase()}`, true);
    }
    if (find("[data-keep]", this.banner)) {
      need("span", this.banner).textContent = words; // the button stays: who presses it may need longer than a second
      return;
    }
    const keep = make("button", { type: "button", class: "button button--small", "data-keep": "" }, "Keep it");
    keep.addEventListener("click", () => void this.act("keep"));
    this.notice(words, "triangle-alert", keep);
  }

  private tick(): void {
    if (this.state?.state === "idle" && !this.state.silent) this.drawCountdown();
  }

  private notice(text: string, mark = "info", ...extra: Node[]): void {
    this.banner.hidden = !text;
    if (!extra.length && this.banner.textContent === text) return;
    this.banner.replaceChildren(...(text ? [icon(mark), make("span", {}, text), ...extra] : []));
  }

  private say(text: string, tone: "error" | "info" = "info"): void {
    const place = need("#session-refusal");
    place.hidden = !text;
    place.replaceChildren(...leading(text));
    if (text) announce(text, tone === "error");
  }

  /** The cells in the editor: where each begins, which one the cursor is in, how each has ended. */
  private mark(): void {
    if (!this.entered) return;
    const cells = splitCells(this.source.text);
    const here = this.here()?.index;
    const over = this.state?.state === "ended"; // its variables have gone with it
    for (const view of this.views.values()) view.setOld(over);
    const marks: CellMark[] = cells.map((cell) => {
      const view = this.views.get(cell.index);
      const stale = view !== undefined && view.source.trimEnd() !== cell.source.trimEnd();
      view?.setStale(stale);
      const state = view ? (over ? "old" : stale ? "stale" : view.status) : "";
      return { first: cell.first, last: cell.last, current: cell.index === here, state, note: view ? view.note(stale) : "" };
    });
    this.source.mark(marks);
  }

  // Variables --------------------------------------------------------------------------------------------------

  private get tab(): string {
    return this.pane.dataset.tab ?? "cells";
  }

  private showTab(name: string): void {
    const among = name === "cells" || this.tab === "cells"; // what has ended there is seen
    this.pane.dataset.tab = name;
    if (among) this.sent = this.sent.filter((index) => !isFinal(this.views.get(index)?.status ?? "lost"));
    for (const tab of this.pane.querySelectorAll<HTMLButtonElement>("[data-session-tab]")) {
      const chosen = tab.dataset.sessionTab === name;
      tab.setAttribute("aria-pressed", String(chosen));
      if (chosen) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    this.list.hidden = name !== "cells";
    this.look.hidden = name !== "variables";
    this.empty.hidden = name !== "cells" || this.views.size > 0;
    if (name === "variables") this.variables.renew();
    this.draw();
  }
}
