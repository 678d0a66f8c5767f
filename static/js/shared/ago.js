// How long ago, in words that go on while the page is open. The server writes them first (playground/templatetags/
// formatting.py), with the seconds in data-ago: what its clock says counts, not this machine's.

const EVERY_MS = 20_000;
let ahead = Infinity; // by so much this clock is before the server's

/** As the server says it; null from where that counts days of the calendar. @param {number} seconds */
function ago(seconds) {
  if (seconds < 45) return "just now";
  if (seconds < 3570) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  return seconds < 22 * 3600 ? `${Math.round(seconds / 3600)} h ago` : null;
}

function renew() {
  const now = Date.now();
  const times = [...document.querySelectorAll("time[data-ago]")].map((time) => [time, Date.parse(time.dateTime)]);
  for (const [time, moment] of times) ahead = Math.min(ahead, now - moment - 1_000 * Number(time.dataset.ago));
  for (const [time, moment] of times) {
    const words = ago((now - moment - ahead) / 1_000);
    if (words && time.textContent !== words) time.textContent = words;
  }
}

renew();
setInterval(renew, EVERY_MS);
document.addEventListener("visibilitychange", renew);
