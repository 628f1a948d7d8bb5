/**
 * The columns: which models are asked, in which order, and the parameters of each. No DOM.
 *
 * A model may have several columns with different parameters. A column keeps its id when the order or
 * its model changes, so that answers stay with their column; the first column of a model is named
 * after it, so that ids are the same in all conversations.
 *
 * While a blind round is open its columns stay as they are: one that comes or goes would tell which
 * model it is. What is chosen meanwhile waits until `release`.
 */

import { Emitter } from '../client/emitter.js';

/** @import { Model, Parameters } from '../client/protocol.js' */

/**
 * @typedef {object} Column
 * @property {string} id
 * @property {string} model
 * @property {Parameters} parameters Its own, which override the common ones.
 * @property {string | null} system Null: the common one.
 * @property {boolean} isHidden Not shown, and not asked.
 */

const DEFAULT_COUNT = 2;

/** @extends {Emitter<{change: void, arrange: void}>} `arrange`: all are in another order. */
export class Columns extends Emitter {
  /** Whether what is chosen waits. @type {() => boolean} */
  isHeld = () => false;
  /** @type {Column[]} */
  #all = [];
  /** Those that there will be; null if they are the same. @type {Column[] | null} */
  #coming = null;

  get all() {
    return this.#all;
  }

  /** Those that are shown. */
  get shown() {
    return this.#all.filter(({ isHidden }) => !isHidden);
  }

  /** Those that are chosen. */
  get chosen() {
    return this.#coming ?? this.#all;
  }

  /** Whether others are chosen than there are. */
  get isWaiting() {
    return this.#coming !== null;
  }

  /** Those that the next prompt asks. */
  get asked() {
    return this.isHeld() ? this.shown : this.chosen.filter(({ isHidden }) => !isHidden);
  }

  /** @param {string} id */
  get(id) {
    return this.#all.find((column) => column.id === id) ?? null;
  }

  /** @param {string} model */
  of(model) {
    return this.#all.filter((column) => column.model === model);
  }

  /** The number of this column among its model's, from 1 and whatever the order; 0 if it is the only one. @param {Column} column */
  number(column) {
    const same = this.of(column.model).map(({ id }) => id).sort();
    return same.length > 1 ? same.indexOf(column.id) + 1 : 0;
  }

  // Actions

  /** Restore saved columns; ignores what is invalid. @param {unknown} saved */
  restore(saved) {
    const list = Array.isArray(saved) ? saved : [];
    this.#choose(list.filter((one) => typeof one?.id === 'string' && typeof one.model === 'string')
      .map(({ id, model, parameters = {}, system = null, isHidden = false }) => ({ id, model, parameters, system, isHidden })));
  }

  /** Remove columns whose model no longer exists; if nothing was ever chosen or none is left, choose the first models that can run. @param {Model[]} models @param {boolean} wasChosen */
  settle(models, wasChosen) {
    const known = this.#all.filter(({ model }) => models.some(({ id }) => id === model));
    if (known.length > 0 || (wasChosen && this.#all.length === 0)) {
      if (known.length < this.#all.length) this.#set(known);
      return;
    }
    const usable = models.filter(({ server, state }) => state !== 'failed' && !server?.found).slice(0, DEFAULT_COUNT);
    this.#set([]);
    for (const { id } of usable) this.add(id);
  }

  /** Add a column, behind `after` if given. @param {string} model @param {Column} [after] A column to copy. */
  add(model, after) {
    this.release();
    const column = { ...blank(this.#newId(model), model), ...(after && { parameters: after.parameters, system: after.system }) };
    const at = after ? this.#all.indexOf(after) + 1 : this.#all.length;
    this.#set([...this.#all.slice(0, at), column, ...this.#all.slice(at)]);
    return column;
  }

  /** @param {string} id */
  remove(id) {
    this.release();
    this.#set(this.#all.filter((column) => column.id !== id));
  }

  /** Add a model's column, or remove all it has. @param {string} model @param {boolean} isChosen */
  choose(model, isChosen) {
    const others = this.chosen.filter((column) => column.model !== model);
    const held = this.of(model);
    if (!isChosen) this.#choose(others);
    else if (others.length === this.chosen.length) this.#choose([...others, ...(held.length ? held : [blank(this.#newId(model), model)])]);
  }

  /** Show what was chosen while a blind round was open. */
  release() {
    if (this.#coming && !this.isHeld()) this.#choose(this.#coming);
  }

  /** @param {string} id @param {Partial<Omit<Column, 'id'>>} changes */
  change(id, changes) {
    this.#set(this.#all.map((column) => (column.id === id ? { ...column, ...changes } : column)));
  }

  /** Show all again that are hidden. */
  reveal() {
    this.#set(this.#all.map((column) => ({ ...column, isHidden: false })));
  }

  /** Put a column where another is. @param {string} id @param {string} target */
  moveTo(id, target) {
    const from = this.#all.findIndex((column) => column.id === id);
    const to = this.#all.findIndex((column) => column.id === target);
    if (from < 0 || to < 0 || from === to) return;
    const all = [...this.#all];
    all.splice(to, 0, ...all.splice(from, 1));
    this.#set(all);
  }

  /** Move a column past the next one that is shown. @param {string} id @param {-1 | 1} by */
  move(id, by) {
    const { shown } = this;
    const target = shown[shown.findIndex((column) => column.id === id) + by];
    if (target) this.moveTo(id, target.id);
  }

  /** Put them into this order. @param {string[]} ids */
  arrange(ids) {
    this.#set([...this.#all].sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id)));
    this.emit('arrange', undefined);
  }

  toJSON() {
    return this.#all;
  }

  // Internal

  /** @param {string} model */
  #newId(model) {
    const name = model.replace(/[^\w-]/g, '_').slice(0, 60);
    const isTaken = (/** @type {string} */ id) => [...this.#all, ...this.chosen].some((column) => column.id === id);
    let id = name;
    for (let count = 2; isTaken(id); count += 1) id = `${name}_${count}`;
    return id;
  }

  /** @param {Column[]} columns */
  #choose(columns) {
    const isHeld = this.isHeld();
    const isOther = columns.length !== this.#all.length || columns.some(({ id }) => !this.get(id));
    this.#coming = isHeld && isOther ? columns : null;
    this.#set(isHeld ? this.#all : columns);
  }

  /** @param {Column[]} columns */
  #set(columns) {
    this.#all = columns;
    const coming = this.#coming;
    if (coming) this.#coming = [...columns.filter(({ id }) => coming.some((one) => one.id === id)), ...coming.filter(({ id }) => !this.get(id))];
    this.emit('change', undefined);
  }
}

/** @param {string} id @param {string} model @returns {Column} */
function blank(id, model) {
  return { id, model, parameters: {}, system: null, isHidden: false };
}
