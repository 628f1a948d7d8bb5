/** The operations parsed from a line, in two parts: settled, and still open. */

/** @import { Item, Opening } from './emphasis.js' */

/** @typedef {string | Opening | null} Op Text, the beginning of an element, the end of the last one. */

/**
 * @typedef {object} Reading
 * @property {Op[]} settled
 * @property {Op[]} open
 * @property {number} end Where the open part begins in the source.
 * @property {string} run The sign of an overlong run that goes up to `end`, or ''.
 * @property {boolean} isMath Whether displayed mathematics is open.
 */

/**
 * Cut at the last place where nothing is open and all before it is settled.
 *
 * @param {Item[]} items
 * @param {number} length Of the source.
 * @returns {Reading}
 */
export function reading(items, length) {
  /** @type {Op[]} */
  const ops = [];
  let [count, end, depth, isSettled] = [0, items[0]?.at ?? length, 0, true];
  for (const { at, text, opens, closes, isPending } of items) {
    if (depth === 0 && isSettled) [count, end] = [ops.length, at];
    isSettled &&= !isPending;
    for (let n = closes; n > 0; n -= 1) ops.push(null);
    if (text) ops.push(text);
    ops.push(...opens);
    depth += opens.length - closes;
  }
  if (depth === 0 && isSettled) [count, end] = [ops.length, length];
  return { settled: merged(ops.slice(0, count)), open: merged(ops.slice(count)), end, run: '', isMath: false };
}

/** Join texts that follow one another. @param {Op[]} ops @returns {Op[]} */
function merged(ops) {
  /** @type {Op[]} */
  const all = [];
  for (const op of ops) {
    const last = all.at(-1);
    if (typeof op === 'string' && typeof last === 'string') all[all.length - 1] = last + op;
    else all.push(op);
  }
  return all;
}
