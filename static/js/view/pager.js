import { h, iconButton, setText } from './element.js';

/** "‹ 2 of 3 ›": steps through several things; hidden if there is only one. */
export class Pager {
  #count = h('span', {});
  #back;
  #forth;

  /** @param {string} name The label. @param {(by: -1 | 1) => void} go */
  constructor(name, go) {
    this.#back = iconButton('left', `${name} before`);
    this.#forth = iconButton('right', `${name} after`);
    this.#back.addEventListener('click', () => go(-1));
    this.#forth.addEventListener('click', () => go(1));
    this.element = h('span', { class: 'pager', role: 'group', 'aria-label': name }, this.#back, this.#count, this.#forth);
  }

  /** @param {number} index @param {number} count */
  show(index, count) {
    this.element.hidden = count < 2;
    setText(this.#count, `${index + 1} of ${count}`);
    this.#back.disabled = index === 0;
    this.#forth.disabled = index === count - 1;
  }
}
