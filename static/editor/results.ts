// What does one run look like while it goes and when it has ended? Draws the panel, figures, progress and files of a run.

import { type BacktestDrawn, drawBacktest, putClaims, tabName } from "./backtest";
import { claimsBox, ServerClaims } from "./claims";
import type { Console } from "./console";
import { type EventOf, isFinal, type Param, type RunEvent, type RunStatus, STATUS_WORDS } from "./events";
import type { OutputFrame } from "./outputs";
import { announce, bytesize, count, duration, elapsed, find, icon, make, need, post, toast } from "./page";
import { ofBacktesting, OF_BACKTRADER, PRINTED_SHARPE, PRINTED_STATS } from "./printed";
import { type Connection, RunFeed } from "./socket";

const PHASE_WORDS: Record<string, string> = {
  queued: "Queued",
  starting: "Starting",
  packages: "Installing packages",
  running: "Running",
  examining: "The program has ended and is tested for look-ahead",
  saving: "Saving the results",
};

const STOPPING = "Stopping…";
const BUSY = "A run is going; stop it first, or wait for it.";
const UNHEARD = "The run has ended. Reload the page to see how.";
const STAYING = [STOPPING, BUSY, UNHEARD]; // until the run ends

interface RunObserver {
  param(param: Param): void;
  began(): void;
  running(): void;
  ended(status: RunStatus, declared: Set<string>): void;
  goToLine(line: number): void;
}

export class RunView {
  private feed: RunFeed | null = null;
  private panel!: HTMLElement;
  private status: RunStatus | "" = "";
  private phase = "";
  private place = 0;
  private startedAt = 0;
  private limitSeconds = 0;
  private fresh = false;
  private declared = new Set<string>();
  private bars = new Map<string, { row: HTMLElement; seen: number }>();
  private asked: EventOf<"input"> | null = null;
  private answered: EventOf<"input"> | null = null; // its answer is on its way
  private backtests: (BacktestDrawn & { event: EventOf<"backtest"> })[] = [];
  private curveOf: EventOf<"backtest"> | null = null;
  private readonly claims = new ServerClaims((key, box) => this.putBox(key, box));
  private ticking = 0;
  private readonly title = document.title;

  private errorLine = 0;
  private readonly printed = { stats: "", sharpe: false }; // the table of backtesting.py's, and the word
  private readonly notices = need("#run-notices");
  private readonly progress = need("#run-progress");
  private readonly figures = need("#figures");
  private readonly findings = need("#findings");
  private readonly artefacts = need("#artefacts");
  private readonly empty = need("#result-empty");
  private readonly prompt = need<HTMLFormElement>("#input-form");

  /** curve: the frame of the chosen backtest's curve. frame: that of all that the program shows itself. */
  constructor(private readonly console: Console, private readonly curve: OutputFrame, private readonly frame: OutputFrame, private readonly observer: RunObserver) {
    this.prompt.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.answer();
    });
    document.addEventListener("submit", (event) => {
      const form = event.target as HTMLFormElement;
      if (!form.matches("[data-stop]")) return;
      event.preventDefault();
      void this.stop();
    });
  }

  get inProgress(): boolean {
    return this.status !== "" && !isFinal(this.status);
  }

  /** The program is over; its tests go on by themselves, so that the next run need not wait for them. */
  get onlyExamined(): boolean {
    return this.inProgress && this.phase === "examining";
  }

  /** Follow the run that the panel names. What the last one drew stays until this one has something to show. */
  attach(panel: HTMLElement): void {
    this.feed?.stop();
    this.feed = null;
    this.claims.stop();
    this.panel = panel;
    const { run, socket, events, status, started, wallLimit } = panel.dataset;
    if (!run || !socket || !events) {
      this.status = "";
      this.draw();
      return;
    }
    this.status = (status ?? "queued") as RunStatus;
    this.phase = this.status === "running" ? "running" : "queued";
    this.place = 0;
    this.startedAt = started ? Date.parse(started) : 0;
    this.limitSeconds = Number(wallLimit) || 0;
    this.fresh = true;
    this.declared = new Set();
    if (isFinal(this.status)) this.clear();
    this.feed = new RunFeed(socket, events, {
      events: (batch) => this.take(batch),
      queue: (place) => { this.place = place; this.draw(); },
      connection: (state) => this.drawConnection(state),
    });
    this.feed.start(isFinal(this.status));
    this.draw();
  }

  async stop(): Promise<void> {
    const url = this.panel?.dataset.cancel;
    if (!url || !this.inProgress) return;
    this.say(STOPPING);
    try {
      const answer = await post(url, {});
      if (!answer.ok) throw new Error(String(answer.status));
    } catch {
      this.say("The stop did not reach the server. Press Stop again in a moment.");
    }
  }

  /** Somebody asks for another run meanwhile: said in the status line, and where the hands are. */
  sayBusy(): void {
    this.say(BUSY);
    toast(BUSY, "info");
  }

  // Events -----------------------------------------------------------------------------------------------------

  private take(batch: RunEvent[]): void {
    for (const event of batch) {
      if (this.fresh && !(event.type === "phase" && (event.phase === "queued" || event.phase === "starting"))) this.clear();
      this.one(event);
    }
    if (this.asked && batch.some((event) => event.t > (this.asked?.t ?? 0) + 1 && event.type !== "stderr" && event.seq > (this.asked?.seq ?? 0))) {
      // The program went on, so somebody has answered: in another tab, or before this page was opened.
      this.ask(null);
    }
    this.draw();
  }

  private one(event: RunEvent): void {
    switch (event.type) {
      case "phase":
        this.phase = event.phase;
        if (event.phase === "running") {
          this.status = "running";
          this.startedAt ||= Date.now() - event.t * 1000;
          this.observer.running();
        } else if (event.phase === "packages") {
          this.status = "running";
        }
        announce(PHASE_WORDS[event.phase] ?? event.phase, true);
        break;
      case "stdout":
      case "stderr":
        this.console.write(event.type, event.text);
        this.printed.stats ||= PRINTED_STATS.test(event.text) ? event.text : "";
        this.printed.sharpe ||= PRINTED_SHARPE.test(event.text);
        if (this.printed.sharpe) this.noteOnPrinted();
        break;
      case "display":
        this.frame.display(event.seq, event.data);
        break;
      case "backtest":
        this.addBacktest(event);
        break;
      case "checks":
        this.addClaims(event);
        break;
      case "progress":
        this.addProgress(event);
        break;
      case "param":
        this.declared.add(event.name);
        this.observer.param(event);
        break;
      case "input":
        this.ask(event);
        break;
      case "answer":
        this.console.say("input", event.prompt + event.text);
        if (this.asked) this.ask(null);
        break;
      case "error":
        this.addError(event);
        break;
      case "package":
        this.console.say("notice", event.text);
        announce(event.text);
        break;
      case "notice":
        this.notices.append(make("p", { class: "note" }, icon("info"), make("span", {}, event.text)));
        break;
      case "artefact":
        this.addArtefact(event);
        break;
      case "finished":
        this.finish(event);
        break;
    }
  }

  private clear(): void {
    this.fresh = false;
    this.console.clear();
    this.curve.reset();
    this.curveOf = null;
    this.printed.stats = "";
    this.printed.sharpe = false;
    this.frame.reset();
    this.bars.clear();
    this.backtests = [];
    this.errorLine = 0;
    this.notices.replaceChildren();
    this.progress.replaceChildren();
    this.figures.replaceChildren();
    this.findings.replaceChildren();
    find("tbody", this.artefacts)?.replaceChildren();
    this.artefacts.hidden = true;
    this.ask(null);
    this.observer.began();
  }

  private finish(event: EventOf<"finished">): void {
    const facts = [
      event.wall_seconds != null && event.status !== "succeeded" && `${duration(event.wall_seconds)} in all`,
      event.cpu_seconds != null && `${duration(event.cpu_seconds)} CPU`,
      event.gpu_seconds != null && `${duration(event.gpu_seconds)} GPU`,
      event.peak_memory_bytes != null && event.peak_memory_bytes > 0 && `${bytesize(event.peak_memory_bytes)} peak`,
    ].filter((fact): fact is string => Boolean(fact));
    this.slot("facts").replaceChildren(...facts.map((fact) => make("span", {}, fact)));
    this.say(event.message ?? "");
    if (event.status === "failed") this.offerErrorLine();
    announce(`${STATUS_WORDS[event.status] ?? event.status}. ${event.message ?? ""}`, true);
    this.over(event.status);
  }

  private over(status: RunStatus): void {
    this.status = status;
    this.phase = "";
    this.ask(null);
    this.progress.replaceChildren();
    this.bars.clear();
    this.panel.dataset.status = status;
    this.observer.ended(status, this.declared);
    this.renewClaims();
  }

  /** What its backtests can claim changes after its end: while the site makes it again, and with who sees it. */
  renewClaims(): void { if (!this.inProgress && this.backtests.length) this.claims.ask(this.panel.dataset.claimsUrl ?? ""); }

  // Pieces -----------------------------------------------------------------------------------------------------

  private addBacktest(event: EventOf<"backtest">): void {
    this.backtests.push({ ...drawBacktest(event, this.inProgress), event });
    this.noteOnPrinted();
    this.drawBacktests(this.backtests.length - 1 === 0 ? 0 : this.chosen());
    announce(`${event.strategy}: ${event.figures.slice(0, 3).map((figure) => `${figure.label} ${figure.text}`).join(", ")}`);
  }

  /** What a library prints by other definitions is explained where both are seen. */
  private noteOnPrinted(): void {
    for (const { head, event } of this.backtests) {
      const text = event.library === "backtrader" ? this.printed.sharpe && OF_BACKTRADER : this.printed.stats && ofBacktesting(this.printed.stats, event.figures);
      if (!text || find("[data-printed]", head)) continue;
      find(".figures", head)?.after(make("p", { class: "backtest__remark small", "data-printed": "" }, text, " ",
        make("a", { href: "/docs/metrics#figures-of-other-libraries" }, "How they differ")));
    }
  }

  private addClaims(event: EventOf<"checks">): void {
    if (this.putBox(String(event.backtest), this.claims.get(String(event.backtest)) ?? claimsBox(event))) announce(`${event.summary.text}: what this result can claim`);
  }

  private putBox(key: string, box: HTMLElement): boolean {
    const drawn = this.backtests.filter(({ event }) => String(event.backtest) === key);
    for (const each of drawn) putClaims(each, box);
    return drawn.length > 0;
  }

  private chosen(): number {
    return Math.max(0, this.backtests.findIndex(({ head }) => !head.hidden));
  }

  /** Several backtests share the place: one shown, the others one press away. */
  private drawBacktests(shown: number): void {
    this.backtests.forEach(({ head, findings }, at) => { head.hidden = findings.hidden = at !== shown; });
    const chosen = this.backtests[shown]?.event ?? null;
    if (chosen && chosen !== this.curveOf) {
      this.curve.reset();
      this.curve.backtest(chosen.seq, chosen);
      this.curveOf = chosen;
    }
    const heads = this.backtests.map(({ head }) => head);
    const children: Node[] = [];
    if (this.backtests.length > 1) {
      const tabs = make("div", { class: "tabs", role: "group", "aria-label": "Backtests of this run" });
      heads.forEach((head, at) => {
        const name = tabName(head, heads);
        const tab = make("button", { type: "button", "aria-pressed": String(at === shown), "aria-current": at === shown ? "page" : null }, make("span", { class: "count" }, String(at + 1)), name);
        tab.addEventListener("click", () => {
          this.drawBacktests(at);
          this.figures.querySelectorAll<HTMLElement>(".tabs button")[at]?.focus();
        });
        tabs.append(tab);
      });
      children.push(tabs);
    }
    this.figures.replaceChildren(...children, ...heads);
    this.findings.replaceChildren(...this.backtests.map(({ findings }) => findings));
  }

  private addProgress(event: EventOf<"progress">): void {
    let bar = this.bars.get(event.id);
    if (!bar) {
      if (this.bars.size >= 20) return;
      const row = make("div", { class: "progress" }, make("span", { class: "progress__phase" }), make("span", { class: "progress__text" }), make("progress", { max: 1 }));
      bar = { row, seen: event.t };
      this.bars.set(event.id, bar);
      this.progress.append(row);
    }
    const { row } = bar;
    const label = event.label || "Progress";
    const meter = need<HTMLProgressElement>("progress", row);
    const value = event.value ?? 0;
    const known = typeof event.total === "number" && event.total > 0;
    if (known) {
      meter.max = event.total as number;
      meter.value = Math.min(value, event.total as number);
    } else if (event.done) {
      meter.max = meter.value = 1;
    } else {
      meter.removeAttribute("value");
    }
    meter.setAttribute("aria-label", label);
    const share = known ? Math.round((100 * value) / (event.total as number)) : null;
    need(".progress__phase", row).textContent = known ? `${label} ${share} %` : label;
    const numbers = known ? `${count(value)} of ${count(event.total as number)}` : value ? count(value) : "";
    need(".progress__text", row).textContent = [event.text, event.text?.includes(String(value)) ? "" : numbers].filter(Boolean).join(" · ");
    if (share !== null && !event.done) {
      document.title = `${share} % · ${this.title}`;
      announce(`${label} ${share} percent`);
    }
  }

  /** The line of the user's own file nearest to the error; the strip offers to go there once the run has ended. */
  private addError(event: EventOf<"error">): void {
    const frame = event.frames?.findLast((candidate) => candidate.file.endsWith("main.py"));
    this.errorLine = (event.file?.endsWith("main.py") ? event.line : frame?.line) ?? 0;
  }

  private offerErrorLine(): void {
    const line = this.errorLine;
    if (!line) return;
    const go = make("button", { type: "button", class: "button button--small" }, icon("arrow-right"), `Go to line ${line}`);
    go.addEventListener("click", () => this.observer.goToLine(line));
    this.slot("message").append(" ", go);
  }

  private addArtefact(event: EventOf<"artefact">): void {
    const rows = need("tbody", this.artefacts);
    const name = event.url
      ? make("a", { href: event.url, download: true }, icon("download"), make("span", {}, event.name))
      : make("span", {}, event.name);
    rows.append(make("tr", {}, make("td", {}, name), make("td", { class: "number" }, bytesize(event.size))));
    this.artefacts.hidden = false;
  }

  // input() ----------------------------------------------------------------------------------------------------

  private ask(event: EventOf<"input"> | null): void {
    this.asked = event;
    const show = event !== null && this.panel?.dataset.canEdit === "true" && Boolean(this.panel.dataset.input);
    this.prompt.hidden = !show;
    if (!event || !show) return;
    const field = need<HTMLInputElement>("input[name=text]", this.prompt);
    field.type = event.password ? "password" : "text";
    field.value = "";
    need("label", this.prompt).textContent = event.prompt?.trim() || "The program waits for a line";
    announce(`The program asks: ${event.prompt ?? "a line"}`, true);
    const focused = document.activeElement;
    // Typing in the editor is not interrupted; anybody else is where the answer goes.
    if (!focused || focused === document.body || this.console.isEmpty || focused.closest("#console, #project-bar")) field.focus();
    document.dispatchEvent(new CustomEvent("showpane", { detail: "console" }));
  }

  private async answer(): Promise<void> {
    const field = need<HTMLInputElement>("input[name=text]", this.prompt);
    const url = this.panel.dataset.input;
    const asked = this.asked;
    if (!url || !asked || asked === this.answered) return; // a second press would answer the next question
    const text = field.value; // the next question may empty the field before this answer's reply
    this.answered = asked;
    try {
      const reply = await post(url, { text });
      if (!reply.ok) {
        const body = (await reply.json().catch(() => ({}))) as { message?: string };
        toast(body.message ?? "The line was not delivered. Send it again in a moment.", "error");
        return;
      }
    } catch {
      toast("The line was not delivered: the server cannot be reached. Send it again in a moment.", "error");
      return;
    } finally {
      if (this.answered === asked) this.answered = null;
    }
    if (this.asked === asked) this.ask(null);
  }

  // The strip --------------------------------------------------------------------------------------------------

  private slot(name: string): HTMLElement {
    return find(`[data-slot="${name}"]`, this.panel) ?? make("span");
  }

  private say(text: string): void { this.slot("message").textContent = text; }

  private draw(): void {
    clearTimeout(this.ticking);
    const going = this.inProgress;
    document.body.toggleAttribute("data-running", going);
    for (const stop of document.querySelectorAll<HTMLButtonElement>("[data-action=stop]")) stop.hidden = !going;
    const nothing = this.console.isEmpty && this.frame.isEmpty && this.backtests.length === 0 && this.artefacts.hidden;
    this.empty.hidden = this.status !== "" && (going || !nothing);
    if (!this.empty.hidden) {
      const [title, text] = this.status === "" ? ["Not run yet", "What your code prints, draws and measures appears here."] : ["No output", "The run ended without printing or showing anything."];
      need("h2", this.empty).textContent = title as string;
      need("p", this.empty).textContent = text as string;
    }
    const over = isFinal(this.status) && this.status !== "";
    for (const words of document.querySelectorAll<HTMLElement>("#console [data-nothing]")) words.hidden = (words.dataset.nothing === "ended") !== over;
    this.panel.toggleAttribute("data-outdated", this.fresh && !nothing);
    need("#outputs").toggleAttribute("data-outdated", this.fresh && !nothing);
    document.dispatchEvent(new CustomEvent("contentchange", { detail: { rich: !this.frame.isEmpty || this.backtests.length > 0 || !this.artefacts.hidden, text: !this.console.isEmpty || this.asked !== null } }));
    if (this.status === "") return;
    const badge = this.slot("badge");
    badge.className = `badge badge--${this.status}`;
    badge.textContent = STATUS_WORDS[this.status] ?? this.status;
    const meter = find<HTMLProgressElement>("[data-slot=meter]", this.panel);
    if (!going) {
      document.title = this.title;
      if (meter) meter.hidden = true;
      this.slot("clock").textContent = "";
      return;
    }
    if (this.phase === "queued" || this.status === "queued") {
      this.say(this.phase === "starting" ? "Starting a sandbox…" : this.place > 1 ? `Place ${this.place} in the queue.` : "Next in the queue.");
      if (meter) { meter.hidden = false; meter.removeAttribute("value"); }
      this.slot("clock").textContent = "";
    } else {
      const seconds = this.startedAt ? Math.max(0, (Date.now() - this.startedAt) / 1000) : 0;
      const message = this.slot("message");
      if (!STAYING.includes(message.textContent ?? "")) message.textContent = this.phase === "running" ? "" : `${PHASE_WORDS[this.phase] ?? this.phase}…`;
      this.slot("clock").textContent = this.phase === "running" && this.limitSeconds
        ? `${elapsed(Math.min(seconds, this.limitSeconds))} of ${elapsed(this.limitSeconds)}` : "";
      if (meter) {
        meter.hidden = false;
        if (this.phase === "running" && this.limitSeconds) {
          meter.max = this.limitSeconds;
          meter.value = Math.min(seconds, this.limitSeconds);
        } else meter.removeAttribute("value");
      }
      if (this.phase === "running") announce(`Running for ${elapsed(seconds)}`);
    }
    this.ticking = window.setTimeout(() => this.draw(), 500);
  }

  private drawConnection(state: Connection): void {
    const line = this.slot("connection");
    const lost = (state === "reconnecting" || state === "polling") && this.inProgress;
    line.hidden = !lost;
    if (!lost) {
      if (state === "ended" && this.inProgress) void this.endedUnheard();
      return;
    }
    line.replaceChildren(icon("wifi-off"), state === "polling"
      ? "Live connection blocked: asking every 2 s. Nothing is lost."
      : "Connection lost: trying again. The run goes on and nothing it prints is lost.");
    announce(line.textContent ?? "", true);
  }

  /** The record says it is over though no last event came: read the strip as the server draws it. */
  private async endedUnheard(): Promise<void> {
    const { panel } = this;
    const told = await fetch(panel.dataset.statusUrl ?? "", { headers: { "HX-Request": "true" } }).then((answer) => answer.text()).catch(() => "");
    const fresh = new DOMParser().parseFromString(told, "text/html").querySelector<HTMLElement>("#run-status");
    if (panel !== this.panel) return; // another run is shown by now
    if (!fresh) return this.say(UNHEARD);
    find("#run-status", panel)?.replaceWith(document.adoptNode(fresh));
    this.over((fresh.dataset.status ?? "crashed") as RunStatus);
    this.draw();
  }
}
