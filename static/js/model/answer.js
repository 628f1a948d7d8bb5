/**
 * One column's answer to one prompt: a record that can be kept, and what is live behind it.
 *
 * | state   | meaning                                        |
 * |---------|------------------------------------------------|
 * | waiting | this page holds it back: its turn is to come   |
 * | sending | asked, not yet acknowledged                    |
 * | queued, starting, running | as the server says           |
 * | ended   | `finishReason` says how                        |
 *
 * This is the one place where events of the protocol become state of the page. An answer can be
 * gone on with after its end (`reopen`), and begins with the text it was kept with.
 */

import { randomId } from '../client/commands.js';
import { Emitter } from '../client/emitter.js';
import { Meter } from './meter.js';

/** @import { StoredAnswer } from '../client/conversations.js' */
/** @import { Generation } from '../client/generation.js' */
/** @import { Cost, FinishReason, GenerationState, Notice, Parameters, Timings, Token, Usage, WireError } from '../client/protocol.js' */

/**
 * @typedef {object} KeptAnswer
 * @property {string} [id]
 * @property {string} model
 * @property {Parameters} [parameters] Those it was asked with, beyond the model's own.
 * @property {string} [system]
 * @property {string[]} [keptIds] Under which the server keeps its parts.
 * @property {boolean} [isDetailed] Whether its tokens were asked for.
 * @property {string} [text]
 * @property {number} [parts]
 * @property {string | null} [generation] Where it can be gone on with, in the session it was asked in.
 * @property {number} [seq]
 * @property {FinishReason | null} [finishReason]
 * @property {Usage | null} [usage]
 * @property {Timings | null} [timings]
 * @property {WireError | null} [error]
 * @property {boolean} [isCached]
 * @property {boolean} [isLenient] Whether it is asked without what its server refuses.
 * @property {Notice[]} [notices]
 * @property {Record<string, any>} [details]
 * @property {string} [answeredBy]
 * @property {Cost | null} [cost]
 */

/** @extends {Emitter<{text: string, change: Answer, tokens: Answer}>} `change`: all but its text. */
export class Answer extends Emitter {
  /** @type {'waiting' | 'sending' | 'ended' | GenerationState} */
  state = 'waiting';
  /** @type {number | null} */
  position = null;
  /** Why no text comes yet, and when that was said. @type {Notice | null} */
  notice = null;
  noticedMs = 0;
  /** @type {Generation | null} */
  generation = null;
  /** What it was written in, as far as it is known here. @type {Token[]} */
  tokens = [];
  /** Tokens of what was written before it was gone on with. */
  #earlierTokens = 0;
  /** What that cost; undefined: there is no such. @type {Cost | null | undefined} */
  #earlierCost;
  #now;
  #meter;

  /** @param {KeptAnswer} kept @param {() => number} [now] */
  constructor(kept, now = () => performance.now()) {
    super();
    this.id = kept.id ?? randomId().slice(0, 12);
    this.model = kept.model;
    this.parameters = kept.parameters ?? {};
    this.system = kept.system ?? '';
    this.keptIds = kept.keptIds ?? [];
    this.isDetailed = kept.isDetailed ?? false;
    this.text = kept.text ?? '';
    /** How often it was gone on with. */
    this.parts = kept.parts ?? 0;
    this.generationId = kept.generation ?? null;
    this.seq = kept.seq ?? 0;
    this.finishReason = kept.finishReason ?? null;
    this.usage = kept.usage ?? null;
    this.timings = kept.timings ?? null;
    this.error = kept.error ?? null;
    /** Given again, since the same was answered before. */
    this.isCached = kept.isCached ?? false;
    this.isLenient = kept.isLenient ?? false;
    this.notices = kept.notices ?? [];
    this.details = kept.details ?? {};
    this.answeredBy = kept.answeredBy ?? '';
    this.cost = kept.cost ?? null;
    if (this.finishReason) this.state = 'ended';
    this.#now = now;
    this.#meter = new Meter(now());
  }

  get isLive() {
    return this.finishReason === null;
  }

  /** The same however often it is asked for, also by this page after a reload. */
  get requestId() {
    return `${this.id}.${this.parts}`;
  }

  /** Whether there is a part of an answer that could be gone on with. */
  get isPart() {
    return this.text !== '' && ['cancelled', 'interrupted', 'length', 'failed'].includes(this.finishReason ?? '');
  }

  /** Under which the server keeps it, or what was last added to it. */
  get keptId() {
    return this.keptIds.at(-1) ?? null;
  }

  /** Whether the server may know the tokens. */
  get mayHaveTokens() {
    return this.hasTokens || (this.isDetailed && this.text !== '' && this.keptIds.length > 0);
  }

  /** Whether the tokens of the whole text are known. */
  get hasTokens() {
    return this.text !== '' && this.tokens.map(({ text, special }) => (special ? '' : text)).join('') === this.text;
  }

  get figures() {
    const figures = this.#meter.figures(this, this.#now());
    if (figures.tokens !== null) figures.tokens += this.#earlierTokens;
    return figures;
  }

  /** How long ago it was said why no text comes yet. */
  get waitedMs() {
    return this.#now() - this.noticedMs;
  }

  // Actions

  /** Begin now; time is counted from here. */
  send() {
    this.state = 'sending';
    this.#meter = new Meter(this.#now());
    this.emit('change', this);
  }

  /** Go on behind the text that is there. */
  reopen() {
    this.#earlierTokens += this.usage?.completion_tokens ?? this.seq;
    this.#earlierCost = this.cost;
    Object.assign(this, { finishReason: null, usage: null, timings: null, error: null, isCached: false, seq: 0, generation: null, generationId: null });
    this.parts += 1;
    this.send();
  }

  /** Take in what it was written in. @param {Token[]} tokens */
  learn(tokens) {
    this.tokens = tokens;
    this.emit('tokens', this);
  }

  /** Note under which id the server keeps it, or a further part of it. @param {string | null} id */
  keptAs(id) {
    if (id && !this.keptIds.includes(id)) this.keptIds.push(id);
  }

  /** Take in what this generation has, from behind what was taken before, until its end. @param {Generation} generation */
  follow(generation) {
    this.generation = generation;
    this.generationId = generation.id;
    this.keptAs(generation.answer);
    this.#take(generation.text);
    generation.on('delta', ({ text, tokens }) => {
      if (tokens) this.tokens.push(...tokens);
      this.#take(text);
    });
    generation.on('state', () => this.#enter());
    generation.on('end', () => this.#end());
    if (generation.isLive) this.#enter();
    else this.#end();
  }

  /** Take in what the server keeps of it, or of its last part. @param {StoredAnswer} stored @param {WireError | null} [error] */
  restore({ text, usage, timings, cached, finish_reason: reason, error: own, notices, details, answered_by: answeredBy, cost }, error = own) {
    this.text += text;
    this.#learnEnd({ usage, timings, isCached: cached ?? false, notices: notices ?? [], details: details ?? {}, answeredBy: answeredBy ?? '', cost: cost ?? null });
    this.finish(reason ?? 'interrupted', error);
  }

  /** End it from this side. @param {FinishReason} reason @param {WireError | null} [error] */
  finish(reason, error = null) {
    if (!this.isLive) return;
    this.finishReason = reason;
    this.error = error;
    this.state = 'ended';
    this.emit('change', this);
  }

  /** @returns {KeptAnswer} */
  toJSON() {
    const { id, model, parameters, system, keptIds, isDetailed, text, parts, generationId: generation, seq, finishReason, usage, timings, error, isCached } = this;
    const { isLenient, notices, details, answeredBy, cost } = this;
    return { id, model, parameters, system, keptIds, isDetailed, text, parts, generation, seq, finishReason, usage, timings, error, isCached, isLenient, notices, details, answeredBy, cost };
  }

  // Internal

  /** @param {string} text */
  #take(text) {
    const { generation } = this;
    if (!generation || generation.seq === this.seq) return;
    const isFirst = this.seq === 0;
    this.seq = generation.seq;
    this.#meter.count(this.seq, this.#now());
    if (isFirst) this.#enter();
    this.text += text;
    if (text) this.emit('text', text);
  }

  #enter() {
    if (!this.generation || !this.isLive) return;
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

  /** Take in what an end says, of the whole or of what was gone on with. @param {Pick<Generation, 'usage' | 'timings' | 'isCached' | 'notices' | 'details' | 'answeredBy' | 'cost'>} end */
  #learnEnd({ usage, timings, isCached, notices, details, answeredBy, cost }) {
    const isNew = (/** @type {Notice} */ { message }) => !this.notices.some((one) => one.message === message);
    Object.assign(this, { usage, timings, isCached, details, answeredBy, cost });
    this.notices = [...this.notices, ...notices.filter(isNew)];
    if (this.#earlierCost === undefined) return;
    // Of one part that is not known, the whole is not known.
    const [before, now] = [this.#earlierCost, cost];
    this.cost = before && now && { amount: before.amount + now.amount, estimated: !!(before.estimated || now.estimated) };
  }
}
