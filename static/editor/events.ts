// What does a run tell the page? The shapes of its events, as the server numbers and sends them.

export type RunStatus =
  | "queued" | "running" | "succeeded" | "failed" | "timed_out" | "out_of_memory"
  | "output_exceeded" | "disk_full" | "cancelled" | "crashed";

interface Numbered { seq: number; t: number }

export type Param = {
  name: string;
  label?: string;
  kind: "number" | "choice" | "text" | "boolean";
  default?: unknown;
  value?: unknown;
  minimum?: number | null;
  maximum?: number | null;
  step?: number | null;
  choices?: unknown[] | null;
};

export interface Figure { key: string; label: string; text: string; value: number | null; help?: string; group?: string; anchor?: string; place?: number; full?: string }

export interface ColumnTable {
  columns: ({ name: string; kind?: string } | string)[];
  rows: unknown[][];
  total?: number;
}

export interface BacktestShown {
  backtest: number;
  url?: string;
  strategy: string;
  library?: string;
  params?: Record<string, unknown>;
  verified: boolean;
  verified_text: string;
  figures: Figure[];
  /** closed: hours without bars, as Plotly's axes leave them out. */
  chart: { dates: string[]; equity: number[]; drawdown: number[]; benchmark?: number[]; closed?: { values: string[]; dvalue: number }[] };
  trades: ColumnTable;
  instruments?: string[];
  holdings?: ColumnTable;
  conventions: string[];
  survivorship?: string;
  /** That a model made its bars, in a sentence. */
  synthetic?: string;
  description: string;
  remarks?: string[];
  no_trades?: string;
}

/** What a backtest can claim: nine lines, and the worst of them in a word or two. */
interface ClaimLine {
  key: string;
  state: "grey" | "green" | "blue" | "amber" | "red";
  word: string;
  title: string;
  text: string;
  link: string;
}

export interface Claims {
  backtest: number;
  lines: ClaimLine[];
  summary: { state: ClaimLine["state"]; text: string };
}

export type RunEvent = Numbered & (
  | { type: "phase"; phase: string }
  | { type: "stdout" | "stderr"; text: string }
  | { type: "display"; data: Record<string, unknown>; metadata?: Record<string, unknown> }
  | { type: "progress"; id: string; label?: string; value?: number; total?: number | null; done?: boolean; text?: string }
  | ({ type: "param" } & Param)
  | ({ type: "backtest" } & BacktestShown)
  | ({ type: "checks" } & Claims)
  | { type: "input"; prompt?: string; password?: boolean }
  | { type: "answer"; prompt: string; text: string }
  | { type: "error"; name?: string; message?: string; file?: string; line?: number; frames?: { file: string; line: number; function: string }[] }
  | { type: "cell"; index: number; title?: string; line?: number }
  | { type: "notice"; text: string }
  | { type: "package"; text: string }
  | { type: "artefact"; name: string; size: number; url?: string }
  | { type: "finished"; status: RunStatus; message?: string; limit?: { name: string; value: number } | null;
      cpu_seconds?: number | null; gpu_seconds?: number | null; wall_seconds?: number | null; peak_memory_bytes?: number | null }
);

export type EventOf<Type extends RunEvent["type"]> = Extract<RunEvent, { type: Type }>;

export const STATUS_WORDS: Record<RunStatus, string> = {
  queued: "Queued",
  running: "Running",
  succeeded: "Succeeded",
  failed: "Failed",
  timed_out: "Timed out",
  out_of_memory: "Out of memory",
  output_exceeded: "Too much output",
  disk_full: "Disk full",
  cancelled: "Stopped",
  crashed: "Lost by us",
};

export function isFinal(status: string): boolean {
  return status !== "queued" && status !== "running";
}
