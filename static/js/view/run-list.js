/** The list of runs, live: name, state, progress, how many passed. The last ones first; more on demand. */

import { followRuns } from '../client/run-following.js';
import { counted } from '../model/prompt-sets.js';
import { judgingWords } from '../model/run-judges.js';
import { runWords } from '../model/run-table.js';
import { h, setText } from './element.js';
import { sharedWords } from './run-share.js';

/** @import { Run } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

export class RunList {
  #host;
  #signal;
  #begin = h('button', { type: 'button', class: 'quiet' }, 'New run');
  #rank = h('button', { type: 'button', class: 'quiet' }, 'Leaderboard');
  #sets = h('button', { type: 'button', class: 'quiet' }, 'Prompt sets');
  #list = h('ul', { class: 'run-list', 'aria-label': 'Runs' });
  #none = h('p', { class: 'field-hint', hidden: true }, 'A run asks every prompt of a set of several models, checks the answers, and goes on without this page.');
  #more = h('button', { type: 'button', class: 'quiet', hidden: true }, 'More');
  /** @type {Map<string, {run: Run, row: HTMLElement}>} */
  #rows = new Map();
  /** What the socket told, which is newer than what is read; null of a run that was deleted. @type {Map<string, Run | null>} */
  #told = new Map();
  #isRead = false;
  /** @type {string | null} */
  #next = null;
  back = null;
  element = h('div', { class: 'run-page' }, h('div', { class: 'run-acts' }, this.#begin, this.#sets, this.#rank), this.#none, this.#list, this.#more);

  /** @param {Host} host @param {AbortSignal} signal */
  constructor(host, signal) {
    this.#host = host;
    this.#signal = signal;
    host.name('Runs');
    this.#begin.addEventListener('click', () => host.begin());
    this.#rank.addEventListener('click', () => host.rank());
    this.#sets.addEventListener('click', () => host.sets());
    this.#more.addEventListener('click', () => void host.attempt(() => this.#load(this.#next ?? '')));
    this.#follow();
    void host.attempt(() => this.#load());
  }

  focus() {
    this.#begin.focus();
  }

  /** @param {string} id */
  kept(id) {
    void this.#host.attempt(async () => {
      await this.#load();
      this.#rows.get(id)?.row.querySelector('button')?.focus();
    });
  }

  // Internal

  #follow() {
    const reading = followRuns(this.#host.client, null, { signal: this.#signal });
    reading.on('run', (run) => {
      this.#told.set(run.id, run);
      if (this.#isRead) this.#show(run);
    });
    reading.on('removed', (id) => {
      this.#told.set(id, null);
      this.#remove(id);
    });
    reading.on('end', ({ error }) => error && this.#host.fail(error));
  }

  async #load(before = '') {
    const { runs, next } = await this.#host.api.list(before);
    if (this.#signal.aborted) return;
    this.#isRead = true;
    this.#next = next;
    for (const run of runs) this.#render(run);
    for (const run of this.#told.values()) if (run) this.#show(run);
    this.#showEnds();
  }

  /** Show what the socket told, unless it is further down than what was read. @param {Run} run */
  #show(run) {
    const isBelow = [...this.#rows.values()].every((known) => known.run.created > run.created);
    if (isBelow && this.#next) return;
    this.#render(run);
    this.#showEnds();
  }

  #showEnds() {
    this.#more.hidden = !this.#next;
    this.#none.hidden = this.#rows.size > 0;
  }

  /** @param {string} id */
  #remove(id) {
    const row = this.#rows.get(id)?.row;
    if (!row) return;
    const hadFocus = row.contains(document.activeElement);
    row.remove();
    this.#rows.delete(id);
    this.#showEnds();
    if (hadFocus) this.focus();
  }

  /** @param {Run} read */
  #render(read) {
    const run = this.#told.has(read.id) ? this.#told.get(read.id) : read;
    if (!run || this.#host.isRemoved(run.id)) return;
    const row = this.#rows.get(run.id)?.row ?? this.#made(run);
    this.#rows.set(run.id, { run, row });
    const words = [runWords(run), judgingWords(run.judges)].filter(Boolean).join(' · ');
    setText(/** @type {Element} */ (row.querySelector('.run-name')), run.name || run.set_name);
    setText(/** @type {Element} */ (row.querySelector('.run-words')), words);
    const shared = /** @type {HTMLElement} */ (row.querySelector('.run-shared'));
    setText(shared, sharedWords(run));
    shared.hidden = !shared.textContent;
  }

  /** @param {Run} run */
  #made({ id, created, targets, prompts }) {
    const open = h('button', { type: 'button', class: 'run-open' },
      h('span', { class: 'run-name', dir: 'auto' }),
      h('span', { class: 'run-words' }),
      h('span', { class: 'run-words' }, `${targets.length} × ${counted(prompts, 'prompt')}, ${new Date(created * 1000).toLocaleString()}`),
      h('span', { class: 'run-words run-shared', dir: 'auto', hidden: true }));
    open.addEventListener('click', () => {
      const known = this.#rows.get(id);
      if (known) this.#host.open(known.run);
    });
    const row = h('li', {}, open);
    const older = [...this.#rows.values()].filter((known) => known.run.created < created);
    const [after] = older.sort((one, other) => other.run.created - one.run.created);
    this.#list.insertBefore(row, after?.row ?? null);
    return row;
  }
}
