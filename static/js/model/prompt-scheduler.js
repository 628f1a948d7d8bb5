/**
 * Send prompts to the columns, and queue them while answers are running. No DOM.
 *
 * | mode     | each column is asked                                                   |
 * |----------|------------------------------------------------------------------------|
 * | all      | at once                                                                |
 * | sequence | when the one before has ended: fair if they share one machine          |
 * | together | at the same moment, when every model is ready or has failed            |
 *
 * - Each column gets its own command: histories differ, and an error is shown in its column.
 * - Prompts that arrive while a turn is being answered are queued. "Stop all" pauses the queue until
 *   the user sends another prompt or resumes it.
 * - A conversation that is left goes on: its answers, its queue, and with the columns that it had.
 * - Stopping an answer that was not sent yet ends it; those behind it go on.
 */

import { Emitter } from '../client/emitter.js';
import { SidestreamError } from '../client/protocol.js';
import { Answer } from './answer.js';
import { tidy } from './parameters.js';
import { shuffled } from './rounds.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Attachment, Message, Model, Parameters } from '../client/protocol.js' */
/** @import { Column, Columns } from './columns.js' */
/** @import { Conversation, Turn } from './conversation.js' */
/** @import { ConversationStore } from './conversation-store.js' */

/** @typedef {'all' | 'sequence' | 'together'} Mode */
/** @typedef {{mode: Mode, isBlind: boolean, details: boolean, parameters: Parameters, system: string}} Settings `details`: ask for token probabilities. */
/** @typedef {{isLenient?: boolean, isTrimmed?: boolean}} Leave What to leave out: parameters that the server refuses; the oldest turns. */
/** @typedef {{text: string, attachments: Attachment[]}} Prompt */
/** @typedef {{conversation: Conversation, turn: Turn, column: string, answer: Answer, messages: Message[]}} Question */

/** How many alternatives to ask for with each token. */
const ALTERNATIVES = 5;

/** Asks for the rest of an answer; chat templates have no incomplete assistant message. */
const GO_ON = 'Go on exactly where you stopped, without repeating anything.';

/** @extends {Emitter<{change: void, fault: SidestreamError}>} `change`: `isBusy` or the queue changed. */
export class PromptScheduler extends Emitter {
  #client;
  #columns;
  /** @type {() => Settings} */
  #settings;
  /** @type {Conversation} */
  #conversation;
  /** Those that were opened since the page was loaded. @type {WeakSet<Conversation>} */
  #followed = new WeakSet();
  /** Answers to cancel as soon as the server has told their generation. @type {WeakSet<Answer>} */
  #unwanted = new WeakSet();
  #store;
  #random;

  /** @param {{client: SidestreamClient, columns: Columns, conversation: Conversation, settings: () => Settings, store?: ConversationStore, random?: () => number}} parts */
  constructor({ client, columns, conversation, settings, store, random = Math.random }) {
    super();
    this.#client = client;
    this.#columns = columns;
    this.#conversation = conversation;
    this.#settings = settings;
    this.#store = store;
    this.#random = random;
    columns.on('change', () => this.#stopGone());
  }

  get isBusy() {
    return this.#conversation.liveAnswers.length > 0;
  }

  get queue() {
    return this.#conversation.queue;
  }

  /** Whether the queue is paused although nothing is being answered. */
  get isHeld() {
    return this.#conversation.isHeld && this.queue.length > 0 && !this.isBusy;
  }

  /** Switch to another conversation; the former goes on. @param {Conversation} conversation */
  use(conversation) {
    this.#conversation = conversation;
    this.follow(conversation);
    this.emit('change', undefined);
  }

  /** Have a conversation go on where it is, shown or not. @param {Conversation} conversation */
  follow(conversation) {
    if (this.#followed.has(conversation)) return;
    this.#followed.add(conversation);
    const live = [...conversation.turns.values()].flatMap((turn) =>
      [...turn.slots].flatMap(([column, { answers }]) =>
        answers.filter(({ isLive }) => isLive).map((answer) => this.#question(conversation, turn, column, answer))));
    this.#watch(conversation, live.map(({ answer }) => answer));
    const { mode } = this.#settings();
    const ended = live.map(({ answer }) => mode === 'sequence' && answer.generation?.ended);
    const unasked = live.filter(({ answer }) => !answer.generation);
    void Promise.all(ended).then(() => this.#release(unasked, mode));
    if (live.length === 0) this.#next(conversation);
  }

  // Actions

  /** Ask all columns, or queue the prompt while answers are running. @param {string} text @param {Attachment[]} [attachments] */
  send(text, attachments = []) {
    this.#conversation.queue = [...this.queue, { text, attachments }];
    this.resume();
  }

  /** Resume the queue. */
  resume() {
    this.#conversation.isHeld = false;
    this.#next(this.#conversation);
  }

  /** @param {number} index */
  unqueue(index) {
    this.#conversation.queue = this.queue.filter((_, at) => at !== index);
    this.emit('change', undefined);
  }

  /** Ask an edited prompt, with what is attached to it, as a sibling of its turn: a branch. @param {Turn} turn @param {string} prompt */
  edit(turn, prompt) {
    const { attachments, parent } = turn;
    this.#columns.release();
    this.#ask(this.#conversation, this.#conversation.add(prompt, { attachments, parent, isBlind: turn.isBlind }));
  }

  /** Ask one column again, or for the first time; how it was asked before is kept. @param {Turn} turn @param {string} id The column's. @param {Leave} [leave] */
  retry(turn, id, leave) {
    const column = this.#columns.get(id);
    if (column && !turn.answer(id)?.isLive) this.#run(this.#conversation, turn, [column], 'all', leave);
  }

  /** Continue an incomplete answer. @param {Turn} turn @param {string} column */
  goOn(turn, column) {
    const answer = turn.answer(column);
    if (!answer?.isPart) return;
    answer.reopen();
    this.#watch(this.#conversation, [answer]);
    void this.#generate(this.#question(this.#conversation, turn, column, answer));
  }

  /** Stop these answers, or all. @param {Answer[]} [answers] */
  async stop(answers) {
    if (!answers) this.#conversation.isHeld = true;
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

  /** Stop answers whose column is no longer shown. */
  #stopGone() {
    const shown = this.#columns.shown.map(({ id }) => id);
    const gone = [...this.#conversation.turns.values()].flatMap(({ slots }) =>
      [...slots].flatMap(([column, { answers }]) => (shown.includes(column) ? [] : answers)));
    if (gone.some(({ isLive }) => isLive)) void this.stop(gone);
  }

  /** The columns of a conversation that are asked. @param {Conversation} conversation */
  #asked({ columns }) {
    return columns ? columns.filter(({ isHidden }) => !isHidden) : this.#columns.shown;
  }

  /** Ask what is next in the queue, if it is time. @param {Conversation} conversation */
  #next(conversation) {
    const [prompt, ...rest] = conversation.queue;
    const isDue = prompt && !conversation.isHeld && conversation.liveAnswers.length === 0;
    if (isDue && !conversation.columns) this.#columns.release();
    if (isDue && this.#asked(conversation).length > 0) {
      conversation.queue = rest;
      return this.#ask(conversation, this.#newTurn(conversation, prompt));
    }
    this.emit('change', undefined);
  }

  /** @param {Conversation} conversation @param {Prompt} prompt */
  #newTurn(conversation, { text, attachments }) {
    const { isSecret } = conversation;
    const { isBlind } = this.#settings();
    const isRound = isBlind && !isSecret;
    if (isRound) this.#shuffle(conversation);
    return conversation.add(text, { attachments, ...(isRound && { parent: null }), isBlind: isBlind || isSecret });
  }

  /** @param {Conversation} conversation */
  #shuffle(conversation) {
    if (conversation.columns) conversation.columns = shuffled(conversation.columns, this.#random);
    else this.#columns.arrange(shuffled(this.#columns.all, this.#random).map(({ id }) => id));
  }

  /** @param {Conversation} conversation @param {Turn} turn */
  #ask(conversation, turn) {
    this.#run(conversation, turn, this.#asked(conversation), this.#settings().mode);
  }

  /** @param {Conversation} conversation @param {Turn} turn @param {Column[]} columns @param {Mode} mode @param {Leave} [leave] */
  #run(conversation, turn, columns, mode, leave) {
    const { parameters, system } = this.#settings();
    const parent = conversation.parentOf(turn);
    const questions = columns.map((column) => {
      const messages = conversation.messages(turn, column.id);
      const before = turn.answer(column.id);
      const answer = new Answer({
        model: column.model,
        parameters: tidy({ ...parameters, ...column.parameters }),
        system: column.system ?? system,
        isLenient: before?.isLenient,
        // A conversation that was too long once is too long from then on.
        isTrimmed: before?.isTrimmed ?? parent?.answer(column.id)?.isTrimmed,
        ...leave,
      });
      conversation.addAnswer(turn, column.id, answer);
      return { conversation, turn, column: column.id, answer, messages };
    });
    this.#watch(conversation, questions.map(({ answer }) => answer));
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

  /** Start all models; return when each is ready or has failed. @param {Question[]} questions */
  async #allReady(questions) {
    const models = new Set(questions.map(({ answer }) => answer.model));
    await Promise.all([...models].map((model) => this.#ready(model, questions)));
  }

  /** @param {string} id @param {Question[]} questions */
  async #ready(id, questions) {
    // A remote server that loads models on demand has no start to wait for.
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
    // If the start fails, `generate` reports it in the column.
    await Promise.race([settled, this.#client.start(id).then(() => settled, () => {})]);
  }

  /** Ask; return when the answer has ended. @param {Question} question */
  async #generate({ conversation, turn, column, answer, messages }) {
    if (!answer.isLive) return;
    if (answer.state === 'waiting') answer.send();
    const { isLenient, isTrimmed, storedId, model, system } = answer;
    const isAgain = (turn.slots.get(column)?.answers.length ?? 0) > 1;
    try {
      if (this.#client.server === null) await this.#client.ping(); // `hello` tells the models' capabilities, and whether answers are stored
      const { logprobs = false, vision } = this.#client.models.get(model)?.capabilities ?? {};
      const details = this.#settings().details && logprobs;
      // The composer says that it is asked without pictures.
      const leavesOut = isLenient || (vision === false && messages.some(hasPicture));
      const parameters = { ...(details && { top_n_tokens: ALTERNATIVES }), ...answer.parameters };
      answer.isDetailed = details && (answer.parts === 0 || answer.isDetailed);
      const record = this.#store?.isOn ? await this.#store.place(conversation, turn) : null;
      const place = record && { column, ...(storedId && answer.text && { continues: storedId }) };
      const [generation] = await this.#client.generate({
        targets: [{ model, parameters, ...(system && { system }), ...(leavesOut && { lenient: true }), ...place }],
        messages,
        ...(details && { details }),
        ...(isAgain && { fresh: true }),
        // Where an answer is continued, its question counts as an old turn too.
        ...(isTrimmed && !answer.text && { trim: 'oldest_turns' }),
        request_id: answer.requestId,
        ...(record && { record }),
      });
      turn.isStored ||= !!generation.answer;
      answer.follow(generation);
      if (this.#unwanted.delete(answer)) void this.stop([answer]);
      await generation.ended;
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      const { code, message, hint, details } = error;
      answer.finish('failed', { code, message, hint, details });
    }
  }

  /** @param {Conversation} conversation @param {Turn} turn @param {string} column @param {Answer} answer @returns {Question} */
  #question(conversation, turn, column, answer) {
    const messages = conversation.messages(turn, column);
    if (answer.text) messages.push({ role: 'assistant', content: answer.text }, { role: 'user', content: GO_ON });
    return { conversation, turn, column, answer, messages };
  }

  /** Continue with the queue once these have ended. @param {Conversation} conversation @param {Answer[]} answers */
  #watch(conversation, answers) {
    for (const answer of answers) {
      const off = answer.on('change', () => {
        if (answer.isLive) return;
        off();
        this.#next(conversation);
      });
    }
    this.emit('change', undefined);
  }
}

/** @param {Message} message */
function hasPicture({ content }) {
  return typeof content !== 'string' && content.some(({ type }) => type === 'image');
}
