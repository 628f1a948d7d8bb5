/**
 * One stored answer, and the same model's answer to the same request now. No DOM.
 *
 * | outcome         | meaning                                                        |
 * |-----------------|----------------------------------------------------------------|
 * | waiting         | not asked yet, or stopped                                      |
 * | impossible      | cannot be asked: `error` says why                              |
 * | running         | being asked                                                    |
 * | same, different | has ended; an original that was cut off is compared as a prefix |
 * | failed          | cannot be compared: `error` says why                           |
 */

import { said } from './answer.js';

/** @import { Stored, StoredAnswer, StoredEngine } from '../client/conversations.js' */
/** @import { FinishReason, GenerateOptions, Model, Parameters, Timings, ToolCall, Usage, WireError } from '../client/protocol.js' */

/** @typedef {'waiting' | 'impossible' | 'running' | 'same' | 'different' | 'failed'} Outcome */
/** @typedef {{id: string | null, text: string, reasoning?: string, tool_calls?: ToolCall[], reason: FinishReason | null, usage: Usage | null, timings: Timings | null, engine: StoredEngine | null, error: WireError | null}} Said */
/** @typedef {Pick<Said, 'text' | 'reasoning' | 'tool_calls'>} Spoken */

/** The traits in which engine and model may differ, the most important first. @type {(keyof StoredEngine)[]} */
const TRAITS = ['model_id', 'weights', 'revision', 'engine', 'version', 'image', 'runner'];
const CUT = ['cancelled', 'interrupted', 'failed'];
const NOTHING = 'Nothing had been written, so there is nothing to compare.';

export class Repeat {
  /** @type {Outcome} */
  outcome = 'waiting';
  /** @type {{message: string} | null} */
  error = null;
  /** What was said now. @type {Said | null} */
  after = null;
  #messages;

  /** @param {StoredAnswer} before @param {Stored} original In full. */
  constructor(before, { turns, messages }) {
    this.before = { ...before, tokens: [] }; // many, and not compared
    const turn = turns.find(({ id }) => id === before.turn);
    this.prompt = turn?.text || (turn?.attachments?.length ? 'Only what is attached' : '');
    this.#messages = before.asked.map((at) => messages[at]);
    if (before.state !== 'ended') this.refuse('It is still being written.');
    else if (this.#isCut && !said(before.text, before.tool_calls)) this.refuse(NOTHING);
    else if (!isQuestion(this.#messages)) this.refuse('What was asked is not known.');
  }

  /** Both answers, as they are compared. */
  get answers() {
    return pair(this.before, this.after, ({ text, tool_calls: calls }) => said(text, calls));
  }

  /** What was thought before each, null if there was none. */
  get thoughts() {
    const both = pair(this.before, this.after, ({ reasoning = '' }) => reasoning);
    return both?.some(({ text }) => text) ? both : null;
  }

  /** In what engine and weights differ from then. @returns {{trait: keyof StoredEngine, then: string, now: string}[]} */
  get changes() {
    const [then, now] = [this.before.engine, this.after?.engine];
    if (!then || !now) return [];
    return TRAITS.flatMap((trait) => (then[trait] === now[trait] ? [] : [{ trait, then: then[trait], now: now[trait] }]));
  }

  /** The request, with all that the answer was asked with and nothing of today's settings. @param {Model | undefined} model @returns {GenerateOptions} */
  question(model) {
    const { before } = this;
    /** @type {Parameters} */
    const parameters = Object.fromEntries(Object.keys(model?.parameters ?? {}).map((name) => [name, null]));
    Object.assign(parameters, before.parameters);
    const length = before.usage?.completion_tokens;
    if (this.#isCut && length) parameters.max_new_tokens = length;
    // What the server refused then may be refused again.
    const wasLenient = before.notices?.some(({ code }) => code === 'parameter_left_out' || code === 'picture_left_out');
    const [first] = this.#messages;
    const asked = first?.role === 'prompt'
      ? { prompt: /** @type {string} */ (first.content) }
      : { messages: /** @type {GenerateOptions['messages']} */ (this.#messages) };
    return {
      ...asked,
      targets: [{ model: before.model, parameters, system: '', repeats: before.id, ...(wasLenient && { lenient: true }) }],
      fresh: true,
      ...(before.has_tokens && { details: true }),
    };
  }

  /** Take the new answer. @param {Said} after */
  take(after) {
    if (after.reason === null || after.reason === 'cancelled' || after.reason === 'interrupted') {
      if (!this.after) this.outcome = 'waiting';
      return;
    }
    this.error = null;
    this.after = after;
    if (after.reason === 'failed') this.fail(after.error ?? { message: 'The model server reported an error.' });
    else this.outcome = this.#isAsBefore() ? 'same' : 'different';
  }

  /** @param {{message: string}} error */
  fail(error) {
    this.outcome = 'failed';
    this.error = error;
  }

  /** Mark as impossible. @param {string} message */
  refuse(message) {
    this.outcome = 'impossible';
    this.error = { message };
  }

  // Internal

  /** Whether the original was cut off. */
  get #isCut() {
    return CUT.includes(this.before.finish_reason ?? '');
  }

  #isAsBefore() {
    const [then, now] = (this.answers ?? []).map(({ text }) => text);
    if (!this.#isCut) return now === then;
    // A cancellation can cut inside a character, a length limit cannot.
    return now.startsWith(then) || (this.after?.reason === 'length' && then.startsWith(now));
  }
}

/** @param {Spoken} then @param {Spoken | null} now @param {(one: Spoken) => string} text */
function pair(then, now, text) {
  return now && [{ name: 'Then', text: text(then) }, { name: 'Now', text: text(now) }];
}

/** Whether these messages can be sent; an import may contain anything. @param {{role: string}[]} messages */
function isQuestion(messages) {
  return messages.length === 1 || (messages.length > 0 && messages.every(({ role }) => role !== 'prompt'));
}
