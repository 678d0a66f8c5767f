// What every page may use: definitions of words, times that go on, closing menus, copy buttons, dismissing messages,
// native dialogs, confirm-by-typing.
import "./shared/ago.js";
import "./shared/gloss.js";
import "./shared/awaiting.js";
import "./shared/edges.js";
import "./theme.js";

document.addEventListener("click", async (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;

  const copy = target.closest("[data-copy], [data-copy-code]");
  if (copy) {
    const source = copy.dataset.copy ? document.querySelector(copy.dataset.copy) : copy.closest(".code")?.querySelector("pre");
    if (!source) return;
    await navigator.clipboard.writeText("value" in source ? source.value : source.textContent);
    if ("done" in copy.dataset) return; // its label says so still
    const label = copy.querySelector("[data-copy-label]") ?? copy;
    const before = label.textContent;
    label.textContent = "Copied";
    copy.dataset.done = "";
    setTimeout(() => {
      label.textContent = before;
      delete copy.dataset.done;
    }, 1600);
    return;
  }

  const dismiss = target.closest("[data-dismiss]");
  if (dismiss) {
    dismiss.closest(dismiss.dataset.dismiss)?.remove();
    return;
  }

  const opener = target.closest("[data-dialog]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.dialog);
    if (dialog instanceof HTMLDialogElement) {
      event.preventDefault();
      dialog.showModal();
    }
    return;
  }

  // A link chosen in a menu closes it (popovers stay open on a click inside).
  target.closest(".menu[popover] a")?.closest(".menu[popover]").hidePopover();
});

// A form sends once: a second press of the button while the first is on its way does nothing.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.method !== "post" || event.defaultPrevented || form.matches("[hx-post], [data-theme-form]")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
  event.submitter?.setAttribute("aria-busy", "true");
});
// Coming back by the back button shows the page as it was left; its forms must send again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
  }
});

// What was typed before htmx listened, or put back by the browser, counts like what is typed now.
document.addEventListener("htmx:load", ({ target }) => {
  const changed = (field) => field.matches("select")
    ? field.querySelector("[selected]") && [...field.selectedOptions].some((one) => !one.defaultSelected)
    : field.matches("input, textarea") && (field.checked !== field.defaultChecked || field.value !== field.defaultValue);
  for (const form of target.querySelectorAll("form[hx-trigger*=change]")) {
    if ([...form.elements].some(changed)) form.dispatchEvent(new Event("change", { bubbles: true }));
  }
});
