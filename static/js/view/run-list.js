/** The list of runs: name, state, progress, how many passed. The last ones first; more on demand. */

import { passedWords, progressWords, stateWords } from '../model/run-table.js';
import { h } from './element.js';
import { sharedWords } from './run-share.js';

/** @import { Run } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const LOOK_AGAIN_MS = 3000;

export class RunList {
  #host;
  #signal;
  #begin = h('button', { type: 'button', class: 'quiet' }, 'New run');
  #rank = h('button', { type: 'button', class: 'quiet' }, 'Leaderboard');
  #list = h('ul', { class: 'run-list', 'aria-label': 'Runs' });
  #none = h('p', { class: 'field-hint', hidden: true }, 'A run asks every prompt of a set of several models, checks the answers, and goes on without this page.');
  #more = h('button', { type: 'button', class: 'quiet', hidden: true }, 'More');
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  /** @type {string | null} */
  #next = null;
  back = null;
  element = h('div', { class: 'run-page' }, h('div', { class: 'run-acts' }, this.#begin, this.#rank), this.#none, this.#list, this.#more);

  /** @param {Host} host @param {AbortSignal} signal */
  constructor(host, signal) {
    this.#host = host;
    this.#signal = signal;
    host.name('Runs');
    this.#begin.addEventListener('click', () => host.begin());
    this.#rank.addEventListener('click', () => host.rank());
    this.#more.addEventListener('click', () => void host.attempt(() => this.#load(this.#next ?? '')));
    void host.attempt(() => this.#load());
  }

  focus() {
    this.#begin.focus();
  }

  // Internal

  async #load(before = '') {
    const { runs, next } = await this.#host.api.list(before);
    if (this.#signal.aborted) return;
    for (const run of runs) this.#render(run);
    if (before || this.#next === null) this.#next = next;
    this.#more.hidden = !this.#next;
    this.#none.hidden = this.#rows.size > 0;
    if (before || !runs.some(({ state }) => state === 'running')) return;
    const timer = setTimeout(() => void this.#host.attempt(() => this.#load()), LOOK_AGAIN_MS);
    this.#signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  }

  /** @param {Run} run */
  #render(run) {
    const words = [stateWords(run), progressWords(run), passedWords(run.targets)].filter(Boolean).join(' · ');
    const row = this.#rows.get(run.id);
    if (row) {
      const last = /** @type {Element} */ (row.querySelector('.run-words'));
      last.textContent = words;
      return;
    }
    const open = h('button', { type: 'button', class: 'run-open' },
      h('span', { class: 'run-name', dir: 'auto' }, run.name || run.set_name),
      h('span', { class: 'run-words' }, words),
      h('span', { class: 'run-words' }, `${run.targets.length} × ${run.prompts.toLocaleString('en')} prompts, ${new Date(run.created * 1000).toLocaleString()}`),
      ...[sharedWords(run)].filter(Boolean).map((shared) => h('span', { class: 'run-words', dir: 'auto' }, shared)));
    open.addEventListener('click', () => this.#host.open(run));
    const made = h('li', {}, open);
    this.#rows.set(run.id, made);
    this.#list.append(made);
  }
}
