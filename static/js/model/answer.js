/**
 * One column's answer to one prompt: data that can be saved, and the live generation behind it.
 *
 * | state   | meaning                                        |
 * |---------|------------------------------------------------|
 * | waiting | the page has not sent it yet                   |
 * | sending | sent, not yet acknowledged                     |
 * | queued, starting, running | as the server reports        |
 * | ended   | `finishReason` says how                        |
 *
 * This is the one place where events of the protocol become state of the page. An answer that has
 * ended can be continued (`reopen`).
 *
 * `text` is the answer alone, which is copied, compared, voted on and sent as history; what the model
 * thought and what it calls are apart.
 */

import { randomId } from '../client/commands.js';
import { Emitter } from '../client/emitter.js';
import { addToCall } from '../client/generation.js';
import { AnswerMetrics } from './answer-metrics.js';

/** @import { StoredAnswer } from '../client/conversations.js' */
/** @import { Generation } from '../client/generation.js' */
/** @import { Phase } from './answer-metrics.js' */
/** @import { CallSaid, Cost, FinishReason, GenerationState, Notice, Parameters, Timings, Token, ToolCall, Usage, WireError } from '../client/protocol.js' */

/**
 * @typedef {object} SavedAnswer
 * @property {string} [id]
 * @property {string} model
 * @property {Parameters} [parameters] Those of the request; the model's own are not included.
 * @property {string} [system]
 * @property {string[]} [keptIds] The ids under which the server stores its parts.
 * @property {boolean} [isDetailed] Whether its tokens were asked for.
 * @property {string} [text]
 * @property {string} [reasoning]
 * @property {number} [reasoningTokens] As counted here.
 * @property {number} [reasoningMs] As measured here.
 * @property {ToolCall[]} [toolCalls]
 * @property {number} [parts]
 * @property {string | null} [generation] The id of its generation, in the session that started it.
 * @property {number} [seq]
 * @property {FinishReason | null} [finishReason]
 * @property {Usage | null} [usage]
 * @property {Timings | null} [timings]
 * @property {WireError | null} [error]
 * @property {boolean} [isCached]
 * @property {boolean} [isLenient] Whether parameters that the server refuses are left out.
 * @property {boolean} [isTrimmed] Whether the oldest turns are left out if the context cannot hold them.
 * @property {Notice[]} [notices]
 * @property {Record<string, any>} [details]
 * @property {string} [answeredBy]
 * @property {Cost | null} [cost]
 */

/** @typedef {{isNow: boolean, ms: number, tokens: number, isEstimated: boolean}} Thinking How long the model thought, and how much. */

/** @extends {Emitter<{text: string, reasoning: string, calls: Answer, change: Answer, tokens: Answer}>} `change`: all but what it says. */
export class Answer extends Emitter {
  /** @type {'waiting' | 'sending' | 'ended' | GenerationState} */
  state = 'waiting';
  /** @type {number | null} */
  position = null;
  /** Why no text comes yet, and since when that is known. @type {Notice | null} */
  notice = null;
  noticedMs = 0;
  /** @type {Generation | null} */
  generation = null;
  /** Its tokens, as far as they are known here. @type {Token[]} */
  tokens = [];
  /** The number of tokens of earlier parts. */
  #earlierTokens = 0;
  /** The thinking of earlier parts. */
  #earlier = { ms: 0, tokens: 0 };
  #earlierCalls = 0;
  /** When the model began to think, while it does. @type {number | null} */
  #thinksSinceMs = null;
  /** The cost of earlier parts; undefined: there are none. @type {Cost | null | undefined} */
  #earlierCost;
  #now;
  #metrics;

  /** @param {SavedAnswer} saved @param {() => number} [now] */
  constructor(saved, now = () => performance.now()) {
    super();
    this.id = saved.id ?? randomId().slice(0, 12);
    this.model = saved.model;
    this.parameters = saved.parameters ?? {};
    this.system = saved.system ?? '';
    this.storedIds = saved.keptIds ?? [];
    this.isDetailed = saved.isDetailed ?? false;
    this.text = saved.text ?? '';
    this.reasoning = saved.reasoning ?? '';
    this.reasoningTokens = saved.reasoningTokens ?? 0;
    this.reasoningMs = saved.reasoningMs ?? 0;
    this.toolCalls = saved.toolCalls ?? [];
    /** How often it was continued. */
    this.parts = saved.parts ?? 0;
    this.generationId = saved.generation ?? null;
    this.seq = saved.seq ?? 0;
    this.finishReason = saved.finishReason ?? null;
    this.usage = saved.usage ?? null;
    this.timings = saved.timings ?? null;
    this.error = saved.error ?? null;
    /** Whether it came from the cache. */
    this.isCached = saved.isCached ?? false;
    this.isLenient = saved.isLenient ?? false;
    this.isTrimmed = saved.isTrimmed ?? false;
    this.notices = saved.notices ?? [];
    this.details = saved.details ?? {};
    this.answeredBy = saved.answeredBy ?? '';
    this.cost = saved.cost ?? null;
    if (this.finishReason) this.state = 'ended';
    this.#now = now;
    this.#metrics = new AnswerMetrics(now());
  }

  get isLive() {
    return this.finishReason === null;
  }

  /** An id that stays the same for retries, also after a reload of the page. */
  get requestId() {
    return `${this.id}.${this.parts}`;
  }

  /** Whether it is incomplete and can be continued. */
  get isPart() {
    return this.text !== '' && ['cancelled', 'interrupted', 'length', 'failed'].includes(this.finishReason ?? '');
  }

  /** The id under which the server stores its last part. */
  get storedId() {
    return this.storedIds.at(-1) ?? null;
  }

  /** Whether the server may know the tokens. */
  get mayHaveTokens() {
    return this.hasTokens || (this.isDetailed && this.text !== '' && this.storedIds.length > 0);
  }

  /** Whether the tokens of the whole text are known. */
  get hasTokens() {
    return this.text !== '' && this.tokens.map(({ text, special }) => (special ? '' : text)).join('') === this.text;
  }

  get metrics() {
    const metrics = this.#metrics.metrics(this, this.#now());
    if (metrics.tokens !== null) metrics.tokens += this.#earlierTokens;
    return metrics;
  }

  /** How long it has been in the queue, or has waited for its server, in milliseconds. */
  get phaseMs() {
    return this.#metrics.phaseMs(this.#now());
  }

  /** Whether it ended because the model's context is full. */
  get isFull() {
    return this.notices.some(({ code }) => code === 'context_full');
  }

  /** All that it says: its text, and what it calls. */
  get said() {
    return said(this.text, this.toolCalls);
  }

  /** The thinking before and between the text; null if there was none. @returns {Thinking | null} */
  get thinking() {
    if (!/\S/.test(this.reasoning)) return null;
    const { timings, usage } = this;
    const isNow = this.#thinksSinceMs !== null;
    // Without an answer it thought to the end. What the server does not tell was measured here.
    const end = timings?.answer_ms ?? (this.said ? null : timings?.total_ms) ?? 0;
    const toldMs = end - (timings?.reasoning_ms ?? Infinity);
    const hereMs = this.reasoningMs + (isNow ? this.#now() - (this.#thinksSinceMs ?? 0) : 0);
    return {
      isNow,
      ms: this.#earlier.ms + (toldMs > 0 ? toldMs : hereMs),
      tokens: this.#earlier.tokens + (usage?.reasoning_tokens ?? this.reasoningTokens),
      isEstimated: usage?.estimated ?? false,
    };
  }

  /** The age of `notice` in milliseconds. */
  get waitedMs() {
    return this.#now() - this.noticedMs;
  }

  // Actions

  /** Start now; time is measured from here. */
  send() {
    this.state = 'sending';
    this.#metrics = new AnswerMetrics(this.#now());
    this.emit('change', this);
  }

  /** Continue after the existing text. */
  reopen() {
    this.#earlierTokens += this.usage?.completion_tokens ?? this.seq;
    this.#earlierCost = this.cost;
    this.#earlierCalls = this.toolCalls.length;
    const { ms, tokens } = this.thinking ?? { ms: 0, tokens: 0 };
    this.#earlier = { ms, tokens };
    Object.assign(this, { reasoningMs: 0, reasoningTokens: 0 });
    Object.assign(this, { finishReason: null, usage: null, timings: null, error: null, isCached: false, seq: 0, generation: null, generationId: null });
    this.parts += 1;
    this.send();
  }

  /** Set the tokens; only those of the text count. @param {Token[]} tokens */
  learn(tokens) {
    this.tokens = tokens.filter(({ kind = 'answer' }) => kind === 'answer');
    this.emit('tokens', this);
  }

  /** Add the id under which the server stores it, or another part of it. @param {string | null} id */
  addStoredId(id) {
    if (id && !this.storedIds.includes(id)) this.storedIds.push(id);
  }

  /** Take what a generation writes until its end, after what was taken already. @param {Generation} generation */
  follow(generation) {
    this.generation = generation;
    this.generationId = generation.id;
    this.addStoredId(generation.answer);
    // Saved in the middle of thinking: that goes on.
    if (generation.isLive && this.reasoning && !this.said) this.#thinksSinceMs = this.#now();
    const { reasoning, reasoningCount, text: whole, toolCalls } = generation;
    this.#take(() => {
      if (reasoning) this.#think(reasoning, reasoningCount);
      if (whole) this.#write(whole);
      for (const call of toolCalls) this.#call(call, call.arguments);
    });
    generation.on('delta', ({ text, tokens }) => {
      if (tokens) this.tokens.push(...tokens);
      this.#take(() => text && this.#write(text));
    });
    generation.on('reasoning', ({ text }) => this.#take((count) => text && this.#think(text, count)));
    generation.on('toolCall', ({ call, text }) => this.#take(() => this.#call(call, text)));
    const resume = () => {
      if (generation.soFar && generation.isLive) this.#metrics.resume({ ...generation.soFar, phase: phaseOf(generation) }, this.seq);
      this.#enter();
    };
    resume();
    generation.on('resume', resume);
    generation.on('state', () => this.#enter());
    generation.on('end', () => this.#end());
    if (generation.isLive) this.#enter();
    else this.#end();
  }

  /** Take what the server has stored of it, or of its last part. @param {StoredAnswer} stored @param {WireError | null} [error] */
  restore({ text, reasoning = '', tool_calls: calls, usage, timings, cached, finish_reason: reason, error: own, notices, details, answered_by: answeredBy, cost }, error = own) {
    this.text += text;
    this.reasoning += reasoning;
    for (const call of calls ?? []) this.#call(call, call.arguments);
    this.#learnEnd({ usage, timings, isCached: cached ?? false, notices: notices ?? [], details: details ?? {}, answeredBy: answeredBy ?? '', cost: cost ?? null });
    this.finish(reason ?? 'interrupted', error);
  }

  /** End it from this side. @param {FinishReason} reason @param {WireError | null} [error] */
  finish(reason, error = null) {
    if (!this.isLive) return;
    this.#stopThinking();
    if (!this.timings && this.#metrics.measured) this.#keepMeasured();
    this.finishReason = reason;
    this.error = error;
    this.state = 'ended';
    this.emit('change', this);
  }

  /** @returns {SavedAnswer} */
  toJSON() {
    const { id, model, parameters, system, storedIds: keptIds, isDetailed, text, parts, generationId: generation, seq, finishReason, usage, timings, error, isCached } = this;
    const { isLenient, isTrimmed, notices, details, answeredBy, cost, reasoning, toolCalls } = this;
    const { ms = 0, tokens = 0 } = this.thinking ?? {};
    const thought = { ...(reasoning && { reasoning, reasoningMs: ms, reasoningTokens: tokens }), ...(toolCalls.length > 0 && { toolCalls }) };
    return { ...thought, id, model, parameters, system, keptIds, isDetailed, text, parts, generation, seq, finishReason, usage, timings, error, isCached, isLenient, isTrimmed, notices, details, answeredBy, cost };
  }

  // Internal

  /** Take what is new. @param {(count: number) => void} take Is given the number of deltas. */
  #take(take) {
    const { generation } = this;
    if (!generation || generation.seq === this.seq) return;
    const count = generation.seq - this.seq;
    const isFirst = this.seq === 0;
    this.seq = generation.seq;
    this.#metrics.count(this.seq, this.#now());
    if (isFirst) this.#enter();
    take(count);
  }

  /** @param {string} text */
  #write(text) {
    this.#stopThinking();
    this.#metrics.beginAnswer(this.#now());
    this.text += text;
    this.emit('text', text);
  }

  /** @param {string} text @param {number} count */
  #think(text, count) {
    this.reasoning += text;
    this.reasoningTokens += count;
    this.emit('reasoning', text);
    if (this.#thinksSinceMs !== null || !this.isLive) return;
    this.#thinksSinceMs = this.#now();
    this.emit('change', this);
  }

  #stopThinking() {
    if (this.#thinksSinceMs === null) return;
    this.reasoningMs += this.#now() - this.#thinksSinceMs;
    this.#thinksSinceMs = null;
    this.emit('change', this);
  }

  /** @param {CallSaid} call @param {string} text */
  #call(call, text) {
    this.#stopThinking();
    addToCall(this.toolCalls, { ...call, index: this.#earlierCalls + call.index }, text);
    this.emit('calls', this);
  }

  /** The server cannot tell any more: what was measured and counted here is all that there is. */
  #keepMeasured() {
    this.timings = this.#metrics.measured;
    this.usage ??= { prompt_tokens: null, completion_tokens: this.seq, estimated: true };
  }

  #enter() {
    if (!this.generation || !this.isLive) return;
    this.#metrics.enter(phaseOf(this.generation), this.#now());
    this.state = this.seq > 0 ? 'running' : this.generation.state;
    this.position = this.generation.position;
    if (this.notice !== this.generation.notice) this.noticedMs = this.#now();
    this.notice = this.generation.notice;
    this.emit('change', this);
  }

  #end() {
    const generation = /** @type {Generation} */ (this.generation);
    this.notice = null;
    this.#learnEnd(generation);
    this.finish(generation.finishReason ?? 'interrupted', generation.error);
  }

  /** Take the data of an end, of the only part or of the last one. @param {Pick<Generation, 'usage' | 'timings' | 'isCached' | 'notices' | 'details' | 'answeredBy' | 'cost'>} end */
  #learnEnd({ usage, timings, isCached, notices, details, answeredBy, cost }) {
    const isNew = (/** @type {Notice} */ { message }) => !this.notices.some((one) => one.message === message);
    Object.assign(this, { usage, timings, isCached, details, answeredBy, cost });
    this.notices = [...this.notices, ...notices.filter(isNew)];
    if (this.#earlierCost === undefined) return;
    // If the cost of one part is unknown, so is the sum.
    const [before, now] = [this.#earlierCost, cost];
    this.cost = before && now && { amount: before.amount + now.amount, estimated: !!(before.estimated || now.estimated) };
  }
}

/** What an answer waits for. @param {Generation} generation @returns {Phase} */
function phaseOf({ notice, state }) {
  if (state === 'starting' || notice?.code === 'server_loads') return 'start';
  return state === 'queued' ? 'queue' : 'run';
}

/** All that an answer says, as text. @param {string} text @param {ToolCall[]} [calls] */
export function said(text, calls = []) {
  return [text, ...calls.map((call) => `${call.name}(${call.arguments})`)].filter(Boolean).join('\n');
}
