/**
 * `<chat-list>`: the conversations that the server keeps: found, renamed, deleted and taken back,
 * exported and imported.
 *
 * Events: `chat-open` and `chat-again` with `{id}`; `chat-gone` with `{id}` when one was deleted;
 * `menu-open` with `{items, button}`.
 */

import { SidestreamError } from '../client/protocol.js';
import { PageElement, h, iconButton, setText } from './element.js';
import { inWords } from './words.js';

/** @import { Conversations, Summary } from '../client/conversations.js' */

const SEARCH_AFTER_MS = 200;

export class ChatList extends PageElement {
  /** @type {Conversations | null} */
  api = null;
  /** @type {string | null} */
  #current = null;
  /** @type {Summary[]} */
  #shown = [];
  #requests = 0;
  #search = h('input', { type: 'search', 'aria-label': 'Search chats', placeholder: 'Search', autocomplete: 'off' });
  #file = h('input', { type: 'file', accept: '.json,application/json', hidden: true, 'aria-label': 'File to import' });
  #import = h('button', { type: 'button', class: 'quiet' }, 'Import');
  #list = h('ul', { class: 'chats' });
  #more = h('button', { type: 'button', class: 'quiet', hidden: true }, 'More');
  #notice = h('p', { class: 'chat-notice', role: 'status' });

  /** @param {string | null} id The one that is open. */
  set current(id) {
    if (id === this.#current) return;
    this.#current = id;
    this.#render();
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(h('div', { class: 'chat-head' }, this.#search, this.#import, this.#file), this.#notice, this.#list, this.#more);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    this.#search.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.refresh(), SEARCH_AFTER_MS);
    }, { signal });
    this.#more.addEventListener('click', () => this.#load(this.#more.value), { signal });
    this.#import.addEventListener('click', () => this.#file.click(), { signal });
    this.#file.addEventListener('change', () => this.#importFile(), { signal });
  }

  // Actions

  /** Fetch the list again. */
  refresh() {
    return this.#load('');
  }

  // Internal

  /** @param {string} before */
  async #load(before) {
    const { api } = this;
    if (!api) return;
    this.#requests += 1;
    const request = this.#requests;
    await this.#try(async () => {
      const q = this.#search.value.trim();
      const { conversations, next } = await api.list({ ...(q && { q }), ...(before && { before }) });
      if (request !== this.#requests) return; // another was asked for meanwhile
      this.#shown = before ? [...this.#shown, ...conversations] : conversations;
      this.#more.hidden = !next;
      this.#more.value = next ?? '';
      this.#render();
    });
  }

  #render() {
    this.#list.replaceChildren(...this.#shown.map((summary) => this.#row(summary)));
    if (this.#shown.length === 0) {
      this.#list.append(h('li', { class: 'chat-none' }, this.#search.value.trim() ? 'Nothing found.' : 'What you ask is kept here.'));
    }
  }

  /** @param {Summary} summary */
  #row(summary) {
    const { found, id, title } = summary;
    const name = title || 'Untitled';
    const open = h('button', { type: 'button', class: 'chat', dir: 'auto', 'aria-current': id === this.#current ? 'true' : null },
      h('span', { class: 'chat-title' }, name),
      ...(found?.length ? [h('span', { class: 'chat-found' }, ...found.map(({ text, hit }) => (hit ? h('mark', {}, text) : text)))] : []));
    open.addEventListener('click', () => this.announce('chat-open', { id }));
    const more = iconButton('more', `More: ${name}`, { 'aria-haspopup': 'menu' });
    const row = h('li', {}, open, more);
    more.addEventListener('click', () => this.announce('menu-open', {
      button: more,
      items: [
        ['Rename', () => this.#rename(summary, row)],
        ['Run again and compare…', () => this.announce('chat-again', { id })],
        ['Export as JSON', () => this.#export(id, 'json')],
        ['Export as Markdown', () => this.#export(id, 'markdown')],
        ['Export as a page', () => this.#export(id, 'html')],
        ['Delete', () => this.#delete(summary)],
      ],
    }));
    return row;
  }

  /** @param {Summary} summary @param {HTMLElement} row */
  #rename(summary, row) {
    const field = h('input', { 'aria-label': 'Title', maxlength: 300, dir: 'auto' });
    field.value = summary.title;
    let isDone = false;
    const finish = (/** @type {boolean} */ isWanted) => {
      if (isDone) return;
      isDone = true;
      const title = field.value.trim();
      if (isWanted && title && title !== summary.title) {
        summary.title = title;
        void this.#try(async () => { await this.api?.change(summary.id, { title }); });
      }
      const fresh = this.#row(summary);
      row.replaceWith(fresh);
      fresh.querySelector('button')?.focus();
    };
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') finish(true);
      if (event.key !== 'Escape') return;
      event.stopPropagation(); // it is not meant for the answers
      finish(false);
    });
    field.addEventListener('blur', () => finish(true));
    row.replaceChildren(field);
    field.focus();
    field.select();
  }

  /** @param {Summary} summary */
  #delete({ id, title }) {
    return this.#try(async () => {
      await this.api?.remove(id);
      const undo = h('button', { type: 'button', class: 'quiet' }, 'Undo');
      undo.addEventListener('click', () => this.#try(async () => {
        await this.api?.restore(id);
        setText(this.#notice, '');
        await this.refresh();
      }));
      this.announce('chat-gone', { id });
      await this.refresh();
      this.#notice.replaceChildren(`Deleted “${title || 'Untitled'}”. `, undo);
      undo.focus();
    });
  }

  /** @param {string} id @param {'json' | 'markdown' | 'html'} form */
  #export(id, form) {
    h('a', { href: this.api?.exportUrl(id, form) ?? '', download: true }).click();
  }

  #importFile() {
    const [file] = this.#file.files ?? [];
    this.#file.value = '';
    if (!file) return;
    void this.#try(async () => {
      const summary = await this.api?.import(file);
      await this.refresh();
      this.announce('chat-open', { id: summary?.id });
    });
  }

  /** Say what goes wrong. @param {() => Promise<void>} act */
  async #try(act) {
    try {
      setText(this.#notice, '');
      await act();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      setText(this.#notice, inWords(error));
    }
  }
}

customElements.define('chat-list', ChatList);
