// Is what becomes visible known to whoever shares a project? Asked in a dialog; the server says what there is. Once it is
// shared, another one says who sees it and has the link.

import { make, need } from "./page";

/** embed: the code that shows its result in pages of other sites; empty where it has none. */
export interface Sharing { heading: string; lines: string[]; embed: string }

/** Whether it is to be shared. Closing the dialog in any other way than by its button leaves everything as it is. */
export function askToShare(asked: Sharing): Promise<boolean> {
  const dialog = need<HTMLDialogElement>("#share-dialog");
  need("h2", dialog).textContent = asked.heading;
  need("ul", dialog).replaceChildren(...asked.lines.map((line) => make("li", {}, line)));
  need("[data-slot=embed]", dialog).hidden = !asked.embed;
  need<HTMLTextAreaElement>("textarea", dialog).value = asked.embed;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "share");
  });
}

/** That it is shared, with its link. Whether it is to be private again. */
export function tellShared(who: string): Promise<boolean> {
  const dialog = need<HTMLDialogElement>("#shared-dialog");
  need("[data-slot=who]", dialog).textContent = who;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "private");
  });
}
