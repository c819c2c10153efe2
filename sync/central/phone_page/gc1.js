// GC1 on the phone (docs/formats-codes.md): take the issued code apart, sign a showing with the phone's own key.

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
const SHOWING_S = 30;
const PURPOSE = new TextEncoder().encode("gatepost GC1 showing 1\0");

export function base45(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 2) {
    let value = i + 1 < bytes.length ? bytes[i] * 256 + bytes[i + 1] : bytes[i];
    for (let digits = i + 1 < bytes.length ? 3 : 2; digits; digits--) {
      text += ALPHABET[value % 45];
      value = Math.floor(value / 45);
    }
  }
  return text;
}

export function unbase45(text) {
  const bytes = [];
  for (let i = 0; i < text.length; i += 3) {
    const values = [...text.slice(i, i + 3)].map((character) => ALPHABET.indexOf(character));
    if (values.length === 1 || values.includes(-1)) throw new Error("not Base45");
    const value = values[0] + 45 * values[1] + (values.length === 3 ? 2025 * values[2] : 0);
    if (value > (values.length === 3 ? 0xffff : 0xff)) throw new Error("not Base45");
    if (values.length === 3) bytes.push(value >> 8);
    bytes.push(value & 0xff);
  }
  return new Uint8Array(bytes);
}

function head(major, length) {
  if (length < 24) return [(major << 5) | length];
  if (length < 256) return [(major << 5) | 24, length];
  if (length < 65536) return [(major << 5) | 25, length >> 8, length & 255];
  return [(major << 5) | 26, ...[24, 16, 8, 0].map((shift) => (length >>> shift) & 255)];
}

// Reads what a GC1 code holds: whole numbers, byte strings, texts, arrays, null.
export function decode(bytes) {
  let at = 0;
  const item = () => {
    if (at >= bytes.length) throw new Error("cut short");
    const major = bytes[at] >> 5;
    const info = bytes[at++] & 31;
    if (major === 7 && info === 22) return null;
    let length = info;
    if (info >= 24) {
      if (info > 26) throw new Error("a length this page does not read");
      length = 0;
      for (let i = 0; i < 1 << (info - 24); i++) length = length * 256 + bytes[at++];
    }
    if (major === 0) return length;
    if (major === 4) return Array.from({ length }, item);
    if ((major !== 2 && major !== 3) || at + length > bytes.length) throw new Error("another value");
    const content = bytes.slice(at, (at += length));
    return major === 2 ? content : new TextDecoder().decode(content);
  };
  const value = item();
  if (at !== bytes.length) throw new Error("bytes after the end");
  return value;
}

export function open(text) {
  if (!text.startsWith("GC1:")) throw new Error("not a GC1 code");
  const [body, signature] = decode(unbase45(text.slice(4)));
  const fields = decode(body);
  if (fields[0] !== 1) throw new Error("another version");
  return { body, signature, status: fields[3], issuedS: fields[4], expiresS: fields[5], holderKey: fields[6] };
}

export async function show(text, privateKey, nowMs, challenge) {
  const { body, signature } = open(text);
  const window_ = Math.floor(nowMs / 1000 / SHOWING_S);
  const digits = new TextEncoder().encode(challenge);
  const showing = new Uint8Array([0x82, ...head(0, window_), ...head(3, digits.length), ...digits]);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array([...body, ...signature])));
  const signed = new Uint8Array([...PURPOSE, ...digest, ...showing]);
  const holder = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, signed));
  const parts = [body, signature, showing, holder].flatMap((part) => [...head(2, part.length), ...part]);
  return "GC1:" + base45(new Uint8Array([0x84, ...parts]));
}

export async function holderKeyHex(publicKey) {
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  const compressed = [2 + (point[64] & 1), ...point.slice(1, 33)];
  return compressed.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
