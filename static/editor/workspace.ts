// The page where one writes and runs, and the page of one run: wires the parts to what the template drew.

import { Console } from "./console";
import { showKeys, watchKeys } from "./keys";
import { OutputFrame } from "./outputs";
import { find, icon, jsonScript, make, need, post, remembered, toast } from "./page";
import { PaneTabs, watchSplitters } from "./panes";
import { ParamPanel } from "./params";
import { RunView } from "./results";
import { DraftSaver } from "./save";
import { SessionView } from "./session";
import { askToShare, type Sharing, tellShared } from "./sharing";
import { SourceBox } from "./source";

const root = need("#workspace");
const writing = root.dataset.page === "workspace";
document.documentElement.classList.add("has-script");

const source = writing ? new SourceBox() : null;
const tabs = new PaneTabs(root);
watchSplitters(root);

function goToLine(line: number): void {
  tabs.show("code");
  if (source) {
    source.goToLine(line);
    return;
  }
  const target = find(`#line-${line}`);
  target?.scrollIntoView({ block: "center" });
  for (const called of document.querySelectorAll(".is-called")) called.classList.remove("is-called");
  target?.classList.add("is-called");
  target?.focus();
}

const output = new Console(need("#console"), goToLine);
const curve = new OutputFrame(need<HTMLIFrameElement>("#curve-frame"));
const frame = new OutputFrame(need<HTMLIFrameElement>("#output-frame"));
const params = writing ? new ParamPanel(need("#params"), () => markStale()) : null;

// The two halves of the result: what is drawn above, what was printed below. An empty half takes no room.
document.addEventListener("contentchange", (event) => {
  const { rich, text } = (event as CustomEvent<{ rich: boolean; text: boolean }>).detail;
  root.toggleAttribute("data-has-rich", rich);
  root.toggleAttribute("data-has-text", text);
  if (rich) tabs.news("result");
  if (text) tabs.news("console");
});

const view = new RunView(output, curve, frame, {
  param: (param) => {
    // The value the code was given, or its own default: either way what this run used.
    if (param.value !== undefined) ranParams[`param:${param.name}`] = String(param.value);
    params?.declare(param);
  },
  began: () => {
    if (tabs.isNarrow && tabs.current === "code") tabs.show("result");
  },
  running: refreshRuns,
  ended: (status, declared) => {
    if (status === "succeeded") params?.keepOnly(declared);
    refreshRuns();
    markStale();
    if (status === "succeeded") drawNudge();
    if (tabs.isNarrow && !root.hasAttribute("data-has-rich") && root.hasAttribute("data-has-text")) tabs.show("console");
  },
  goToLine,
});

let ranSource: string | null = null;
let ranParams: Record<string, string> = {};

function readRan(panel: HTMLElement): void {
  ranSource = jsonScript<string>("run-source", panel);
  const given = jsonScript<Record<string, unknown>>("run-params", panel) ?? {};
  ranParams = Object.fromEntries(Object.entries(given).map(([name, value]) => [`param:${name}`, String(value)]));
}

/** A result is stale when the code or a value it was given has changed since. */
function markStale(): void {
  const stripe = find("#stale");
  if (!stripe || !source) return;
  const code = ranSource !== null && normal(source.text) !== normal(ranSource);
  const values = params?.values() ?? {};
  const touched = Object.keys(values).some((name) => name in ranParams && !same(ranParams[name], values[name]));
  const stale = ranSource !== null && !view.inProgress && (code || touched);
  stripe.hidden = !stale;
  root.toggleAttribute("data-stale", stale);
  const words = find("[data-slot=what]", stripe);
  if (words) words.textContent = code ? "The code has changed since this run." : "A parameter has changed since this run.";
}

function same(one = "", other = ""): boolean {
  return one === other || (one !== "" && other !== "" && Number(one) === Number(other));
}

function normal(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

// Running ------------------------------------------------------------------------------------------------------

const panelNow = (): HTMLElement => need("#run-panel");
readRan(panelNow());

let saver: DraftSaver | null = null;
let starting = false;

/** answer: the button that answered an offer to install packages. */
async function run(answer?: HTMLButtonElement): Promise<void> {
  const form = find<HTMLFormElement>("#run-form");
  if (!form || !source || starting) return;
  if (view.inProgress && !view.onlyExamined) {
    view.sayBusy();
    return;
  }
  const button = need<HTMLButtonElement>("[data-action=run]");
  if (button.disabled) return;
  starting = true;
  button.setAttribute("aria-busy", "true");
  find("#nudge")?.setAttribute("hidden", "");
  const text = source.text;
  const values = params?.values() ?? {};
  const chosen = answer?.name ? { [answer.name]: answer.value } : {};
  try {
    const send = async (): Promise<[Response, string]> => {
      const answered = await post(form.action, { source: text, ...values, ...chosen }, { "HX-Request": "true", Accept: "text/html" });
      return [answered, await answered.text()];
    };
    const [reply, page] = await (saver ? saver.alone(text, send) : send());
    if (reply.status !== 200 && reply.status !== 422) throw new Error(`The server answered ${reply.status}.`);
    // A fragment of our own server, parsed without running anything in it.
    const fresh = new DOMParser().parseFromString(page, "text/html").querySelector<HTMLElement>("#run-panel");
    if (!fresh) throw new Error("The server's answer was not understood.");
    // Installing wrote a line of requirements; what was typed meanwhile is not overwritten.
    const kept = jsonScript<string>("kept-source", fresh) ?? text;
    if (kept !== text && source.text === text) source.text = kept;
    saver?.stored(kept, fresh.dataset.draftVersion ? Number(fresh.dataset.draftVersion) : null);
    find("#offer")?.remove();
    if (reply.status === 422) {
      for (const message of ["#refusal", "#offer"]) {
        const drawn = find(message, fresh);
        find(message)?.remove();
        if (drawn) panelNow().prepend(document.adoptNode(drawn));
      }
      if (tabs.isNarrow) tabs.show("result");
    } else {
      panelNow().replaceWith(document.adoptNode(fresh));
      readRan(panelNow());
      ranSource ??= text;
      view.attach(panelNow());
      if (tabs.isNarrow) tabs.show("result");
      refreshRuns();
    }
    markStale();
  } catch (error) {
    const why = error instanceof TypeError ? "The server cannot be reached. Your text is kept here; press Run again in a moment." : (error as Error).message;
    toast(why, "error");
  } finally {
    starting = false;
    button.removeAttribute("aria-busy");
  }
}

const REFRESH_MS = 250;
const UNFOLLOWED_MS = 5_000;
let refreshing = 0;
let lookingAgain = 0;
let runsAsked = false;
let runsDrawn = "";

/** A short run waits, runs and ends within a moment: one list will do for it, and not before its output. */
function refreshRuns(): void {
  runsAsked = true;
  refreshing ||= window.setTimeout(() => void renewRuns(), REFRESH_MS);
}

/** One request at a time: of two on their way together the older might have the last word. */
async function renewRuns(): Promise<void> {
  while (runsAsked) {
    runsAsked = false;
    await fetchRuns();
  }
  refreshing = 0;
  // Of a run that is not followed here nobody else tells that it is over, as of one whose tests go on beside the next.
  clearTimeout(lookingAgain);
  if (!view.inProgress && find("#runs :is(.badge--queued, .badge--running)")) lookingAgain = window.setTimeout(() => { if (!document.hidden) refreshRuns(); }, UNFOLLOWED_MS);
}

// What was run in another tab meanwhile.
document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshRuns(); });

async function fetchRuns(): Promise<void> {
  const url = find("#runs")?.dataset.url;
  if (!url) return;
  try {
    const answer = await fetch(url, { headers: { "HX-Request": "true", Accept: "text/html" } });
    if (!answer.ok) return;
    const text = await answer.text();
    if (text === runsDrawn) return;
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector<HTMLElement>("#runs");
    const shown = find("#runs");
    if (!fresh || !shown) return;
    // What was ticked stays so, and the keyboard stays where it is.
    const ticked = new Set([...shown.querySelectorAll<HTMLInputElement>("input:checked")].map((box) => box.value));
    for (const box of fresh.querySelectorAll<HTMLInputElement>("input[type=checkbox]")) box.checked = ticked.has(box.value);
    const focused = shown.contains(document.activeElement) ? document.activeElement : null;
    shown.replaceWith(document.adoptNode(fresh));
    runsDrawn = text;
    if (focused) [...fresh.querySelectorAll<HTMLElement>("a, input, button")].find((each) => sameControl(each, focused))?.focus();
  } catch {
    // The list is a convenience; it comes with the next run or reload.
  }
}

function sameControl(one: Element, other: Element): boolean {
  return one.tagName === other.tagName && ["href", "value", "name"].every((name) => one.getAttribute(name) === other.getAttribute(name));
}

/** After the first finished run: one concrete thing to try, as a button that does it. */
function drawNudge(): void {
  const nudge = find("#nudge");
  if (!nudge || !params || nudge.dataset.done) return;
  const idea = params.suggestion();
  const place = need("[data-slot=idea]", nudge);
  if (idea) {
    const button = make("button", { type: "button", class: "button button--small" }, icon("play"), `Change ${idea.label} from ${idea.from} to ${idea.to} and run again`);
    button.addEventListener("click", () => {
      nudge.dataset.done = "yes";
      params.set(idea.name, idea.to);
      void run();
    });
    place.replaceChildren(button);
  } else {
    place.replaceChildren(); // what an earlier run suggested
  }
  nudge.hidden = !idea && !find("[data-keep]", nudge);
}

// A live session instead of runs --------------------------------------------------------------------------------

let session: SessionView | null = null;

function inSession(): boolean {
  return session !== null && root.dataset.mode === "session";
}

function watchMode(url: string): void {
  if (!source) return;
  session = new SessionView(url, source, {
    params: () => params?.values() ?? {},
    param: (param) => params?.declare(param),
    stored: (text, version) => saver?.stored(text, version),
    alone: (text, work) => (saver ? saver.alone(text, work) : work()),
    began: () => { if (tabs.isNarrow) tabs.show("result"); },
    asked: () => tabs.news("result"),
    goToLine,
  });
  const key = `mode:${url}`;
  const choose = (mode: string): void => {
    root.dataset.mode = mode;
    for (const button of document.querySelectorAll("[data-mode-button]")) button.setAttribute("aria-pressed", String(button.getAttribute("data-mode-button") === mode));
    if (mode === "session") session?.enter();
    else session?.leave();
  };
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-mode-button]")) {
    button.addEventListener("click", () => {
      const mode = button.dataset.modeButton as string;
      remembered.set(key, mode === "session" ? mode : null);
      choose(mode);
    });
  }
  // A session that lives is what one comes back to.
  if (remembered.get(key) === "session" || root.dataset.live === "yes") choose("session");
}

// The bar ------------------------------------------------------------------------------------------------------

if (writing && source) {
  const urls = jsonScript<{ draft: string; save: string; settings: string; session: string }>("urls");
  if (urls) {
    saver = new DraftSaver(source, urls, Number(root.dataset.draftVersion) || 1, root.dataset.draftSaved ?? "");
    watchTitle(urls.settings);
    watchMode(urls.session);
  }
  source.onChange(markStale);

  need<HTMLFormElement>("#run-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void run(event.submitter instanceof HTMLButtonElement ? event.submitter : undefined);
  });
  for (const button of document.querySelectorAll("[data-action=run-again]")) button.addEventListener("click", () => void run());
  find("[data-action=toggle-editor]")?.addEventListener("click", () => void source.toggle());
  find("[data-action=save]")?.addEventListener("click", () => void saver?.saveRevision());
  find("[data-action=download]")?.addEventListener("click", () => {
    const link = make("a", { href: URL.createObjectURL(new Blob([source.text], { type: "text/x-python" })), download: "main.py" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
  });
}
find("[data-action=stop]")?.addEventListener("click", () => void view.stop());
for (const button of document.querySelectorAll("[data-action=keys]")) button.addEventListener("click", showKeys);

watchKeys({
  run: (everything) => {
    if (!inSession()) void run();
    else if (everything) session?.runAll();
    else session?.runCell();
  },
  goOn: () => {
    if (inSession()) session?.runCell(true);
    return inSession();
  },
  step: (by) => {
    if (inSession()) session?.step(by);
    return inSession();
  },
  stop: () => (inSession() ? session?.interrupt() : void view.stop()),
  save: () => void saver?.saveRevision(),
  pane: (number) => {
    const pane = ["files", "code", "result", "console"][number - 1] as string;
    tabs.show(pane);
    if (pane === "code" && source) source.focus();
    else need(`#pane-${pane}`).focus();
  },
});

// In menus, a chosen action closes the menu; dialogs close by their own forms.
for (const button of document.querySelectorAll<HTMLElement>(".menu[popover] button")) {
  button.addEventListener("click", () => button.closest<HTMLElement>("[popover]")?.hidePopover());
}

view.attach(panelNow());
markStale();
document.body.dataset.ready = "";

function watchTitle(settings: string): void {
  const form = find<HTMLFormElement>("#settings-form");
  if (!form) return;
  const title = need<HTMLInputElement>("[name=title]", form);
  const visibility = find<HTMLSelectElement>("[name=visibility]", form);
  let before = title.value;
  let holds = visibility?.value ?? "";
  // One after the other: of two at once the older might decide who sees the project.
  let turn: Promise<void> = Promise.resolve();
  const store = (): void => { turn = turn.then(() => send()); };
  const send = async (confirmed = false): Promise<void> => {
    const wanted = title.value.trim();
    const seen = visibility?.value ?? "";
    // Not over what was chosen since.
    const giveBack = (): void => { if (visibility?.value === seen) visibility.value = holds; };
    if (!wanted) {
      title.value = before;
      return;
    }
    try {
      const values = { title: wanted, ...(visibility ? { visibility: seen } : {}), ...(confirmed ? { confirmed: "yes" } : {}) };
      const answer = await post(settings, values);
      const body = (await answer.json()) as { title?: string; visibility?: string; who?: string; message?: string; confirm?: string; share?: Sharing };
      if (body.share) {
        if (await askToShare(body.share)) await send(true);
        else giveBack();
        return;
      }
      if (!answer.ok) {
        giveBack();
        const link = body.confirm ? [" ", make("a", { href: body.confirm }, "Confirm it")] : [];
        toast(body.message ?? "The name was not saved.", "error", ...link);
        return;
      }
      if (body.visibility && body.visibility !== holds) view.renewClaims();
      holds = body.visibility ?? holds;
      document.title = document.title.replace(before, body.title ?? wanted);
      before = body.title ?? wanted;
      if (title.value.trim() === wanted) title.value = before; // not over what is typed by now
      if (!body.who || !visibility) return;
      if (holds === "private") toast(body.who, "success");
      else if (await tellShared(body.who)) {
        visibility.value = "private";
        await send();
      }
    } catch (error) {
      giveBack();
      toast(error instanceof TypeError ? "The name was not saved: the server cannot be reached." : (error as Error).message, "error");
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    title.blur();
  });
  title.addEventListener("change", store);
  title.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      title.value = before;
      title.blur();
    }
  });
  visibility?.addEventListener("change", store);
}
