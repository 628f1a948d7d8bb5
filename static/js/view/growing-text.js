/**
 * Text that only grows at its end, at the same cost however long it is.
 *
 * Each line is a block with one Text node of its own, so that the browser lays out the last line
 * only; the newlines stay in the text, and what is selected, copied or read back is exactly what
 * was appended. A line finds its own direction.
 */

import { h } from './element.js';

export class GrowingText {
  /** @type {HTMLElement} */
  #element;
  /** @type {Text | null} The line that is not ended. */
  #line = null;
  #isEmpty = true;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  get isEmpty() {
    return this.#isEmpty;
  }

  /** @param {string} text */
  append(text) {
    for (const piece of text.split(/(?<=\n)/)) {
      if (piece) this.#appendToLine(piece);
    }
  }

  /** @param {string} piece Without a newline, or with one at its end. */
  #appendToLine(piece) {
    this.#isEmpty = false;
    if (this.#line) {
      this.#line.appendData(piece);
    } else {
      this.#line = new Text(piece);
      this.#element.append(h('div', { dir: 'auto' }, this.#line));
    }
    if (piece.endsWith('\n')) this.#line = null;
  }
}
