/** Keys and clicks in the grid of a run: from cell to cell with the arrow keys, into a prompt with Enter or a click. */

import { sideways } from './sideways.js';

/** @import { GridRows } from './grid-rows.js' */

/** @typedef {{columns: () => number, open: (place: number) => void, openPrompt: (prompt: number) => void}} KeyParts `columns`: how many there are, with that of the prompts. */

export class GridKeys {
  #grid;
  #rows;
  #parts;

  /** @param {HTMLElement} grid @param {GridRows} rows @param {KeyParts} parts */
  constructor(grid, rows, parts) {
    this.#grid = grid;
    this.#rows = rows;
    this.#parts = parts;
    grid.addEventListener('keydown', (event) => this.#pressed(event));
    grid.addEventListener('click', ({ target }) => this.#clicked(target));
  }

  // Actions

  /** Give a cell the focus, and bring it into sight below the heads. @param {number} place @param {number} column */
  go(place, column) {
    const { height } = this.#rows;
    const top = place * height;
    if (top < this.#grid.scrollTop) this.#grid.scrollTop = top;
    else this.#grid.scrollTop = Math.max(this.#grid.scrollTop, top + height + this.#heads - this.#grid.clientHeight);
    const cell = this.#rows.moveStop(place, column);
    cell?.focus({ preventScroll: true });
    cell?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  // Internal

  get #heads() {
    return /** @type {HTMLElement} */ (this.#grid.querySelector('.grid-heads')).offsetHeight;
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { key, ctrlKey } = event;
    const [row, column] = this.#rows.stop;
    const last = this.#rows.total - 1;
    const lastColumn = this.#parts.columns() - 1;
    const page = Math.max(1, Math.floor(this.#grid.clientHeight / (this.#rows.height || 1)) - 2);
    const [left, right] = sideways(this.#grid);
    /** @type {Record<string, [number, number]>} */
    const steps = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column + left],
      ArrowRight: [row, column + right],
      PageUp: [row - page, column],
      PageDown: [row + page, column],
      Home: [ctrlKey ? 0 : row, 0],
      End: [ctrlKey ? last : row, lastColumn],
    };
    if (last < 0) return;
    if (key === 'Enter' || key === ' ') this.#parts.open(row);
    else if (steps[key]) this.go(Math.min(Math.max(steps[key][0], 0), last), Math.min(Math.max(steps[key][1], 0), lastColumn));
    else return;
    event.preventDefault();
  }

  /** @param {EventTarget | null} target */
  #clicked(target) {
    const row = target instanceof Element ? target.closest('[data-prompt]') : null;
    if (row instanceof HTMLElement) this.#parts.openPrompt(Number(row.dataset.prompt));
  }
}
