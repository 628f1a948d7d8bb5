/**
 * `<side-panel>`: the models beside the columns, or over them on a narrow page.
 *
 * Over them it takes the focus and gives it back, everything behind it is inert, and Esc or a click
 * outside closes it. Until the user toggles it, the style sheet opens it if there is room.
 */

import { PageElement } from './element.js';

export const NARROW = '(width < 52rem)'; // the same as in css/layout.css

export class SidePanel extends PageElement {
  #narrow = matchMedia(NARROW);

  get isOpen() {
    return this.dataset.open ? this.dataset.open === 'true' : !this.#narrow.matches;
  }

  get isOver() {
    return this.#narrow.matches && this.isOpen;
  }

  // Lifecycle

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#toggle.addEventListener('click', () => this.#set(!this.isOpen), { signal });
    document.addEventListener('click', (event) => this.#clicked(event), { signal });
    this.#narrow.addEventListener('change', () => this.#roomChanged(), { signal });
    this.#render();
  }

  // Actions

  close() {
    this.#set(false);
    this.#toggle.focus();
  }

  // Internal

  get #toggle() {
    return /** @type {HTMLButtonElement} */ (document.querySelector(`[aria-controls="${this.id}"]`));
  }

  get #behind() {
    return /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('main > *'));
  }

  /** @param {boolean} isOpen */
  #set(isOpen) {
    this.dataset.open = String(isOpen);
    this.#render();
    if (this.isOver) /** @type {HTMLElement | null} */ (this.querySelector('input[type=checkbox]'))?.focus();
  }

  #roomChanged() {
    delete this.dataset.open;
    this.#render();
  }

  /** @param {MouseEvent} event */
  #clicked({ target }) {
    if (!this.isOver || !(target instanceof Node)) return;
    if (!this.contains(target) && !this.#toggle.contains(target)) this.close();
  }

  #render() {
    this.#toggle.setAttribute('aria-expanded', String(this.isOpen));
    for (const element of this.#behind) element.inert = this.isOver;
  }
}

customElements.define('side-panel', SidePanel);
