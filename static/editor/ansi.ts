// How does terminal text become lines? Colours and styles of ANSI escapes, carriage returns, erasures.
// Yields plain data; console.ts makes the elements. Sequences we do not draw are swallowed, never shown.

interface Span { text: string; style: string }

/** One line: its pieces with their styles. A style is a key such as "b;f1" ("" is plain); see styleOf(). */
export interface TextLine { spans: Span[] }

interface Pen { bold: boolean; dim: boolean; italic: boolean; underline: boolean; strike: boolean; inverse: boolean; front: string; back: string }

const PLAIN: Pen = { bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false, front: "", back: "" };
const MAX_LINE = 20_000;

// eslint-disable-next-line no-control-regex
const ESCAPE = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])/y;
const ESCAPE_BEGUN = /^\x1b(?:\[[0-9;:?<=>]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)$/;

export class AnsiText {
  private pen: Pen = { ...PLAIN };
  private style = "";
  private characters: string[] = [];
  private styles: string[] = [];
  private column = 0;
  private unfinished = "";

  /** Feed a piece of text. Calls ended(line) for every line that was completed; line() is the one begun. */
  write(text: string, ended: (line: TextLine) => void): void {
    const input = this.unfinished + text;
    this.unfinished = "";
    let at = 0;
    while (at < input.length) {
      const character = input[at] as string;
      if (character === "\x1b") {
        ESCAPE.lastIndex = at;
        const match = ESCAPE.exec(input);
        if (match) {
          this.escape(match[1] ?? "", match[2] ?? "");
          at = ESCAPE.lastIndex;
          continue;
        }
        // An escape cut in two by the pieces it came in waits for the rest; nonsense is dropped.
        if (input.length - at < 64 && ESCAPE_BEGUN.test(input.slice(at))) {
          this.unfinished = input.slice(at);
          return;
        }
        at += 1;
        continue;
      }
      at += 1;
      if (character === "\n") {
        ended(this.take());
      } else if (character === "\r") {
        this.column = 0;
      } else if (character === "\b") {
        this.column = Math.max(0, this.column - 1);
      } else if (character === "\t") {
        do this.put(" "); while (this.column % 8);
      } else if (character >= " " && character !== "\x7f") {
        // A surrogate pair is one character of the line.
        const code = character.charCodeAt(0);
        if (code >= 0xd800 && code < 0xdc00 && at < input.length) {
          this.put(character + input[at]);
          at += 1;
        } else {
          this.put(character);
        }
      }
    }
  }

  get hasLine(): boolean {
    return this.characters.length > 0;
  }

  line(): TextLine {
    const spans: Span[] = [];
    let start = 0;
    for (let at = 1; at <= this.characters.length; at += 1) {
      if (at === this.characters.length || this.styles[at] !== this.styles[start]) {
        spans.push({ text: this.characters.slice(start, at).join(""), style: this.styles[start] as string });
        start = at;
      }
    }
    return { spans };
  }

  private take(): TextLine {
    const line = this.line();
    this.characters = [];
    this.styles = [];
    this.column = 0;
    return line;
  }

  private put(character: string): void {
    if (this.column >= MAX_LINE) return;
    while (this.characters.length < this.column) {
      this.characters.push(" ");
      this.styles.push("");
    }
    this.characters[this.column] = character;
    this.styles[this.column] = this.style;
    this.column += 1;
  }

  private escape(parameters: string, command: string): void {
    const number = Number.parseInt(parameters, 10);
    if (command === "m") this.paint(parameters);
    else if (command === "K") this.erase(number || 0);
    else if (command === "C") this.column = Math.min(MAX_LINE, this.column + (number || 1));
    else if (command === "D") this.column = Math.max(0, this.column - (number || 1));
    else if (command === "G") this.column = Math.min(MAX_LINE, Math.max(0, (number || 1) - 1));
  }

  private erase(how: number): void {
    if (how === 0) {
      this.characters.length = Math.min(this.characters.length, this.column);
      this.styles.length = this.characters.length;
    } else if (how === 1) {
      for (let at = 0; at <= this.column && at < this.characters.length; at += 1) {
        this.characters[at] = " ";
        this.styles[at] = "";
      }
    } else {
      this.characters = [];
      this.styles = [];
    }
  }

  private paint(parameters: string): void {
    const codes = parameters.split(/[;:]/).map((code) => Number.parseInt(code, 10) || 0);
    const pen = this.pen;
    for (let at = 0; at < codes.length; at += 1) {
      const code = codes[at] as number;
      if (code === 0) Object.assign(pen, PLAIN);
      else if (code === 1) pen.bold = true;
      else if (code === 2) pen.dim = true;
      else if (code === 3) pen.italic = true;
      else if (code === 4) pen.underline = true;
      else if (code === 7) pen.inverse = true;
      else if (code === 9) pen.strike = true;
      else if (code === 22) pen.bold = pen.dim = false;
      else if (code === 23) pen.italic = false;
      else if (code === 24) pen.underline = false;
      else if (code === 27) pen.inverse = false;
      else if (code === 29) pen.strike = false;
      else if (code >= 30 && code <= 37) pen.front = String(code - 30);
      else if (code === 39) pen.front = "";
      else if (code >= 40 && code <= 47) pen.back = String(code - 40);
      else if (code === 49) pen.back = "";
      else if (code >= 90 && code <= 97) pen.front = String(code - 82);
      else if (code >= 100 && code <= 107) pen.back = String(code - 92);
      else if (code === 38 || code === 48) {
        const [colour, used] = extended(codes.slice(at + 1));
        if (code === 38) pen.front = colour;
        else pen.back = colour;
        at += used;
      }
    }
    this.style = keyOf(pen);
  }
}

/** The colour after 38 or 48: "5;n" of the 256, or "2;r;g;b". Answers it and how many codes it took. */
function extended(codes: number[]): [string, number] {
  if (codes[0] === 5) {
    const index = Math.min(255, Math.max(0, codes[1] ?? 0));
    return [index < 16 ? String(index) : rgbOf(index), 2];
  }
  if (codes[0] === 2) {
    const [red = 0, green = 0, blue = 0] = codes.slice(1, 4).map((value) => Math.min(255, value));
    return [`rgb(${red} ${green} ${blue})`, 4];
  }
  return ["", 0];
}

function rgbOf(index: number): string {
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const level = (step: number): number => (step === 0 ? 0 : 55 + step * 40);
  const cube = index - 16;
  return `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`;
}

function keyOf(pen: Pen): string {
  const marks = [
    pen.bold && "bold", pen.dim && "dim", pen.italic && "italic", pen.underline && "underline",
    pen.strike && "strike", pen.inverse && "inverse",
  ].filter(Boolean);
  if (pen.front) marks.push(`f:${pen.front}`);
  if (pen.back) marks.push(`b:${pen.back}`);
  return marks.join("|");
}

/** Classes and free colours of a style key. */
export function styleOf(key: string): { classes: string[]; front: string; back: string } {
  const classes: string[] = [];
  let front = "";
  let back = "";
  for (const mark of key.split("|")) {
    const colour = mark.slice(2);
    if (mark.startsWith("f:")) {
      if (colour.startsWith("rgb")) front = colour;
      else classes.push(`ansi-front-${colour}`);
    } else if (mark.startsWith("b:")) {
      if (colour.startsWith("rgb")) back = colour;
      else classes.push(`ansi-back-${colour}`);
    } else if (mark) {
      classes.push(`ansi-${mark}`);
    }
  }
  return { classes, front, back };
}
