/** `<shortcut-list>`: what the keyboard can do, in a dialog. */

import { PageElement, h, iconButton, letClose } from './element.js';

/** @type {[string, string][]} */
const SHORTCUTS = [
  ['Enter', 'Send, or queue behind what is being answered'],
  ['Shift Enter', 'A new line'],
  ['Esc', 'Close what is open, or stop all answers'],
  ['/', 'Write a prompt'],
  ['1 … 8', 'Go to a column'],
  ['Alt Shift ←  →', 'Move the column that has the focus'],
  ['Alt N', 'New chat'],
  ['?', 'This list'],
];

export class ShortcutList extends PageElement {
  #close = iconButton('close', 'Close');
  #dialog = h('dialog', { class: 'sheet', 'aria-labelledby': 'shortcuts-title' },
    h('header', {}, h('h2', { id: 'shortcuts-title' }, 'Keys'), this.#close),
    h('dl', { class: 'shortcuts' }, ...SHORTCUTS.map(([keys, text]) =>
      h('div', {}, h('dt', {}, ...keys.split(' ').map((key) => h('kbd', {}, key))), h('dd', {}, text)))));

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
  }

  // Actions

  open() {
    this.#dialog.showModal();
  }
}

customElements.define('shortcut-list', ShortcutList);
