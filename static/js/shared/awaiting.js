// What is asked for again until it is there: data-await names where, data-every after how many seconds. "No content" means
// that the page has it now.

function wait(place) {
  setTimeout(async () => {
    try {
      const answer = await fetch(place.dataset.await, { headers: { Accept: "text/html" } });
      if (answer.status === 204) return location.reload();
      const fresh = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-await]");
      if (fresh && fresh.outerHTML !== place.outerHTML) {
        place.replaceWith(document.adoptNode(fresh));
        return wait(fresh);
      }
    } catch {
      // The server is away for a moment, as when it starts anew.
    }
    wait(place);
  }, 1_000 * Number(place.dataset.every));
}

for (const place of document.querySelectorAll("[data-await]")) wait(place);
