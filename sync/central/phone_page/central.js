// What the phone asks the central: to be enrolled with a one-time code, and for a fresh health code. Each request is
// signed by the phone's own key, under a purpose of its own (docs/formats-codes.md).
import { holderKeyHex } from "./gc1.js";

const ENROL = "gatepost phone enrol 1\0";
const RENEW = "gatepost phone code 1\0";

// The central's "no": key names the sentence that the page shows.
export class Refused extends Error {
  constructor(key) {
    super(key);
    this.key = key;
  }
}

async function signed(pair, purpose, text) {
  const bytes = new TextEncoder().encode(purpose + text);
  const signature = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, bytes));
  return [...signature].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function ask(path, pair, fields, purpose, text, refused) {
  const body = { ...fields, holder_key: await holderKeyHex(pair.publicKey), signature: await signed(pair, purpose, text) };
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body), credentials: "omit", cache: "no-store" });
  if (answer.ok) return (await answer.json()).code;
  if (answer.status >= 500) throw new Error("the central is busy");
  throw new Refused({ 404: "not-here", 409: "too-many", 422: "clock" }[answer.status] ?? refused);
}

export function enrolPhone(pair, typed) {
  const code = typed.replace(/[\s-]/g, "").toUpperCase();
  return ask("/v1/phones/enrol", pair, { code }, ENROL, code, "refused");
}

export function askForCode(pair) {
  const at_s = Math.floor(Date.now() / 1000);
  return ask("/v1/phones/code", pair, { at_s }, RENEW, String(at_s), "revoked");
}
