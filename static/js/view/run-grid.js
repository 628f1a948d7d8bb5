/**
 * A run as a grid: a row for each prompt, a column for each target, live while it runs.
 *
 * The run comes over the socket; its rows are read as they come into view, and again when it has changed. A row has
 * a place among the prompts that match what is chosen above the grid.
 */

import { followRuns } from '../client/run-following.js';
import { RunSpeech } from '../model/run-speech.js';
import { runWords, targetNames, targetWords } from '../model/run-table.js';
import { h, setText } from './element.js';
import { withCode } from './error-notice.js';
import { GridKeys } from './grid-keys.js';
import { GridRows } from './grid-rows.js';
import { errorText } from './labels.js';
import { RowReader } from './row-reader.js';
import { RunBar } from './run-bar.js';
import { RunFilter } from './run-filter.js';

/** @import { RowChoice, Run } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

/** Events come with every answer. */
const SHOW_EVERY_MS = 200;
const SPEAK_AFTER_MS = 100;

export class RunGrid {
  #host;
  #signal;
  #run;
  #prompt;
  #bar;
  #order;
  #filter;
  /** @type {RowReader} */
  #reader;
  /** @type {GridRows} */
  #rows;
  #keys;
  /** It was deleted: nothing more can be read. */
  #isGone = false;
  /** To be shown in a moment. @type {Run | null} */
  #coming = null;
  /** Of the title; the same one, so that what somebody writes there stays when another name is told. */
  #rename = (/** @type {string} */ name) => void this.#host.attempt(async () => {
    const renamed = await this.#host.api.rename(this.#run.id, name);
    if (!this.#signal.aborted) this.#show(renamed);
  });
  #speech = new RunSpeech();
  /** It changes too often to be read aloud. */
  #status = h('p', { class: 'run-words', role: 'status', 'aria-live': 'off' });
  #spoken = h('p', { class: 'unseen', 'aria-live': 'polite' });
  #error = h('p', { class: 'notice', hidden: true });
  #progress = h('progress', { 'aria-label': 'Answers' });
  #heads = h('div', { class: 'grid-row grid-heads', role: 'row', 'aria-rowindex': 1 });
  #grid = h('div', { class: 'run-grid', role: 'grid', 'aria-label': 'Answers' }, h('div', { role: 'rowgroup', class: 'grid-top' }, this.#heads));
  element;

  /** @param {Host} host @param {AbortSignal} signal @param {Run} run @param {number} [prompt] The one that has the focus. */
  constructor(host, signal, run, prompt) {
    this.#host = host;
    this.#signal = signal;
    this.#run = run;
    this.#prompt = prompt;
    this.#bar = new RunBar(host, signal, (changed) => this.#show(changed));
    this.#order = host.orderOf(run);
    this.#filter = new RunFilter(this.#order, (choice) => this.#choose(choice));
    const order = this.#order;
    this.#reader = new RowReader(host, signal, { run: run.id, order, inView: () => this.#rows.view, came: () => this.#came(), gone: () => this.#end() });
    this.#rows = new GridRows(this.#grid, run, { order, reader: this.#reader, nameOf: host.nameOf });
    this.#grid.append(this.#rows.space);
    this.#keys = new GridKeys(this.#grid, this.#rows, {
      columns: () => this.#run.targets.length + 1,
      open: (place) => this.#open(this.#reader.promptAt(place)),
      openPrompt: (one) => this.#open(one),
    });
    this.element = h('div', { class: 'run-page run-whole' }, this.#bar.element, this.#status, this.#spoken, this.#error, this.#progress, this.#filter.element, this.#grid);
    this.#grid.addEventListener('scroll', () => this.#rows.drawSoon(), { passive: true });
    const sizes = new ResizeObserver(() => this.#rows.resized());
    sizes.observe(this.#grid);
    signal.addEventListener('abort', () => sizes.disconnect());
    this.#show(run);
    this.#follow();
  }

  back = () => this.#host.list();

  focus() {
    if (this.#prompt === undefined) return this.#bar.focus();
    this.#rows.measure();
    this.#keys.go(Math.min(this.#order.placeOf(this.#prompt) ?? 0, Math.max(0, this.#rows.total - 1)), 0);
  }

  // Internal

  /** @param {number | null} prompt */
  #open(prompt) {
    if (prompt !== null) this.#host.ask(this.#run, prompt);
  }

  #follow() {
    const reading = followRuns(this.#host.client, [this.#run.id], { signal: this.#signal });
    reading.on('run', (run) => this.#showSoon(run));
    reading.on('removed', () => this.#end());
    reading.on('end', ({ error }) => error && this.#host.fail(error));
  }

  #end() {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#reader.end();
    this.#host.gone();
  }

  /** @param {Run} run */
  #showSoon(run) {
    const isWaiting = this.#coming !== null;
    this.#coming = run;
    if (!isWaiting) setTimeout(() => this.#coming && this.#show(this.#coming), SHOW_EVERY_MS);
  }

  /** @param {Run} run */
  #show(run) {
    this.#coming = null;
    if (this.#signal.aborted) return;
    this.#run = run;
    this.#host.name(run.name || run.set_name, run.is_mine ? this.#rename : undefined);
    this.#rows.use(run);
    this.#bar.show(run);
    setText(this.#status, runWords(run));
    this.#say(run, this.#showError(run));
    Object.assign(this.#progress, { max: run.total, value: run.answered });
    this.#count();
    this.#grid.setAttribute('aria-colcount', String(run.targets.length + 1));
    this.#showHeads(run);
    this.#reader.refresh();
  }

  /** @param {Run} run @param {string} error */
  #say(run, error) {
    const words = this.#speech.next(run, error, performance.now());
    // Later, as what a region has when it comes into the page is not read aloud.
    if (words) setTimeout(() => setText(this.#spoken, words), SPEAK_AFTER_MS);
  }

  /** Return its words, empty where there is none. @param {Run} run */
  #showError({ error: own, targets }) {
    const names = targetNames(targets, this.#host.nameOf);
    const at = targets.findIndex(({ error }) => error);
    const error = own ?? targets[at]?.error;
    const words = error ? `${own ? '' : `${names[at]}: `}${errorText({ message: error.message, hint: error.hint ?? null })}` : '';
    this.#error.hidden = !words;
    if (this.#error.dataset.words !== words) this.#error.replaceChildren(...withCode(words));
    this.#error.dataset.words = words;
    return words;
  }

  /** @param {Run} run */
  #showHeads(run) {
    const names = targetNames(run.targets, this.#host.nameOf);
    if (this.#heads.children.length !== names.length + 1) {
      this.#grid.style.setProperty('--targets', String(names.length));
      this.#heads.replaceChildren(h('div', { role: 'columnheader' }, 'Prompt'), ...names.map((name) =>
        h('div', { role: 'columnheader' }, h('span', { class: 'grid-name', dir: 'auto', title: name }, name), h('span', { class: 'run-words' }), h('progress', { 'aria-label': name }))));
      this.#rows.resized();
    }
    run.targets.forEach((target, index) => {
      const [, words, progress] = this.#heads.children[index + 1].children;
      setText(words, targetWords(target, run));
      Object.assign(progress, { max: run.prompts * run.repeats, value: target.answered });
    });
  }

  /** @param {RowChoice} choice */
  #choose(choice) {
    this.#order.choose(choice);
    this.#rows.clear();
    this.#reader.restart();
  }

  #came() {
    this.#count();
    return this.#rows.draw();
  }

  #count() {
    this.#filter.count(this.#order, this.#run.prompts);
    const hadFocus = this.#rows.cut();
    if (hadFocus && this.#rows.total > 0) this.#keys.go(this.#rows.total - 1, this.#rows.stop[1]);
  }
}
