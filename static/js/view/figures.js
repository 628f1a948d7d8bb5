/**
 * The figures of one answer, and how figures are written. No DOM.
 *
 * While an answer runs they come from this side's clock: the time since it was sent, and the
 * deltas since the first one (a delta is normally a token). When it has ended, the server's own
 * figures take their place.
 */

/** @import { Generation } from '../client/generation.js' */

/** @typedef {{ttftMs: number | null, tokensPerSecond: number | null, tokens: number | null}} Figures */

const MINUTE_MS = 60_000;

export class Meter {
  /** @type {number} */
  #sentAtMs;
  /** @type {{atMs: number, seq: number} | null} */
  #first = null;
  #last = { atMs: 0, seq: 0 };

  /** @param {number} nowMs */
  constructor(nowMs) {
    this.#sentAtMs = nowMs;
  }

  /** Note that the answer has grown. @param {number} seq @param {number} nowMs */
  count(seq, nowMs) {
    this.#last = { atMs: nowMs, seq };
    this.#first ??= this.#last;
  }

  /** @param {Generation | null} generation @returns {Figures} */
  figures(generation) {
    if (generation?.timings) {
      const { ttft_ms, tokens_per_second } = generation.timings;
      const tokens = (generation.usage?.completion_tokens ?? generation.seq) || null;
      return { ttftMs: ttft_ms, tokensPerSecond: tokens_per_second, tokens };
    }
    if (!this.#first) return { ttftMs: null, tokensPerSecond: null, tokens: null };
    const seconds = (this.#last.atMs - this.#first.atMs) / 1000;
    const tokensPerSecond = seconds > 0 ? (this.#last.seq - this.#first.seq) / seconds : null;
    return { ttftMs: this.#first.atMs - this.#sentAtMs, tokensPerSecond, tokens: this.#last.seq };
  }

  /** How long the answer has been on its way. @param {number} nowMs */
  elapsedMs(nowMs) {
    return nowMs - this.#sentAtMs;
  }
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < MINUTE_MS - 50) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** @param {number} tokensPerSecond */
export function rate(tokensPerSecond) {
  return `${tokensPerSecond.toFixed(tokensPerSecond < 99.95 ? 1 : 0)} /s`;
}

/** @param {number} seconds */
export function timeLeft(seconds) {
  if (seconds < 1) return 'a moment left';
  if (seconds < 90) return `${Math.round(seconds)} s left`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min left`;
  return `${Math.round(seconds / 3600)} h left`;
}

/** @param {number} fraction */
export function percent(fraction) {
  return `${Math.floor(fraction * 100)} %`;
}

/** @param {number} count */
export function tokens(count) {
  return `${count.toLocaleString('en')} ${count === 1 ? 'token' : 'tokens'}`;
}
