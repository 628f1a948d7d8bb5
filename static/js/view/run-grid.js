/**
 * A run as a grid: a row for each prompt, a column for each target, live while it runs.
 *
 * Rows have one height and are made as they come into view, so that thousands cost what a screen of them
 * costs. A row has a place among the prompts that match what is chosen above the grid. The run comes over the socket;
 * the rows in view are read again at most twice a second. One cell is the Tab stop, the arrow keys go to others,
 * Enter opens the prompt of one.
 */

import { SidestreamError } from '../client/protocol.js';
import { followRuns } from '../client/run-following.js';
import { isOver, passedWords, progressWords, rowsInView, slots, stateWords, targetNames, targetWords } from '../model/run-table.js';
import { h, setText } from './element.js';
import { withCode } from './error-notice.js';
import { errorText } from './labels.js';
import { RunBar } from './run-bar.js';
import { gridCell } from './run-cell.js';
import { RunFilter } from './run-filter.js';

/** @import { Row, RowChoice, Run } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const READ_EVERY_MS = 500;
/** Events come with every answer. */
const SHOW_EVERY_MS = 200;
/** So many rows are read at once, at most. */
const MOST_ROWS = 100;
const MORE_ROWS = 6;

export class RunGrid {
  #host;
  #signal;
  #run;
  #prompt;
  #bar;
  #order;
  #filter;
  /** By place. @type {Map<number, Row>} */
  #known = new Map();
  /** Places that were read since the run has changed. @type {Set<number>} */
  #fresh = new Set();
  /** @type {Map<number, HTMLElement>} */
  #rows = new Map();
  #rowHeight = 0;
  /** Where the focus is, or would be: row, column; 0 is the prompt. */
  #at = [0, 0];
  #isReading = false;
  #isDue = false;
  /** The next request does not wait for the rest. */
  #isHurried = false;
  #isDrawn = false;
  /** It was deleted: nothing more can be read. */
  #isGone = false;
  /** To be shown in a moment. @type {Run | null} */
  #coming = null;
  /** End the rest between two requests. */
  #wake = () => {};
  #status = h('p', { class: 'run-words', role: 'status' });
  #error = h('p', { class: 'notice', hidden: true });
  #progress = h('progress', { 'aria-label': 'Answers' });
  #heads = h('div', { class: 'grid-row grid-heads', role: 'row', 'aria-rowindex': 1 });
  #space = h('div', { class: 'grid-space', role: 'rowgroup' });
  #grid = h('div', { class: 'run-grid', role: 'grid', 'aria-label': 'Answers' }, h('div', { role: 'rowgroup', class: 'grid-top' }, this.#heads), this.#space);
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
    this.#name(run);
    this.element = h('div', { class: 'run-page run-whole' }, this.#bar.element, this.#status, this.#error, this.#progress, this.#filter.element, this.#grid);
    this.#grid.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#grid.addEventListener('keydown', (event) => this.#pressed(event));
    this.#grid.addEventListener('click', ({ target }) => this.#clicked(target));
    const sizes = new ResizeObserver(() => this.#resized());
    sizes.observe(this.#grid);
    signal.addEventListener('abort', () => sizes.disconnect());
    this.#show(run);
    this.#follow();
  }

  back = () => this.#host.list();

  focus() {
    if (this.#prompt === undefined) return this.#bar.focus();
    this.#measure();
    this.#go(Math.min(this.#order.placeOf(this.#prompt) ?? 0, Math.max(0, this.#total - 1)), 0);
  }

  // Internal

  /** @param {Run} run */
  #name(run) {
    const title = run.name || run.set_name;
    if (!run.is_mine) return this.#host.name(title);
    this.#host.name(title, (name) => void this.#host.attempt(async () => {
      const renamed = await this.#host.api.rename(run.id, name);
      if (this.#signal.aborted) return;
      this.#name(renamed);
      this.#show(renamed);
    }));
  }

  #follow() {
    const reading = followRuns(this.#host.client, [this.#run.id], { signal: this.#signal });
    reading.on('run', (run) => this.#showSoon(run));
    reading.on('removed', () => this.#end());
    reading.on('end', ({ error }) => error && this.#host.fail(error));
  }

  #end() {
    if (this.#bar.isDeleting || this.#isGone) return;
    this.#isGone = true;
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
    this.#fresh.clear();
    this.#bar.show(run);
    setText(this.#status, [stateWords(run), progressWords(run), passedWords(run.targets)].filter(Boolean).join(' · '));
    this.#showError(run);
    Object.assign(this.#progress, { max: run.total, value: run.answered });
    this.#count();
    this.#grid.setAttribute('aria-colcount', String(run.targets.length + 1));
    this.#showHeads(run);
    void this.#read();
  }

  /** @param {Run} run */
  #showError({ error: own, targets }) {
    const names = targetNames(targets, this.#host.nameOf);
    const at = targets.findIndex(({ error }) => error);
    const error = own ?? targets[at]?.error;
    const words = error ? `${own ? '' : `${names[at]}: `}${errorText({ message: error.message, hint: error.hint ?? null })}` : '';
    this.#error.hidden = !words;
    if (this.#error.dataset.words !== words) this.#error.replaceChildren(...withCode(words));
    this.#error.dataset.words = words;
  }

  /** @param {Run} run */
  #showHeads(run) {
    const names = targetNames(run.targets, this.#host.nameOf);
    if (this.#heads.children.length !== names.length + 1) {
      this.#grid.style.setProperty('--targets', String(names.length));
      this.#heads.replaceChildren(h('div', { role: 'columnheader' }, 'Prompt'), ...names.map((name) =>
        h('div', { role: 'columnheader' }, h('span', { class: 'grid-name', dir: 'auto', title: name }, name), h('span', { class: 'run-words' }), h('progress', { 'aria-label': name }))));
      if (this.#rows.size) this.#resized(); // rows are as high as there are targets where the page is narrow
    }
    run.targets.forEach((target, index) => {
      const [, words, progress] = this.#heads.children[index + 1].children;
      setText(words, targetWords(target, run));
      Object.assign(progress, { max: run.prompts * run.repeats, value: target.answered });
    });
  }

  /** Read the rows in view, one request at a time. */
  async #read() {
    this.#isDue = true;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#isDue && !this.#isGone && !this.#signal.aborted) {
      this.#isDue = this.#isHurried = false;
      const [first, end] = this.#view;
      await this.#host.read(async () => {
        const { choice } = this.#order;
        const read = await this.#rowsOf(first, Math.min(MOST_ROWS, Math.max(1, end - first)), choice);
        if (!read) return;
        const { rows, matching } = read;
        if (this.#signal.aborted || choice !== this.#order.choice) return;
        this.#order.note(first, rows, matching);
        rows.forEach((row, index) => {
          this.#known.set(first + index, row);
          this.#fresh.add(first + index);
        });
        this.#count();
        const [from, to] = this.#draw();
        // More match than before: rows have come into view that were not asked for.
        for (let index = from; index < to; index += 1) if (!this.#known.has(index)) this.#isDue = true;
      });
      if (!this.#isHurried) await new Promise((resolve) => {
        this.#wake = () => resolve(undefined);
        setTimeout(resolve, READ_EVERY_MS);
      });
    }
    this.#isReading = false;
  }

  /** Null of a run that was deleted. @param {number} first @param {number} limit @param {RowChoice} choice */
  async #rowsOf(first, limit, choice) {
    try {
      return await this.#host.api.rows(this.#run.id, first, limit, choice);
    } catch (error) {
      if (!(error instanceof SidestreamError) || error.code !== 'unknown_run') throw error;
      this.#end();
      return null;
    }
  }

  /** @param {RowChoice} choice */
  #choose(choice) {
    this.#order.choose(choice);
    this.#known.clear();
    this.#fresh.clear();
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.#at = [0, this.#at[1]];
    this.#grid.scrollTop = 0;
    this.#readNow();
  }

  /** How many rows there are, as far as that is known. */
  get #total() {
    return this.#order.matching ?? this.#run.prompts;
  }

  #count() {
    this.#filter.count(this.#order, this.#run.prompts);
    this.#grid.setAttribute('aria-rowcount', String(this.#total + 1));
    this.#space.style.height = `${this.#total * this.#rowHeight}px`;
    let hadFocus = false;
    for (const [index, row] of this.#rows) {
      if (index < this.#total) continue;
      hadFocus ||= row.contains(document.activeElement);
      row.remove();
      this.#rows.delete(index);
    }
    for (const index of this.#known.keys()) if (index >= this.#total) this.#known.delete(index);
    if (hadFocus && this.#total > 0) this.#go(this.#total - 1, this.#at[1]);
  }

  #readNow() {
    this.#isHurried = true;
    void this.#read();
    this.#wake();
  }

  /** @returns {[number, number]} */
  get #view() {
    const { clientHeight, scrollTop } = this.#grid;
    if (!this.#rowHeight) return [0, Math.min(MOST_ROWS / 2, this.#total)];
    return rowsInView({ top: scrollTop, height: clientHeight, rowHeight: this.#rowHeight, total: this.#total, more: MORE_ROWS });
  }

  #scrolled() {
    if (this.#isDrawn) return;
    this.#isDrawn = true;
    requestAnimationFrame(() => {
      this.#isDrawn = false;
      const [first, end] = this.#draw();
      for (let index = first; index < end; index += 1) if (!this.#known.has(index)) return this.#readNow();
      for (let index = first; index < end; index += 1) if (!this.#fresh.has(index)) return void this.#read();
    });
  }

  #resized() {
    const row = this.#rows.values().next().value;
    if (row && row.offsetHeight !== this.#rowHeight) {
      this.#rowHeight = row.offsetHeight;
      for (const [index, element] of this.#rows) this.#place(element, index);
    }
    this.#scrolled();
  }

  /** Make the rows in view and drop the others. */
  #draw() {
    if (!this.#rowHeight) this.#measure();
    const [first, end] = this.#view;
    for (const [index, row] of this.#rows) {
      const isAway = index < first || index >= end;
      if (isAway && !row.contains(document.activeElement)) {
        row.remove();
        this.#rows.delete(index);
      }
    }
    for (let index = first; index < end; index += 1) this.#drawRow(index);
    return this.#view;
  }

  #measure() {
    this.#drawRow(0);
    this.#rowHeight = this.#rows.get(0)?.offsetHeight ?? 0;
    const row = this.#rows.get(0);
    if (row) this.#place(row, 0);
  }

  /** @param {HTMLElement} row @param {number} index */
  #place(row, index) {
    row.style.translate = `0 ${index * this.#rowHeight}px`;
    this.#space.style.height = `${this.#total * this.#rowHeight}px`;
  }

  /** @param {number} index */
  #drawRow(index) {
    // What matches is not known before it was read, so no row stands for it.
    if (index >= this.#total || (this.#order.matching === null && !this.#order.isEverything)) return;
    let row = this.#rows.get(index);
    if (!row) {
      const made = h('div', { class: 'grid-row', role: 'row', 'aria-rowindex': index + 2 });
      const after = [...this.#rows].filter(([other]) => other > index).sort(([a], [b]) => a - b)[0]?.[1] ?? null;
      this.#space.insertBefore(made, after); // in the order in which they are read
      this.#rows.set(index, row = made);
      this.#place(row, index);
    }
    const known = this.#known.get(index);
    const words = `${isOver(this.#run)} ${this.#run.targets.length} ${known ? JSON.stringify(known) : ''}`;
    if (row.dataset.words === words) return;
    row.dataset.words = words;
    this.#fill(row, index, known);
  }

  /** @param {HTMLElement} row @param {number} index @param {Row | undefined} known */
  #fill(row, index, known) {
    const hadFocus = row.contains(document.activeElement);
    const prompt = this.#promptAt(index);
    if (prompt !== null) row.dataset.prompt = String(prompt);
    const names = targetNames(this.#run.targets, this.#host.nameOf);
    const cells = slots(known?.cells ?? [], names.length, isOver(this.#run)).map((slot, target) => gridCell(slot, names[target]));
    row.replaceChildren(h('div', { role: 'rowheader', class: 'grid-prompt', tabindex: -1 },
      h('span', { class: 'grid-number' }, prompt === null ? '' : String(prompt + 1)), h('span', { class: 'grid-text', dir: 'auto' }, known?.text ?? '…')), ...cells);
    const [at, column] = this.#at;
    if (at !== index) return;
    const cell = /** @type {HTMLElement} */ (row.children[column]);
    cell.tabIndex = 0;
    if (hadFocus) cell.focus({ preventScroll: true });
  }

  /** @param {number} place */
  #promptAt(place) {
    return this.#known.get(place)?.prompt ?? (this.#order.isEverything ? place : null);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { key, ctrlKey } = event;
    const [row, column] = this.#at;
    const last = this.#total - 1;
    const page = Math.max(1, Math.floor(this.#grid.clientHeight / (this.#rowHeight || 1)) - 2);
    /** @type {Record<string, [number, number]>} */
    const steps = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      PageUp: [row - page, column],
      PageDown: [row + page, column],
      Home: [ctrlKey ? 0 : row, 0],
      End: [ctrlKey ? last : row, this.#run.targets.length],
    };
    const prompt = this.#promptAt(row);
    if (last < 0) return;
    if ((key === 'Enter' || key === ' ') && prompt !== null) this.#host.ask(this.#run, prompt);
    else if (steps[key]) this.#go(Math.min(Math.max(steps[key][0], 0), last), Math.min(Math.max(steps[key][1], 0), this.#run.targets.length));
    else return;
    event.preventDefault();
  }

  /** @param {number} row @param {number} column */
  #go(row, column) {
    const before = this.#rows.get(this.#at[0])?.children[this.#at[1]];
    if (before instanceof HTMLElement) before.tabIndex = -1;
    this.#at = [row, column];
    const head = this.#heads.offsetHeight;
    const top = row * this.#rowHeight;
    if (top < this.#grid.scrollTop) this.#grid.scrollTop = top;
    else this.#grid.scrollTop = Math.max(this.#grid.scrollTop, top + this.#rowHeight + head - this.#grid.clientHeight);
    this.#drawRow(row);
    const cell = /** @type {HTMLElement | undefined} */ (this.#rows.get(row)?.children[column]);
    if (!cell) return;
    cell.tabIndex = 0;
    cell.focus({ preventScroll: true });
    cell.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  /** @param {EventTarget | null} target */
  #clicked(target) {
    const row = target instanceof Element ? target.closest('[data-prompt]') : null;
    if (row instanceof HTMLElement) this.#host.ask(this.#run, Number(row.dataset.prompt));
  }
}
