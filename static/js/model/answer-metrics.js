/**
 * The metrics of one answer. No DOM.
 *
 * While an answer runs they are measured here: the time since it was sent, and the number of deltas
 * since the first one (a delta is normally a token). What the server has measured replaces that: at
 * the end, and when the page comes back to an answer that was sent before. What was measured here is
 * kept only of an answer whose end the server could not tell.
 *
 * The time to the first token is that of the model; how long its server was started, or the answer
 * was in a queue before, is apart.
 */

/** @import { Timings, Usage } from '../client/protocol.js' */

/**
 * @typedef {object} Metrics
 * @property {number | null} ttftMs Without starting and queueing.
 * @property {number} startMs How long the server was started, or has loaded the model.
 * @property {number} queueMs
 * @property {number | null} tokensPerSecond
 * @property {number | null} tokens
 * @property {number | null} totalMs
 * @property {number | null} answerMs When the answer began, if something else came before it.
 * @property {boolean} [isEstimated] Whether deltas were counted instead of tokens.
 */

/** @typedef {{isLive: boolean, seq: number, usage: Usage | null, timings: Timings | null}} Measured */
/** @typedef {'queue' | 'start' | 'run'} Phase */

export class AnswerMetrics {
  /** @type {number} */
  #sentAtMs;
  /** @type {{atMs: number, seq: number} | null} */
  #first = null;
  #last = { atMs: 0, seq: 0 };
  /** @type {number | null} */
  #answerAtMs = null;
  #hasAnswer = false;
  /** @type {Phase} */
  #phase = 'run';
  #phaseAtMs;
  #spentMs = { queue: 0, start: 0, run: 0 };

  /** @param {number} nowMs */
  constructor(nowMs) {
    this.#sentAtMs = nowMs;
    this.#phaseAtMs = nowMs;
  }

  /** Note what is waited for. @param {Phase} phase @param {number} nowMs */
  enter(phase, nowMs) {
    if (phase === this.#phase) return;
    this.#spentMs[this.#phase] += nowMs - this.#phaseAtMs;
    this.#phase = phase;
    this.#phaseAtMs = nowMs;
  }

  /** How long it has waited for what it waits for now. @param {number} nowMs */
  phaseMs(nowMs) {
    return this.#spentMs[this.#phase] + nowMs - this.#phaseAtMs;
  }

  /** Note that the answer has grown. @param {number} seq @param {number} nowMs */
  count(seq, nowMs) {
    this.#last = { atMs: nowMs, seq };
    this.#first ??= this.#last;
  }

  /** Note that the answer itself begins. @param {number} nowMs */
  beginAnswer(nowMs) {
    if (!this.#hasAnswer && this.#first !== this.#last) this.#answerAtMs = nowMs;
    this.#hasAnswer = true;
  }

  /** Take what the server has measured of an answer that goes on. @param {{timings: Timings, phase: Phase, atMs: number}} told @param {number} seq How many deltas are here. */
  resume({ timings, phase, atMs }, seq) {
    const { answer_ms, reasoning_ms, ttft_ms, total_ms } = timings;
    this.#sentAtMs = atMs - (total_ms ?? 0);
    this.#spentMs = { ...waits(timings), run: 0 };
    this.#phase = phase;
    this.#phaseAtMs = atMs;
    if (ttft_ms === null) return;
    this.#first = { atMs: this.#sentAtMs + ttft_ms, seq: 1 };
    this.#last = { atMs, seq };
    this.#answerAtMs = answer_ms == null ? null : this.#sentAtMs + answer_ms;
    this.#hasAnswer = answer_ms != null || reasoning_ms == null;
  }

  /** What was measured here until the last delta, in the server's form; null if there was none. @returns {Timings | null} */
  get measured() {
    if (!this.#first) return null;
    const { queue, start } = this.#spentMs;
    const since = (/** @type {number} */ atMs) => atMs - this.#sentAtMs;
    return {
      queued_ms: queue + start, starting_ms: start || null, ttft_ms: since(this.#first.atMs), total_ms: since(this.#last.atMs),
      tokens_per_second: this.#rate(this.#last.atMs), answer_ms: this.#answerAtMs && since(this.#answerAtMs),
    };
  }

  /** @param {Measured} measured @param {number} nowMs @returns {Metrics} */
  metrics({ isLive, seq, usage, timings }, nowMs) {
    const isEstimated = usage?.estimated && { isEstimated: true };
    if (timings) {
      const { answer_ms: answerMs = null, ttft_ms, tokens_per_second: tokensPerSecond, total_ms: totalMs } = timings;
      const { queue: queueMs, start: startMs } = waits(timings);
      const ttftMs = ttft_ms === null ? null : Math.max(0, ttft_ms - queueMs - startMs);
      return { ttftMs, startMs, queueMs, tokensPerSecond, tokens: (usage?.completion_tokens ?? seq) || null, totalMs, answerMs, ...isEstimated };
    }
    const { queue: queueMs, start: startMs } = this.#spentMs;
    const unknown = { ttftMs: null, startMs, queueMs, tokensPerSecond: null, tokens: seq || null, totalMs: null, answerMs: null };
    if (!isLive) return { ...unknown, ...isEstimated };
    const totalMs = nowMs - this.#sentAtMs;
    if (!this.#first) return { ...unknown, totalMs };
    return {
      ttftMs: Math.max(0, this.#first.atMs - this.#sentAtMs - queueMs - startMs), startMs, queueMs,
      tokensPerSecond: this.#rate(nowMs), tokens: this.#last.seq, totalMs, answerMs: this.#answerAtMs && this.#answerAtMs - this.#sentAtMs,
    };
  }

  // Internal

  /** Tokens per second until a moment: it falls while none come. @param {number} atMs */
  #rate(atMs) {
    if (!this.#first) return null;
    const seconds = (atMs - this.#first.atMs) / 1000;
    return seconds > 0 && this.#last.seq > this.#first.seq ? (this.#last.seq - this.#first.seq) / seconds : null;
  }
}

/** How long an answer has waited in a queue, and for its server and model to be started and loaded. @param {Timings} timings */
function waits({ load_ms, queued_ms, starting_ms, total_ms, ttft_ms }) {
  const starting = starting_ms ?? 0;
  const queued = queued_ms ?? (ttft_ms === null ? total_ms : null) ?? 0; // it still waits
  return { queue: Math.max(0, queued - starting), start: starting + (load_ms ?? 0) };
}
