/**
 * One model's answer as it grows.
 *
 * - `text` is everything received here; `seq` counts the deltas in it and is the cursor for a resume.
 * - A delta up to a seq that is already here is dropped, so that nothing can be written twice.
 * - It can be followed by events (`delta` has only the new text) or by `for await`, which begins
 *   with what is already there, joins what piled up while the reader was busy, and throws when
 *   the answer failed or was interrupted.
 * - After the end nothing changes any more.
 */

import { Emitter } from './emitter.js';
import { SidestreamError } from './protocol.js';

/** @import { Cost, FinishReason, GenerationEvent, GenerationState, Notice, Timings, Token, Usage, WireError } from './protocol.js' */

/**
 * @typedef {object} GenerationEvents
 * @property {{text: string, tokens?: Token[]}} delta
 * @property {Generation} state
 * @property {Generation} end
 */

/** @extends {Emitter<GenerationEvents>} */
export class Generation extends Emitter {
  #text = '';
  #seq = 0;
  /** @type {GenerationState} */
  #state = 'queued';
  /** @type {number | null} */
  #position = null;
  /** @type {FinishReason | null} */
  #finishReason = null;
  /** @type {Usage | null} */
  #usage = null;
  /** @type {Timings | null} */
  #timings = null;
  /** @type {WireError | null} */
  #error = null;
  #isCached = false;
  /** @type {Notice | null} */
  #notice = null;
  /** @type {Notice[]} */
  #notices = [];
  /** @type {Record<string, any>} */
  #details = {};
  #answeredBy = '';
  /** @type {Cost | null} */
  #cost = null;
  /** @type {Promise<void> | null} */
  #change = null;
  /** @type {() => void} */
  #signalChange = () => {};

  /**
   * @param {string} id
   * @param {string} [model] Empty until it is known.
   * @param {number} [seq] How many deltas are elsewhere already; `text` is what comes after them.
   */
  constructor(id, model = '', seq = 0) {
    super();
    this.id = id;
    this.model = model;
    /** The id under which it is kept in its conversation. @type {string | null} */
    this.answer = null;
    this.#seq = seq;
    /** Resolves with the generation when it has ended, however it ended. @type {Promise<this>} */
    this.ended = new Promise((resolve) => this.on('end', () => resolve(this)));
  }

  get text() { return this.#text; }
  get seq() { return this.#seq; }
  get state() { return this.#state; }
  /** The place in the model's queue, from 1; null when not queued. */
  get position() { return this.#position; }
  get finishReason() { return this.#finishReason; }
  get usage() { return this.#usage; }
  get timings() { return this.#timings; }
  get error() { return this.#error; }
  /** Whether it is an answer to the same question that had been kept. */
  get isCached() { return this.#isCached; }
  /** Why no text comes yet, if there is more to say than the state. */
  get notice() { return this.#notice; }
  /** Remarks about the answer, when it has ended. */
  get notices() { return this.#notices; }
  /** What the protocol has no word for, such as a finish reason of the server's own. */
  get details() { return this.#details; }
  /** Who answered behind a router. */
  get answeredBy() { return this.#answeredBy; }
  /** Null where it is not known. */
  get cost() { return this.#cost; }
  get isLive() { return this.#finishReason === null; }

  /** Take an event of this generation from the server. @param {GenerationEvent} event */
  receive(event) {
    if (!this.isLive) return;
    if (event.type === 'state') {
      this.#enter(event.state, event.position ?? null, event.notice ?? null);
    } else if (event.type === 'delta') {
      this.#append(event.seq, event.text, event.tokens);
    } else {
      this.#usage = event.usage ?? null;
      this.#timings = event.timings ?? null;
      this.#isCached = event.cached ?? false;
      this.#notices = event.notices ?? [];
      this.#details = event.details ?? {};
      this.#answeredBy = event.answered_by ?? '';
      this.#cost = event.cost ?? null;
      this.#finish(event.finish_reason, event.error ?? null);
    }
  }

  /** End it from this side, keeping what was received. @param {WireError} error */
  interrupt(error) {
    if (this.isLive) this.#finish('interrupted', error);
  }

  /** @returns {AsyncGenerator<string, void, void>} */
  async *[Symbol.asyncIterator]() {
    let given = 0;
    for (;;) {
      const text = this.#text;
      if (text.length > given) {
        yield text.slice(given);
        given = text.length;
      } else if (this.isLive) {
        await this.#nextChange();
      } else if (this.#error || this.#finishReason === 'interrupted') {
        const message = 'The server went away in the middle of this answer.';
        throw new SidestreamError(this.#error ?? { code: 'interrupted', message });
      } else {
        return;
      }
    }
  }

  // Internal

  /** @param {GenerationState} state @param {number | null} position @param {Notice | null} notice */
  #enter(state, position, notice) {
    if (state === this.#state && position === this.#position && notice === this.#notice) return;
    this.#state = state;
    this.#position = position;
    this.#notice = notice;
    this.emit('state', this);
  }

  /** @param {number} seq @param {string} text @param {Token[]} [tokens] */
  #append(seq, text, tokens) {
    if (seq <= this.#seq) return;
    this.#enter('running', null, null);
    this.#seq = seq;
    this.#text += text;
    this.emit('delta', { text, tokens });
    this.#wake();
  }

  /** @param {FinishReason} reason @param {WireError | null} error */
  #finish(reason, error) {
    this.#finishReason = reason;
    this.#position = this.#notice = null;
    this.#error = error;
    this.emit('end', this);
    this.#wake();
  }

  #nextChange() {
    this.#change ??= new Promise((resolve) => {
      this.#signalChange = resolve;
    });
    return this.#change;
  }

  #wake() {
    this.#change = null;
    this.#signalChange();
  }
}

/** Far more than a server keeps of one session: those forgotten are not sent again. */
const MAX_GENERATIONS = 1024;

/**
 * The generations of one session by their ids; of too many, those that ended first are forgotten.
 *
 * @extends {Map<string, Generation>}
 */
export class Generations extends Map {
  /** What `hello` says of them: how many deltas of each are here. */
  get cursors() {
    return Object.fromEntries([...this].map(([id, { seq }]) => [id, seq]));
  }

  /** The one that is writing an answer that is kept. @param {string} answer */
  writing(answer) {
    return [...this.values()].find((generation) => generation.isLive && generation.answer === answer);
  }

  /** @param {Generation} generation */
  add(generation) {
    this.set(generation.id, generation);
    if (this.size <= MAX_GENERATIONS) return;
    for (const [id, { isLive }] of this) {
      if (isLive) continue;
      this.delete(id);
      return;
    }
  }

  /** End from this side those that the server does not name. @param {Set<string>} known @param {WireError} error */
  interruptAllBut(known, error) {
    for (const [id, generation] of this) {
      if (!known.has(id)) generation.interrupt(error);
    }
  }
}
