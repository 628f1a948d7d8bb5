/**
 * Who is asked what, and when. No DOM.
 *
 * | mode     | each column is asked                                                   |
 * |----------|------------------------------------------------------------------------|
 * | all      | at once                                                                |
 * | sequence | when the one before has ended: fair where they share one machine       |
 * | together | at the same moment, when every model is ready or has failed            |
 *
 * - Each column is asked by a command of its own: the histories differ, and an error lands in the
 *   column it belongs to.
 * - Prompts that come while a turn is being answered wait in a queue. It stands still after
 *   "stop all", so that Esc really stops, until the user sends again or goes on with it.
 * - Stopping what was not asked yet just ends it; who waits behind it goes on.
 */

import { Emitter } from '../client/emitter.js';
import { SidestreamError } from '../client/protocol.js';
import { Answer } from './answer.js';
import { tidy } from './parameters.js';
import { shuffled } from './rounds.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Message, Model, Parameters } from '../client/protocol.js' */
/** @import { Column, Columns } from './columns.js' */
/** @import { Conversation, Turn } from './conversation.js' */
/** @import { Keeper } from './keeper.js' */

/** @typedef {'all' | 'sequence' | 'together'} Mode */
/** @typedef {{mode: Mode, isBlind: boolean, details: boolean, parameters: Parameters, system: string}} Settings `details`: how sure the models are. */
/** @typedef {{turn: Turn, column: string, answer: Answer, messages: Message[]}} Question */

/** How many tokens a model is to tell for each place, beside the one that was taken. */
const ALTERNATIVES = 5;

/** What asks for the rest of an answer; chat templates know no half answers. */
const GO_ON = 'Go on exactly where you stopped, without repeating anything.';

/** @extends {Emitter<{change: void, fault: SidestreamError}>} `change`: busy or not, or the queue. */
export class Director extends Emitter {
  #client;
  #columns;
  /** @type {() => Settings} */
  #settings;
  /** @type {Conversation} */
  #conversation;
  /** @type {string[]} */
  #queue = [];
  #isHeld = false;
  /** Those to be stopped as soon as the server has told their generation. @type {WeakSet<Answer>} */
  #unwanted = new WeakSet();
  #keeper;
  #random;

  /** @param {{client: SidestreamClient, columns: Columns, conversation: Conversation, settings: () => Settings, keeper?: Keeper, random?: () => number}} parts */
  constructor({ client, columns, conversation, settings, keeper, random = Math.random }) {
    super();
    this.#client = client;
    this.#columns = columns;
    this.#conversation = conversation;
    this.#settings = settings;
    this.#keeper = keeper;
    this.#random = random;
    columns.on('change', () => this.#stopGone());
  }

  get isBusy() {
    return this.#conversation.liveAnswers.length > 0;
  }

  get queue() {
    return this.#queue;
  }

  /** Whether the queue stands still although nothing is being answered. */
  get isHeld() {
    return this.#isHeld && this.#queue.length > 0 && !this.isBusy;
  }

  /** Turn to another conversation; what is live in the former goes on. @param {Conversation} conversation */
  use(conversation) {
    this.#conversation = conversation;
    this.#queue = [];
    const live = [...conversation.turns.values()].flatMap((turn) =>
      [...turn.slots].flatMap(([column, { answers }]) =>
        answers.filter(({ isLive }) => isLive).map((answer) => this.#question(turn, column, answer))));
    this.#watch(live.map(({ answer }) => answer));
    const { mode } = this.#settings();
    const ended = live.map(({ answer }) => mode === 'sequence' && answer.generation?.ended);
    const unasked = live.filter(({ answer }) => !answer.generation);
    void Promise.all(ended).then(() => this.#release(unasked, mode));
  }

  // Actions

  /** Ask all columns, or queue it behind what is being answered. @param {string} prompt */
  send(prompt) {
    this.#queue = [...this.#queue, prompt];
    this.#isHeld = false;
    this.#next();
  }

  /** Go on with the queue. */
  resume() {
    this.#isHeld = false;
    this.#next();
  }

  /** @param {number} index */
  unqueue(index) {
    this.#queue = this.#queue.filter((_, at) => at !== index);
    this.emit('change', undefined);
  }

  /** Ask this prompt in the place of a turn: a branch. @param {Turn} turn @param {string} prompt */
  edit(turn, prompt) {
    this.#ask(this.#conversation.add(prompt, { parent: turn.parent, isBlind: turn.isBlind && turn.vote === null }));
  }

  /** Ask one column again, or for the first time. @param {Turn} turn @param {string} id The column's. @param {boolean} [isLenient] Without what its server refuses; else as before. */
  retry(turn, id, isLenient = turn.answer(id)?.isLenient) {
    const column = this.#columns.get(id);
    if (column && !turn.answer(id)?.isLive) this.#run(turn, [column], 'all', isLenient);
  }

  /** Go on with an answer that is not whole. @param {Turn} turn @param {string} column */
  goOn(turn, column) {
    const answer = turn.answer(column);
    if (!answer?.isPart) return;
    answer.reopen();
    this.#watch([answer]);
    void this.#generate(this.#question(turn, column, answer));
  }

  /** Stop these answers, or all. @param {Answer[]} [answers] */
  async stop(answers) {
    if (!answers) this.#isHeld = true;
    const live = (answers ?? this.#conversation.liveAnswers).filter(({ isLive }) => isLive);
    const generations = live.flatMap(({ generation }) => generation ?? []);
    for (const answer of live) {
      if (answer.state === 'waiting') answer.finish('cancelled');
      else if (!answer.generation) this.#unwanted.add(answer);
    }
    try {
      if (generations.length > 0) await this.#client.cancel(generations);
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.emit('fault', error);
    }
  }

  // Internal

  /** Stop what no column shows any more. */
  #stopGone() {
    const shown = this.#columns.shown.map(({ id }) => id);
    const gone = [...this.#conversation.turns.values()].flatMap(({ slots }) =>
      [...slots].flatMap(([column, { answers }]) => (shown.includes(column) ? [] : answers)));
    if (gone.some(({ isLive }) => isLive)) void this.stop(gone);
  }

  #next() {
    if (!this.#isHeld && !this.isBusy && this.#columns.shown.length > 0) {
      const [prompt, ...rest] = this.#queue;
      this.#queue = rest;
      if (prompt !== undefined) return this.#ask(this.#newTurn(prompt));
    }
    this.emit('change', undefined);
  }

  /** @param {string} prompt */
  #newTurn(prompt) {
    const { isBlind } = this.#settings();
    const last = this.#conversation.path.at(-1);
    const goesOn = !isBlind || (!!last?.isBlind && !last.vote);
    if (!goesOn) this.#columns.arrange(shuffled(this.#columns.all, this.#random).map(({ id }) => id));
    return this.#conversation.add(prompt, { ...(!goesOn && { parent: null }), isBlind });
  }

  /** @param {Turn} turn */
  #ask(turn) {
    this.#run(turn, this.#columns.shown, this.#settings().mode);
  }

  /** @param {Turn} turn @param {Column[]} columns @param {Mode} mode @param {boolean} [isLenient] */
  #run(turn, columns, mode, isLenient = false) {
    const { parameters, system } = this.#settings();
    const questions = columns.map((column) => {
      const messages = this.#conversation.messages(turn, column.id);
      const answer = new Answer({
        model: column.model,
        parameters: tidy({ ...parameters, ...column.parameters }),
        system: column.system ?? system,
        isLenient,
      });
      this.#conversation.addAnswer(turn, column.id, answer);
      return { turn, column: column.id, answer, messages };
    });
    this.#watch(questions.map(({ answer }) => answer));
    void this.#release(questions, mode);
  }

  /** @param {Question[]} questions @param {Mode} mode */
  async #release(questions, mode) {
    if (mode === 'together') await this.#allReady(questions);
    for (const question of questions) {
      const done = this.#generate(question);
      if (mode === 'sequence') await done;
    }
  }

  /** Have all models started; return when each is ready or cannot be. @param {Question[]} questions */
  async #allReady(questions) {
    const models = new Set(questions.map(({ answer }) => answer.model));
    await Promise.all([...models].map((model) => this.#ready(model, questions)));
  }

  /** @param {string} id @param {Question[]} questions */
  async #ready(id, questions) {
    // What a server of somebody else loads when it is asked has no start to wait for.
    const isSettled = (/** @type {Model | undefined} */ model) =>
      model?.state === 'ready' || (model?.server && model.state === 'stopped' && !model.capabilities.load)
      || questions.every(({ answer }) => !answer.isLive);
    if (isSettled(this.#client.models.get(id))) return;
    const settled = new Promise((resolve) => {
      const listening = new AbortController();
      const check = (/** @type {Model | undefined} */ model) => {
        if (!isSettled(model) && model?.state !== 'failed') return;
        listening.abort();
        resolve(undefined);
      };
      const { signal } = listening;
      this.#client.on('model', (model) => model.id === id && check(model), { signal });
      for (const { answer } of questions) {
        answer.on('change', () => isSettled(undefined) && check(undefined), { signal });
      }
    });
    // What it fails with, `generate` will tell in the column.
    await Promise.race([settled, this.#client.start(id).then(() => settled, () => {})]);
  }

  /** Ask; return when the answer has ended. @param {Question} question */
  async #generate({ turn, column, answer, messages }) {
    if (!answer.isLive) return;
    if (answer.state === 'waiting') answer.send();
    const { isLenient, keptId, model, system } = answer;
    const conversation = this.#conversation;
    const isAgain = (turn.slots.get(column)?.answers.length ?? 0) > 1;
    try {
      if (this.#client.server === null) await this.#client.ping(); // it says what models can, and whether answers are kept
      const details = this.#settings().details && (this.#client.models.get(model)?.capabilities.logprobs ?? false);
      const parameters = { ...(details && { top_n_tokens: ALTERNATIVES }), ...answer.parameters };
      answer.isDetailed = details && (answer.parts === 0 || answer.isDetailed);
      const record = this.#keeper?.isOn ? await this.#keeper.place(conversation, turn) : null;
      const place = record && { column, ...(keptId && answer.text && { continues: keptId }) };
      const [generation] = await this.#client.generate({
        targets: [{ model, parameters, ...(system && { system }), ...(isLenient && { lenient: true }), ...place }],
        messages,
        ...(details && { details }),
        ...(isAgain && { fresh: true }),
        request_id: answer.requestId,
        ...(record && { record }),
      });
      turn.isKept ||= !!generation.answer;
      answer.follow(generation);
      if (this.#unwanted.delete(answer)) void this.stop([answer]);
      await generation.ended;
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      const { code, message, hint, details } = error;
      answer.finish('failed', { code, message, hint, details });
    }
  }

  /** @param {Turn} turn @param {string} column @param {Answer} answer @returns {Question} */
  #question(turn, column, answer) {
    const messages = this.#conversation.messages(turn, column);
    if (answer.text) messages.push({ role: 'assistant', content: answer.text }, { role: 'user', content: GO_ON });
    return { turn, column, answer, messages };
  }

  /** Go on with the queue once these have ended. @param {Answer[]} answers */
  #watch(answers) {
    for (const answer of answers) {
      const off = answer.on('change', () => {
        if (answer.isLive) return;
        off();
        this.#next();
      });
    }
    this.emit('change', undefined);
  }
}
