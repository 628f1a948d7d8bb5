/** A dialog with the tags of one chat or several: those that there are, and new ones. */

import { h, iconButton } from './element.js';

/** @import { Summary } from '../client/conversations.js' */

export class ChatTags {
  #title = h('h2', { id: 'chat-tags-title' }, 'Tags');
  #close = iconButton('close', 'Close');
  #choices = h('div', { class: 'tag-choices' });
  #field = h('input', { id: 'chat-tags-new', maxlength: 200, autocomplete: 'off', dir: 'auto' });
  #hint = h('p', { class: 'field-hint', role: 'status' });
  #form = h('form', { method: 'dialog' }, this.#choices,
    h('label', { for: 'chat-tags-new' }, 'New tags, with commas between'), this.#field, this.#hint,
    h('div', { class: 'choices' }, h('button', { type: 'submit', class: 'send' }, 'Save')));
  element = h('dialog', { class: 'sheet', 'aria-labelledby': 'chat-tags-title' },
    h('header', { role: 'none' }, this.#title, this.#close), this.#form);

  constructor() {
    this.#close.addEventListener('click', () => this.element.close());
    this.#form.addEventListener('submit', (event) => {
      const long = this.#added.find((tag) => tag.length > 50);
      if (long) event.preventDefault();
      this.#hint.textContent = long ? `A tag has 50 characters at most: “${long}”` : '';
    });
  }

  get #added() {
    return this.#field.value.split(',').map((tag) => tag.trim()).filter(Boolean);
  }

  /** Ask for the tags of chats; return what is to be changed, or null. @param {Summary[]} chats @param {string[]} known @returns {Promise<{add_tags: string[], remove_tags: string[]} | null>} */
  ask(chats, known) {
    const boxes = known.map((tag) => {
      const count = chats.filter(({ tags }) => tags.includes(tag)).length;
      const box = h('input', { type: 'checkbox', value: tag });
      box.checked = count === chats.length;
      box.indeterminate = count > 0 && count < chats.length;
      box.dataset.was = box.indeterminate ? 'some' : String(box.checked);
      return box;
    });
    this.#title.textContent = chats.length === 1 ? `Tags of “${chats[0].title || 'Untitled'}”` : `Tags of ${chats.length} chats`;
    this.#choices.replaceChildren(...boxes.map((box) => h('label', { dir: 'auto' }, box, box.value)));
    this.#field.value = '';
    this.#hint.textContent = '';
    this.element.returnValue = '';
    this.element.showModal();
    (boxes[0] ?? this.#field).focus();
    return new Promise((resolve) => {
      let isSaved = false;
      const saved = (/** @type {SubmitEvent} */ event) => { isSaved = !event.defaultPrevented; };
      this.#form.addEventListener('submit', saved);
      this.element.addEventListener('close', () => {
        this.#form.removeEventListener('submit', saved);
        const changed = boxes.filter((box) => !box.indeterminate && box.dataset.was !== String(box.checked));
        const values = (/** @type {boolean} */ isWanted) => changed.filter(({ checked }) => checked === isWanted).map(({ value }) => value);
        resolve(isSaved ? { add_tags: [...values(true), ...this.#added], remove_tags: values(false) } : null);
      }, { once: true });
    });
  }
}
