/**
 * `<model-picker>`: all models with their states, by the servers they are on; any number can be selected.
 *
 * With more than a few there is a search, which leaves out the rows that lack a word of it. Up and down
 * go from model to model, from the search too. What becomes of a model is told to screen readers
 * once it is settled: how far it has come is on its row.
 *
 * Events, from its rows: `model-choose` with `{id, isChosen}`, `model-start`, `model-stop` and
 * `model-log`; from its groups: `server-use` with `{server}`.
 */

import { PageElement, arrange, h, setText } from './element.js';
import { ModelGroup } from './model-group.js';
import { ModelRow } from './model-row.js';
import { grouped } from './servers.js';
import { hasWords, modelState, sentence } from './words.js';

/** @import { Model, ModelError } from '../client/protocol.js' */
/** @import { Columns } from '../model/columns.js' */

/** As many as are found at a glance. */
const FEW = 5;
/** What was said long ago need not be read again. */
const MAX_HEARD = 5;
const SETTLED = ['stopped', 'ready', 'failed'];
const LOOK_EVERY_MS = 30_000; // "5 min ago" grows older

export class ModelPicker extends PageElement {
  /** @type {Map<string, Model>} */
  #models = new Map();
  /** Made when they are first shown. @type {Map<string, ModelRow>} */
  #rows = new Map();
  /** @type {Map<string, ModelGroup>} */
  #groups = new Map();
  /** @type {Columns | null} */
  #columns = null;
  #isStale = false;
  #count = h('span', { class: 'picker-count' });
  #search = h('input', {
    type: 'search', class: 'picker-search', placeholder: 'Find a model', 'aria-label': 'Find a model', autocomplete: 'off', hidden: true,
  });
  #list = h('div', { class: 'picker-groups' });
  #found = h('p', { class: 'picker-found', role: 'status' });
  #heard = h('div', { class: 'unseen', role: 'log', 'aria-label': 'What becomes of the models' });

  /** @param {Model[]} models */
  set models(models) {
    this.#models = new Map(models.map((model) => [model.id, model]));
    for (const [id, row] of this.#rows) {
      const model = this.#models.get(id);
      if (model) row.model = model;
      else this.#rows.delete(id);
    }
    this.#search.hidden = models.length <= FEW;
    this.#show();
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(h('div', { class: 'picker-head' }, h('h2', {}, 'Models'), this.#count), this.#search, this.#found, this.#list, this.#heard);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#search.addEventListener('input', () => this.#show(), { signal });
    this.addEventListener('group-change', () => this.#show(), { signal });
    this.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    const timer = setInterval(() => {
      for (const one of [...this.#groups.values(), ...this.#rows.values()]) one.refresh();
    }, LOOK_EVERY_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
  }

  // Actions

  /** Take in a model's new state. @param {Model} model */
  update(model) {
    const before = this.#models.get(model.id);
    if (!before) return;
    this.#models.set(model.id, model);
    const row = this.#rows.get(model.id);
    if (row) row.model = model;
    if (model.server || before.server) this.#showSoon(); // it may stand elsewhere now
    if (before.state !== model.state && SETTLED.includes(model.state)) this.#say(`${model.name}: ${modelState(model)}.`, model.error);
  }

  /** Show which models are chosen. @param {Columns} columns */
  choose(columns) {
    this.#columns = columns;
    for (const [id, row] of this.#rows) row.columnCount = columns.of(id).length;
    const chosen = new Set(columns.all.map(({ model }) => model).filter((id) => this.#models.has(id)));
    setText(this.#count, `${chosen.size} of ${this.#models.size}`);
  }

  /** Show what went wrong with a model. @param {string} id @param {ModelError} error */
  showProblem(id, error) {
    const row = this.#rows.get(id);
    row?.showProblem(error);
    if (row?.isExplained) /** @type {ModelGroup | null} */ (row.closest('model-group'))?.refuse(error);
    this.#say('', error);
  }

  /** Show why a server that was found cannot be used. @param {string} server @param {ModelError} error */
  showRefusal(server, error) {
    this.#groups.get(`found ${server}`)?.refuse(error);
    this.#say('', error);
  }

  // Internal

  /** @param {string} words @param {ModelError | null} error */
  #say(words, error) {
    this.#heard.append(h('p', {}, [words, error && sentence(error.message)].filter(Boolean).join(' ')));
    while (this.#heard.childElementCount > MAX_HEARD) this.#heard.firstElementChild?.remove();
  }

  /** @param {string} id */
  #row(id) {
    let row = this.#rows.get(id);
    if (!row) {
      row = new ModelRow(/** @type {Model} */ (this.#models.get(id)));
      row.columnCount = this.#columns?.of(id).length ?? 0;
      this.#rows.set(id, row);
    }
    return row;
  }

  /** A server that goes away takes many models with it, in one frame. */
  #showSoon() {
    if (this.#isStale) return;
    this.#isStale = true;
    queueMicrotask(() => this.#show());
  }

  #show() {
    this.#isStale = false;
    const words = this.#search.hidden ? [] : this.#search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const models = [...this.#models.values()].filter((model) => hasWords(model, words));
    const groups = grouped(models);
    arrange(this.#list, groups.map((group) => {
      const element = this.#groups.get(group.key) ?? new ModelGroup();
      this.#groups.set(group.key, element);
      return element;
    }));
    for (const group of groups) this.#groups.get(group.key)?.show(group, (id) => this.#row(id));
    const found = models.length === 0 ? 'No model has all these words.' : `${models.length} of ${this.#models.size} models`;
    setText(this.#found, words.length > 0 ? found : '');
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key === 'Escape' && event.target === this.#search && this.#search.value) {
      event.stopPropagation(); // it is not meant for the answers
      this.#search.value = '';
      this.#show();
    }
    if (!['ArrowDown', 'ArrowUp'].includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const rows = /** @type {ModelRow[]} */ ([...this.#list.querySelectorAll('model-row')]);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const to = event.key === 'ArrowDown' ? at + 1 : at - 1;
    if (to >= 0) rows[Math.min(to, rows.length - 1)]?.focus();
    else if (!this.#search.hidden) this.#search.focus();
  }
}

customElements.define('model-picker', ModelPicker);
