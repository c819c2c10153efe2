// The resident's page: a key that never leaves this phone, the code it was given, and a fresh QR every 30 seconds.
import { askForCode, enrolPhone, Refused } from "./central.js";
import { holderKeyHex, open, show } from "./gc1.js";
import { qr } from "./qr.js";

const REFRESH_MS = 30_000;
const RENEW_MS = 600_000;
const RENEW_AFTER_S = 1800;
const STATUS = ["green", "yellow", "red"];
const byId = (id) => document.getElementById(id);

function store(mode, work) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("gatepost", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("kept");
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const asked = work(request.result.transaction("kept", mode).objectStore("kept"));
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    };
  });
}

async function ownKey() {
  const kept = await store("readonly", (kept) => kept.get("key"));
  if (kept) return kept;
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  await store("readwrite", (kept) => kept.put(pair, "key"));
  return pair;
}

const put = (value, key) => store("readwrite", (kept) => kept.put(value, key));
const kept = (key) => store("readonly", (kept) => kept.get(key));

// Code or enrolment comes behind the # of a link, which no browser sends to a server.
function takeLink() {
  const text = decodeURIComponent(location.hash.slice(1));
  if (text) history.replaceState(null, "", location.pathname);
  return text;
}

function draw(rows) {
  const canvas = byId("code");
  const cell = Math.max(3, Math.floor(Math.min(innerWidth, 640) / (rows.length + 8)));
  canvas.width = canvas.height = (rows.length + 8) * cell;
  const paper = canvas.getContext("2d");
  paper.fillStyle = "#fff";
  paper.fillRect(0, 0, canvas.width, canvas.height);
  paper.fillStyle = "#000";
  rows.forEach((row, y) =>
    row.forEach((dark, x) => {
      if (dark) paper.fillRect((x + 4) * cell, (y + 4) * cell, cell, cell);
    }),
  );
}

function say(name) {
  for (const text of document.querySelectorAll("[data-when]")) text.hidden = text.dataset.when !== name;
}

let shownText = "";

async function refresh(pair) {
  const code = await kept("code");
  if (!code) return say("no-code");
  const now = Date.now();
  const { status, expiresS, holderKey } = open(code);
  const mine = await holderKeyHex(pair.publicKey);
  const bound = holderKey && [...holderKey].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (bound !== mine) return say("other-phone");
  if (now >= expiresS * 1000) return say("expired");
  shownText = await show(code, pair.privateKey, now, byId("challenge").value.trim());
  draw(qr(shownText));
  byId("until").textContent = new Date(expiresS * 1000).toLocaleTimeString("zh-CN", { hour: "2-digit", minute: "2-digit" });
  document.body.dataset.status = STATUS[status];
  document.body.dataset.shown = shownText;
  say("ready");
}

// A code is renewed after half an hour, so that an order or its end is soon on the phone; one that cannot be renewed is
// good for hours, so that a network which is away costs nobody the gate.
// A phone whose code the office issued by hand is not enrolled, and asks for none.
async function renew(pair) {
  if (!(await kept("enrolled"))) return;
  const { issuedS, expiresS } = open(await kept("code"));
  if (Date.now() / 1000 < Math.min((issuedS + expiresS) / 2, issuedS + RENEW_AFTER_S)) return;
  try {
    await put(await askForCode(pair), "code");
    tell("");
  } catch (error) {
    if (error instanceof Refused) tell(error.key);
  }
}

function tell(key) {
  for (const text of document.querySelectorAll("[data-trouble]")) text.hidden = text.dataset.trouble !== key;
}

async function enrol(pair, typed) {
  tell("");
  try {
    await put(await enrolPhone(pair, typed), "code");
    await put(true, "enrolled");
  } catch (error) {
    tell(error instanceof Refused ? error.key : "no-network");
  }
}

async function main() {
  const pair = await ownKey();
  byId("holder-key").textContent = await holderKeyHex(pair.publicKey);
  const again = () => refresh(pair).catch(() => say("broken"));
  const link = takeLink();
  try {
    if (link.startsWith("enrol=")) {
      await enrol(pair, link.slice(6));
    } else if (link) {
      open(link);
      await put(link, "code");
      await put(false, "enrolled");
    }
  } catch {
    return say("broken");
  }
  byId("enrol").addEventListener("click", () => enrol(pair, byId("enrol-code").value).then(again));
  byId("challenge").addEventListener("input", again);
  setInterval(again, REFRESH_MS);
  const renewed = () => renew(pair).then(again);
  document.addEventListener("visibilitychange", renewed);
  setInterval(renewed, RENEW_MS);
  await renewed();
}

main().catch(() => say("no-key"));
