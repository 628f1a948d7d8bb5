/**
 * A conversation: a tree of prompts, each with the answers of every column. No DOM.
 *
 * - Each prompt is a turn below the turn it follows. Editing one adds a sibling, so nothing is lost.
 *   The page shows one path through the tree.
 * - A column has any number of answers to a turn (each retry adds one), of which one is shown.
 * - The history of a column is made of its own answers, unless `history` of a turn names one answer
 *   for all columns; `common` is the `history` that the next turn will get.
 * - A turn without an answer is left out of the history with its prompt: many chat templates refuse
 *   two user messages in a row. A call of a tool is an answer, in words, as no result of it follows;
 *   thinking is one too, of which it is only said that no more came.
 */

import { randomId } from '../client/commands.js';
import { Emitter } from '../client/emitter.js';
import { Answer } from './answer.js';

/** @import { Attachment, Message } from '../client/protocol.js' */
/** @import { SavedAnswer } from './answer.js' */
/** @import { Column } from './columns.js' */
/** @import { Prompt } from './prompt-scheduler.js' */
/** @import { Vote } from './rounds.js' */

const ONLY_THOUGHT = '(Stopped while thinking.)';

/** @typedef {{answers: Answer[], shown: number}} Slot One column's answers to a turn. */

/**
 * @typedef {object} SavedTurn
 * @property {string} id
 * @property {string | null} parent
 * @property {string} prompt
 * @property {Attachment[]} [attachments] The pictures and files of the prompt.
 * @property {string | null} [history] An answer's id.
 * @property {string | null} [common] An answer's id.
 * @property {boolean} [isBlind]
 * @property {boolean} [isKept]
 * @property {Vote | null} [vote]
 * @property {Record<string, {answers: SavedAnswer[], shown: number}>} [slots]
 */

/**
 * @typedef {{id?: string | null, title?: string, leaf?: string | null, repeats?: string | null,
 *   turns?: SavedTurn[], queue?: Prompt[], isHeld?: boolean, columns?: Column[] | null}} SavedConversation
 */

/** How much of a prompt a title shows. */
const MAX_NAME = 80;

export class Turn {
  /** @param {SavedTurn} saved */
  constructor({ id, parent, prompt, attachments = [], history = null, common = null, isBlind = false, isKept = false, vote = null, slots = {} }) {
    this.id = id;
    this.parent = parent;
    this.prompt = prompt;
    this.attachments = attachments;
    this.history = history;
    this.common = common;
    /** Whether it belongs to a blind round that is open. */
    this.isBlind = isBlind;
    /** Whether the server has stored it. */
    this.isStored = isKept;
    this.vote = vote;
    /** By the column's id. @type {Map<string, Slot>} */
    this.slots = new Map(Object.entries(slots).map(([column, { answers, shown }]) =>
      [column, { answers: answers.map((answer) => new Answer(answer)), shown }]));
  }

  /** The answer of this column that is shown. @param {string} column @returns {Answer | null} */
  answer(column) {
    const slot = this.slots.get(column);
    return slot?.answers[slot.shown] ?? null;
  }

  /** What models are asked with. @returns {Message['content']} */
  get content() {
    const parts = this.attachments.map(({ id, kind, name }) =>
      (kind === 'image' ? { type: /** @type {const} */ ('image'), attachment: id } : { type: /** @type {const} */ ('file'), attachment: id, name }));
    if (parts.length === 0) return this.prompt;
    return this.prompt ? [...parts, { type: 'text', text: this.prompt }] : parts;
  }

  /** @returns {Answer[]} */
  get answers() {
    return [...this.slots.values()].flatMap(({ answers }) => answers);
  }

  toJSON() {
    const { slots, isStored: isKept, ...rest } = this;
    return { ...rest, isKept, slots: Object.fromEntries(slots) };
  }
}

/**
 * @extends {Emitter<{path: void, turn: Turn, stored: void}>}
 * `path`: other turns are shown; `turn`: a turn changed, but not inside an answer; `stored`: the
 * server has it, under its `id`.
 */
export class Conversation extends Emitter {
  /** @type {Map<string, Turn>} */
  turns = new Map();

  /** @param {SavedConversation} [saved] */
  constructor({ id = null, title = '', leaf = null, repeats = null, turns = [], queue = [], isHeld = false, columns = null } = {}) {
    super();
    /** @type {string | null} */
    this.id = id;
    /** Prompts that wait until what was asked before is answered. */
    this.queue = queue;
    /** Whether the queue is paused. */
    this.isHeld = isHeld;
    /** Its columns while it is not shown; those of the one that is shown are the workspace's. */
    this.columns = columns;
    this.title = title;
    /** The id of the original, if this is a rerun. */
    this.repeats = repeats;
    for (const turn of turns) this.turns.set(turn.id, new Turn(turn));
    /** The last turn shown. @type {string | null} */
    this.leaf = leaf && this.turns.has(leaf) ? leaf : this.#deepest(null);
  }

  /** What is shown, from the first turn to the last. @returns {Turn[]} */
  get path() {
    return this.#pathTo(this.leaf);
  }

  get isEmpty() {
    return this.turns.size === 0;
  }

  /** Whether something goes on without being shown. */
  get isUnderWay() {
    return this.queue.length > 0 || this.liveAnswers.length > 0;
  }

  /** What it is called; '' while it is empty. */
  get name() {
    const [first] = this.turns.values();
    return this.title || first?.prompt.trim().split('\n', 1)[0].slice(0, MAX_NAME) || first?.attachments[0]?.name || '';
  }

  /** Whether a blind round is open: its names would be known from any turn. */
  get isSecret() {
    for (const { isBlind } of this.turns.values()) if (isBlind) return true;
    return false;
  }

  /** @returns {Answer[]} */
  get liveAnswers() {
    return [...this.turns.values()].flatMap((turn) => turn.answers).filter(({ isLive }) => isLive);
  }

  /** This turn and its siblings, in other branches. @param {Turn} turn */
  siblings({ parent }) {
    return [...this.turns.values()].filter((one) => one.parent === parent);
  }

  /** @param {Turn} turn @returns {Turn | null} */
  parentOf({ parent }) {
    return parent === null ? null : this.turns.get(parent) ?? null;
  }

  /** The messages for a column at this turn. @param {Turn} turn @param {string} column @returns {Message[]} */
  messages(turn, column) {
    /** @type {Message[]} */
    const messages = [{ role: 'user', content: turn.content }];
    for (let next = turn, one = this.parentOf(next); one; next = one, one = this.parentOf(next)) {
      const { history } = next;
      const answer = history ? one.answers.find(({ id }) => id === history) : one.answer(column);
      if (!answer) continue;
      const { reasoning, said, text } = answer;
      const content = [text, said, reasoning.trim() && ONLY_THOUGHT].find((words) => words.trim());
      if (content) messages.unshift({ role: 'user', content: one.content }, { role: 'assistant', content });
    }
    return messages;
  }

  // Actions

  /** Note under which id the server has it. @param {string} id */
  stored(id) {
    this.id = id;
    this.emit('stored', undefined);
  }

  /** Add a turn and show it. @param {string} prompt @param {{parent?: string | null, isBlind?: boolean, attachments?: Attachment[]}} [options] */
  add(prompt, { parent = this.leaf, isBlind = false, attachments = [] } = {}) {
    const history = this.turns.get(parent ?? '')?.common ?? null;
    // Text that was cut may have half of a character, which no server takes.
    const turn = new Turn({ id: randomId().slice(0, 12), parent, prompt: prompt.replace(/\p{Cs}/gu, '\ufffd'), attachments, history, isBlind });
    this.turns.set(turn.id, turn);
    this.leaf = turn.id;
    this.emit('path', undefined);
    return turn;
  }

  /** Add an answer of this column and show it. @param {Turn} turn @param {string} column @param {Answer} answer */
  addAnswer(turn, column, answer) {
    const slot = turn.slots.get(column) ?? { answers: [], shown: 0 };
    slot.answers.push(answer);
    slot.shown = slot.answers.length - 1;
    turn.slots.set(column, slot);
    this.emit('turn', turn);
  }

  /** Show another of this column's answers. @param {Turn} turn @param {string} column @param {number} by */
  showAnswer(turn, column, by) {
    const slot = turn.slots.get(column);
    if (!slot?.answers[slot.shown + by]) return;
    slot.shown += by;
    this.emit('turn', turn);
  }

  /** Show the branch that goes through this turn, down to its newest end. @param {Turn} turn */
  show(turn) {
    this.leaf = this.#deepest(turn.id);
    this.emit('path', undefined);
  }

  /** Use this answer as the history of all columns; null: each column's own. @param {Turn} turn @param {string | null} answer */
  setCommon(turn, answer) {
    turn.common = answer;
    this.emit('turn', turn);
  }

  /** Show no turn: the next prompt is a first one. */
  begin() {
    this.leaf = null;
    this.emit('path', undefined);
  }

  /** Set a turn's vote, or none, which reveals the names. @param {Turn} turn @param {Vote | null} vote */
  reveal(turn, vote) {
    turn.vote = vote;
    for (const one of this.turns.values()) one.isBlind = false;
    this.emit('turn', turn);
  }

  toJSON() {
    const { id, title, leaf, repeats, turns, queue, isHeld, columns } = this;
    return { id, title, leaf, repeats, turns: [...turns.values()], queue, isHeld, columns };
  }

  // Internal

  /** @param {string | null} leaf */
  #pathTo(leaf) {
    /** @type {Turn[]} */
    const path = [];
    for (let turn = this.turns.get(leaf ?? ''); turn; turn = this.turns.get(turn.parent ?? '')) path.unshift(turn);
    return path;
  }

  /** @param {string | null} id @returns {string | null} */
  #deepest(id) {
    const child = [...this.turns.values()].filter(({ parent }) => parent === id).at(-1);
    return child ? this.#deepest(child.id) : id;
  }
}
