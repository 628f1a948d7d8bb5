/**
 * `<model-picker>`: all models with their states; any number can be selected.
 *
 * Events, from its rows: `model-choose` with `{id, isChosen}`, `model-start` and `model-stop`.
 */

import { PageElement, h, setText } from './element.js';
import { ModelRow } from './model-row.js';

/** @import { Model, ModelError } from '../client/protocol.js' */
/** @import { Columns } from '../model/columns.js' */

export class ModelPicker extends PageElement {
  /** @type {Map<string, ModelRow>} */
  #rows = new Map();
  #count = h('span', { class: 'picker-count' });
  #list = h('div', { class: 'picker-list', role: 'list' });

  /** @param {Model[]} models */
  set models(models) {
    const rows = models.map((model) => {
      const row = this.#rows.get(model.id) ?? new ModelRow(model);
      row.model = model;
      return row;
    });
    this.#rows = new Map(rows.map((row) => [row.model.id, row]));
    this.#list.replaceChildren(...rows);
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(h('div', { class: 'picker-head' }, h('h2', {}, 'Models'), this.#count), this.#list);
  }

  // Actions

  /** Take in a model's new state. @param {Model} model */
  update(model) {
    const row = this.#rows.get(model.id);
    if (row) row.model = model;
  }

  /** Show which models are chosen. @param {Columns} columns */
  choose(columns) {
    let chosen = 0;
    for (const [id, row] of this.#rows) {
      row.columnCount = columns.of(id).length;
      if (row.columnCount > 0) chosen += 1;
    }
    setText(this.#count, `${chosen} of ${this.#rows.size}`);
  }

  /** Show what went wrong with a model. @param {string} id @param {ModelError} error */
  showProblem(id, error) {
    this.#rows.get(id)?.showProblem(error);
  }
}

customElements.define('model-picker', ModelPicker);
