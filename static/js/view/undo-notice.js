/** What was deleted last, with a button that takes it back as long as that can be done; the button gets the focus. */

import { h, setText } from './element.js';

/** @import { Deletions } from '../model/deletions.js' */

export class UndoNotice {
  #deletions;
  #undo = h('button', { type: 'button', class: 'quiet' }, 'Undo');
  #words = h('span', { id: 'run-deleted' });
  element = h('div', { class: 'run-undo', role: 'group', 'aria-labelledby': 'run-deleted', hidden: true }, this.#words, this.#undo);

  /** @param {Deletions} deletions @param {AbortSignal} signal @param {{undo: () => void, lost: () => void}} parts `lost`: it had the focus and goes. */
  constructor(deletions, signal, { undo, lost }) {
    this.#deletions = deletions;
    this.#undo.addEventListener('click', undo);
    deletions.on('change', () => this.#show(lost), { signal });
    this.#show(lost); // something may have been deleted before
  }

  focus() {
    this.#undo.focus();
  }

  // Internal

  /** @param {() => void} lost */
  #show(lost) {
    const { pending } = this.#deletions;
    const hadFocus = this.element.contains(document.activeElement);
    setText(this.#words, pending ? `Deleted “${pending.name}”.` : '');
    this.element.hidden = !pending;
    if (hadFocus && !pending) lost();
  }
}
