/**
 * `<model-picker>`: all models with their states; any number can be selected.
 *
 * With more than a few there is a search, which hides the rows that lack a word of it. Up and down
 * go from model to model, from the search too. What becomes of a model is told to screen readers
 * once it is settled: how far it has come is on its row.
 *
 * Events, from its rows: `model-choose` with `{id, isChosen}`, `model-start`, `model-stop` and
 * `model-log`.
 */

import { PageElement, h, setText } from './element.js';
import { ModelRow } from './model-row.js';
import { modelState, sentence } from './words.js';

/** @import { Model, ModelError } from '../client/protocol.js' */
/** @import { Columns } from '../model/columns.js' */

/** As many as are found at a glance. */
const FEW = 5;
/** What was said long ago need not be read again. */
const MAX_HEARD = 5;
const SETTLED = ['stopped', 'ready', 'failed'];

export class ModelPicker extends PageElement {
  /** @type {Map<string, ModelRow>} */
  #rows = new Map();
  #count = h('span', { class: 'picker-count' });
  #search = h('input', {
    type: 'search', class: 'picker-search', placeholder: 'Find a model', 'aria-label': 'Find a model', autocomplete: 'off', hidden: true,
  });
  #list = h('div', { class: 'picker-list', role: 'list' });
  #found = h('p', { class: 'picker-found', role: 'status' });
  #heard = h('div', { class: 'unseen', role: 'log', 'aria-label': 'What becomes of the models' });

  /** @param {Model[]} models */
  set models(models) {
    const rows = models.map((model) => {
      const row = this.#rows.get(model.id) ?? new ModelRow(model);
      row.model = model;
      return row;
    });
    this.#rows = new Map(rows.map((row) => [row.model.id, row]));
    this.#list.replaceChildren(...rows);
    this.#search.hidden = models.length <= FEW;
    this.#filter();
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(h('div', { class: 'picker-head' }, h('h2', {}, 'Models'), this.#count), this.#search, this.#found, this.#list, this.#heard);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#search.addEventListener('input', () => this.#filter(), { signal });
    this.addEventListener('keydown', (event) => this.#pressed(event), { signal });
  }

  // Actions

  /** Take in a model's new state. @param {Model} model */
  update(model) {
    const row = this.#rows.get(model.id);
    if (!row) return;
    const isNew = row.model.state !== model.state && SETTLED.includes(model.state);
    row.model = model;
    if (isNew) this.#say(`${model.name}: ${modelState(model)}.`, model.error);
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
    this.#say('', error);
  }

  // Internal

  /** @param {string} words @param {ModelError | null} error */
  #say(words, error) {
    this.#heard.append(h('p', {}, [words, error && sentence(error.message)].filter(Boolean).join(' ')));
    while (this.#heard.childElementCount > MAX_HEARD) this.#heard.firstElementChild?.remove();
  }

  #filter() {
    const words = this.#search.hidden ? [] : this.#search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of this.#rows.values()) {
      row.hidden = !row.has(words);
      if (!row.hidden) shown += 1;
    }
    const found = shown === 0 ? 'No model has all these words.' : `${shown} of ${this.#rows.size} models`;
    setText(this.#found, words.length > 0 ? found : '');
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key === 'Escape' && event.target === this.#search && this.#search.value) {
      event.stopPropagation(); // it is not meant for the answers
      this.#search.value = '';
      this.#filter();
    }
    if (!['ArrowDown', 'ArrowUp'].includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const rows = [...this.#rows.values()].filter(({ hidden }) => !hidden);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const to = event.key === 'ArrowDown' ? at + 1 : at - 1;
    if (to >= 0) rows[Math.min(to, rows.length - 1)]?.focus();
    else if (!this.#search.hidden) this.#search.focus();
  }
}

customElements.define('model-picker', ModelPicker);
