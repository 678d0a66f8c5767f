// How does the page talk to the document in which rich output is drawn? It sends data, it hears heights, nothing else.

import type { BacktestShown } from "./events";

type Outgoing =
  | { kind: "reset" }
  | { kind: "display"; seq: number; data: Record<string, unknown> }
  | { kind: "backtest"; seq: number; backtest: BacktestShown }
  | { kind: "theme"; theme: string; scheme: "light" | "dark"; gains: string };

const TALLEST = 60_000;

export class OutputFrame {
  private ready = false;
  private waiting: Outgoing[] = [];
  private shown = 0;

  constructor(private readonly frame: HTMLIFrameElement) {
    addEventListener("message", (event) => this.hear(event));
    document.addEventListener("themechange", () => this.sendTheme());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.sendTheme());
    // A frame that was already there when this script arrived has said "ready" before; it answers when asked.
    frame.addEventListener("load", () => this.ask());
    this.ask();
  }

  get isEmpty(): boolean {
    return this.shown === 0;
  }

  reset(): void {
    this.shown = 0;
    this.frame.hidden = true;
    this.waiting = this.waiting.filter((message) => message.kind === "theme");
    this.send({ kind: "reset" });
  }

  display(seq: number, data: Record<string, unknown>): void {
    this.show({ kind: "display", seq, data });
  }

  backtest(seq: number, backtest: BacktestShown): void {
    this.show({ kind: "backtest", seq, backtest });
  }

  private show(message: Outgoing): void {
    this.shown += 1;
    this.frame.hidden = false;
    this.send(message);
  }

  private send(message: Outgoing): void {
    if (this.ready) this.frame.contentWindow?.postMessage({ qfp: 1, ...message }, "*");
    else this.waiting.push(message);
  }

  private ask(): void {
    this.frame.contentWindow?.postMessage({ qfp: 1, kind: "hello" }, "*");
  }

  private sendTheme(): void {
    this.send(themeMessage());
  }

  private hear(event: MessageEvent): void {
    // The frame has no origin to check, so the window it came from is checked, and then the shape.
    if (event.source !== this.frame.contentWindow || typeof event.data !== "object" || event.data === null) return;
    const { qfp, kind, height } = event.data as Record<string, unknown>;
    if (qfp !== 1) return;
    if (kind === "ready" && !this.ready) {
      this.ready = true;
      this.sendTheme();
      const waiting = this.waiting;
      this.waiting = [];
      for (const message of waiting) this.send(message);
    } else if (kind === "height" && typeof height === "number" && Number.isFinite(height)) {
      this.frame.style.blockSize = `${Math.min(TALLEST, Math.max(0, Math.ceil(height)))}px`;
    }
  }
}

function themeMessage(): Outgoing {
  const { theme = "auto", gains = "blue-up" } = document.documentElement.dataset;
  return { kind: "theme", theme, scheme: schemeNow(), gains };
}

/** Light or dark as the page is drawn now, whatever was chosen. */
function schemeNow(): "light" | "dark" {
  const { theme } = document.documentElement.dataset;
  if (theme === "light" || theme === "dark") return theme;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
