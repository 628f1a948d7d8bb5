/** The title of the dialog of runs; that of a run can be changed in place: Enter takes it, Escape does not. */

import { h, iconButton, setText } from './element.js';

const MAX_NAME = 300;

export class RunTitle {
  #heading = h('h2', { id: 'runs-title', dir: 'auto' });
  #edit = iconButton('edit', 'Rename', { hidden: true });
  element = h('div', { class: 'run-title' }, this.#heading, this.#edit);
  /** @type {((name: string) => void) | null} */
  #rename = null;
  /** @type {HTMLInputElement | null} */
  #field = null;

  constructor() {
    this.#edit.addEventListener('click', () => this.#begin());
  }

  // Actions

  /** @param {string} title @param {(name: string) => void} [rename] What another title is given to; without it there is no other. While it is the same, what somebody writes stays. */
  show(title, rename) {
    setText(this.#heading, title);
    this.#heading.title = title; // it may be cut
    if (this.#field && rename === this.#rename) return;
    this.#end();
    this.#rename = rename ?? null;
    this.#edit.hidden = !rename;
  }

  // Internal

  #begin() {
    const field = this.#field = h('input', { 'aria-label': 'Name', maxlength: MAX_NAME, dir: 'auto', autocomplete: 'off' });
    field.defaultValue = this.#heading.textContent ?? '';
    field.addEventListener('keydown', (event) => {
      event.stopPropagation(); // neither leaves the screen nor chooses in it
      if (event.isComposing || !['Enter', 'Escape'].includes(event.key)) return;
      event.preventDefault(); // else Escape leaves the screen, and Enter presses the button that has the focus then
      this.#finish(event.key === 'Enter');
    });
    field.addEventListener('blur', () => this.#finish(true));
    this.#heading.hidden = this.#edit.hidden = true;
    this.element.prepend(field);
    field.focus();
    field.select();
  }

  /** @param {boolean} isWanted */
  #finish(isWanted) {
    const field = this.#field;
    if (!field) return;
    const hadFocus = document.activeElement === field;
    const name = field.value.trim();
    this.#end();
    this.#edit.hidden = false;
    if (hadFocus) this.#edit.focus();
    if (isWanted && name && name !== field.defaultValue) this.#rename?.(name);
  }

  #end() {
    const field = this.#field;
    this.#field = null; // before it loses the focus
    field?.remove();
    this.#heading.hidden = false;
  }
}
