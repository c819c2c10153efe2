// The one script of both screens. It makes quicker what already works without it: pages are drawn by the server,
// events bring the same fragments, forms are plain POSTs. It never decides anything.

import { hush, preload, say as sayAloud, sound } from "/static/sound.js";

const NOT_LIVE_AFTER_MS = 8000;
const HEARTBEAT_MS = 5000;
const HOLD_MS = 2000;
const RETRY_MS = 1000;
const root = document.documentElement;
const body = document.body;
const boot = document.querySelector('meta[name="gatepost-boot"]').content;
const openToken = document.querySelector('meta[name="gatepost-token"]').content;

// --- events --------------------------------------------------------------------------------------------------

let heardAt = performance.now();
let heard = new Map([...document.querySelectorAll("[data-face]")].map((e) => [laneOf(e), e.dataset.passage + e.dataset.face + (e.dataset.says ?? "")]));

function laneOf(element) {
  return element.dataset.lane ?? body.dataset.lane ?? "";
}

let source;
let leaving = false;

// One way out only: two reasons to go that come together would each break off the other's.
function leave(address) {
  if (leaving) return;
  leaving = true;
  source?.close();
  if (address) location.assign(address);
  else location.reload();
}

// A page that Back brings out of the browser's memory shows what was true when it was left.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

function listen(address) {
  source?.close();
  source = new EventSource(address);
  const live = () => { heardAt = performance.now(); root.dataset.live = "yes"; };
  source.addEventListener("hello", (event) => {
    if (JSON.parse(event.data).boot !== boot) leave();
  });
  source.addEventListener("state", (event) => { live(); show(JSON.parse(event.data)); });
  source.addEventListener("alive", live);
  source.addEventListener("stale", () => { root.dataset.live = "no"; });
  source.addEventListener("locked", () => leave("/guard/login"));
  source.addEventListener("error", () => {
    // The browser reconnects by itself after a cut, but gives up after a refusal: then we go on trying.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listenAgain(address), RETRY_MS);
  });
}

// An event source does not tell why it was refused: a session that ended while the line was cut must not keep its page.
async function listenAgain(address) {
  if (leaving || (document.hidden && body.dataset.lane)) return;
  const asked = new AbortController();
  const answer = await fetch(address, { signal: asked.signal }).catch(() => undefined);
  asked.abort();
  if (answer?.status === 401 || answer?.status === 403) leave();
  else listen(address);
}

// A browser keeps six connections to one server, and every stream holds one: a resident's screen that nobody can see
// gives its stream back. The console goes on, since it has to be heard.
addEventListener("visibilitychange", () => {
  if (!body.dataset.lane) return;
  if (document.hidden) source?.close();
  else { heardAt = performance.now(); listen(body.dataset.events); }
});

// A region under a pressed finger is not exchanged: the button would change its meaning between press and release.
let pressed = null;
const postponed = new Map();
addEventListener("pointerdown", (event) => { pressed = event.target.closest?.("[data-region]") ?? null; });
for (const release of ["pointerup", "pointercancel"]) {
  addEventListener(release, () => setTimeout(() => {
    pressed = null;
    for (const [id, html] of postponed) place(id, html);
    postponed.clear();
  }, 60));
}

function place(id, html) {
  const region = document.getElementById(id);
  if (!region) { leave(); return; }
  if (region === pressed) { postponed.set(id, html); return; }
  const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
  region.innerHTML = html;
  if (focused) document.getElementById(focused)?.focus();
}

const drawn = new Map();

function show(state) {
  for (const [id, html] of Object.entries(state.regions)) {
    if (drawn.get(id) !== html) { drawn.set(id, html); place(id, html); }
  }
  for (const lane of state.lanes) {
    const key = lane.passage + lane.face + (lane.says ?? "");
    if (heard.get(lane.lane) !== key) {
      heard.set(lane.lane, key);
      if (body.dataset.lane) {
        speak(lane);
        painted(lane);
      } else if (lane.face !== "admit") { // the console is quiet while all is well
        sound(lane.face);
      }
    }
    for (const field of document.querySelectorAll(`.lane[data-lane="${CSS.escape(lane.lane)}"] [data-current-passage]`)) {
      field.value = lane.passage;
    }
  }
  if (selected) select(selected);
}

// The chime, then the sentence. Whoever comes next is not told what was meant for the one before; somebody who just
// walks through is not cut short.
function speak(lane) {
  if (lane.face === "idle") return;
  hush();
  sayAloud(lane.files, sound(lane.face, lane.volume), lane.volume);
}

setInterval(() => {
  const listening = body.dataset.events && !(document.hidden && body.dataset.lane);
  if (listening && performance.now() - heardAt > NOT_LIVE_AFTER_MS) root.dataset.live = "no";
}, 500);

// --- what the page says of itself ----------------------------------------------------------------------------

let frames = 0;
let active = false;
for (const touch of ["pointerdown", "keydown"]) addEventListener(touch, () => { active = true; });

function post(address, fields) {
  return fetch(address, {
    method: "POST",
    headers: { "x-gatepost-token": openToken },
    body: new URLSearchParams(fields),
  }).then((answer) => {
    // Another start of the kiosk: its tokens are new. A form being filled in is not taken away.
    if (answer.status === 403 && !sheet?.open) leave();
  }).catch(() => undefined);
}

function beat() {
  // The counter moves only when a frame was painted, so a hung or covered browser falls silent.
  requestAnimationFrame(() => {
    frames += 1;
    post("/alive", { screen: body.dataset.screen, frames, active: active ? "yes" : "no" });
    active = false;
  });
}

function painted(lane) {
  if (!["admit", "deny", "guard"].includes(lane.face)) return;
  // The second callback runs after the first frame with the verdict was handed to the display.
  requestAnimationFrame(() => requestAnimationFrame(() => post("/painted", { lane: lane.lane, passage: lane.passage })));
}

// --- sheets and forms ----------------------------------------------------------------------------------------

const sheet = document.getElementById("sheet");
const toast = document.getElementById("toast");
let toastTimer;

function say(text, bad = false) {
  if (!toast || !text) return;
  toast.textContent = text;
  toast.className = bad ? "shown bad" : "shown";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.className = ""; }, 5000);
}
if (toast?.textContent) say(toast.textContent);

function openSheet(html) {
  const content = new DOMParser().parseFromString(html, "text/html").querySelector("main");
  if (!content) return;
  sheet.replaceChildren(content);
  if (!sheet.open) sheet.showModal();
  sheet.querySelector("[autofocus]")?.focus();
}

async function openLink(link) {
  const address = new URL(link.href);
  const panel = link.closest(".lane")?.querySelector("[data-passage]");
  if (panel && !address.searchParams.has("passage")) address.searchParams.set("passage", panel.dataset.passage);
  const answer = await fetch(address);
  if (answer.redirected) leave(answer.url);
  else openSheet(await answer.text());
}

async function send(form, submitter) {
  const fields = new URLSearchParams(new FormData(form, submitter));
  let answer;
  try {
    answer = await fetch(form.action, { method: "POST", headers: { accept: "application/json, text/html" }, body: fields });
  } catch {
    say(body.dataset.noAnswer, true);
    return;
  }
  if (answer.headers.get("content-type")?.startsWith("application/json")) {
    const result = await answer.json();
    if (answer.status === 401 || answer.status === 403) { leave(); return; }
    if (sheet?.open && result.done) sheet.close();
    say(result.text, !result.done);
  } else {
    openSheet(await answer.text());
  }
}

addEventListener("click", (event) => {
  const link = event.target.closest?.("a");
  if (link?.matches("[data-sheet]") && sheet) {
    event.preventDefault();
    openLink(link).catch(() => leave(link.href));
  } else if (event.target.closest?.("[data-print]")) {
    print();
  } else if (link?.matches("[data-close]") && sheet?.open) {
    event.preventDefault();
    sheet.close();
  }
});

addEventListener("submit", (event) => {
  if (event.target.matches("[data-async]") && sheet) {
    event.preventDefault();
    send(event.target, event.submitter);
  }
});

// --- emergency: hold for 2 s, by finger, mouse or key -----------------------------------------------------------

for (const form of document.querySelectorAll("form[data-hold]")) {
  const button = form.querySelector("button");
  let timer = 0;
  let byHand = false;
  const begin = () => {
    if (timer) return;
    byHand = true;
    button.classList.add("holding");
    timer = setTimeout(async () => {
      end();
      const fields = new URLSearchParams(new FormData(form));
      fields.set("confirm", "yes");
      try {
        const answer = await fetch(form.action, { method: "POST", headers: { accept: "application/json" }, body: fields });
        const result = await answer.json();
        say(result.text, !result.done);
        if (answer.status === 403) leave();
      } catch {
        say(body.dataset.noAnswer, true);
      }
    }, HOLD_MS);
  };
  const end = () => {
    clearTimeout(timer);
    timer = 0;
    button.classList.remove("holding");
  };
  const isPress = (event) => event.key === "Enter" || event.key === " ";
  button.addEventListener("pointerdown", begin);
  for (const stop of ["pointerup", "pointerleave", "pointercancel", "blur"]) button.addEventListener(stop, end);
  button.addEventListener("keydown", (event) => { if (isPress(event)) { event.preventDefault(); begin(); } });
  button.addEventListener("keyup", (event) => { if (isPress(event)) { event.preventDefault(); end(); } });
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  form.addEventListener("submit", (event) => {
    // A press too short does nothing; a click without hand or key (a switch, a screen reader) gets the question.
    if (byHand) { event.preventDefault(); say(body.dataset.holdHint, true); }
    byHand = false;
  });
}

// --- the list of passages: filter, J and K --------------------------------------------------------------------

let selected = "";
const recent = document.querySelector(".recent");

function rows() {
  return [...document.querySelectorAll(".recent .row")].filter((row) => row.offsetParent !== null);
}

function select(key, focus = false) {
  selected = key;
  for (const row of document.querySelectorAll(".recent .row")) {
    const is = row.dataset.key === key;
    if (is) row.setAttribute("aria-current", "true"); else row.removeAttribute("aria-current");
    if (is) {
      document.getElementById("detail").textContent = row.title;
      if (focus) row.focus({ preventScroll: false });
    }
  }
}

recent?.addEventListener("click", (event) => {
  const filter = event.target.closest("button[data-filter]");
  const row = event.target.closest(".row");
  if (filter) {
    recent.dataset.filter = filter.dataset.filter;
    for (const other of recent.querySelectorAll("button[data-filter]")) other.setAttribute("aria-pressed", String(other === filter));
  } else if (row) {
    select(row.dataset.key);
  }
});

addEventListener("keydown", (event) => {
  if (!recent || sheet?.open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.("input, textarea, select")) return;
  const step = { j: 1, k: -1 }[event.key.toLowerCase()];
  const list = rows();
  if (!step || list.length === 0) return;
  const at = list.findIndex((row) => row.dataset.key === selected);
  const next = at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + step));
  select(list[next].dataset.key, true);
});

if (body.dataset.voices) preload(JSON.parse(body.dataset.voices));
if (body.dataset.events) listen(body.dataset.events);
if (body.dataset.screen) { beat(); setInterval(beat, HEARTBEAT_MS); }
root.dataset.script = "on"; // until here the style sheet counts the seconds
