/**
 * The figures of one answer. No DOM.
 *
 * While an answer runs they come from this side's clock: the time since it was sent, and the
 * deltas since the first one (a delta is normally a token). When it has ended, the server's own
 * figures take their place.
 */

/** @import { Timings, Usage } from '../client/protocol.js' */

/**
 * @typedef {object} Figures
 * @property {number | null} ttftMs
 * @property {number | null} tokensPerSecond
 * @property {number | null} tokens
 * @property {number | null} totalMs
 * @property {boolean} [isEstimated] Whether pieces were counted in place of tokens.
 */

/** @typedef {{seq: number, usage: Usage | null, timings: Timings | null}} Measured */

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

  /** @param {Measured} measured @param {number} nowMs @returns {Figures} */
  figures({ seq, usage, timings }, nowMs) {
    if (timings) {
      const { ttft_ms, tokens_per_second, total_ms } = timings;
      const tokens = (usage?.completion_tokens ?? seq) || null;
      return { ttftMs: ttft_ms, tokensPerSecond: tokens_per_second, tokens, totalMs: total_ms, ...(usage?.estimated && { isEstimated: true }) };
    }
    const totalMs = nowMs - this.#sentAtMs;
    if (!this.#first) return { ttftMs: null, tokensPerSecond: null, tokens: seq || null, totalMs };
    const seconds = (this.#last.atMs - this.#first.atMs) / 1000;
    const tokensPerSecond = seconds > 0 ? (this.#last.seq - this.#first.seq) / seconds : null;
    return { ttftMs: this.#first.atMs - this.#sentAtMs, tokensPerSecond, tokens: this.#last.seq, totalMs };
  }
}
