/** The kept prompt sets: name, prompts, versions, tags. Searched by name and tag, opened to be changed. */

import { counted, setWords, setsWith } from '../model/prompt-sets.js';
import { h, setText } from './element.js';

/** @import { PromptSet } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

export class SetList {
  #host;
  #focused;
  /** @type {PromptSet[]} */
  #sets = [];
  #search = h('input', { type: 'search', 'aria-label': 'Search kept sets', placeholder: 'Search', autocomplete: 'off' });
  #count = h('span', { class: 'run-words', 'aria-live': 'polite' });
  #none = h('p', { class: 'field-hint', hidden: true }, 'The prompts of every run are kept here, to be asked again, changed and saved as files.');
  #list = h('ul', { class: 'run-list', 'aria-label': 'Prompt sets' });
  element = h('div', { class: 'run-page' }, h('div', { class: 'run-acts run-filter' }, this.#search, this.#count), this.#none, this.#list);

  /** @param {Host} host @param {AbortSignal} signal @param {string} [focused] The set that has the focus. */
  constructor(host, signal, focused) {
    this.#host = host;
    this.#focused = focused;
    host.name('Prompt sets');
    this.#search.addEventListener('input', () => this.#show());
    void host.attempt(async () => {
      const { sets } = await host.api.sets();
      if (signal.aborted) return;
      this.#sets = sets;
      this.#show();
      this.#focusItem();
    });
  }

  back = () => this.#host.list();

  focus() {
    this.#search.focus();
  }

  /** @param {string} id */
  kept(id) {
    this.#focused = id;
    this.#show();
    this.#focusItem();
  }

  // Internal

  #focusItem() {
    this.#list.querySelector('.is-focused')?.querySelector('button')?.focus();
  }

  #show() {
    const kept = this.#sets.filter(({ id }) => !this.#host.isRemoved(id));
    const found = setsWith(kept, this.#search.value);
    this.#none.hidden = kept.length > 0;
    setText(this.#count, this.#search.value ? `${found.length.toLocaleString('en')} of ${counted(kept.length, 'set')}` : '');
    this.#list.replaceChildren(...found.map((set) => this.#item(set)));
  }

  /** @param {PromptSet} set */
  #item(set) {
    const { id, name, tags, updated } = set;
    const open = h('button', { type: 'button', class: 'run-open' },
      h('span', { class: 'run-name', dir: 'auto' }, name),
      h('span', { class: 'run-words' }, setWords(set)),
      ...(tags.length ? [h('span', { class: 'run-words', dir: 'auto' }, tags.join(', '))] : []),
      h('span', { class: 'run-words' }, new Date(updated * 1000).toLocaleString()));
    open.addEventListener('click', () => this.#host.change(set));
    const begin = h('button', { type: 'button', class: 'quiet', 'aria-label': `New run with ${name}` }, 'New run');
    begin.addEventListener('click', () => this.#host.begin({ set: id }));
    return h('li', { class: `set-line${id === this.#focused ? ' is-focused' : ''}` }, open, begin);
  }
}
