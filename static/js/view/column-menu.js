/**
 * `<column-menu>`: what can be done with one column; there is one menu for all of them.
 *
 * Events: `column-move` with `{id, by}`; `column-act` with `{column, act}`, `act` being
 * `compare`, `copy`, `parameters`, `hide` or `remove`; `column-replace` with `{id, model}`.
 */

import { PageElement, h } from './element.js';

/** @import { Model } from '../client/protocol.js' */
/** @import { Column } from '../model/columns.js' */

export class ColumnMenu extends PageElement {
  /** @type {Iterable<Model>} */
  models = [];

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('popover', '');
    this.setAttribute('role', 'menu');
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.addEventListener('keydown', (event) => this.#pressed(event), { signal });
  }

  // Actions

  /** Open it at the button that was pressed. @param {Column} column @param {HTMLElement} button */
  open(column, button) {
    const { id } = column;
    const act = (/** @type {string} */ name) => () => this.announce('column-act', { column, act: name });
    this.setAttribute('aria-label', button.getAttribute('aria-label') ?? 'Column');
    this.#fill([
      ['Parameters of this column…', act('parameters')],
      ['Same model, other parameters', act('copy')],
      ['Replace the model…', () => this.#chooseModel(column)],
      ['Compare the answers…', act('compare')],
      ['Move left', () => this.announce('column-move', { id, by: -1 })],
      ['Move right', () => this.announce('column-move', { id, by: 1 })],
      ['Hide', act('hide')],
      ['Remove', act('remove')],
    ]);
    this.showPopover();
    const { right, bottom } = button.getBoundingClientRect();
    this.style.left = `${Math.max(8, right - this.offsetWidth)}px`;
    this.style.top = `${Math.min(bottom + 4, innerHeight - this.offsetHeight - 8)}px`;
    this.#items[0]?.focus();
  }

  // Internal

  get #items() {
    return /** @type {HTMLElement[]} */ ([...this.children]);
  }

  /** @param {Column} column */
  #chooseModel({ id, model: present }) {
    this.#fill([...this.models].filter((model) => model.id !== present)
      .map((model) => [model.name, () => this.announce('column-replace', { id, model: model.id })]));
    this.showPopover();
    this.#items[0]?.focus();
  }

  /** @param {[string, () => void][]} items */
  #fill(items) {
    this.replaceChildren(...items.map(([text, act]) => {
      const item = h('button', { type: 'button', role: 'menuitem', tabindex: -1 }, text);
      item.addEventListener('click', () => {
        this.hidePopover();
        act();
      });
      return item;
    }));
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

customElements.define('column-menu', ColumnMenu);
