// QR code (ISO/IEC 18004) of an alphanumeric text, error correction M, versions 1 to 20: all that a GC1 code needs.
// qr(text) gives rows of booleans, true for dark. Throws RangeError for another character or more than 970 of them.

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

// Level M, by version: correction words a block, then pairs of (blocks, data words a block). ISO/IEC 18004, table 9.
const BLOCKS = [
  [10, 1, 16], [16, 1, 28], [26, 1, 44], [18, 2, 32], [24, 2, 43], [16, 4, 27], [18, 4, 31], [22, 2, 38, 2, 39],
  [22, 3, 36, 2, 37], [26, 4, 43, 1, 44], [30, 1, 50, 4, 51], [22, 6, 36, 2, 37], [22, 8, 37, 1, 38],
  [24, 4, 40, 5, 41], [24, 5, 41, 5, 42], [28, 7, 45, 3, 46], [28, 10, 46, 1, 47], [26, 9, 43, 4, 44],
  [26, 3, 44, 11, 45], [26, 3, 41, 13, 42],
];
// Centres of the alignment patterns, by version. Annex E.
const ALIGNMENT = [
  [], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50], [6, 30, 54],
  [6, 32, 58], [6, 34, 62], [6, 26, 46, 66], [6, 26, 48, 70], [6, 26, 50, 74], [6, 30, 54, 78], [6, 30, 56, 82],
  [6, 30, 58, 86], [6, 34, 62, 90],
];

const EXP = new Uint8Array(512);
const LOG = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i++) {
  EXP[i] = EXP[i + 255] = x;
  LOG[x] = i;
  x = (x << 1) ^ (x & 0x80 ? 0x11d : 0);
}

function correction(data, count) {
  let generator = [1];
  for (let i = 0; i < count; i++) {
    const next = [...generator, 0];
    generator.forEach((term, at) => {
      if (term) next[at + 1] ^= EXP[LOG[term] + i];
    });
    generator = next;
  }
  const rest = [...data, ...new Array(count).fill(0)];
  for (let i = 0; i < data.length; i++) {
    if (!rest[i]) continue;
    const factor = LOG[rest[i]];
    generator.forEach((term, at) => {
      rest[i + at] ^= EXP[LOG[term] + factor];
    });
  }
  return rest.slice(data.length);
}

function blocksOf(version) {
  const [words, ...pairs] = BLOCKS[version - 1];
  const sizes = [];
  for (let i = 0; i < pairs.length; i += 2) sizes.push(...new Array(pairs[i]).fill(pairs[i + 1]));
  return { words, sizes, total: sizes.reduce((sum, size) => sum + size, 0) };
}

function bitsOf(text, version) {
  const bits = [];
  const put = (value, length) => {
    for (let i = length - 1; i >= 0; i--) bits.push((value >> i) & 1);
  };
  put(0b0010, 4);
  put(text.length, version < 10 ? 9 : 11);
  for (let i = 0; i < text.length; i += 2) {
    const first = ALPHABET.indexOf(text[i]);
    const second = i + 1 < text.length ? ALPHABET.indexOf(text[i + 1]) : 0;
    if (first < 0 || second < 0) throw new RangeError("a character outside the alphanumeric mode");
    if (i + 1 < text.length) put(first * 45 + second, 11);
    else put(first, 6);
  }
  return bits;
}

function wordsOf(text) {
  for (let version = 1; version <= BLOCKS.length; version++) {
    const bits = bitsOf(text, version);
    const { words, sizes, total } = blocksOf(version);
    if (bits.length > total * 8) continue;
    for (let i = 0; i < 4 && bits.length < total * 8; i++) bits.push(0);
    while (bits.length % 8) bits.push(0);
    const data = [];
    for (let i = 0; i < bits.length; i += 8) data.push(parseInt(bits.slice(i, i + 8).join(""), 2));
    for (let pad = 0xec; data.length < total; pad ^= 0xec ^ 0x11) data.push(pad);
    let at = 0;
    const blocks = sizes.map((size) => data.slice(at, (at += size)));
    const corrections = blocks.map((block) => correction(block, words));
    const mixed = [];
    for (let i = 0; i < Math.max(...sizes); i++) for (const block of blocks) if (i < block.length) mixed.push(block[i]);
    for (let i = 0; i < words; i++) for (const block of corrections) mixed.push(block[i]);
    return { version, words: mixed };
  }
  throw new RangeError("too long for a code of version 20");
}

function bch(value, generator, length) {
  let rest = value << length;
  for (let bit = 31 - Math.clz32(rest); bit >= length; bit = rest ? 31 - Math.clz32(rest) : -1) {
    rest ^= generator << (bit - length);
  }
  return (value << length) | rest;
}

const MASKS = [
  (r, c) => (r + c) % 2 === 0,
  (r) => r % 2 === 0,
  (r, c) => c % 3 === 0,
  (r, c) => (r + c) % 3 === 0,
  (r, c) => (Math.floor(r / 2) + Math.floor(c / 3)) % 2 === 0,
  (r, c) => ((r * c) % 2) + ((r * c) % 3) === 0,
  (r, c) => (((r * c) % 2) + ((r * c) % 3)) % 2 === 0,
  (r, c) => (((r + c) % 2) + ((r * c) % 3)) % 2 === 0,
];

function frame(version) {
  const size = 17 + 4 * version;
  const dark = Array.from({ length: size }, () => new Array(size).fill(false));
  const fixed = Array.from({ length: size }, () => new Array(size).fill(false));
  const set = (row, column, value) => {
    if (row < 0 || column < 0 || row >= size || column >= size) return;
    dark[row][column] = value;
    fixed[row][column] = true;
  };
  for (let i = 0; i < size; i++) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  for (const [row, column] of [[3, 3], [3, size - 4], [size - 4, 3]]) {
    for (let r = -4; r <= 4; r++) {
      for (let c = -4; c <= 4; c++) {
        const ring = Math.max(Math.abs(r), Math.abs(c));
        set(row + r, column + c, ring !== 2 && ring !== 4);
      }
    }
  }
  const centres = ALIGNMENT[version - 1];
  for (const row of centres) {
    for (const column of centres) {
      if (fixed[row][column] && !(row === 6 || column === 6)) continue;
      if ((row === 6 && (column === 6 || column === size - 7)) || (column === 6 && row === size - 7)) continue;
      for (let r = -2; r <= 2; r++) {
        for (let c = -2; c <= 2; c++) set(row + r, column + c, Math.max(Math.abs(r), Math.abs(c)) !== 1);
      }
    }
  }
  for (let i = 0; i < 9; i++) {
    if (i !== 6) {
      set(8, i, dark[8][i]);
      set(i, 8, dark[i][8]);
    }
    if (i < 8) {
      set(8, size - 1 - i, false);
      set(size - 1 - i, 8, false);
    }
  }
  set(size - 8, 8, true);
  if (version >= 7) {
    const information = bch(version, 0x1f25, 12);
    for (let i = 0; i < 18; i++) {
      const bit = ((information >> i) & 1) === 1;
      set(Math.floor(i / 3), size - 11 + (i % 3), bit);
      set(size - 11 + (i % 3), Math.floor(i / 3), bit);
    }
  }
  return { size, dark, fixed };
}

function place(dark, fixed, size, words) {
  let bit = 0;
  for (let right = size - 1; right > 0; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step++) {
      const up = ((right + 1) & 2) === 0;
      const row = up ? size - 1 - step : step;
      for (const column of [right, right - 1]) {
        if (fixed[row][column]) continue;
        dark[row][column] = bit < words.length * 8 && ((words[bit >> 3] >> (7 - (bit & 7))) & 1) === 1;
        bit++;
      }
    }
  }
}

function penalty(dark) {
  const size = dark.length;
  let score = 0;
  let count = 0;
  const lines = [...dark, ...dark.map((_, column) => dark.map((row) => row[column]))];
  for (const line of lines) {
    for (let start = 0; start < size; ) {
      let end = start;
      while (end < size && line[end] === line[start]) end++;
      if (end - start >= 5) score += end - start - 2;
      start = end;
    }
    const text = line.map((cell) => (cell ? 1 : 0)).join("");
    for (const pattern of ["10111010000", "00001011101"]) {
      for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, at + 1)) score += 40;
    }
  }
  for (let r = 0; r < size; r++) {
    for (let c = 0; c < size; c++) {
      if (dark[r][c]) count++;
      if (r && c && dark[r][c] === dark[r - 1][c] && dark[r][c] === dark[r][c - 1] && dark[r][c] === dark[r - 1][c - 1]) {
        score += 3;
      }
    }
  }
  return score + 10 * Math.floor(Math.abs((count * 20) / (size * size) - 10));
}

export function qr(text) {
  const { version, words } = wordsOf(text);
  let best = null;
  MASKS.forEach((mask, number) => {
    const { size, dark, fixed } = frame(version);
    place(dark, fixed, size, words);
    for (let r = 0; r < size; r++) for (let c = 0; c < size; c++) if (!fixed[r][c] && mask(r, c)) dark[r][c] = !dark[r][c];
    const format = bch(number, 0x537, 10) ^ 0x5412; // level M is 00
    for (let i = 0; i < 15; i++) {
      const bit = ((format >> i) & 1) === 1;
      if (i < 8) dark[8][size - 1 - i] = bit;
      else dark[size - 15 + i][8] = bit;
      if (i < 6) dark[i][8] = bit;
      else if (i < 8) dark[i + 1][8] = bit;
      else if (i === 8) dark[8][7] = bit;
      else dark[8][14 - i] = bit;
    }
    const score = penalty(dark);
    if (best === null || score < best.score) best = { dark, score };
  });
  return best.dark;
}
