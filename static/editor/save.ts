// Is what was typed safe? Saves the draft as one types, keeps it in this browser when offline, asks on a conflict.

import { announce, clock, find, icon, make, post, remembered, toast } from "./page";
import type { SourceBox } from "./source";

const DEBOUNCE_MS = 1_000;
const RETRY_MS = 5_000;
// How long another action waits for a save that is on its way; a server so slow is asked all the same.
const PATIENCE_MS = 5_000;

// Of many tries without an answer, how many texts are remembered; they share the browser's storage with the newest.
const MOST_UNANSWERED = 3;

/** unanswered: texts that were sent, of which nobody has told whether the server has them. */
interface Kept { source: string; version: number; changes: number; unanswered?: string[] }
interface DraftAnswer { saved: boolean; version: number; saved_at?: string; source?: string; message?: string }

export class DraftSaver {
  private saved: string;
  private timer = 0;
  private underway: Promise<unknown> | null = null; // the last request that was sent, until it has its answer
  private conflict = false;
  private changes = 0;
  private readonly unanswered = new Set<string>();
  private readonly key: string;
  private readonly state = find("#save-state");

  constructor(
    private readonly source: SourceBox,
    private readonly urls: { draft: string; save: string },
    private version: number,
    savedAt: string,
  ) {
    this.key = `draft:${urls.draft}`;
    this.saved = source.text;
    this.show(savedAt ? `Saved ${clock(new Date(savedAt))}` : "Saved", "saved");
    this.takeUpKept();
    source.onChange(() => this.changed());
    addEventListener("online", () => void this.flush());
    addEventListener("pagehide", () => this.lastWord());
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") this.lastWord(); });
    addEventListener("beforeunload", (event) => {
      // The text is in this browser's storage by now; only when even that is refused is the reader held back.
      if (this.isDirty && !this.keep()) event.preventDefault();
    });
  }

  get isDirty(): boolean {
    return this.source.text !== this.saved;
  }

  /** The server has stored this text. What it had before, told late, takes nothing back. */
  stored(source: string, version: number | null, moment = new Date()): void {
    if (version === null || Number.isNaN(version) || version < this.version) return;
    this.version = version;
    this.saved = source;
    this.unanswered.clear();
    this.settled(moment);
  }

  /** A request that stores the text as part of another action. Of two at once one would be refused as outdated. */
  async alone<Answer>(source: string, work: () => Promise<Answer>): Promise<Answer> {
    clearTimeout(this.timer);
    let patient = true;
    const enough = new Promise<void>((done) => setTimeout(() => { patient = false; done(); }, PATIENCE_MS));
    while (this.underway && patient) await Promise.race([this.underway, enough]);
    clearTimeout(this.timer);
    return this.sent(source, work().finally(() => this.catchUp()));
  }

  async flush(): Promise<void> {
    clearTimeout(this.timer);
    if (this.underway || this.conflict || !this.isDirty) return;
    const source = this.source.text;
    await this.sent(source, this.send(source));
  }

  private sent<Answer>(source: string, request: Promise<Answer>): Promise<Answer> {
    if (this.unanswered.size < MOST_UNANSWERED) this.unanswered.add(source);
    const mine = request.catch(() => undefined).then(() => { if (this.underway === mine) this.underway = null; });
    this.underway = mine;
    return request;
  }

  private async send(source: string): Promise<void> {
    this.show("Saving…", "saving");
    const { version } = this;
    try {
      const answer = await post(this.urls.draft, { source, version: String(version) });
      const body = (await answer.json()) as DraftAnswer;
      if (answer.ok && body.saved) {
        this.stored(source, body.version, body.saved_at ? new Date(body.saved_at) : new Date());
      } else if (answer.status === 409 && this.version !== version) {
        this.settled(new Date()); // what outdated it was another request from here
      } else if (answer.status === 409) {
        this.keep();
        this.askWhich(body);
      } else {
        this.keep();
        this.show("Not saved", "offline");
        toast(body.message ?? "The text was not saved. It is kept in this browser.", "error");
      }
    } catch {
      this.keep();
      this.show(`Offline: ${this.changes} change${this.changes === 1 ? "" : "s"} kept here`, "offline");
      announce("Offline. Changes are kept in this browser.");
      this.later(RETRY_MS);
    }
  }

  /** Make a revision of the text as it is. */
  async saveRevision(name = ""): Promise<void> {
    clearTimeout(this.timer);
    const source = this.source.text;
    this.show("Saving…", "saving");
    try {
      const answer = await this.alone(source, () => post(this.urls.save, name ? { source, name } : { source }));
      const body = (await answer.json()) as { revision?: number; unchanged?: boolean; version?: number; message?: string };
      if (!answer.ok || !body.revision) throw new Error(body.message ?? "");
      this.stored(source, body.version ?? null);
      if (name) toast(`Revision ${body.revision} is now named “${name}”.`, "success");
      else this.offerName(body.revision, Boolean(body.unchanged));
    } catch (error) {
      this.keep();
      this.show("Not saved: kept here", "offline");
      toast((error instanceof Error && !(error instanceof TypeError) && error.message) || "The server cannot be reached. The text is kept in this browser and saved later.", "error");
      this.later(RETRY_MS);
    }
  }

  private offerName(revision: number, unchanged: boolean): void {
    const field = make("input", { type: "text", name: "name", maxlength: 120, placeholder: "Name it (optional)", "aria-label": `Name of revision ${revision}` });
    const form = make("form", { class: "toast__form" }, field, make("button", { class: "button button--small" }, "Name"));
    const box = toast(unchanged ? `Nothing changed since revision ${revision}.` : `Saved as revision ${revision}.`, "success", form);
    const timer = setTimeout(() => box.remove(), 8_000);
    box.addEventListener("focusin", () => clearTimeout(timer));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = field.value.trim();
      box.remove();
      if (name) void this.saveRevision(name);
    });
  }

  private changed(): void {
    if (!this.isDirty) {
      clearTimeout(this.timer);
      this.forget();
      this.show("Saved", "saved");
      return;
    }
    this.changes += 1;
    if (this.conflict) {
      this.keep();
      return;
    }
    if (this.state?.dataset.state !== "offline") this.show("Unsaved changes", "dirty");
    this.later(DEBOUNCE_MS);
  }

  private catchUp(): void {
    if (this.isDirty && !this.conflict) this.later(DEBOUNCE_MS);
  }

  private later(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.flush(), milliseconds);
  }

  private settled(moment: Date): void {
    if (this.isDirty) {
      // Typed while the rest was on its way; a save that came due meanwhile has been passed over.
      this.show("Unsaved changes", "dirty");
      this.later(DEBOUNCE_MS);
      return;
    }
    this.changes = 0;
    this.forget();
    this.show(`Saved ${clock(moment)}`, "saved");
  }

  private show(text: string, state: string): void {
    if (!this.state) return;
    this.state.dataset.state = state;
    this.state.replaceChildren(icon(state === "offline" ? "wifi-off" : state === "saved" ? "check" : "pencil"), make("span", {}, text));
  }

  private keep(): boolean {
    if (!this.isDirty) return true;
    const kept: Kept = { source: this.source.text, version: this.version, changes: this.changes, unanswered: [...this.unanswered] };
    return remembered.set(this.key, JSON.stringify(kept));
  }

  private forget(): void {
    remembered.set(this.key, null);
  }

  /** The page goes away: one last request that outlives it, and the text in storage should it not arrive. */
  private lastWord(): void {
    if (!this.isDirty || this.conflict) return;
    this.keep();
    const source = this.source.text;
    // Browsers refuse bodies over 64 KiB on requests that outlive the page.
    if (source.length < 20_000 && !this.underway) {
      void this.sent(source, post(this.urls.draft, { source, version: String(this.version) }, {}, true)
        .then(async (answer) => {
          const body = (await answer.json()) as DraftAnswer;
          if (answer.ok && body.saved) this.stored(source, body.version);
        })
        .catch(() => undefined)
        .finally(() => this.catchUp())); // the page is still there
    }
  }

  /** Text that an earlier visit could not send. */
  private takeUpKept(): void {
    let kept: Kept | null = null;
    try {
      kept = JSON.parse(remembered.get(this.key) ?? "null") as Kept | null;
    } catch {
      kept = null;
    }
    if (!kept || typeof kept.source !== "string") return;
    for (const text of kept.unanswered ?? []) this.unanswered.add(text);
    if (kept.source === this.saved) {
      this.forget();
    } else if (kept.version === this.version || this.unanswered.has(this.saved)) {
      this.source.text = kept.source;
      toast("Changes that were kept in this browser are back.", "info");
      this.later(0);
    } else {
      const theirs = this.saved;
      this.source.text = kept.source;
      this.askWhich({ saved: false, version: this.version, source: theirs, message: "This file was changed elsewhere while this browser was offline." });
    }
  }

  private askWhich(answer: DraftAnswer): void {
    const theirs = answer.source ?? "";
    const before = this.version;
    const takeOver = (): void => {
      if (this.version !== before) return; // the server has got another text from here since
      this.version = answer.version;
      this.saved = theirs;
      this.unanswered.clear();
    };
    if (theirs === this.source.text || this.unanswered.has(theirs)) {
      takeOver();
      this.settled(new Date());
      return;
    }
    this.conflict = true;
    this.show("Changed in another window", "offline");
    const dialog = find<HTMLDialogElement>("#conflict");
    if (!dialog) return;
    const message = find("[data-slot=message]", dialog);
    if (message) message.textContent = answer.message ?? "This file was changed in another window.";
    const preview = find("[data-slot=theirs]", dialog);
    if (preview) preview.textContent = theirs;
    const settle = (mine: boolean): void => {
      this.conflict = false;
      takeOver();
      if (mine) this.later(0);
      else {
        this.source.text = theirs;
        this.settled(new Date());
      }
    };
    dialog.onclose = () => settle(dialog.returnValue !== "theirs");
    // Escape must not decide which text survives.
    dialog.oncancel = (event) => event.preventDefault();
    dialog.returnValue = "";
    if (!dialog.open) dialog.showModal();
  }
}
