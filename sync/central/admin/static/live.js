// Keeps a page up to date: asks for it again every 20 s and puts in the parts marked data-live that changed.
// Forms outside those parts, the scroll position and the focus stay as they are; a part in use waits its turn.
// The request says that nobody asked for it, so that a session ends although its page stays open.

const BUSY_MS = 5000;
const url = document.body.dataset.liveUrl;
const everyMs = 1000 * Number(document.body.dataset.liveEveryS);
const stale = document.getElementById("stale");
let lastUse = { part: null, at: -Infinity };

for (const kind of ["pointermove", "pointerdown", "keydown", "focusin"]) {
  document.addEventListener(kind, (event) => {
    lastUse = { part: event.target.closest?.("[data-live]") ?? null, at: performance.now() };
  }, { passive: true });
}

// Nothing may move under a finger that is about to press, or under a text that is being selected.
function inUse(part) {
  const selection = document.getSelection();
  return (lastUse.part === part && performance.now() - lastUse.at < BUSY_MS)
    || part.matches(":active")
    || (selection !== null && !selection.isCollapsed && part.contains(selection.anchorNode));
}

function put(part, fresh) {
  if (part.innerHTML === fresh.innerHTML) return true;
  if (inUse(part)) return false;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const sideways = [...part.querySelectorAll(".wide")].map((wide) => wide.scrollLeft);
  part.replaceChildren(...fresh.childNodes);
  part.querySelectorAll(".wide").forEach((wide, at) => { wide.scrollLeft = sideways[at] ?? 0; });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  return true;
}

async function refresh() {
  let nextMs = everyMs;
  try {
    const answer = await fetch(url, { headers: { "Gatepost-Refresh": "1" }, redirect: "error", cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [left, top] = [scrollX, scrollY];
    for (const part of document.querySelectorAll("[data-live]")) {
      const found = fresh.getElementById(part.id);
      if (found !== null && !put(part, found)) nextMs = BUSY_MS;
    }
    scrollTo(left, top);
    document.title = fresh.title;
    stale.hidden = true;
  } catch {
    stale.hidden = false;
    if (!document.title.startsWith("⚠")) document.title = `⚠ ${document.title}`;
  }
  setTimeout(refresh, nextMs);
}

setTimeout(refresh, everyMs);
