/**
 * Ask all answers of a stored conversation again, one after the other, and compare them. No DOM.
 *
 * The new answers are stored in a conversation of their own, the copy, whose `view` names the
 * original. So a run that was interrupted can be continued, and looked at later. Only one answer is
 * asked at a time, since requests in one batch can change each other's tokens.
 */

import { Emitter } from '../client/emitter.js';
import { SidestreamError } from '../client/protocol.js';
import { Repeat } from './repeat.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Conversations, Stored, StoredAnswer } from '../client/conversations.js' */
/** @import { Generation } from '../client/generation.js' */
/** @import { Said } from './repeat.js' */

/** Errors of one answer; after any other the next one may fail too. */
const OWN_ERRORS = ['cannot_see', 'invalid_attachment', 'invalid_parameters', 'prompt_too_long', 'unknown_attachment', 'unknown_model'];
// Limits of the server.
const MAX_TITLE = 300;
const MAX_COLUMNS = 64;

/** @extends {Emitter<{change: Rerun, copy: void, repeat: Repeat}>} `change`: `isRunning` or `fault`; `copy`: it was created. */
export class Rerun extends Emitter {
  isRunning = false;
  /** Why it stopped. @type {SidestreamError | null} */
  fault = null;
  /** The id of the copy. @type {string | null} */
  copyId = null;
  #api;
  #client;
  #original;
  /** Turns and columns of the copy. @type {Set<string>} */
  #turns = new Set();
  /** @type {Set<string>} */
  #columns = new Set();
  /** Live answers of the copy when it was loaded. @type {Map<Repeat, Generation>} */
  #live = new Map();
  #isUnwanted = false;
  /** @type {Generation | null} */
  #generation = null;

  /**
   * Load a conversation to ask again, or the copy of an earlier run. Rejects with a SidestreamError.
   *
   * @param {{api: Conversations, client: SidestreamClient}} parts
   * @param {string} id
   */
  static async load({ api, client }, id) {
    const stored = await api.get(id, { isFull: true });
    const { repeats } = stored.view ?? {}; // an import may contain anything
    const isId = typeof repeats === 'string' && /^[\w-]{1,64}$/.test(repeats);
    const original = isId ? await ifThere(api.get(repeats, { isFull: true })) : null;
    return new Rerun({ api, client }, original ?? stored, original && stored);
  }

  /** @param {{api: Conversations, client: SidestreamClient}} parts @param {Stored} original In full. @param {Stored | null} [copy] */
  constructor({ api, client }, original, copy = null) {
    super();
    this.#api = api;
    this.#client = client;
    this.#original = original;
    this.repeats = original.answers.map((answer) => new Repeat(answer, original));
    if (copy) this.#goOnFrom(copy);
    for (const repeat of this.repeats) {
      const { model } = repeat.before;
      if (repeat.outcome === 'waiting' && !client.models.has(model)) repeat.refuse(`There is no model “${model}” here.`);
    }
  }

  get title() {
    return this.#original.title || 'Untitled';
  }

  get originalId() {
    return this.#original.id;
  }

  get isConnected() {
    return this.#client.connection.name === 'connected';
  }

  get isStopping() {
    return this.isRunning && this.#isUnwanted;
  }

  /** Whether there is something left to ask. */
  get isWaiting() {
    return this.repeats.some(({ outcome }) => outcome === 'waiting');
  }

  // Actions

  /** Ask all that wait; return when that is done, stopped, or failed (`fault`). */
  async run() {
    if (this.isRunning) return;
    this.isRunning = true;
    this.#isUnwanted = false;
    this.fault = null;
    this.emit('change', this);
    const off = this.#client.on('connection', () => this.emit('change', this));
    try {
      if (this.copyId !== null) {
        await this.#catchUp(this.copyId);
      } else {
        this.copyId = await this.#makeCopy();
        this.emit('copy', undefined);
      }
      for (const repeat of this.repeats) {
        if (!this.#isUnwanted && repeat.outcome === 'waiting') await this.#ask(repeat, this.copyId);
      }
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.fault = error;
    } finally {
      off();
      await this.#learnEngines();
      this.isRunning = false;
      this.emit('change', this);
    }
  }

  /** Stop; the answer that is running is cancelled, and asked again when the run is continued. */
  async stop() {
    this.#isUnwanted = true;
    this.emit('change', this);
    try {
      if (this.#generation) await this.#client.cancel([this.#generation]);
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.fault = error;
      this.emit('change', this);
    }
  }

  /** A new run from the beginning, with its own copy. */
  afresh() {
    return new Rerun({ api: this.#api, client: this.#client }, this.#original);
  }

  /** What a model is called. @param {string} model */
  name(model) {
    return this.#client.nameOf(model);
  }

  // Internal

  async #makeCopy() {
    const { id, columns, answers } = this.#original;
    const known = new Set(columns.map((column) => column.id));
    const gone = answers.flatMap(({ column, model }) => {
      if (column === null || known.has(column)) return [];
      known.add(column);
      return [{ id: column, model, parameters: {}, system: null }];
    });
    const all = [...columns, ...gone].slice(0, MAX_COLUMNS);
    this.#columns = new Set(all.map((column) => column.id));
    const made = await this.#api.create({
      title: `Again: ${this.title}`.slice(0, MAX_TITLE),
      columns: all.map(({ id: column, model, parameters, system }) => ({ id: column, model, parameters, system })),
      view: { repeats: id },
    });
    return made.id;
  }

  /** @param {Repeat} repeat @param {string} conversation */
  async #ask(repeat, conversation) {
    const { before } = repeat;
    const continues = before.continues && this.#again(before.continues);
    if (before.continues && !continues) {
      repeat.refuse('What it goes on from could not be asked again.');
      return this.emit('repeat', repeat);
    }
    repeat.outcome = 'running';
    this.emit('repeat', repeat);
    try {
      const generation = this.#live.get(repeat) ?? await this.#begin(repeat, continues, conversation);
      if (generation.answer) this.#turns.add(before.turn);
      this.#generation = generation;
      if (this.#isUnwanted) await this.stop();
      await generation.ended;
      repeat.take(saidBy(generation));
      if (generation.finishReason === 'cancelled') this.#isUnwanted = true; // wherever it was cancelled
      if (generation.finishReason === 'interrupted') throw new SidestreamError(generation.error ?? { code: 'interrupted', message: 'The server went away.' });
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      const isOwn = OWN_ERRORS.includes(error.code);
      // `invalid_command`: the copy was changed meanwhile; the next one may still work.
      if (isOwn || error.code === 'invalid_command') repeat.fail(error);
      else repeat.outcome = 'waiting';
      if (!isOwn) throw error;
    } finally {
      this.#live.delete(repeat);
      this.#generation = null;
      this.emit('repeat', repeat);
    }
  }

  /** @param {Repeat} repeat @param {string | null} continues @param {string} conversation */
  async #begin(repeat, continues, conversation) {
    const { before } = repeat;
    const question = repeat.question(this.#client.models.get(before.model));
    const column = this.#columns.has(before.column ?? '') && { column: before.column };
    Object.assign(question.targets[0], column, continues && { continues });
    const [generation] = await this.#client.generate({ ...question, record: this.#place(before, conversation) });
    return generation;
  }

  /** Where the repeat of this answer belongs. @param {StoredAnswer} before @param {string} conversation */
  #place({ turn }, conversation) {
    const { turns } = this.#original;
    const find = (/** @type {string | null} */ id) => turns.find((one) => one.id === id);
    const own = find(turn);
    let parent = find(own?.parent ?? null);
    const history = parent && this.#turns.has(parent.id) && own?.history ? this.#again(own.history) : null;
    while (parent && !this.#turns.has(parent.id)) parent = find(parent.parent);
    return { conversation, turn, parent: parent?.id ?? null, history };
  }

  /** The id of the repeat of this answer. @param {string} id */
  #again(id) {
    return this.repeats.find(({ before }) => before.id === id)?.after?.id ?? null;
  }

  /** Take what was added to the copy meanwhile, also by another window. @param {string} id */
  async #catchUp(id) {
    const copy = await this.#api.get(id);
    this.#goOnFrom(copy);
    const here = new Set([...this.#live.values()].map(({ answer }) => answer));
    if (copy.answers.every(({ id: answer, state }) => state === 'ended' || here.has(answer))) return;
    throw new SidestreamError({ code: 'elsewhere', message: 'This is being asked in another window. Go on here when that has ended.' });
  }

  /** @param {Stored} copy */
  #goOnFrom(copy) {
    this.copyId = copy.id;
    this.#turns = new Set(copy.turns.map(({ id }) => id));
    this.#columns = new Set(copy.columns.map(({ id }) => id));
    for (const answer of copy.answers) {
      const repeat = this.repeats.find(({ before }) => before.id === answer.repeats);
      if (!repeat) continue;
      const live = this.#client.generations.writing(answer.id);
      if (live) this.#live.set(repeat, live);
      if (answer.state === 'ended') repeat.take({ ...answer, reason: answer.finish_reason });
    }
  }

  /** Fetch the engines of the new answers, which only the server knows. */
  async #learnEngines() {
    if (this.copyId === null) return;
    try {
      const { answers } = await this.#api.get(this.copyId);
      for (const { after } of this.repeats) {
        if (after) after.engine = answers.find((answer) => answer.id === after.id)?.engine ?? null;
      }
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error; // the texts are here; the engines are fetched when it is opened again
    }
  }
}

/** @param {Generation} generation @returns {Said} */
function saidBy({ answer, text, reasoning, toolCalls, finishReason, usage, timings, error }) {
  return { id: answer, text, reasoning, tool_calls: toolCalls, reason: finishReason, usage, timings, engine: null, error };
}

/** @template T @param {Promise<T>} promise @returns {Promise<T | null>} */
async function ifThere(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof SidestreamError && error.code === 'unknown_conversation') return null;
    throw error;
  }
}
