// How is the text a run printed shown? Lines of two streams, the newest kept on the page, searchable and followable.

import { AnsiText, styleOf, type TextLine } from "./ansi";
import { count, find, make, need, plural } from "./page";

type Stream = "stdout" | "stderr" | "input" | "notice";
interface Line { stream: Stream; content: TextLine; element: HTMLElement | null }

const SHOWN_AT_MOST = 5_000;
const DRAWN_PER_FRAME = 1_500;
// "main.py:12", "File main.py, line 12", "File "/box/main.py", line 12", "main.py line 12", and IPython's "--> 12".
const SOURCE_LINE = /(?:File\s+)?"?(?:\/box\/)?\bmain\.py"?(?::(\d+)\b|,?\s+line\s+(\d+)\b)/g;

export class Console {
  private lines: Line[] = [];
  /** Index of the first line that has an element on the page. */
  private first = 0;
  private drawn = 0;
  private readonly texts = { stdout: new AnsiText(), stderr: new AnsiText() };
  private readonly open: Partial<Record<"stdout" | "stderr", Line>> = {};
  private frame = 0;
  private following = true;
  private keepAll = false;
  private unseen = 0;
  private matches: number[] = [];
  private match = -1;
  private scrollTop = 0;
  private clientHeight = 0;

  private readonly scroller: HTMLElement;
  private readonly body: HTMLElement;
  private readonly jump: HTMLButtonElement;
  private readonly earlier: HTMLButtonElement;
  private readonly search: HTMLInputElement;
  private readonly found: HTMLElement;
  private readonly total: HTMLElement;

  constructor(private readonly root: HTMLElement, private readonly goToLine: (line: number) => void) {
    this.scroller = need("[data-console-scroll]", root);
    this.body = need("[data-console-lines]", root);
    this.jump = need<HTMLButtonElement>("[data-console-jump]", root);
    this.earlier = need<HTMLButtonElement>("[data-console-earlier]", root);
    this.search = need<HTMLInputElement>("[data-console-search]", root);
    this.found = need("[data-console-found]", root);
    this.total = need("[data-console-total]", root);

    const resized = new ResizeObserver(() => this.stick());
    resized.observe(this.scroller);
    resized.observe(this.body);
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.jump.addEventListener("click", () => this.toEnd());
    this.earlier.addEventListener("click", () => this.showAll());
    this.search.addEventListener("input", () => this.runSearch());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        this.step(event.shiftKey ? -1 : 1);
      } else if (event.key === "Escape" && this.search.value) {
        event.preventDefault();
        this.search.value = "";
        this.runSearch();
      }
    });
    find("[data-console-next]", root)?.addEventListener("click", () => this.step(1));
    find("[data-console-previous]", root)?.addEventListener("click", () => this.step(-1));
    find("[data-console-copy]", root)?.addEventListener("click", (event) => void this.copy(event.currentTarget as HTMLElement));
    this.body.addEventListener("click", (event) => {
      const link = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-line]") : null;
      if (link) this.goToLine(Number(link.dataset.line));
    });
    this.clear();
  }

  get isEmpty(): boolean {
    return this.lines.length === 0;
  }

  clear(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.lines = [];
    this.first = this.drawn = this.unseen = 0;
    this.keepAll = false;
    this.following = true;
    this.texts.stdout = new AnsiText();
    this.texts.stderr = new AnsiText();
    delete this.open.stdout;
    delete this.open.stderr;
    this.body.replaceChildren();
    this.matches = [];
    this.match = -1;
    this.tell();
  }

  write(stream: "stdout" | "stderr", text: string): void {
    const parser = this.texts[stream];
    // Each stream builds its own line, so a traceback never cuts a half-printed line in two.
    parser.write(text, (content) => {
      const line = this.open[stream];
      if (line) {
        line.content = content;
        this.redraw(line);
        delete this.open[stream];
      } else {
        this.add({ stream, content, element: null });
      }
    });
    if (parser.hasLine) {
      const line = this.open[stream];
      if (line) {
        line.content = parser.line();
        this.redraw(line);
      } else {
        this.open[stream] = this.add({ stream, content: parser.line(), element: null });
      }
    }
    this.schedule();
  }

  /** A whole line of ours: what was typed for input(), or a notice. */
  say(stream: "input" | "notice", text: string): void {
    this.add({ stream, content: { spans: [{ text, style: "" }] }, element: null });
    this.schedule();
  }

  /** The plain text of everything, for copying. */
  text(): string {
    return this.lines.map((line) => textOf(line.content)).join("\n") + (this.lines.length ? "\n" : "");
  }

  focusSearch(): void {
    this.search.focus();
    this.search.select();
  }

  private add(line: Line): Line {
    this.lines.push(line);
    return line;
  }

  private redraw(line: Line): void {
    if (!line.element) return;
    const fresh = this.draw(line);
    line.element.replaceWith(fresh);
    line.element = fresh;
  }

  private schedule(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.paint());
  }

  private paint(): void {
    this.frame = 0;
    const wasFollowing = this.following;
    // In a flood only the newest lines are drawn at all: what scrolled past unseen costs nothing.
    if (!this.keepAll && this.lines.length - this.first > SHOWN_AT_MOST) {
      const first = this.lines.length - SHOWN_AT_MOST;
      const height = wasFollowing ? 0 : this.scroller.scrollHeight;
      for (let at = this.first; at < Math.min(first, this.drawn); at += 1) {
        this.lines[at]?.element?.remove();
        (this.lines[at] as Line).element = null;
      }
      this.first = first;
      this.drawn = Math.max(this.drawn, first);
      if (!wasFollowing) this.scroller.scrollTop -= height - this.scroller.scrollHeight;
    }
    const end = Math.min(this.lines.length, this.drawn + DRAWN_PER_FRAME);
    const batch = document.createDocumentFragment();
    const added = end - this.drawn;
    for (; this.drawn < end; this.drawn += 1) {
      const line = this.lines[this.drawn] as Line;
      line.element = this.draw(line);
      batch.append(line.element);
    }
    this.body.append(batch);
    if (wasFollowing) this.stick();
    else this.unseen += added;
    this.tell();
    if (this.search.value && added) this.runSearch(true);
    if (this.drawn < this.lines.length) this.schedule();
  }

  private draw(line: Line): HTMLElement {
    const element = make("div", { class: `console__line console__line--${line.stream}` });
    const plain = textOf(line.content);
    const links = line.stream === "input" || line.stream === "notice" ? [] : sourceLinks(plain);
    let offset = 0;
    let button: HTMLElement | null = null;
    for (const span of line.content.spans) {
      let rest = span.text;
      // A link to a source line may lie across spans of several colours: they become one button.
      while (rest) {
        const inside = links.find((link) => link.start <= offset && offset < link.end);
        const next = inside ? inside.end : (links.find((link) => link.start > offset)?.start ?? Infinity);
        const piece = rest.slice(0, next - offset);
        if (inside && inside.start === offset) {
          button = make("button", { type: "button", class: "console__link", "data-line": inside.line, title: `Go to line ${inside.line}` });
          element.append(button);
        }
        (inside && button ? button : element).append(styled(make("span"), span.style, piece));
        offset += piece.length;
        rest = rest.slice(piece.length);
      }
    }
    if (!plain) element.append("\u200b");
    return element;
  }

  private scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const atEnd = scrollHeight - scrollTop - clientHeight < 24;
    // Lines get their true height only when they come into view, which moves the end; only a person scrolls up.
    const movedUp = scrollTop < this.scrollTop - 4 && clientHeight === this.clientHeight;
    this.scrollTop = scrollTop;
    this.clientHeight = clientHeight;
    if (atEnd) this.following = true;
    else if (movedUp) this.following = false;
    if (this.following) this.unseen = 0;
    this.tell();
  }

  private stick(): void {
    if (!this.following) return;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.scrollTop = this.scroller.scrollTop;
  }

  private toEnd(): void {
    this.following = true;
    this.unseen = 0;
    this.stick();
    this.tell();
    this.scroller.focus({ preventScroll: true });
  }

  private showAll(): void {
    this.keepAll = true;
    const height = this.scroller.scrollHeight;
    const batch = document.createDocumentFragment();
    for (let at = 0; at < this.first; at += 1) {
      const line = this.lines[at] as Line;
      line.element = this.draw(line);
      batch.append(line.element);
    }
    this.first = 0;
    this.body.prepend(batch);
    this.scroller.scrollTop += this.scroller.scrollHeight - height;
    this.tell();
    if (this.search.value) this.runSearch(true);
  }

  private tell(): void {
    this.root.toggleAttribute("data-empty", this.isEmpty);
    this.jump.hidden = this.following || this.isEmpty;
    this.jump.lastElementChild!.textContent = this.unseen ? `Jump to end, ${plural(this.unseen, "new line")}` : "Jump to end";
    this.earlier.hidden = this.first === 0;
    this.earlier.textContent = `Load all: ${plural(this.first, "earlier line")} not shown`;
    this.total.textContent = this.isEmpty ? "" : plural(this.lines.length, "line");
  }

  // Searching --------------------------------------------------------------------------------------------------

  private runSearch(keepPlace = false): void {
    const wanted = this.search.value.toLowerCase();
    for (const at of this.matches) this.lines[at]?.element?.classList.remove("is-match", "is-current");
    const before = this.matches[this.match];
    this.matches = [];
    if (wanted) {
      this.lines.forEach((line, at) => {
        if (textOf(line.content).toLowerCase().includes(wanted)) this.matches.push(at);
      });
    }
    for (const at of this.matches) this.lines[at]?.element?.classList.add("is-match");
    this.match = keepPlace && before !== undefined ? this.matches.indexOf(before) : -1;
    this.tellFound(wanted);
    if (!keepPlace && this.matches.length) this.step(1);
  }

  private step(by: number): void {
    if (!this.matches.length) return;
    this.lines[this.matches[this.match] ?? -1]?.element?.classList.remove("is-current");
    this.match = (this.match + by + this.matches.length) % this.matches.length;
    const at = this.matches[this.match] as number;
    if (at < this.first) this.showAll();
    const element = this.lines[at]?.element;
    element?.classList.add("is-match", "is-current");
    element?.scrollIntoView({ block: "nearest" });
    this.tellFound(this.search.value);
  }

  private tellFound(wanted: string): void {
    this.found.textContent = !wanted ? "" : this.matches.length ? `${count(this.match + 1)} of ${count(this.matches.length)}` : "No match";
    highlight(wanted, this.matches.map((at) => this.lines[at]?.element).filter((element) => element != null));
  }

  private async copy(button: HTMLElement): Promise<void> {
    const label = button.querySelector("[data-label]") ?? button;
    try {
      await navigator.clipboard.writeText(this.text());
      label.textContent = "Copied";
    } catch {
      // Without permission the text is selected instead, so that the keyboard's copy works.
      getSelection()?.selectAllChildren(this.body);
      label.textContent = "Selected";
    }
    setTimeout(() => { label.textContent = "Copy"; }, 1_600);
  }
}

function textOf(line: TextLine): string {
  return line.spans.length === 1 ? (line.spans[0]?.text ?? "") : line.spans.map((span) => span.text).join("");
}

export function sourceLinks(text: string): { start: number; end: number; line: number }[] {
  if (!text.includes("main.py")) return [];
  return [...text.matchAll(SOURCE_LINE)].map((match) => ({ start: match.index, end: match.index + match[0].length, line: Number(match[1] ?? match[2]) }));
}

export function styled<Kind extends HTMLElement>(element: Kind, style: string, text: string): Kind {
  element.textContent = text;
  if (style) {
    const { classes, front, back } = styleOf(style);
    element.classList.add(...classes);
    if (front) element.style.setProperty("--ansi-front", front);
    if (back) element.style.setProperty("--ansi-back", back);
    if (front) element.classList.add("ansi-front-free");
    if (back) element.classList.add("ansi-back-free");
  }
  return element;
}

const MARKED_AT_MOST = 500;

/** Mark the words themselves where the browser can; the line's own mark is there in every browser. */
function highlight(wanted: string, elements: HTMLElement[]): void {
  if (typeof Highlight === "undefined" || !CSS.highlights) return;
  CSS.highlights.delete("console-search");
  const needle = wanted.toLowerCase();
  if (!needle) return;
  const ranges: Range[] = [];
  for (const element of elements.slice(0, MARKED_AT_MOST)) {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const text = (node.textContent ?? "").toLowerCase();
      for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + needle.length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("console-search", new Highlight(...ranges));
}
