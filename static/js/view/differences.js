/**
 * Where two answers differ: by sentences, and word by word within those that say it in other words. No DOM.
 *
 * The common prefix and suffix are skipped; the rest is compared by Myers' greedy algorithm, which is
 * fast for few differences. If there are too many, parts that occur once in both serve as anchors,
 * and the stretches between them are compared (patience diff). Work is bounded: a stretch that still
 * differs too much counts as different as a whole. So do sentences that share less than half of their
 * words, of which single common words would tell nothing.
 */

/** How many insertions and deletions a stretch may need: more is another text, not another wording. */
const MAX_EDITS = 400;
/** How many pairs of sentences are weighed between two common ones. */
const MAX_PAIRS = 20_000;
const LEAST_LIKENESS = 0.5;

/** With the white space behind it. */
const SENTENCE = /[\s\S]*?(?:[.!?…][)\]"'”’»*_]*\s+|[。！？؟।]\s*|\n\s*|$)/gu;
/** A word, a number, one sign; scripts without spaces go character by character. */
const TOKEN = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|(?:(?![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}])[\p{L}\p{N}\p{M}'’_])+|\s+|./gsu;

/** @typedef {{start: number, end: number}} Range In units of the text. */
/** @typedef {{from: number, to: number, otherFrom: number, otherTo: number}} Stretch */
/** @typedef {{text: string, from: number, to: number, words: string[]}} Sentence Its tokens are `from` to `to`, without the space behind it. */

/**
 * Return the ranges of each that the other lacks, in order.
 *
 * @param {string} left @param {string} right
 * @returns {{left: Range[], right: Range[]}}
 */
export function differences(left, right) {
  const [a, b] = [parsed(left), parsed(right)];
  const [inA, inB] = [new Uint8Array(a.tokens.length), new Uint8Array(b.tokens.length)];
  for (const { from, to, otherFrom, otherTo } of gaps(a.sentences, b.sentences)) {
    const [ours, theirs] = [a.sentences.slice(from, to), b.sentences.slice(otherFrom, otherTo)];
    for (const one of ours) inA.fill(1, one.from, one.to);
    for (const one of theirs) inB.fill(1, one.from, one.to);
    for (const [one, other] of alike(ours, theirs)) {
      inA.fill(0, one.from, one.to);
      inB.fill(0, other.from, other.to);
      compareAll(a.tokens, b.tokens, { from: one.from, to: one.to, otherFrom: other.from, otherTo: other.to }, inA, inB);
    }
  }
  return { left: ranges(a.tokens, inA), right: ranges(b.tokens, inB) };
}

// Sentences

/** @param {string} text */
function parsed(text) {
  /** @type {string[]} */
  const tokens = [];
  /** @type {Sentence[]} */
  const sentences = [];
  for (const whole of text.match(SENTENCE)?.filter(Boolean) ?? []) {
    const own = whole.match(TOKEN) ?? [];
    const from = tokens.length;
    tokens.push(...own);
    const to = tokens.length - (own.length > 1 && /^\s/.test(own[own.length - 1]) ? 1 : 0);
    sentences.push({ text: whole.trim(), from, to, words: own.filter((token) => /[\p{L}\p{N}]/u.test(token)).sort() });
  }
  return { tokens, sentences };
}

/** The stretches of sentences between those that both have. @param {Sentence[]} a @param {Sentence[]} b */
function* gaps(a, b) {
  const [inA, inB] = [new Uint8Array(a.length + 1), new Uint8Array(b.length + 1)];
  const whole = { from: 0, to: a.length, otherFrom: 0, otherTo: b.length };
  compareAll(a.map(({ text }) => text), b.map(({ text }) => text), whole, inA, inB);
  for (let [from, otherFrom] = [0, 0]; from < a.length || otherFrom < b.length; [from, otherFrom] = [from + 1, otherFrom + 1]) {
    let [to, otherTo] = [from, otherFrom];
    while (inA[to]) to += 1;
    while (inB[otherTo]) otherTo += 1;
    if (to > from || otherTo > otherFrom) yield { from, to, otherFrom, otherTo };
    [from, otherFrom] = [to, otherTo];
  }
}

/** Pair the sentences that are most alike, in their order. @param {Sentence[]} a @param {Sentence[]} b @returns {[Sentence, Sentence][]} */
function alike(a, b) {
  if (a.length * b.length > MAX_PAIRS) return [];
  const width = b.length + 1;
  const best = new Float64Array((a.length + 1) * width);
  const likeness = a.map((one) => b.map((other) => likenessOf(one.words, other.words)));
  for (let x = a.length - 1; x >= 0; x -= 1) {
    for (let y = b.length - 1; y >= 0; y -= 1) {
      const without = Math.max(best[(x + 1) * width + y], best[x * width + y + 1]);
      const paired = likeness[x][y] < LEAST_LIKENESS ? 0 : likeness[x][y] + best[(x + 1) * width + y + 1];
      best[x * width + y] = Math.max(without, paired);
    }
  }
  /** @type {[Sentence, Sentence][]} */
  const pairs = [];
  for (let [x, y] = [0, 0]; x < a.length && y < b.length;) {
    if (best[x * width + y] === best[(x + 1) * width + y]) x += 1;
    else if (best[x * width + y] === best[x * width + y + 1]) y += 1;
    else {
      pairs.push([a[x], b[y]]);
      [x, y] = [x + 1, y + 1];
    }
  }
  return pairs;
}

/** Which part of their words two sentences share. @param {string[]} a Sorted. @param {string[]} b Sorted. */
function likenessOf(a, b) {
  let common = 0;
  for (let [x, y] = [0, 0]; x < a.length && y < b.length;) {
    if (a[x] === b[y]) [x, y, common] = [x + 1, y + 1, common + 1];
    else if (a[x] < b[y]) x += 1;
    else y += 1;
  }
  return a.length + b.length === 0 ? 0 : (2 * common) / (a.length + b.length);
}

// Words

/**
 * Mark what of a stretch the other lacks.
 *
 * @param {string[]} a @param {string[]} b @param {Stretch} whole @param {Uint8Array} inA @param {Uint8Array} inB
 */
function compareAll(a, b, whole, inA, inB) {
  const todo = [whole];
  for (let stretch = todo.pop(); stretch; stretch = todo.pop()) {
    const core = trimmed(a, b, stretch);
    if (core.from === core.to || core.otherFrom === core.otherTo || !compare(a, b, core, inA, inB)) {
      const parts = core.from === core.to || core.otherFrom === core.otherTo ? [] : split(a, b, core);
      if (parts.length > 1) {
        todo.push(...parts);
      } else {
        inA.fill(1, core.from, core.to);
        inB.fill(1, core.otherFrom, core.otherTo);
      }
    }
  }
}

/** Skip the common prefix and suffix. @param {string[]} a @param {string[]} b @param {Stretch} stretch @returns {Stretch} */
function trimmed(a, b, { from, to, otherFrom, otherTo }) {
  while (from < to && otherFrom < otherTo && a[from] === b[otherFrom]) [from, otherFrom] = [from + 1, otherFrom + 1];
  while (from < to && otherFrom < otherTo && a[to - 1] === b[otherTo - 1]) [to, otherTo] = [to - 1, otherTo - 1];
  return { from, to, otherFrom, otherTo };
}

/**
 * Mark the shortest edit; return false, having marked nothing, if it is longer than `MAX_EDITS`.
 *
 * @param {string[]} a @param {string[]} b @param {Stretch} stretch @param {Uint8Array} inA @param {Uint8Array} inB
 */
function compare(a, b, { from, to, otherFrom, otherTo }, inA, inB) {
  const [n, m] = [to - from, otherTo - otherFrom];
  const limit = Math.min(n + m, MAX_EDITS);
  const furthest = new Int32Array(2 * limit + 3); // by diagonal, shifted by `limit + 1`
  /** @type {Int32Array[]} */
  const steps = [];
  for (let edits = 0; edits <= limit; edits += 1) {
    steps.push(furthest.slice(limit + 1 - edits, limit + 2 + edits)); // before this round
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      const index = limit + 1 + diagonal;
      const isDown = diagonal === -edits || (diagonal !== edits && furthest[index - 1] < furthest[index + 1]);
      let x = isDown ? furthest[index + 1] : furthest[index - 1] + 1;
      while (x < n && x - diagonal < m && a[from + x] === b[otherFrom + x - diagonal]) x += 1;
      furthest[index] = x;
      if (x >= n && x - diagonal >= m) {
        mark(steps, n, m, (at) => (inA[from + at] = 1), (at) => (inB[otherFrom + at] = 1));
        return true;
      }
    }
  }
  return false;
}

/**
 * Walk back along the path and report each deletion and insertion.
 *
 * @param {Int32Array[]} steps @param {number} x @param {number} y
 * @param {(at: number) => void} deleted @param {(at: number) => void} inserted
 */
function mark(steps, x, y, deleted, inserted) {
  for (let edits = steps.length - 1; edits > 0; edits -= 1) {
    const before = steps[edits];
    const diagonal = x - y;
    const at = (/** @type {number} */ k) => before[k + edits];
    const isDown = diagonal === -edits || (diagonal !== edits && at(diagonal - 1) < at(diagonal + 1));
    const previous = diagonal + (isDown ? 1 : -1);
    x = at(previous);
    y = x - previous;
    if (isDown) inserted(y);
    else deleted(x);
  }
}

/** Cut at the words that occur once in both, in the longest order they share. @param {string[]} a @param {string[]} b @param {Stretch} stretch @returns {Stretch[]} */
function split(a, b, { from, to, otherFrom, otherTo }) {
  const [inA, inB] = [single(a, from, to), single(b, otherFrom, otherTo)];
  /** @type {{x: number, y: number, before: any}[]} The last anchor of the best chain of each length. */
  const chains = [];
  for (const [word, x] of inA) {
    const y = inB.get(word) ?? -1;
    if (x < 0 || y < 0) continue;
    let [low, high] = [0, chains.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (chains[middle].y < y) low = middle + 1;
      else high = middle;
    }
    chains[low] = { x, y, before: chains[low - 1] ?? null };
  }
  /** @type {Stretch[]} */
  const parts = [];
  let [end, otherEnd] = [to, otherTo];
  for (let anchor = chains.at(-1); anchor; anchor = anchor.before) {
    parts.push({ from: anchor.x, to: end, otherFrom: anchor.y, otherTo: otherEnd });
    [end, otherEnd] = [anchor.x, anchor.y];
  }
  return [...parts, { from, to: end, otherFrom, otherTo: otherEnd }];
}

/** Where each word is, -1 if it is there more than once. @param {string[]} tokens @param {number} from @param {number} to */
function single(tokens, from, to) {
  /** @type {Map<string, number>} */
  const places = new Map();
  for (let at = from; at < to; at += 1) places.set(tokens[at], places.has(tokens[at]) ? -1 : at);
  return places;
}

/** Join what is marked; white space between two marked words is marked too. @param {string[]} tokens @param {Uint8Array} isMarked */
function ranges(tokens, isMarked) {
  /** @type {Range[]} */
  const all = [];
  let start = 0;
  let wasSpace = false;
  tokens.forEach((token, index) => {
    const end = start + token.length;
    const last = all.at(-1);
    if (isMarked[index] && last && (last.end === start || (wasSpace && last.end === start - tokens[index - 1].length))) last.end = end;
    else if (isMarked[index]) all.push({ start, end });
    wasSpace = /^\s/.test(token);
    start = end;
  });
  return all;
}
