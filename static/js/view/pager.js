import { h, iconButton, setText } from './element.js';

/**
 * "‹ Branch 2 of 3 ›": steps through several things; hidden if there is only one. An arrow that leads
 * nowhere keeps the focus that it has from being pressed.
 */
export class Pager {
  #count = h('span', {});
  #all = h('span', {});
  #back;
  #forth;
  #beyond;

  /** @param {string} name What is counted. @param {(by: -1 | 1) => void} go @param {{isUpright?: boolean, beyond?: string}} [more] `beyond`: what comes after the last one. */
  constructor(name, go, { isUpright = false, beyond = '' } = {}) {
    this.#beyond = beyond;
    this.#back = iconButton(isUpright ? 'up' : 'left', `${name} before`);
    this.#forth = iconButton(isUpright ? 'down' : 'right', `${name} after${beyond}`);
    for (const [button, by] of /** @type {const} */ ([[this.#back, -1], [this.#forth, 1]])) {
      button.addEventListener('click', () => button.getAttribute('aria-disabled') !== 'true' && go(by));
    }
    const words = h('span', {}, `${name} `, this.#count, h('span', { class: 'of' }, ' of '), this.#all);
    this.element = h('span', { class: 'pager', role: 'group', 'aria-label': name }, this.#back, words, this.#forth);
  }

  /** @param {number} index @param {number} count */
  show(index, count) {
    this.element.hidden = count < 2;
    setText(this.#count, String(index + 1));
    setText(this.#all, String(count));
    this.#back.setAttribute('aria-disabled', String(index === 0));
    this.#forth.setAttribute('aria-disabled', String(index === count - 1 && !this.#beyond));
  }
}
