// The code editor: Monaco with Python only, in the colours of the page. Loaded by source.ts where it is wanted.

import * as monaco from "monaco-editor/editor";
import "monaco-editor/features/register.all";
import "monaco-editor/languages/definitions/python/register";

interface EditorOptions {
  value: string;
  readOnly: boolean;
  worker: string;
  label: string;
  changed: () => void;
  moved: () => void;
  /** A press on what stands above a cell. */
  runCell: (line: number, what: "cell" | "above") => void;
}

/** A cell of the file: its lines, whether the cursor is in it, how its last run stands, and a word about that. */
export interface CellMark { first: number; last: number; current: boolean; state: string; note: string }

export interface EditorHandle {
  getLine(): number;
  moveTo(line: number): void;
  mark(cells: CellMark[]): void;
  getValue(): string;
  setValue(text: string): void;
  setOffset(offset: number): void;
  goToLine(line: number): void;
  focus(): void;
  dispose(): void;
}

export interface EditorBundle {
  mount(holder: HTMLElement, options: EditorOptions): EditorHandle;
}

const WORKER_TRIES = 30;
const WORKER_PAUSE = 1_000;

/** A worker whose file cannot be had fails for good, so one of a server that just starts anew is waited for. */
async function workerOf(url: string): Promise<Worker> {
  for (let left = WORKER_TRIES; left; left--) {
    const answer = await fetch(url).catch(() => null);
    if (answer?.ok) break;
    await new Promise((resolve) => setTimeout(resolve, WORKER_PAUSE));
  }
  return new Worker(url);
}

export function mount(holder: HTMLElement, options: EditorOptions): EditorHandle {
  (globalThis as { MonacoEnvironment?: unknown }).MonacoEnvironment = { getWorker: () => workerOf(options.worker) };
  const theme = applyTheme();
  const editor = monaco.editor.create(holder, {
    value: options.value,
    language: "python",
    theme,
    readOnly: options.readOnly,
    ariaLabel: options.label,
    automaticLayout: true,
    fontFamily: '"JetBrains Mono", ui-monospace, "DejaVu Sans Mono", monospace',
    fontSize: 13,
    lineHeight: 20,
    fontLigatures: false,
    minimap: { enabled: false },
    scrollBeyondLastLine: false,
    renderLineHighlight: "line",
    lineNumbersMinChars: 3,
    padding: { top: 12, bottom: 12 },
    tabSize: 4,
    insertSpaces: true,
    detectIndentation: true,
    rulers: [],
    wordWrap: "off",
    smoothScrolling: false,
    cursorBlinking: "blink",
    bracketPairColorization: { enabled: false },
    guides: { indentation: true, bracketPairs: false },
    occurrencesHighlight: "singleFile",
    fixedOverflowWidgets: true,
    overviewRulerBorder: false,
    hideCursorInOverviewRuler: true,
    accessibilitySupport: "auto",
    stickyScroll: { enabled: false },
    codeLensFontFamily: "Inter, system-ui, sans-serif",
    codeLensFontSize: 12,
    unicodeHighlight: { ambiguousCharacters: true, nonBasicASCII: false },
    scrollbar: { verticalScrollbarSize: 12, horizontalScrollbarSize: 12, useShadows: false },
  });
  editor.onDidChangeModelContent(() => options.changed());
  editor.onDidChangeCursorPosition(() => options.moved());
  const cellMarks = editor.createDecorationsCollection();
  const lenses = new CellLenses(editor, options.runCell);

  const retheme = (): void => monaco.editor.setTheme(applyTheme());
  document.addEventListener("themechange", retheme);
  const queries = [matchMedia("(prefers-color-scheme: dark)"), matchMedia("(forced-colors: active)"), matchMedia("(prefers-contrast: more)")];
  for (const query of queries) query.addEventListener("change", retheme);

  let flash: monaco.editor.IEditorDecorationsCollection | null = null;
  return {
    getValue: () => editor.getValue(),
    // One undo step away from what was there: replacing a text must never lose it.
    setValue: (text) => {
      const model = editor.getModel();
      if (!model) return;
      editor.pushUndoStop();
      editor.executeEdits("replace", [{ range: model.getFullModelRange(), text }]);
      editor.pushUndoStop();
    },
    setOffset: (offset) => {
      const position = editor.getModel()?.getPositionAt(offset);
      if (position) editor.setPosition(position);
    },
    goToLine: (line) => {
      const last = editor.getModel()?.getLineCount() ?? 1;
      const target = Math.min(Math.max(1, line), last);
      editor.setPosition({ lineNumber: target, column: 1 });
      editor.revealLineInCenterIfOutsideViewport(target);
      flash?.clear();
      flash = editor.createDecorationsCollection([{
        range: new monaco.Range(target, 1, target, 1),
        options: { isWholeLine: true, className: "line-called", linesDecorationsClassName: "line-called__edge" },
      }]);
      const done = editor.onDidChangeModelContent(() => {
        flash?.clear();
        done.dispose();
      });
      editor.focus();
    },
    getLine: () => editor.getPosition()?.lineNumber ?? 1,
    moveTo: (line) => {
      editor.setPosition({ lineNumber: line, column: 1 });
      editor.revealLineInCenterIfOutsideViewport(line);
    },
    mark: (cells) => {
      cellMarks.set(cells.flatMap(cellDecorations));
      lenses.show(cells.map((cell) => cell.first));
    },
    focus: () => editor.focus(),
    dispose: () => {
      document.removeEventListener("themechange", retheme);
      for (const query of queries) query.removeEventListener("change", retheme);
      lenses.dispose();
      editor.getModel()?.dispose();
      editor.dispose();
    },
  };
}

/** "Run cell" and "Run above" over each cell, as words one can press. */
class CellLenses {
  private lines: number[] = [];
  private readonly changed = new monaco.Emitter<monaco.languages.CodeLensProvider>();
  private readonly provider: monaco.IDisposable;

  constructor(editor: monaco.editor.IStandaloneCodeEditor, run: EditorOptions["runCell"]) {
    const command = editor.addCommand(0, (_accessor: unknown, line: number, what: "cell" | "above") => run(line, what)) ?? "";
    this.provider = monaco.languages.registerCodeLensProvider("python", {
      onDidChange: this.changed.event,
      provideCodeLenses: (model) => ({
        lenses: model === editor.getModel() ? this.lines.flatMap((line, at) => lensesAt(command, line, at > 0)) : [],
        dispose: () => undefined,
      }),
    });
  }

  show(lines: number[]): void {
    if (lines.join() === this.lines.join()) return;
    this.lines = lines;
    this.changed.fire(undefined as unknown as monaco.languages.CodeLensProvider);
  }

  dispose(): void {
    this.provider.dispose();
    this.changed.dispose();
  }
}

function lensesAt(command: string, line: number, hasAbove: boolean): monaco.languages.CodeLens[] {
  const range = new monaco.Range(line, 1, line, 1);
  const words: ["cell" | "above", string][] = hasAbove ? [["cell", "Run cell"], ["above", "Run above"]] : [["cell", "Run cell"]];
  return words.map(([what, title]) => ({ range, command: { id: command, title, arguments: [line, what] } }));
}

/** A line above each cell, an edge along it, and a word at its mark. */
function cellDecorations(cell: CellMark): monaco.editor.IModelDeltaDecoration[] {
  const edge = ["cell-edge", cell.current && "cell-edge--current", cell.state && `cell-edge--${cell.state}`].filter(Boolean).join(" ");
  const whole: monaco.editor.IModelDeltaDecoration = {
    range: new monaco.Range(cell.first, 1, Math.max(cell.first, cell.last), 1),
    options: { isWholeLine: true, linesDecorationsClassName: edge },
  };
  const head: monaco.editor.IModelDeltaDecoration = {
    range: new monaco.Range(cell.first, 1, cell.first, Number.MAX_SAFE_INTEGER),
    options: {
      isWholeLine: true,
      className: "cell-start",
      showIfCollapsed: true,
      ...(cell.note ? { after: { content: `   ${cell.note}`, inlineClassName: `cell-note cell-note--${cell.state}` } } : {}),
    },
  };
  return [whole, head];
}

/** Define the theme from the page's own tokens and answer its name. */
function applyTheme(): string {
  const { theme } = document.documentElement.dataset;
  const systemDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const dark = theme === "dark" || (theme !== "light" && systemDark);
  if (theme === "contrast" || matchMedia("(forced-colors: active)").matches) return dark ? "hc-black" : "hc-light";
  const colour = reader();
  const name = dark ? "playground-dark" : "playground-light";
  monaco.editor.defineTheme(name, {
    base: dark ? "vs-dark" : "vs",
    inherit: true,
    rules: [
      { token: "", foreground: colour("--text").slice(1) },
      { token: "keyword", foreground: colour("--code-keyword").slice(1) },
      { token: "string", foreground: colour("--code-string").slice(1) },
      { token: "number", foreground: colour("--code-number").slice(1) },
      { token: "comment", foreground: colour("--code-comment").slice(1) },
      { token: "tag", foreground: colour("--code-name").slice(1) },
      { token: "type", foreground: colour("--code-name").slice(1) },
    ],
    colors: {
      "editor.background": colour("--surface-0"),
      "editor.foreground": colour("--text"),
      "editorLineNumber.foreground": colour("--text-muted"),
      "editorLineNumber.activeForeground": colour("--text"),
      "editor.lineHighlightBackground": colour("--surface-1"),
      "editor.lineHighlightBorder": "#00000000",
      "editorCursor.foreground": colour("--accent"),
      "editorWidget.background": colour("--surface-1"),
      "editorWidget.border": colour("--line"),
      "focusBorder": colour("--focus"),
      "input.background": colour("--surface-0"),
      "input.border": colour("--line-strong"),
      "editorIndentGuide.background1": colour("--line"),
      // Brackets are text, not a rainbow.
      ...Object.fromEntries([1, 2, 3, 4, 5, 6].map((level) => [`editorBracketHighlight.foreground${level}`, colour("--text")])),
      "editorIndentGuide.activeBackground1": colour("--line-strong"),
    },
  });
  return name;
}

/** Reads a colour token as #rrggbb, which is all that Monaco understands. */
function reader(): (token: string) => string {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const style = getComputedStyle(document.documentElement);
  return (token) => {
    if (!context) return "#888888";
    context.fillStyle = "#888888";
    context.fillStyle = style.getPropertyValue(token).trim();
    context.fillRect(0, 0, 1, 1);
    const [red = 0, green = 0, blue = 0] = context.getImageData(0, 0, 1, 1).data;
    return `#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  };
}
