// What a page sounds like: a chime for each face, and on a resident's screen the sentence after it. Recordings are
// fetched when the page opens and decoded while their chime sounds. Whatever is missing is left out.

// Hertz, start and length in seconds: two rising tones admit, one low double tone deny, three level tones guard needed.
const TONES = {
  admit: [[660, 0, 0.14], [990, 0.15, 0.22]],
  deny: [[196, 0, 0.22], [196, 0.27, 0.3]],
  guard: [[523, 0, 0.12], [523, 0.2, 0.12], [523, 0.4, 0.12]],
};
const PAUSE_S = 0.15;
const TOO_LATE_MS = 3000;

const recordings = new Map();
let audio;
let sounding = [];
let turn = 0;

function output() {
  if (typeof AudioContext === "undefined") return null;
  audio ??= new AudioContext();
  audio.resume().catch(() => undefined);
  return audio;
}

function recording(address) {
  if (!recordings.has(address)) {
    const body = fetch(address).then((answer) => (answer.ok ? answer.arrayBuffer() : null)).catch(() => {
      recordings.delete(address); // asked for again the next time
      return null;
    });
    recordings.set(address, body);
  }
  return recordings.get(address);
}

// One after the other: the page's events and forms need connections too.
export async function preload(addresses) {
  for (const address of addresses) await recording(address);
}

// Ends what sounds and what was to follow.
export function hush() {
  turn += 1;
  for (const source of sounding) source.stop();
  sounding = [];
}

function keep(source) {
  sounding.push(source);
  source.addEventListener("ended", () => { sounding = sounding.filter((other) => other !== source); });
}

// The chime of a face, volume 0 to 1; returns how many seconds it lasts.
export function sound(face, volume = 1) {
  const tones = TONES[face];
  if (!tones || !output()) return 0;
  for (const [frequency, start, length] of tones) {
    const from = audio.currentTime + start;
    const tone = new OscillatorNode(audio, { frequency, type: "triangle" });
    const loudness = new GainNode(audio, { gain: 0 });
    loudness.gain.setTargetAtTime(0.5 * volume, from, 0.008);
    loudness.gain.setTargetAtTime(0, from + length - 0.03, 0.012);
    tone.connect(loudness).connect(audio.destination);
    tone.start(from);
    tone.stop(from + length + 0.1);
    keep(tone);
  }
  const [, start, length] = tones.at(-1);
  return start + length;
}

// The recordings in their order, the first `after` seconds from now.
export async function say(addresses, after, volume) {
  if (!addresses?.length || !output()) return;
  const mine = turn;
  const asked = performance.now();
  const begin = audio.currentTime + after + PAUSE_S;
  // decodeAudioData takes its argument away, so it is given a copy.
  const clips = await Promise.all(addresses.map((address) => recording(address)
    .then((body) => body && audio.decodeAudioData(body.slice(0))).catch(() => null)));
  if (mine !== turn || performance.now() - asked > TOO_LATE_MS) return;
  let from = Math.max(begin, audio.currentTime);
  for (const buffer of clips.filter(Boolean)) {
    const source = new AudioBufferSourceNode(audio, { buffer });
    source.connect(new GainNode(audio, { gain: volume })).connect(audio.destination);
    source.start(from);
    from += buffer.duration + PAUSE_S;
    keep(source);
  }
}
