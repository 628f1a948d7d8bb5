/** `<pop-menu>`: the page's one menu, opened beside a button. */

import { PageElement, h } from './element.js';

/** @typedef {[text: string, act: () => void]} Item */

export class PopMenu extends PageElement {
  #menu = h('div', { role: 'menu' });

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('popover', '');
    this.setAttribute('role', 'region'); // it is outside of the page's parts
    this.setAttribute('aria-label', 'Menu');
    this.append(this.#menu);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.addEventListener('keydown', (event) => this.#pressed(event), { signal });
  }

  // Actions

  /** @param {Item[]} items @param {HTMLElement} button */
  open(items, button) {
    this.#menu.setAttribute('aria-label', button.getAttribute('aria-label') ?? 'Menu');
    this.#menu.replaceChildren(...items.map(([text, act]) => {
      const item = h('button', { type: 'button', role: 'menuitem', tabindex: -1 }, text);
      item.addEventListener('click', () => {
        this.hidePopover();
        act();
      });
      return item;
    }));
    this.showPopover();
    const { right, bottom } = button.getBoundingClientRect();
    this.style.left = `${Math.max(8, right - this.offsetWidth)}px`;
    this.style.top = `${Math.min(bottom + 4, innerHeight - this.offsetHeight - 8)}px`;
    this.#items[0]?.focus();
  }

  // Internal

  get #items() {
    return /** @type {HTMLElement[]} */ ([...this.#menu.children]);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const items = this.#items;
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    items.at(to % items.length)?.focus();
  }
}

customElements.define('pop-menu', PopMenu);
