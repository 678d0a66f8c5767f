// Which keys do what? Handled before the editor sees them, so that they work wherever the focus is.

import { find, remembered } from "./page";

const SINGLE_KEYS_OFF = "single-keys-off";

interface KeyActions {
  run(everything: boolean): void;
  /** Shift+Enter and Alt with an arrow are the session's while there is one; false leaves the key to the editor. */
  goOn(): boolean;
  step(by: number): boolean;
  stop(): void;
  save(): void;
  pane(number: number): void;
}

export function watchKeys(actions: KeyActions): void {
  addEventListener("keydown", (event) => {
    if (event.isComposing || document.querySelector("dialog[open]")) return;
    const control = event.ctrlKey || event.metaKey;
    let action: (() => void) | null = null;
    if (control && !event.altKey && event.key === "Enter") action = () => actions.run(event.shiftKey);
    else if (event.shiftKey && !control && !event.altKey && event.key === "Enter" && isInEditor(event.target) && actions.goOn()) action = nothing;
    else if (event.altKey && !control && !event.shiftKey && (event.key === "ArrowUp" || event.key === "ArrowDown") && isInEditor(event.target) && actions.step(event.key === "ArrowUp" ? -1 : 1)) action = nothing;
    else if (control && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "s") action = actions.save;
    else if (control && !event.altKey && !event.shiftKey && event.key === ".") action = actions.stop;
    else if (event.altKey && !control && !event.shiftKey && /^Digit[1-4]$/.test(event.code)) action = () => actions.pane(Number(event.code.slice(5)));
    else if (event.key === "?" && !control && !event.altKey && singleKeysOn() && !isTyping(event.target)) action = showKeys;
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) action();
  }, { capture: true });

  const off = find<HTMLInputElement>("#single-keys");
  if (off) {
    off.checked = singleKeysOn();
    off.addEventListener("change", () => remembered.set(SINGLE_KEYS_OFF, off.checked ? null : "yes"));
  }
  if (/Mac|iPhone|iPad/.test(navigator.userAgent)) {
    for (const key of document.querySelectorAll("[data-key=control]")) key.textContent = "⌘";
    for (const key of document.querySelectorAll("[data-key=tab-mode]")) key.textContent = "Ctrl+Shift+M";
  }
}

export function showKeys(): void {
  const dialog = find<HTMLDialogElement>("#keys");
  if (dialog && !dialog.open) dialog.showModal();
}

function nothing(): void {
  // It has been done.
}

function isInEditor(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("#pane-code") !== null;
}

function singleKeysOn(): boolean {
  return remembered.get(SINGLE_KEYS_OFF) !== "yes";
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input:not([type=range], [type=checkbox]), textarea, select, [contenteditable], .monaco-editor") !== null;
}
