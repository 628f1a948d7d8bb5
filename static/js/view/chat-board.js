/**
 * `<chat-board>`: the columns of the selected models, or the welcome while nothing was asked.
 *
 * Each column is asked by a command of its own: the histories differ from the second turn on, and
 * an error then lands in the column it belongs to. A column whose model is deselected stops and
 * leaves the page, and comes back with its conversation when the model is selected again.
 *
 * Events: `board-change` when it becomes busy or idle, empty or not.
 */

import { AnswerColumn } from './answer-column.js';
import { ChatWelcome } from './chat-welcome.js';
import { PageElement, h } from './element.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Model } from '../client/protocol.js' */
/** @import { Frames } from './frames.js' */

export class ChatBoard extends PageElement {
  /** @type {SidestreamClient | null} */
  #client = null;
  /** @type {Frames | null} */
  #frames = null;
  /** @type {Map<string, AnswerColumn>} Also those that are not selected now. */
  #columns = new Map();
  /** @type {string[]} */
  #selected = [];
  #welcome = new ChatWelcome();
  #grid = h('div', { class: 'columns', hidden: true });

  get isBusy() {
    return this.#shown.some((column) => column.isBusy);
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#welcome, this.#grid);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.addEventListener('column-change', () => this.#changed(), { signal });
  }

  // Actions

  /** @param {{client: SidestreamClient, frames: Frames}} parts */
  use({ client, frames }) {
    this.#client = client;
    this.#frames = frames;
  }

  /** Show these models, in this order. @param {Model[]} models */
  show(models) {
    for (const column of this.#shown) {
      if (!models.some(({ id }) => id === column.model.id)) void column.stop();
    }
    this.#selected = models.map(({ id }) => id);
    this.#welcome.models = models;
    const columns = models.map((model) => this.#column(model));
    const isSame = columns.length === this.#grid.childElementCount
      && columns.every((column, index) => column === this.#grid.children[index]);
    if (!isSame) this.#grid.replaceChildren(...columns);
    this.#grid.dataset.count = String(columns.length);
    this.#changed();
  }

  /** Take in a model's new state. @param {Model} model */
  update(model) {
    const column = this.#columns.get(model.id);
    if (column) column.model = model;
  }

  /** Ask all selected models. @param {string} prompt */
  ask(prompt) {
    for (const column of this.#shown) void column.ask(prompt);
  }

  stopAll() {
    for (const column of this.#shown) if (column.isBusy) void column.stop();
  }

  /** Forget the conversation. */
  clear() {
    this.stopAll();
    this.#columns.clear();
    this.#grid.replaceChildren();
  }

  // Internal

  get #shown() {
    return this.#selected.flatMap((id) => this.#columns.get(id) ?? []);
  }

  /** @param {Model} model */
  #column(model) {
    let column = this.#columns.get(model.id);
    if (!column) {
      if (!this.#client || !this.#frames) throw new Error('use() comes before show()');
      column = new AnswerColumn({ client: this.#client, model, frames: this.#frames });
      this.#columns.set(model.id, column);
    }
    return column;
  }

  #changed() {
    const isEmpty = [...this.#columns.values()].every((column) => column.isEmpty);
    this.#welcome.hidden = !isEmpty;
    this.#grid.hidden = isEmpty;
    this.announce('board-change');
  }
}

customElements.define('chat-board', ChatBoard);
