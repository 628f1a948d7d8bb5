/**
 * One model's answer as it grows.
 *
 * - `text` is the answer alone; `reasoning` is what the model thought, and `toolCalls` what it calls.
 * - `seq` counts the deltas of every kind and is the cursor for a resume.
 * - A delta whose `seq` is already here is dropped, so that nothing is written twice.
 * - Read it by events (`delta`, `reasoning` and `toolCall` have only what is new) or by `for await`,
 *   which begins with the text so far, joins deltas that arrive while the reader is busy, and throws
 *   if the answer failed or was interrupted.
 * - Nothing changes after the end.
 */

import { Emitter } from './emitter.js';
import { SidestreamError } from './protocol.js';

/** @import { CallSaid, Cost, DeltaEvent, FinishReason, GenerationEvent, GenerationState, Notice, Timings, Token, ToolCall, Usage, WireError } from './protocol.js' */

/**
 * @typedef {object} GenerationEvents
 * @property {{text: string, tokens?: Token[]}} delta Of the answer.
 * @property {{text: string, tokens?: Token[]}} reasoning
 * @property {{call: CallSaid, text: string, tokens?: Token[]}} toolCall `text`: more of its arguments.
 * @property {Generation} state
 * @property {Generation} resume The server has told `soFar`.
 * @property {Generation} end
 */

const noLimits = Object.freeze({ maxConcurrent: /** @type {number | null} */ (null), queueTimeout: /** @type {number | null} */ (null) });

/** @extends {Emitter<GenerationEvents>} */
export class Generation extends Emitter {
  #text = '';
  #reasoning = '';
  /** How many deltas of thinking there were, which are tokens as a rule. */
  reasoningCount = 0;
  /** In the order in which they began. @type {ToolCall[]} */
  toolCalls = [];
  #seq = 0;
  /** @type {GenerationState} */
  #state = 'queued';
  /** @type {number | null} */
  #position = null;
  #limits = noLimits;
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
  /** @type {number | null} */
  #promptTokens = null;
  /** @type {number | null} */
  #contextTokens = null;
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
    /** The id of the stored answer in its conversation. @type {string | null} */
    this.answer = null;
    /** What the server had measured when this client came back to it. @type {{timings: Timings, atMs: number} | null} */
    this.soFar = null;
    this.#seq = seq;
    /** Resolves with the generation when it has ended, however it ended. @type {Promise<this>} */
    this.ended = new Promise((resolve) => this.on('end', () => resolve(this)));
  }

  get text() { return this.#text; }
  get reasoning() { return this.#reasoning; }
  get seq() { return this.#seq; }
  get state() { return this.#state; }
  /** The position in the model's queue, from 1; null when not queued. */
  get position() { return this.#position; }
  /** Of the model's queue: how many answers its server writes at once, and after how many seconds one that waits is given up; null until they are known. */
  get limits() { return this.#limits; }
  get finishReason() { return this.#finishReason; }
  get usage() { return this.#usage; }
  get timings() { return this.#timings; }
  get error() { return this.#error; }
  /** Whether it came from the cache. */
  get isCached() { return this.#isCached; }
  /** Why no text comes yet, if more is known than the state. */
  get notice() { return this.#notice; }
  /** The prompt's length; null until it is known. */
  get promptTokens() { return this.#promptTokens; }
  /** What prompt and answer have to fit into; null until it is known. */
  get contextTokens() { return this.#contextTokens; }
  /** Remarks about the answer, when it has ended. */
  get notices() { return this.#notices; }
  /** Details beyond the protocol, such as the server's own finish reason. */
  get details() { return this.#details; }
  /** The model or provider that answered behind a router. */
  get answeredBy() { return this.#answeredBy; }
  /** Null if unknown. */
  get cost() { return this.#cost; }
  get isLive() { return this.#finishReason === null; }

  /** Take an event of this generation. @param {GenerationEvent} event */
  receive(event) {
    if (!this.isLive) return;
    if (event.type === 'state') {
      const { prompt_tokens = null, context_tokens = null, max_concurrent = null, queue_timeout = null } = event;
      this.#limits = { maxConcurrent: max_concurrent, queueTimeout: queue_timeout };
      const isNews = prompt_tokens !== this.#promptTokens || context_tokens !== this.#contextTokens;
      this.#promptTokens = prompt_tokens;
      this.#contextTokens = context_tokens;
      this.#enter(event.state, event.position ?? null, event.notice ?? null, isNews);
    } else if (event.type === 'delta') {
      this.#append(event);
    } else {
      this.#usage = event.usage ?? null;
      this.#promptTokens = event.usage?.prompt_tokens ?? null;
      this.#contextTokens = event.usage?.context_tokens ?? null;
      this.#timings = event.timings ?? null;
      this.#isCached = event.cached ?? false;
      this.#notices = event.notices ?? [];
      this.#details = event.details ?? {};
      this.#answeredBy = event.answered_by ?? '';
      this.#cost = event.cost ?? null;
      this.#finish(event.finish_reason, event.error ?? null);
    }
  }

  /** Take up to when the server told of it, and what it has measured. @param {GenerationState} state @param {Timings} timings @param {number} atMs */
  resume(state, timings, atMs) {
    this.#state = state;
    this.soFar = { timings, atMs };
    this.emit('resume', this);
  }

  /** End it on this side, with the text received so far. @param {WireError} error */
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

  /** @param {GenerationState} state @param {number | null} position @param {Notice | null} notice @param {boolean} [isNews] */
  #enter(state, position, notice, isNews = false) {
    if (!isNews && state === this.#state && position === this.#position && notice === this.#notice) return;
    this.#state = state;
    this.#position = position;
    this.#notice = notice;
    this.emit('state', this);
  }

  /** @param {DeltaEvent} event */
  #append({ seq, text, tokens, kind = 'answer', call }) {
    if (seq <= this.#seq) return;
    this.#enter('running', null, null);
    const count = seq - this.#seq;
    this.#seq = seq;
    if (kind === 'tool_call' && call) {
      addToCall(this.toolCalls, call, text);
      this.emit('toolCall', { call, text, tokens });
    } else if (kind === 'reasoning') {
      this.#reasoning += text;
      if (text) this.reasoningCount += count;
      this.emit('reasoning', { text, tokens });
    } else {
      this.#text += text;
      this.emit('delta', { text, tokens });
    }
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

/** Add to the arguments of a call, or begin it. @param {ToolCall[]} calls @param {CallSaid} said @param {string} text */
export function addToCall(calls, { index, id, name }, text) {
  let call = calls.find((one) => one.index === index);
  if (!call) calls.push(call = { index, id: '', name: '', arguments: '' });
  call.id ||= id ?? '';
  call.name ||= name;
  call.arguments += text;
}

/** Far more than a server retains for one session, so that none is sent again. */
const MAX_GENERATIONS = 1024;

/**
 * The generations of one session by their ids; of too many, those that ended first are forgotten.
 *
 * @extends {Map<string, Generation>}
 */
export class Generations extends Map {
  /** The cursors for `hello`: how many deltas of each were received. */
  get cursors() {
    return Object.fromEntries([...this].map(([id, { seq }]) => [id, seq]));
  }

  /** The live generation of a stored answer. @param {string} answer */
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

  /** End those on this side that the server does not know. @param {Set<string>} known @param {WireError} error */
  interruptAllBut(known, error) {
    for (const [id, generation] of this) {
      if (!known.has(id)) generation.interrupt(error);
    }
  }
}
