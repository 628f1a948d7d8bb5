/**
 * Keep a scroller at its end while text is added there, but only if it was there before.
 *
 * `note` before the write, `settle` after it.
 */

const NEAR_END_PX = 48; // two lines: the end is in sight

export class StickyScroll {
  /** @type {HTMLElement} */
  #scroller;
  #wasAtEnd = true;

  /** @param {HTMLElement} scroller */
  constructor(scroller) {
    this.#scroller = scroller;
  }

  note() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#wasAtEnd = scrollHeight - scrollTop - clientHeight <= NEAR_END_PX;
  }

  settle() {
    if (this.#wasAtEnd) this.toEnd();
  }

  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}
