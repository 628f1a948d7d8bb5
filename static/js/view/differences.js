/**
 * Where two answers differ, word by word. No DOM.
 *
 * The common prefix and suffix are skipped; the rest is compared by Myers' greedy algorithm, which is
 * fast for few differences. If there are too many, words that occur once in both serve as anchors,
 * and the stretches between them are compared (patience diff). Work is bounded: a stretch that still
 * differs too much counts as different as a whole.
 */

/** How many insertions and deletions a stretch may need: more is another text, not another wording. */
const MAX_EDITS = 400;

/** A word, a number, one sign; scripts without spaces go character by character. */
const TOKEN = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|(?:(?![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}])[\p{L}\p{N}\p{M}'’_])+|\s+|./gsu;

/** @typedef {{start: number, end: number}} Range In units of the text. */
/** @typedef {{from: number, to: number, otherFrom: number, otherTo: number}} Stretch */

/**
 * Return the ranges of each that the other lacks, in order.
 *
 * @param {string} left @param {string} right
 * @returns {{left: Range[], right: Range[]}}
 */
export function differences(left, right) {
  const [a, b] = [left.match(TOKEN) ?? [], right.match(TOKEN) ?? []];
  const [inA, inB] = [new Uint8Array(a.length), new Uint8Array(b.length)];
  /** @type {Stretch[]} */
  const todo = [{ from: 0, to: a.length, otherFrom: 0, otherTo: b.length }];
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
  return { left: ranges(a, inA), right: ranges(b, inB) };
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
