// What can a backtest claim? Draws the box of nine lines, as the server does, and asks the server for it after a run.

import type { Claims } from "./events";
import { announce, find, icon, make } from "./page";

const ICONS = { grey: "info", green: "shield-check", blue: "clock", amber: "circle-help", red: "triangle-alert" };

export function claimsBox(claims: Claims): HTMLElement {
  const { state, text } = claims.summary;
  const leak = claims.lines.find((line) => line.key === "lookahead" && line.state === "red");
  return make("details", { id: `claims-${claims.backtest}`, class: `claims claims--${state}`, "data-state": state, "data-claims": String(claims.backtest), "data-looks-ahead": leak?.text ?? null, open: state === "red" ? "" : null },
    make("summary", {}, make("span", { class: "claims__badge" }, icon(ICONS[state]), text), make("span", {}, "What this result can claim")),
    make("ol", {}, ...claims.lines.map((line) =>
      make("li", { class: `claims__line claims__line--${line.state}` }, make("a", { href: line.link }, line.title),
        make("span", { class: "claims__state" }, line.word), make("p", {}, line.text)))));
}

/** The boxes as the server draws them, who counts anew; those of a run that has ended are asked for until they change no
 * more, as often as it says. put: given each that has changed. */
export class ServerClaims {
  private waiting = 0;
  private pause = 2; // seconds
  private asked = 0; // of two answers on their way the older must not have the last word
  private readonly boxes = new Map<string, HTMLElement>();
  private readonly last = new Map<string, string>(); // the text of those that were asked for

  constructor(private readonly put: (key: string, box: HTMLElement) => void) {
    for (const box of document.querySelectorAll<HTMLElement>("[data-claims]")) this.boxes.set(box.dataset.claims ?? "", box);
  }

  get(key: string): HTMLElement | undefined {
    return this.boxes.get(key);
  }

  ask(url: string): void {
    this.stop();
    this.pause = 2;
    if (url) void this.look(url, this.asked);
  }

  stop(): void {
    clearTimeout(this.waiting);
    this.asked += 1;
  }

  private async look(url: string, mine: number): Promise<void> {
    try {
      const answer = await fetch(url);
      const told = new DOMParser().parseFromString(answer.ok ? await answer.text() : "", "text/html");
      if (mine !== this.asked) return;
      this.pause = Number(find("[data-due]", told)?.dataset.due ?? 0);
      for (const box of told.querySelectorAll<HTMLElement>("[data-claims]")) this.take(box);
    } catch {
      if (mine !== this.asked) return; // else the server cannot be reached, and is asked again
    }
    clearTimeout(this.waiting);
    if (this.pause) this.waiting = setTimeout(() => void this.look(url, mine), this.pause * 1000);
  }

  private take(box: HTMLElement): void {
    const [key, text] = [box.dataset.claims ?? "", box.outerHTML];
    if (this.last.get(key) === text) return;
    this.last.set(key, text);
    this.boxes.set(key, document.adoptNode(box));
    this.put(key, box);
    if (!this.pause) announce(`${find(".claims__badge", box)?.textContent}: what this result can claim`);
  }
}
