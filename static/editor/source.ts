// Where is the source text while it is edited? In the form's textarea first; in Monaco once that has loaded.

import type { CellMark, EditorBundle, EditorHandle } from "./editor";
import { find, need, remembered } from "./page";

export type { CellMark };

const PLAIN = "plain-editor";

export class SourceBox {
  private handle: EditorHandle | null = null;
  private loading: Promise<void> | null = null;
  private readonly area = need<HTMLTextAreaElement>("#source");
  private readonly holder = need("#editor");
  private readonly note = find("#editor-note");
  private readonly listeners: (() => void)[] = [];
  private readonly followers: (() => void)[] = [];
  private marks: CellMark[] = [];
  private runCell: (line: number, what: "cell" | "above") => void = () => undefined;

  constructor() {
    this.area.addEventListener("input", () => this.tell());
    for (const name of ["keyup", "click", "select"]) this.area.addEventListener(name, () => this.tellMoved());
    const small = matchMedia("(pointer: coarse), (max-width: 719px)").matches;
    const edit = find<HTMLButtonElement>("#edit-as-text");
    if (small && edit && !this.area.readOnly) {
      // Read first on a phone: a touch that scrolls must not open the keyboard.
      this.area.readOnly = true;
      edit.hidden = false;
      edit.addEventListener("click", () => {
        this.area.readOnly = false;
        edit.hidden = true;
        this.area.focus();
      });
    }
    if (!small && remembered.get(PLAIN) !== "yes") void this.loadEditor();
  }

  get text(): string {
    return this.handle ? this.handle.getValue() : this.area.value;
  }

  set text(text: string) {
    if (this.handle) this.handle.setValue(text);
    else this.area.value = text;
    this.tell();
  }

  get isRich(): boolean {
    return this.handle !== null;
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** Called when the cursor has moved. */
  onCursor(follower: () => void): void {
    this.followers.push(follower);
  }

  onRunCell(run: (line: number, what: "cell" | "above") => void): void {
    this.runCell = run;
  }

  /** The line of the cursor, from 1. */
  get line(): number {
    if (this.handle) return this.handle.getLine();
    return this.area.value.slice(0, this.area.selectionStart).split("\n").length;
  }

  /** Put the cursor on a line; the focus stays where it is. */
  moveTo(line: number): void {
    if (this.handle) {
      this.handle.moveTo(line);
      return;
    }
    const start = this.area.value.split("\n").slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    this.area.setSelectionRange(start, start);
    this.tellMoved();
  }

  /** Draw the cells of a session; the plain text field has no place for it. */
  mark(cells: CellMark[]): void {
    this.marks = cells;
    this.handle?.mark(cells);
  }

  /** The textarea is what a plain form post sends. */
  syncForm(): void {
    this.area.value = this.text;
  }

  focus(): void {
    if (this.handle) this.handle.focus();
    else this.area.focus();
  }

  goToLine(line: number): void {
    if (this.handle) {
      this.handle.goToLine(line);
      return;
    }
    const lines = this.area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
    const height = Number.parseFloat(getComputedStyle(this.area).lineHeight) || 20;
    this.area.scrollTop = Math.max(0, (line - 4) * height);
  }

  /** Change between the code editor and the plain text field; the choice is remembered. */
  async toggle(): Promise<void> {
    if (this.handle) {
      this.area.value = this.handle.getValue();
      this.handle.dispose();
      this.handle = null;
      this.holder.hidden = true;
      this.area.hidden = false;
      this.area.focus();
      remembered.set(PLAIN, "yes");
    } else {
      remembered.set(PLAIN, null);
      await this.loadEditor();
      this.focus();
    }
    this.markKind();
  }

  /** Once, however often it is asked for while it is on its way: two editors would show two texts. */
  private loadEditor(): Promise<void> {
    this.loading ??= this.mountEditor().finally(() => { this.loading = null; });
    return this.loading;
  }

  private async mountEditor(): Promise<void> {
    const { script, styles, worker } = this.holder.dataset;
    if (!script || !styles || !worker) return;
    try {
      const [bundle] = await Promise.all([import(new URL(script, location.href).href) as Promise<EditorBundle>, stylesheet(styles)]);
      const selection = document.activeElement === this.area ? this.area.selectionStart : null;
      this.holder.hidden = false;
      this.handle = bundle.mount(this.holder, {
        value: this.area.value,
        readOnly: this.area.readOnly,
        worker,
        label: `${this.area.getAttribute("aria-label") ?? "Source"}. Control M: Tab leaves the editor.`,
        changed: () => this.tell(),
        moved: () => this.tellMoved(),
        runCell: (line, what) => this.runCell(line, what),
      });
      this.handle.mark(this.marks);
      this.area.hidden = true;
      if (selection !== null) {
        this.handle.focus();
        this.handle.setOffset(selection);
      }
    } catch {
      this.holder.hidden = true;
      this.area.hidden = false;
      if (this.note) {
        this.note.hidden = false;
        this.note.textContent = "The code editor did not load. The plain editor is in use; everything else works.";
      }
    }
    this.markKind();
  }

  private markKind(): void {
    document.body.toggleAttribute("data-rich-editor", this.isRich);
    const label = find("[data-action=toggle-editor] [data-label]");
    if (label) label.textContent = this.isRich ? "Edit as plain text" : "Use the code editor";
  }

  private tellMoved(): void {
    for (const follower of this.followers) follower();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

function stylesheet(url: string): Promise<void> {
  if (find(`link[href="${CSS.escape(url)}"]`)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = url;
    link.onload = () => resolve();
    link.onerror = () => reject(new Error(url));
    document.head.append(link);
  });
}
