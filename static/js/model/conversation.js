/**
 * A conversation: a tree of prompts, each with the answers of every column. No DOM.
 *
 * - Each prompt is a turn below the turn it follows. To edit one is to add a sibling; nothing that
 *   was said is lost. What is shown is one path through the tree.
 * - A column has any number of answers to a turn (each retry adds one), of which one is shown.
 * - Each column goes on with its own answers, unless a turn says whose answer all go on from
 *   (`history`); `common` is what the next turn below will say.
 * - A turn without an answer is left out of the history with its prompt: models expect user and
 *   assistant to take turns, and many chat templates refuse two prompts in a row.
 */

import { randomId } from '../client/commands.js';
import { Emitter } from '../client/emitter.js';
import { Answer } from './answer.js';

/** @import { Message } from '../client/protocol.js' */
/** @import { KeptAnswer } from './answer.js' */
/** @import { Vote } from './rounds.js' */

/** @typedef {{answers: Answer[], shown: number}} Slot One column's answers to a turn. */

/**
 * @typedef {object} KeptTurn
 * @property {string} id
 * @property {string | null} parent
 * @property {string} prompt
 * @property {string | null} [history] An answer's id.
 * @property {string | null} [common] An answer's id.
 * @property {boolean} [isBlind]
 * @property {boolean} [isKept]
 * @property {Vote | null} [vote]
 * @property {Record<string, {answers: KeptAnswer[], shown: number}>} [slots]
 */

/**
 * @typedef {{id?: string | null, title?: string, leaf?: string | null, repeats?: string | null,
 *   turns?: KeptTurn[]}} KeptConversation
 */

export class Turn {
  /** @param {KeptTurn} kept */
  constructor({ id, parent, prompt, history = null, common = null, isBlind = false, isKept = false, vote = null, slots = {} }) {
    this.id = id;
    this.parent = parent;
    this.prompt = prompt;
    this.history = history;
    this.common = common;
    this.isBlind = isBlind;
    /** Whether the server keeps it. */
    this.isKept = isKept;
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

  /** @returns {Answer[]} */
  get answers() {
    return [...this.slots.values()].flatMap(({ answers }) => answers);
  }

  toJSON() {
    const { slots, ...rest } = this;
    return { ...rest, slots: Object.fromEntries(slots) };
  }
}

/**
 * @extends {Emitter<{path: void, turn: Turn}>}
 * `path`: other turns are shown; `turn`: something of this turn changed, but not inside an answer.
 */
export class Conversation extends Emitter {
  /** @type {Map<string, Turn>} */
  turns = new Map();

  /** @param {KeptConversation} [kept] */
  constructor({ id = null, title = '', leaf = null, repeats = null, turns = [] } = {}) {
    super();
    /** @type {string | null} */
    this.id = id;
    this.title = title;
    /** The id of the one that was run again, if this came of that. */
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

  /** @returns {Answer[]} */
  get liveAnswers() {
    return [...this.turns.values()].flatMap((turn) => turn.answers).filter(({ isLive }) => isLive);
  }

  /** This turn and those that stand in its place in other branches. @param {Turn} turn */
  siblings({ parent }) {
    return [...this.turns.values()].filter((one) => one.parent === parent);
  }

  /** @param {Turn} turn @returns {Turn | null} */
  parentOf({ parent }) {
    return parent === null ? null : this.turns.get(parent) ?? null;
  }

  /** What is said to a column at this turn. @param {Turn} turn @param {string} column @returns {Message[]} */
  messages(turn, column) {
    /** @type {Message[]} */
    const messages = [{ role: 'user', content: turn.prompt }];
    for (let next = turn, one = this.parentOf(next); one; next = one, one = this.parentOf(next)) {
      const { history } = next;
      const answer = history ? one.answers.find(({ id }) => id === history) : one.answer(column);
      if (!answer?.text.trim()) continue;
      messages.unshift({ role: 'user', content: one.prompt }, { role: 'assistant', content: answer.text });
    }
    return messages;
  }

  // Actions

  /** Add a turn and show it. @param {string} prompt @param {{parent?: string | null, isBlind?: boolean}} [options] */
  add(prompt, { parent = this.leaf, isBlind = false } = {}) {
    const history = this.turns.get(parent ?? '')?.common ?? null;
    const turn = new Turn({ id: randomId().slice(0, 12), parent, prompt, history, isBlind });
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

  /** Have all columns go on from this answer, or again each from its own. @param {Turn} turn @param {string | null} answer */
  setCommon(turn, answer) {
    turn.common = answer;
    this.emit('turn', turn);
  }

  /** @param {Turn} turn @param {Vote} vote */
  setVote(turn, vote) {
    turn.vote = vote;
    this.emit('turn', turn);
  }

  toJSON() {
    return { id: this.id, title: this.title, leaf: this.leaf, repeats: this.repeats, turns: [...this.turns.values()] };
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
