// Theme switch without a page load. The form works alone; this only spares the round trip's flash.
const forms = document.querySelectorAll("form[data-theme-form]");

for (const form of forms) {
  form.addEventListener("submit", async (event) => {
    const button = event.submitter;
    if (!button || !["theme", "gains"].includes(button.name)) return;
    event.preventDefault();
    const body = new FormData(form, button);
    document.documentElement.dataset[button.name] = button.value;
    for (const other of document.querySelectorAll(`form[data-theme-form] button[name="${button.name}"]`)) {
      other.setAttribute("aria-pressed", String(other.value === button.value));
    }
    document.dispatchEvent(new CustomEvent("themechange", { detail: { [button.name]: button.value } }));
    // Kept alive: who leaves the page at once has chosen all the same.
    const answer = await fetch(form.action, { method: "POST", body, keepalive: true, headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer?.ok) form.submit();
  });
}
