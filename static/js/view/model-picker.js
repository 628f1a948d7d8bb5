/**
 * `<model-picker>`: all models with their states; any number can be selected.
 *
 * The choice is remembered. The order of the selected ones is that of the list.
 *
 * Events: `models-select` when the selection changes; from its rows `model-start`, `model-stop`.
 */

import { PageElement, h, setText } from './element.js';
import { ModelRow } from './model-row.js';
import { initialSelection } from './selection.js';
import { recall, remember } from './storage.js';

/** @import { Model, ModelError } from '../client/protocol.js' */

export class ModelPicker extends PageElement {
  /** @type {Map<string, ModelRow>} */
  #rows = new Map();
  #count = h('span', { class: 'picker-count' });
  #list = h('div', { class: 'picker-list', role: 'list' });

  /** @returns {Model[]} */
  get selected() {
    return [...this.#rows.values()].filter((row) => row.isSelected).map((row) => row.model);
  }

  /** Show these models; what is selected stays so, as far as it still exists. @param {Model[]} models */
  set models(models) {
    const isFirst = this.#rows.size === 0;
    const wanted = isFirst ? recall('models') : this.selected.map(({ id }) => id);
    const selected = initialSelection(models, wanted);
    const rows = models.map((model) => {
      const row = this.#rows.get(model.id) ?? new ModelRow(model);
      row.model = model;
      row.isSelected = selected.includes(model.id);
      return row;
    });
    this.#rows = new Map(rows.map((row) => [row.model.id, row]));
    this.#list.replaceChildren(...rows);
    this.#changed();
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(h('div', { class: 'picker-head' }, h('h2', {}, 'Models'), this.#count), this.#list);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.addEventListener('row-toggle', () => this.#toggled(), { signal });
  }

  // Actions

  /** Take in a model's new state. @param {Model} model */
  update(model) {
    const row = this.#rows.get(model.id);
    if (row) row.model = model;
  }

  /** Show what went wrong with a model. @param {string} id @param {ModelError} error */
  showProblem(id, error) {
    this.#rows.get(id)?.showProblem(error);
  }

  // Internal

  #toggled() {
    remember('models', this.selected.map(({ id }) => id));
    this.#changed();
  }

  #changed() {
    setText(this.#count, `${this.selected.length} of ${this.#rows.size}`);
    this.announce('models-select');
  }
}

customElements.define('model-picker', ModelPicker);
