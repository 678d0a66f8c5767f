// How is one cell of a live session shown? What it printed and displayed, how it is doing, and how it ended.

import { AnsiText, type TextLine } from "./ansi";
import { type BacktestDrawn, drawBacktest, putClaims } from "./backtest";
import { claimsBox } from "./claims";
import { sourceLinks, styled } from "./console";
import { type EventOf, isFinal, type RunEvent, type RunStatus, STATUS_WORDS } from "./events";
import { OutputFrame } from "./outputs";
import { announce, duration, find, icon, make, need, post, toast } from "./page";
import type { SessionObserver } from "./session";
import { RunFeed } from "./socket";

const LINES_KEPT = 400;
const OLD = "session ended";
const WAITS = "The cell waits for a line";

export interface CellRun {
  run: string; index: number; title: string; line: number; source: string; status: RunStatus; message: string;
  url: string; socket: string; events: string; input: string; wall_seconds: number | null;
}

/** The output of one cell. */
export class CellView {
  readonly element: HTMLElement;
  readonly run: string;
  readonly source: string;
  status: RunStatus;
  private feed: RunFeed | null = null;
  private frame: OutputFrame | null = null;
  private readonly backtests = new Map<number, BacktestDrawn>();
  private readonly texts = { stdout: new AnsiText(), stderr: new AnsiText() };
  private readonly open: Partial<Record<"stdout" | "stderr", HTMLElement>> = {};
  private readonly badge: HTMLElement;
  private readonly facts: HTMLElement;
  private readonly message: HTMLElement;
  private readonly lines: HTMLElement;
  private readonly rich: HTMLElement;
  private readonly bars = new Map<string, HTMLProgressElement>();
  private readonly staleMark: HTMLElement;
  private old = false;
  private over: boolean; // that it has ended is told once, by what hears of it first: its feed, or the state of the session
  private wall: number | null;
  /** What it waits to be told; "" while it asks nothing. */
  question = "";
  readonly name: string;
  private asked: EventOf<"input"> | null = null;
  private unanswered: string | null = null; // what it has asked last, as long as nothing was typed

  constructor(private readonly cell: CellRun, private readonly observer: SessionObserver, private readonly heard: { ended(): void; asks(): void }) {
    this.run = cell.run;
    this.source = cell.source;
    this.status = cell.status;
    this.over = isFinal(cell.status);
    this.wall = cell.wall_seconds;
    const name = this.name = cell.title || `Cell ${cell.index + 1}`;
    const go = make("button", { type: "button", class: "session-cell__name", title: `Go to line ${cell.line}` }, name);
    go.addEventListener("click", () => observer.goToLine(cell.line));
    this.badge = make("span", { class: "badge" });
    this.facts = make("a", { class: "session-cell__facts", href: cell.url, title: "The page of this run" });
    this.staleMark = make("span", { class: "session-cell__stale muted small", hidden: true }, "changed since");
    this.message = make("p", { class: "session-cell__message muted small" });
    this.lines = make("div", { class: "session-cell__lines console__lines" });
    this.lines.addEventListener("click", (event) => {
      const link = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-line]") : null;
      if (link) observer.goToLine(Number(link.dataset.line));
    });
    this.rich = make("div", { class: "session-cell__rich" });
    this.element = make("section", { class: "session-cell", "aria-label": `Output of ${name}` },
      make("div", { class: "session-cell__head" }, go, this.badge, this.staleMark, this.facts), this.lines, this.rich, this.message);
    this.drawHead(cell.message);
  }

  follow(): void {
    this.feed = new RunFeed(this.cell.socket, this.cell.events, {
      events: (batch) => {
        for (const event of batch) {
          try {
            this.one(event);
          } catch (error) {
            reportError(error); // what comes after it is shown all the same
          }
        }
      },
      queue: () => undefined,
      connection: () => undefined,
    });
    this.feed.start(isFinal(this.status));
  }

  leave(): void {
    this.feed?.stop();
  }

  update(cell: CellRun): void {
    // That it waits is known from the start: a state that says so may be older than what its feed has told.
    if (isFinal(this.status) || cell.status === this.status || cell.status === "queued") return;
    this.status = cell.status;
    this.wall = cell.wall_seconds;
    this.drawHead(cell.message);
    if (!isFinal(cell.status)) return;
    this.feed?.over();
    this.tellOver();
  }

  private tellOver(): void {
    if (this.over) return;
    this.over = true;
    this.heard.ended();
  }

  setStale(stale: boolean): void {
    this.staleMark.hidden = !stale;
  }

  /** Of a session that has ended: what was shown can be read, what it made is no longer there. */
  setOld(old: boolean): void {
    if (old === this.old) return;
    this.old = old;
    this.drawHead(this.message.textContent ?? "");
  }

  /** What stands beside the cell's mark in the editor: told in words, not by colour alone. */
  note(stale: boolean): string {
    if (this.old) return OLD;
    if (stale) return "changed since";
    if (this.status === "succeeded") return this.wall === null ? "✓" : `✓ ${duration(this.wall)}`;
    return isFinal(this.status) ? `✕ ${STATUS_WORDS[this.status]}` : STATUS_WORDS[this.status];
  }

  private one(event: RunEvent): void {
    // It went on, so somebody has answered: in another tab, or before this page was opened.
    if (this.asked && event.seq > this.asked.seq && event.t > this.asked.t + 1 && event.type !== "stderr") this.asks("");
    switch (event.type) {
      case "phase":
        if (event.phase === "running" && !isFinal(this.status)) {
          this.status = "running";
          this.drawHead("");
        }
        break;
      case "stdout":
      case "stderr":
        this.write(event.type, event.text);
        break;
      case "display":
        this.output().display(event.seq, event.data);
        break;
      case "backtest": {
        const drawn = drawBacktest(event);
        const holder = this.newFrame(`Curve of ${event.strategy}`);
        this.rich.append(drawn.head, holder, drawn.findings);
        new OutputFrame(holder).backtest(event.seq, event);
        this.backtests.set(event.backtest, drawn);
        break;
      }
      case "checks": {
        const drawn = this.backtests.get(event.backtest);
        if (drawn) putClaims(drawn, claimsBox(event));
        break;
      }
      case "param":
        this.observer.param(event);
        break;
      case "progress":
        this.progress(event);
        break;
      case "input":
        this.ask(event);
        break;
      case "answer":
        this.asks("");
        this.sayTyped(event.prompt, event.text);
        break;
      case "notice":
        this.rich.append(make("p", { class: "note" }, icon("info"), make("span", {}, event.text)));
        break;
      case "finished":
        this.finish(event);
        break;
    }
  }

  private finish(event: EventOf<"finished">): void {
    this.status = event.status;
    this.wall = event.wall_seconds ?? null;
    this.bars.forEach((bar) => bar.parentElement?.remove());
    this.asks("");
    if (this.unanswered !== null) this.sayTyped(this.unanswered, "");
    this.drawHead(event.message ?? "");
    announce(`${this.name}: ${STATUS_WORDS[event.status]}`, event.status !== "succeeded");
    this.tellOver();
  }

  private drawHead(message: string): void {
    const words = STATUS_WORDS[this.status] ?? this.status;
    this.badge.className = `badge badge--${this.old ? "plain" : this.status}`;
    this.badge.textContent = this.old ? `${words}, ${OLD}` : words;
    this.facts.textContent = this.wall === null ? "run" : duration(this.wall);
    this.message.textContent = this.status === "succeeded" ? "" : message;
    this.element.dataset.status = this.old ? "old" : this.status;
  }

  private write(stream: "stdout" | "stderr", text: string): void {
    const parser = this.texts[stream];
    const put = (line: TextLine): void => {
      const drawn = drawLine(stream, line);
      const begun = this.open[stream];
      if (begun) begun.replaceWith(drawn);
      else this.lines.append(drawn);
      this.open[stream] = drawn;
    };
    parser.write(text, (line) => {
      put(line);
      delete this.open[stream];
    });
    if (parser.hasLine) put(parser.line());
    while (this.lines.childElementCount > LINES_KEPT) {
      this.lines.firstElementChild?.remove();
      if (!find(".session-cell__earlier", this.element)) this.lines.before(make("a", { class: "session-cell__earlier small", href: this.cell.url }, "Earlier lines are on the page of this run"));
    }
  }

  private output(): OutputFrame {
    if (!this.frame) {
      const holder = this.newFrame(`Charts and tables of ${this.name}`);
      this.rich.append(holder);
      this.frame = new OutputFrame(holder);
    }
    return this.frame;
  }

  private newFrame(title: string): HTMLIFrameElement {
    const page = need<HTMLIFrameElement>("#output-frame");
    return make("iframe", { class: "output-frame", sandbox: "allow-scripts", src: page.getAttribute("src"), title, referrerpolicy: "no-referrer", allow: "" });
  }

  private progress(event: EventOf<"progress">): void {
    let bar = this.bars.get(event.id);
    if (!bar) {
      if (this.bars.size >= 20) return;
      bar = make("progress", { max: 1, "aria-label": event.label || "Progress" });
      this.bars.set(event.id, bar);
      this.rich.append(make("div", { class: "progress" }, make("span", {}, event.label || "Progress"), bar));
    }
    if (event.total) {
      bar.max = event.total;
      bar.value = Math.min(event.value ?? 0, event.total);
    }
  }

  /** What was asked, and what was typed for it. */
  private sayTyped(prompt: string, text: string): void {
    this.unanswered = null;
    this.lines.append(make("div", { class: "console__line console__line--input" }, `${prompt.trim() || WAITS} ${text}`));
  }

  /** To where the answer goes. */
  focus(): void {
    find<HTMLInputElement>("form input", this.element)?.focus();
  }

  private asks(question: string): void {
    if (!question) {
      this.asked = null;
      find("form", this.element)?.remove();
    }
    if (question === this.question) return;
    this.question = question;
    this.heard.asks();
  }

  private ask(event: EventOf<"input">): void {
    this.asks("");
    this.unanswered = event.prompt ?? "";
    if (isFinal(this.status)) return;
    const field = make("input", { type: event.password ? "password" : "text", name: "text", maxlength: 10_000, autocomplete: "off", spellcheck: "false" });
    const prompt = event.prompt?.trim() || WAITS;
    const send = make("button", { class: "button button--primary button--small" }, "Send");
    const form = make("form", { class: "console__input" }, make("label", {}, prompt, " ", field), send);
    form.addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      send.disabled = true; // a second press would answer the next question
      void post(this.cell.input, { text: field.value }).then((answer) => {
        if (!answer.ok) throw new Error(String(answer.status));
        if (form.isConnected) this.asks(""); // else the next question is there
      }).catch(() => {
        send.disabled = false;
        toast("The line was not delivered. Send it again in a moment.", "error");
      });
    });
    this.rich.after(form);
    announce(`The cell asks: ${prompt}`, true);
    this.asked = event;
    this.asks(prompt);
    field.focus();
  }
}

function drawLine(stream: "stdout" | "stderr", line: TextLine): HTMLElement {
  const element = make("div", { class: `console__line console__line--${stream}` });
  for (const span of line.spans) element.append(styled(make("span", {}), span.style, span.text));
  const link = sourceLinks(element.textContent ?? "")[0];
  if (link) element.append(" ", make("button", { type: "button", class: "console__link", "data-line": link.line }, `go to line ${link.line}`));
  return element;
}
