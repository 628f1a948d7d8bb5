/**
 * `<model-picker>`: all models with their states, in groups; any number can be chosen, or one if `isSingle`.
 *
 * With more than `FEW` models there is a search for rows that have all the words, and those that are chosen
 * come first; while something is looked for, those that are named so come first. While the pointer or the focus is in the list no row goes to another place because it was chosen
 * or started. Rows are made as they come into view.
 *
 * The list is a grid with one Tab stop: the arrow keys go to other rows and to a row's buttons, Space chooses,
 * letters go to the search, where Enter chooses the only one that is found. Screen readers hear final states only; the progress is on the row.
 *
 * Events: `model-choose` with `{id, isChosen}`; `model-card`, `model-start`, `model-stop` and `model-log` with
 * `{id}`; `shortlists-open`; from its groups `server-use` with `{server}`.
 */

import { PageElement, arrange, h, setText } from './element.js';
import { ModelGroup } from './model-group.js';
import { ModelRow } from './model-row.js';
import { grouped } from './servers.js';
import { isNamed, isRunning, matches, modelState, sentence } from './labels.js';

/** @import { Model, ModelError } from '../client/protocol.js' */
/** @import { Columns } from '../model/columns.js' */

/** Few enough to find one at a glance. */
const FEW = 5;
/** So many rows are made at once: a screen of them. */
const PAGE = 30;
/** Older announcements need not be read again. */
const MAX_HEARD = 5;
const SETTLED = ['stopped', 'ready', 'failed'];
const LOOK_EVERY_MS = 30_000; // for "5 min ago"

export class ModelPicker extends PageElement {
  /** Whether one model is chosen, and not several. */
  isSingle = false;
  /** @type {Map<string, Model>} */
  #models = new Map();
  /** Created when first shown. @type {Map<string, ModelRow>} */
  #rows = new Map();
  /** @type {Map<string, ModelGroup>} */
  #groups = new Map();
  /** @type {Pick<Columns, 'all' | 'of'> | null} */
  #columns = null;
  /** What stands in groups of its own, as it was when the list was last put in order. */
  #special = { chosen: new Set(/** @type {string[]} */ ([])), running: new Set(/** @type {string[]} */ ([])) };
  /** It is shown in a moment. */
  #isDue = false;
  /** Rows wait to go to their places. */
  #isLate = false;
  /** The list's one Tab stop. @type {HTMLElement | null} */
  #stop = null;
  #limit = PAGE;
  /** @type {IntersectionObserver | null} */
  #sight = null;
  #count = h('span', { class: 'picker-count' });
  #lists = h('button', { type: 'button', class: 'model-action', title: 'Save what is chosen by a name, and choose it again' }, 'Shortlists');
  #search = h('input', {
    type: 'search', class: 'picker-search', placeholder: 'Find a model', 'aria-label': 'Find a model', autocomplete: 'off',
  });
  #list = h('div', { class: 'picker-groups', role: 'grid', 'aria-label': 'Models' });
  #end = h('div', {});
  #found = h('p', { class: 'picker-found', role: 'status' });
  /** What is to be heard. @type {string[]} */
  #news = [];
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
    this.#lists.hidden = this.#search.hidden || this.isSingle;
    this.#show();
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(h('div', { class: 'picker-head' },
      h('div', { class: 'picker-tools' }, h('h2', { class: 'unseen' }, 'Models'), this.#count, this.#lists, ...this.children),
      this.#search, this.#found), this.#list, this.#end, this.#heard);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#search.addEventListener('input', () => this.#searched(), { signal });
    this.#lists.addEventListener('click', () => this.announce('shortlists-open'), { signal });
    this.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    this.#list.addEventListener('change', ({ target }) => this.#tell('model-choose', target, { isChosen: /** @type {HTMLInputElement} */ (target).checked }), { signal });
    this.#list.addEventListener('click', ({ target }) => {
      const button = /** @type {Element} */ (target).closest('button');
      if (button?.dataset.act) this.#tell(button.dataset.act, button);
    }, { signal });
    this.#list.addEventListener('focusin', ({ target }) => this.#stopAt(/** @type {HTMLElement} */ (target)), { signal });
    this.#list.addEventListener('pointerleave', () => this.#isLate && this.#showSoon(), { signal });
    this.#list.addEventListener('focusout', ({ relatedTarget }) => {
      if (this.#isLate && !this.#list.contains(/** @type {Node | null} */ (relatedTarget))) this.#showSoon();
    }, { signal });
    const sight = (this.#sight = new IntersectionObserver((seen) => seen.at(-1)?.isIntersecting && this.#grow(), { root: this, rootMargin: '2000px' }));
    sight.observe(this.#end);
    const timer = setInterval(() => {
      for (const one of [...this.#groups.values(), ...this.#rows.values()]) one.refresh();
    }, LOOK_EVERY_MS);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      sight.disconnect();
    });
  }

  // Actions

  /** @override */
  focus() {
    if (this.#search.hidden) this.#stop?.focus();
    else this.#search.focus();
  }

  /** Show a model's new state. @param {Model} model */
  update(model) {
    const before = this.#models.get(model.id);
    if (!before) return;
    this.#models.set(model.id, model);
    const row = this.#rows.get(model.id);
    if (row) row.model = model;
    // Its group may have changed.
    if (model.server || before.server || isRunning(model) !== isRunning(before)) this.#showSoon();
    else if (row) this.#keepStop();
    if (before.state !== model.state && SETTLED.includes(model.state)) this.#say(`${model.name}: ${modelState(model)}.`, model.error);
  }

  /** Show which models are chosen. @param {Pick<Columns, 'all' | 'of'>} columns */
  choose(columns) {
    this.#columns = columns;
    for (const [id, row] of this.#rows) row.columnCount = columns.of(id).length;
    const chosen = this.#chosen;
    setText(this.#count, `${chosen.size} of ${this.#models.size}`);
    if ([...chosen].join() !== [...this.#special.chosen].join()) this.#showSoon();
  }

  /** Show what went wrong with a model. @param {string} id @param {ModelError} error */
  showProblem(id, error) {
    const row = this.#rows.get(id);
    row?.showProblem(error);
    if (row?.isExplained) /** @type {ModelGroup | null} */ (row.closest('model-group'))?.refuse(error);
    this.#say('', error);
  }

  /** Show why a discovered server cannot be used. @param {string} server @param {ModelError} error */
  showRefusal(server, error) {
    this.#groups.get(`found ${server}`)?.refuse(error);
    this.#say('', error);
  }

  // Internal

  get #chosen() {
    return new Set(this.#columns?.all.map(({ model }) => model).filter((id) => this.#models.has(id)));
  }

  /** @param {string} words @param {ModelError | null} error */
  #say(words, error) {
    // Many models may change at once.
    if (this.#news.push([words, error && sentence(error.message)].filter(Boolean).join(' ')) > 1) return;
    queueMicrotask(() => {
      this.#heard.append(...this.#news.splice(0).slice(-MAX_HEARD).map((text) => h('p', {}, text)));
      while (this.#heard.childElementCount > MAX_HEARD) this.#heard.firstElementChild?.remove();
    });
  }

  /** @param {string} type @param {EventTarget | null} target Something in the model's row. @param {object} [more] */
  #tell(type, target, more) {
    const row = /** @type {ModelRow | null | undefined} */ (/** @type {Element} */ (target).closest('model-row'));
    if (row) this.announce(type, { id: row.model.id, ...more });
  }

  /** @param {string} id */
  #row(id) {
    let row = this.#rows.get(id);
    if (!row) {
      row = new ModelRow(/** @type {Model} */ (this.#models.get(id)), this.isSingle);
      row.columnCount = this.#columns?.of(id).length ?? 0;
      this.#rows.set(id, row);
    }
    return row;
  }

  /** Many models change at once when their server goes away. */
  #showSoon() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => this.#show());
  }

  #searched() {
    this.#limit = PAGE;
    this.scrollTop = 0;
    this.#show();
  }

  #grow() {
    if (this.#limit >= this.#models.size) return;
    this.#limit += PAGE;
    this.#show();
  }

  #show() {
    this.#isDue = false;
    this.#isLate = this.#list.matches(':hover, :focus-within');
    if (!this.#isLate) this.#special = { chosen: this.#chosen, running: new Set([...this.#models.values()].filter(isRunning).map(({ id }) => id)) };
    const words = this.#search.hidden ? [] : this.#search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [...this.#models.values()].filter((model) => matches(model, words));
    const named = new Set(words.length > 0 ? found.filter((model) => isNamed(model, words)) : []);
    const models = [...named, ...found.filter((model) => !named.has(model))];
    let left = this.#limit;
    const groups = grouped(models, this.#search.hidden ? undefined : this.#special)
      .sort((a, b) => Number(named.has(b.models[0])) - Number(named.has(a.models[0])));
    arrange(this.#list, groups.flatMap((group) => {
      if (left <= 0) return [];
      const element = this.#groups.get(group.key) ?? new ModelGroup();
      this.#groups.set(group.key, element);
      element.show(group, group.models.slice(0, left).map(({ id }) => this.#row(id)));
      left -= group.models.length;
      return [element];
    }));
    const count = models.length === 0 ? 'No model has all these words.' : `${models.length} of ${this.#models.size} models`;
    setText(this.#found, words.length > 0 ? count : '');
    this.#keepStop();
    if (models.length <= this.#limit) return;
    this.#sight?.unobserve(this.#end); // so that it is told again if the end is still in sight
    this.#sight?.observe(this.#end);
  }

  // The keyboard

  /** Make this the Tab stop. @param {HTMLElement | undefined} control */
  #stopAt(control) {
    if (!control) return;
    if (this.#stop) this.#stop.tabIndex = -1;
    this.#stop = control;
    control.tabIndex = 0;
  }

  /** Have a Tab stop, also when the former one is gone. */
  #keepStop() {
    if (this.#stop && this.#list.contains(this.#stop) && !this.#stop.closest('[hidden], :disabled')) return;
    this.#stopAt(/** @type {HTMLElement | null} */ (this.#list.querySelector('input:enabled, button:not([hidden])')) ?? undefined);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { altKey, ctrlKey, key, metaKey } = event;
    const target = /** @type {HTMLElement} */ (event.target);
    const isInList = this.#list.contains(target);
    const isSearch = target === this.#search;
    if (key === 'Escape' && (isSearch || isInList) && this.#search.value) {
      event.stopPropagation(); // it must not stop the answers, nor close a dialog
      event.preventDefault();
      this.#search.value = '';
      this.#searched();
      this.#search.focus();
    }
    if (key === 'Enter' && isSearch) this.#chooseOnly();
    if (altKey || ctrlKey || metaKey || !(isInList || (isSearch && key === 'ArrowDown'))) return;
    if (/^\p{L}$/u.test(key) && !this.#search.hidden) return this.#search.focus(); // which gets the letter
    if (key === 'Enter' && target instanceof HTMLInputElement) target.click();
    else if (!this.#go(key, target.closest('[role=row]'), target)) return;
    event.preventDefault();
  }

  #chooseOnly() {
    const [only, ...more] = this.#list.querySelectorAll('input');
    if (!only || more.length > 0) return;
    if (!only.checked) only.click();
    this.#search.select(); // for the next
  }

  /** Go where a key leads, and tell whether it leads anywhere. @param {string} key @param {Element | null} row @param {HTMLElement} from */
  #go(key, row, from) {
    const controls = controlsOf(row);
    const place = Math.max(0, controls.indexOf(from));
    const aside = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (aside) controls[place + aside * (getComputedStyle(this).direction === 'rtl' ? -1 : 1)]?.focus();
    if (aside) return true;
    const down = { ArrowUp: -1, ArrowDown: 1, Home: 1, End: -1 }[key];
    if (!down) return false;
    const rows = [...this.#list.querySelectorAll('[role=row]')];
    let at = key === 'Home' ? 0 : key === 'End' ? rows.length - 1 : row ? rows.indexOf(row) + down : 0;
    while (rows[at] && !controlsOf(rows[at]).length) at += down;
    const next = controlsOf(rows[at] ?? null);
    if (next.length) next[Math.min(place, next.length - 1)].focus();
    else if (key === 'ArrowUp' && !this.#search.hidden) this.#search.focus();
    return true;
  }
}

/** What can have the focus in a row. @param {Element | null} row */
function controlsOf(row) {
  const all = /** @type {HTMLElement[]} */ ([...row?.querySelectorAll('input:enabled, button') ?? []]);
  return all.filter(({ offsetParent }) => offsetParent);
}

customElements.define('model-picker', ModelPicker);
