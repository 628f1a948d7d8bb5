/** Above the grid of a run: which prompts are shown, in which order, and with which text. */

import { SHOWN, SORTED, matchingWords } from '../model/run-order.js';
import { h, setText } from './element.js';

/** @import { RowChoice } from '../client/runs.js' */
/** @import { RunOrder } from '../model/run-order.js' */

export class RunFilter {
  #choose;
  #isSaid = true;
  #show = h('select', { 'aria-label': 'Show' }, ...options(SHOWN));
  #sort = h('select', { 'aria-label': 'Sort' }, ...options(SORTED));
  #search = h('input', { type: 'search', 'aria-label': 'Search prompts and answers', placeholder: 'Search', maxlength: 200, autocomplete: 'off', dir: 'auto' });
  #count = h('span', { class: 'run-words', 'aria-live': 'polite' });
  element = h('div', { class: 'run-acts run-filter', role: 'search', 'aria-label': 'Prompts' }, this.#show, this.#sort, this.#search, this.#count);

  /** @param {RunOrder} order As it was left. @param {(choice: RowChoice) => void} choose */
  constructor({ choice }, choose) {
    this.#choose = choose;
    Object.assign(this.#show, { value: choice.show });
    Object.assign(this.#sort, { value: choice.sort });
    this.#search.value = choice.search;
    // At each letter: rows are read one request at a time, the last words next.
    for (const field of [this.#show, this.#sort, this.#search]) field.addEventListener('input', () => this.#changed());
    this.#search.addEventListener('keydown', (event) => this.#pressed(event));
  }

  // Actions

  /** Show how many match; said aloud once for each choice, not with every answer that comes. @param {RunOrder} order @param {number} total */
  count(order, total) {
    if (order.matching === null) return;
    this.#count.setAttribute('aria-live', this.#isSaid ? 'off' : 'polite');
    setText(this.#count, matchingWords(order, total));
    this.#isSaid = true;
  }

  // Internal

  #changed() {
    this.#isSaid = false;
    this.#choose({
      show: /** @type {RowChoice['show']} */ (this.#show.value),
      sort: /** @type {RowChoice['sort']} */ (this.#sort.value),
      search: this.#search.value,
    });
  }

  /** Escape first empties the field. @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== 'Escape' || !this.#search.value) return;
    event.preventDefault();
    event.stopPropagation();
    this.#search.value = '';
    this.#changed();
  }
}

/** @param {[string, string][]} choices */
function options(choices) {
  return choices.map(([value, words]) => h('option', { value }, words));
}
