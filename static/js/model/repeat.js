/**
 * One kept answer and what the same model says when it is asked the same again. No DOM.
 *
 * | outcome         | meaning                                         |
 * |-----------------|-------------------------------------------------|
 * | waiting         | to be asked, also after it was stopped          |
 * | impossible      | cannot be asked: `error` says why               |
 * | running         | being asked                                     |
 * | same, different | has ended; of one that was cut off its part only |
 * | failed          | has ended so that nothing can be said: `error`  |
 */

/** @import { Stored, StoredAnswer, StoredEngine } from '../client/conversations.js' */
/** @import { FinishReason, GenerateOptions, Model, Parameters, Timings, Usage, WireError } from '../client/protocol.js' */

/** @typedef {'waiting' | 'impossible' | 'running' | 'same' | 'different' | 'failed'} Outcome */
/** @typedef {{id: string | null, text: string, reason: FinishReason | null, usage: Usage | null, timings: Timings | null, engine: StoredEngine | null, error: WireError | null}} Said */

/** What makes an engine and its model another, from what matters most. @type {(keyof StoredEngine)[]} */
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
    this.before = { ...before, tokens: [] }; // they are many, and not compared
    this.prompt = turns.find(({ id }) => id === before.turn)?.text ?? '';
    this.#messages = before.asked.map((at) => messages[at]);
    if (before.state !== 'ended') this.refuse('It is still being written.');
    else if (this.#isCut && !before.text) this.refuse(NOTHING);
    else if (!isQuestion(this.#messages)) this.refuse('What was asked is not known.');
  }

  /** What makes the engine or the weights others than they were. @returns {{trait: keyof StoredEngine, then: string, now: string}[]} */
  get changes() {
    const [then, now] = [this.before.engine, this.after?.engine];
    if (!then || !now) return [];
    return TRAITS.flatMap((trait) => (then[trait] === now[trait] ? [] : [{ trait, then: then[trait], now: now[trait] }]));
  }

  /** What is asked, with everything in it that it was asked with and nothing that settings say today. @param {Model | undefined} model @returns {GenerateOptions} */
  question(model) {
    const { before } = this;
    /** @type {Parameters} */
    const parameters = Object.fromEntries(Object.keys(model?.parameters ?? {}).map((name) => [name, null]));
    Object.assign(parameters, before.parameters);
    const length = before.usage?.completion_tokens;
    if (this.#isCut && length) parameters.max_new_tokens = length;
    // What its server did not take then, it may not take now.
    const wasLenient = before.notices?.some(({ code }) => code === 'parameter_left_out');
    const [first] = this.#messages;
    const asked = first?.role === 'prompt'
      ? { prompt: first.content }
      : { messages: /** @type {GenerateOptions['messages']} */ (this.#messages) };
    return {
      ...asked,
      targets: [{ model: before.model, parameters, system: '', repeats: before.id, ...(wasLenient && { lenient: true }) }],
      fresh: true,
      ...(before.has_tokens && { details: true }),
    };
  }

  /** Take in how it ended. @param {Said} after */
  take(after) {
    if (after.reason === null || after.reason === 'cancelled' || after.reason === 'interrupted') {
      if (!this.after) this.outcome = 'waiting';
      return;
    }
    this.error = null;
    this.after = after;
    const { before: { text } } = this;
    if (after.reason === 'failed') this.fail(after.error ?? { message: 'The model server reported an error.' });
    else this.outcome = this.#isAsBefore(text, after) ? 'same' : 'different';
  }

  /** @param {{message: string}} error */
  fail(error) {
    this.outcome = 'failed';
    this.error = error;
  }

  /** Say why it cannot be asked. @param {string} message */
  refuse(message) {
    this.outcome = 'impossible';
    this.error = { message };
  }

  // Internal

  /** Whether it ended before the model did. */
  get #isCut() {
    return CUT.includes(this.before.finish_reason ?? '');
  }

  /** @param {string} then @param {Said} after */
  #isAsBefore(then, { text: now, reason }) {
    if (!this.#isCut) return now === then;
    // A stop can come between the pieces of one sign, a limit not.
    return now.startsWith(then) || (reason === 'length' && then.startsWith(now));
  }
}

/** Whether something can be asked like this; an import may say anything. @param {{role: string}[]} messages */
function isQuestion(messages) {
  return messages.length === 1 || (messages.length > 0 && messages.every(({ role }) => role !== 'prompt'));
}
