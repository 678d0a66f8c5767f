// How do the events of a run reach the page, each once and in order? A socket that resumes, polling when it cannot.

import type { RunEvent } from "./events";

export type Connection = "connecting" | "live" | "reconnecting" | "polling" | "ended";

interface FeedListener {
  events(batch: RunEvent[]): void;
  queue(place: number): void;
  connection(state: Connection): void;
}

const SILENCE_MS = 50_000;
/** The close code of a run that does not exist for this viewer. */
const NOT_FOUND = 4404;
const POLL_MS = 2_000;
const FIRST_DELAY_MS = 400;
const LONGEST_DELAY_MS = 15_000;
const FAILURES_BEFORE_POLLING = 2;

export class RunFeed {
  private last: number;
  private socket: WebSocket | null = null;
  private failures = 0;
  private closed = false;
  private ended = false;
  private retry = 0;
  private polls = false;
  private nextPoll = 0;
  private silence = 0;
  private state: Connection = "connecting";

  constructor(
    private readonly socketUrl: string,
    private readonly eventsUrl: string,
    private readonly listener: FeedListener,
    after = 0,
  ) {
    this.last = after;
    addEventListener("online", this.wake);
    document.addEventListener("visibilitychange", this.wake);
  }

  /** Follow a run. One that is over is read by HTTP alone; a socket would only be closed again. */
  start(over: boolean): void {
    if (over) void this.poll();
    else this.connect();
  }

  /** The page has heard elsewhere that the run is over: what a socket does not bring soon is read by HTTP. */
  over(): void {
    if (this.closed || this.ended) return;
    clearTimeout(this.nextPoll);
    this.nextPoll = window.setTimeout(() => void this.poll(true), POLL_MS);
  }

  stop(): void {
    this.closed = true;
    removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.wake);
    clearTimeout(this.retry);
    clearTimeout(this.nextPoll);
    clearTimeout(this.silence);
    this.socket?.close();
    this.socket = null;
  }

  private connect(): void {
    if (this.closed || this.ended || this.socket) return;
    clearTimeout(this.retry);
    const url = new URL(this.socketUrl, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("after", String(this.last));
    let socket: WebSocket;
    try {
      socket = new WebSocket(url);
    } catch {
      this.lost();
      return;
    }
    this.socket = socket;
    this.listen(socket);
    socket.onopen = () => {
      this.listen(socket);
      this.report("live");
    };
    socket.onmessage = (message) => {
      // Only now: a server that accepts and closes at once is no success.
      this.failures = 0;
      this.listen(socket);
      this.receive(String(message.data));
    };
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      this.socket = null;
      clearTimeout(this.silence);
      if (code === NOT_FOUND) {
        this.end(); // deleted, or not ours any more: asking again does not help
        return;
      }
      if (!this.closed && !this.ended) this.lost();
    };
  }

  /** The server speaks every 20 s; a socket that says nothing for longer is dead even if nobody told us. */
  private listen(socket: WebSocket): void {
    clearTimeout(this.silence);
    this.silence = window.setTimeout(() => socket.close(), SILENCE_MS);
  }

  private lost(): void {
    this.failures += 1;
    this.report(this.state === "polling" ? "polling" : "reconnecting");
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.failures - 1));
    clearTimeout(this.retry);
    this.retry = window.setTimeout(() => this.connect(), longest * (0.5 + Math.random() / 2));
    if (this.failures >= FAILURES_BEFORE_POLLING && !this.polls) void this.poll();
  }

  private readonly wake = (): void => {
    if (document.visibilityState === "hidden" || this.closed || this.ended) return;
    if (!this.socket && this.state !== "connecting") this.connect();
  };

  private receive(text: string): void {
    let message: { events?: RunEvent[]; queue?: number };
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (Array.isArray(message.events)) this.take(message.events);
    else if (typeof message.queue === "number") this.listener.queue(message.queue);
  }

  private take(batch: RunEvent[]): void {
    const fresh: RunEvent[] = [];
    for (const event of batch) {
      if (event.seq <= this.last) continue;
      this.last = event.seq;
      fresh.push(event);
    }
    if (fresh.length) this.listener.events(fresh);
    if (fresh.some((event) => event.type === "finished")) this.end();
  }

  private end(): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.retry);
    clearTimeout(this.nextPoll);
    clearTimeout(this.silence);
    this.socket?.close(1000);
    this.socket = null;
    this.report("ended");
  }

  /** anyway: also while a socket is open. */
  private async poll(anyway = false): Promise<void> {
    clearTimeout(this.nextPoll);
    this.polls = true;
    if (this.closed || this.ended) return;
    if (this.isOpen && !anyway) {
      this.polls = false;
      return;
    }
    let again = POLL_MS;
    let state: Connection = "polling";
    try {
      const url = new URL(this.eventsUrl, location.href);
      url.searchParams.set("after", String(this.last));
      const answer = await fetch(url, { headers: { Accept: "application/json" } });
      if (this.closed) return; // another run is followed by now
      if (answer.status === 404) {
        this.end();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const page = (await answer.json()) as { events: RunEvent[]; last: number; finished: boolean; queue?: number };
      if (this.closed) return;
      const before = this.last;
      this.take(page.events);
      this.last = Math.max(this.last, page.last); // some may have been withheld
      if (page.queue) this.listener.queue(page.queue);
      if (this.ended) return;
      if (page.finished) {
        this.end();
        return;
      }
      // A full page means there is more: the stored output comes in pages.
      if (this.last >= before + 200) again = 0;
    } catch {
      state = "reconnecting";
    }
    if (this.closed || this.ended) return;
    if (this.isOpen && !anyway) {
      this.polls = false; // the socket came back while this was asked, and has said so
      return;
    }
    this.report(state);
    this.nextPoll = window.setTimeout(() => void this.poll(anyway), again);
  }

  private get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  private report(state: Connection): void {
    if (state === this.state && state !== "live") return;
    this.state = state;
    this.listener.connection(state);
  }
}
