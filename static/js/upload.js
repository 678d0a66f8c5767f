// Sends a chosen file piece by piece with a bar, goes on after a lost connection, and after a closed page when the same
// file is chosen again. Without this script the form sends the whole file at once.

const RETRY_SECONDS = [1, 2, 4, 8, 15, 30];

document.addEventListener("submit", (event) => {
  const form = event.target instanceof HTMLFormElement ? event.target : null;
  const file = form?.dataset.upload ? form.elements.file.files[0] : null;
  if (!file) return;
  event.preventDefault();
  send(form, file);
}, { capture: true });

async function send(form, file) {
  const show = view(form);
  if (show.busy) return;
  show.begin();
  try {
    const sha256 = await hashOf(file);
    const begun = await ask(form, form.dataset.upload, JSON.stringify({
      name: form.elements.name?.value ?? "", filename: file.name, size: file.size, sha256,
    }), "application/json");
    let received = begun.received;
    let failures = 0;
    while (received < file.size) {
      await show.whilePaused();
      show.progress(received, file.size);
      const piece = file.slice(received, received + Number(form.dataset.piece));
      try {
        received = (await ask(form, `${begun.pieces}?offset=${received}`, piece, "application/octet-stream")).received;
        failures = 0;
      } catch (problem) {
        if (problem instanceof Refused || failures >= 20) throw problem;
        const wait = RETRY_SECONDS[Math.min(failures++, RETRY_SECONDS.length - 1)];
        show.say(`The connection is lost. Trying again in ${wait} s`);
        await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      }
    }
    show.progress(file.size, file.size);
    addEventListener("pageshow", () => show.end(), { once: true }); // whoever comes back may send another one
    location.assign(begun.page);
  } catch (problem) {
    show.fail(problem instanceof Refused ? problem.message : "Sending failed. Press Send to go on where it stopped.");
  }
}

class Refused extends Error {}

async function ask(form, url, body, type) {
  const response = await fetch(url, {
    method: "POST",
    body,
    headers: { "Content-Type": type, "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
  });
  const answer = response.headers.get("Content-Type")?.includes("json") ? await response.json() : {};
  if (response.ok) return answer;
  if (response.status === 409 && "received" in answer) return answer; // some of it had arrived before
  if (answer.problem) throw new Refused(answer.problem);
  if (response.status === 403 || response.redirected) throw new Refused("You are signed out. Sign in and choose the file again.");
  throw new Error(String(response.status));
}

// Only where the browser offers it: on https and on this machine.
async function hashOf(file) {
  if (!globalThis.crypto?.subtle) return "";
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function view(form) {
  const bar = form.querySelector("[data-progress]");
  const problem = form.querySelector("[data-problem]");
  const pause = form.querySelector("[data-pause]");
  const button = form.querySelector("button:not([type='button'])");
  let resume = null;
  pause.onclick = () => {
    const paused = pause.textContent === "Go on";
    pause.textContent = paused ? "Pause" : "Go on";
    if (paused) resume?.();
  };
  return {
    get busy() { return button.disabled; },
    begin() {
      button.disabled = true;
      problem.hidden = true;
      bar.hidden = pause.hidden = false;
      this.say("Sending");
    },
    say(text) { bar.querySelector("[data-phase]").textContent = text; },
    progress(done, all) {
      this.say(done < all ? "Sending" : "Arrived");
      bar.querySelector("progress").value = (100 * done) / all;
      bar.querySelector("[data-done]").textContent = `${(done / 1e6).toFixed(1)} of ${(all / 1e6).toFixed(1)} MB`;
    },
    async whilePaused() {
      if (pause.textContent !== "Go on") return;
      this.say("Paused");
      await new Promise((resolve) => { resume = resolve; });
    },
    end() {
      button.disabled = false;
      bar.hidden = pause.hidden = true;
    },
    fail(text) {
      this.end();
      problem.hidden = false;
      problem.textContent = text;
    },
  };
}
