/**
 * The rows of a run's grid that are in view: measured, made, placed, filled, and dropped when they are out of sight.
 *
 * Rows have one height, so that thousands cost what a screen of them costs: each is placed in a space as high as all
 * of them. One cell is the Tab stop; it stays with its row, which is kept while it has the focus.
 */

import { isOver, rowsInView, slots, targetNames } from '../model/run-table.js';
import { h } from './element.js';
import { gridCell } from './run-cell.js';

/** @import { Row, Run } from '../client/runs.js' */
/** @import { Slot } from '../model/run-table.js' */
/** @import { RunOrder } from '../model/run-order.js' */
/** @import { RowReader } from './row-reader.js' */

/** Until a row was measured. */
const FIRST_ROWS = 50;
/** Above and below those that are seen. */
const MORE_ROWS = 6;

/** Nothing is known of it yet. @type {Slot} */
const UNREAD = { mark: 'waiting', words: '', text: '', code: '', reason: '', ms: null };

/** @typedef {{order: RunOrder, reader: RowReader, nameOf: (model: string) => string}} RowParts */

export class GridRows {
  #grid;
  #parts;
  #run;
  /** By place. @type {Map<number, HTMLElement>} */
  #rows = new Map();
  #height = 0;
  #isDrawn = false;
  /** Where the focus is, or would be: place, column; 0 is the prompt. @type {[number, number]} */
  #stop = [0, 0];
  space = h('div', { class: 'grid-space', role: 'rowgroup' });

  /** @param {HTMLElement} grid It scrolls. @param {Run} run @param {RowParts} parts */
  constructor(grid, run, parts) {
    this.#grid = grid;
    this.#run = run;
    this.#parts = parts;
  }

  // Actions

  /** How many rows there are, as far as that is known. */
  get total() {
    return this.#parts.order.matching ?? this.#run.prompts;
  }

  /** The height of a row in pixels, 0 until one was measured. */
  get height() {
    return this.#height;
  }

  get stop() {
    return this.#stop;
  }

  /** The places in view, and some around: the first, and the one behind the last. @returns {[number, number]} */
  get view() {
    const { clientHeight, scrollTop } = this.#grid;
    if (!this.#height) return [0, Math.min(FIRST_ROWS, this.total)];
    return rowsInView({ top: scrollTop, height: clientHeight, rowHeight: this.#height, total: this.total, more: MORE_ROWS });
  }

  /** @param {Run} run */
  use(run) {
    this.#run = run;
  }

  /** Let Tab come to another cell, which is made if need be; return it. @param {number} place @param {number} column @returns {HTMLElement | undefined} */
  moveStop(place, column) {
    const before = this.#cell(...this.#stop);
    if (before) before.tabIndex = -1;
    this.#stop = [place, column];
    this.#drawRow(place);
    const cell = this.#cell(place, column);
    if (cell) cell.tabIndex = 0;
    return cell;
  }

  /** Drop all rows: others are chosen. */
  clear() {
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.#stop = [0, this.#stop[1]];
    this.#grid.scrollTop = 0;
  }

  /** Drop the rows that are no longer there; return whether one of them had the focus. */
  cut() {
    this.#grid.setAttribute('aria-rowcount', String(this.total + 1));
    this.space.style.height = `${this.total * this.#height}px`;
    let hadFocus = false;
    for (const [place, row] of this.#rows) {
      if (place < this.total) continue;
      hadFocus ||= row.contains(document.activeElement);
      row.remove();
      this.#rows.delete(place);
    }
    this.#parts.reader.cut(this.total);
    return hadFocus;
  }

  /** Make the rows in view and drop the others; return what is in view. */
  draw() {
    if (!this.#height) this.measure();
    const [first, end] = this.view;
    for (const [place, row] of this.#rows) {
      const isAway = place < first || place >= end;
      if (isAway && !row.contains(document.activeElement)) {
        row.remove();
        this.#rows.delete(place);
      }
    }
    for (let place = first; place < end; place += 1) this.#drawRow(place);
    return this.view;
  }

  /** In the next frame, draw what is in view, and read it if need be. */
  drawSoon() {
    if (this.#isDrawn) return;
    this.#isDrawn = true;
    requestAnimationFrame(() => {
      this.#isDrawn = false;
      this.#parts.reader.need(...this.draw());
    });
  }

  /** Rows may have another height: they are as high as there are targets where the page is narrow. */
  resized() {
    const row = this.#rows.values().next().value;
    if (row && row.offsetHeight !== this.#height) {
      this.#height = row.offsetHeight;
      for (const [place, element] of this.#rows) this.#place(element, place);
    }
    this.drawSoon();
  }

  measure() {
    this.#drawRow(0);
    const row = this.#rows.get(0);
    this.#height = row?.offsetHeight ?? 0;
    if (row) this.#place(row, 0);
  }

  // Internal

  /** @param {number} place @param {number} column */
  #cell(place, column) {
    return /** @type {HTMLElement | undefined} */ (this.#rows.get(place)?.children[column]);
  }

  /** @param {HTMLElement} row @param {number} place */
  #place(row, place) {
    row.style.translate = `0 ${place * this.#height}px`;
    this.space.style.height = `${this.total * this.#height}px`;
  }

  /** @param {number} place */
  #drawRow(place) {
    const { order, reader } = this.#parts;
    // What matches is not known before it was read, so no row stands for it.
    if (place >= this.total || (order.matching === null && !order.isEverything)) return;
    const row = this.#rows.get(place) ?? this.#made(place);
    const known = reader.row(place);
    const words = `${isOver(this.#run)} ${this.#run.targets.length} ${known ? JSON.stringify(known) : ''}`;
    if (row.dataset.words === words) return;
    row.dataset.words = words;
    this.#fill(row, place, known);
  }

  /** @param {number} place */
  #made(place) {
    const row = h('div', { class: 'grid-row', role: 'row', 'aria-rowindex': place + 2 });
    const after = [...this.#rows].filter(([other]) => other > place).sort(([a], [b]) => a - b)[0]?.[1] ?? null;
    this.space.insertBefore(row, after); // in the order in which they are read
    this.#rows.set(place, row);
    this.#place(row, place);
    return row;
  }

  /** @param {HTMLElement} row @param {number} place @param {Row | undefined} known */
  #fill(row, place, known) {
    const hadFocus = row.contains(document.activeElement);
    const { nameOf, reader } = this.#parts;
    const prompt = reader.promptAt(place);
    if (prompt !== null) row.dataset.prompt = String(prompt);
    const names = targetNames(this.#run.targets, nameOf);
    const found = known ? slots(known.cells, names.length, isOver(this.#run)) : names.map(() => UNREAD);
    const cells = found.map((slot, target) => gridCell(slot, names[target]));
    row.replaceChildren(h('div', { role: 'rowheader', class: 'grid-prompt', tabindex: -1 },
      h('span', { class: 'grid-number' }, prompt === null ? '' : String(prompt + 1)), h('span', { class: 'grid-text', dir: 'auto' }, known?.text ?? '…')), ...cells);
    const [at, column] = this.#stop;
    if (at !== place) return;
    const cell = /** @type {HTMLElement} */ (row.children[column]);
    cell.tabIndex = 0;
    if (hadFocus) cell.focus({ preventScroll: true });
  }
}
