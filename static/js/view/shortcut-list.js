/** `<shortcut-list>`: a dialog with what the page can do, and its keyboard shortcuts. */

import { PageElement, h, iconButton, letClose } from './element.js';

/** @type {[string, string][]} */
const SHORTCUTS = [
  ['Enter', 'Send, or queue behind what is being answered'],
  ['Shift Enter', 'A new line'],
  ['Esc', 'Close what is open, stop all answers, or show all columns again'],
  ['/', 'Write a prompt'],
  ['1 … 8', 'Go to a column; vote for it when a blind round is complete'],
  ['0', 'Call a blind round a tie'],
  ['Alt ↑ ↓', 'Go to the turn before or after'],
  ['Alt Shift ←  →', 'Move the column that has the focus'],
  ['Alt N', 'New chat'],
  ['Space', 'In the list of models: choose one; letters search, Enter takes the only one found'],
  ['↑ ↓ F2 Del', 'In the list of chats: go to another, rename it, delete it'],
  ['Ctrl', 'With a click on a chat: choose it; Shift chooses a range'],
  ['?', 'This help'],
];

/** What few find by themselves, a word each. @type {[string, string][]} */
const FEATURES = [
  ['Columns', 'Ask several models at once; a column’s menu (⋯) has the same model with other parameters, and replaces it'],
  ['Shortlists', 'Save the models that are chosen, and choose them again'],
  ['Parameters', 'Temperature, length and others, for all columns or for one; presets keep them'],
  ['System prompt', 'What the models are told before every conversation'],
  ['Files', 'Pictures and texts: paste them, or drop them anywhere'],
  ['Queue', 'What you send while answers are running is asked next'],
  ['Branches', 'Edit an earlier prompt, or ask again; the former answers stay'],
  ['Blind', 'Names are hidden until you have voted'],
  ['How sure', 'Each token is tinted by its probability'],
  ['Alone', 'One column over the whole board, in its menu; a table of an answer opens over the page'],
  ['Compare', 'The differences between two answers, in a column’s menu'],
  ['Run again', 'Ask a whole chat again and compare, in a chat’s menu'],
  ['Runs', 'Ask many prompts of several models, check the answers and compare; the button is below the models'],
  ['Exports', 'A chat as JSON, Markdown or a page, in a chat’s menu'],
];

export class ShortcutList extends PageElement {
  #close = iconButton('close', 'Close');
  #dialog = h('dialog', { class: 'sheet', 'aria-labelledby': 'shortcuts-title' },
    h('header', {}, h('h2', { id: 'shortcuts-title' }, 'Help'), this.#close),
    h('dl', { class: 'shortcuts' }, ...FEATURES.map(([word, text]) => h('div', {}, h('dt', {}, word), h('dd', {}, text)))),
    h('section', { class: 'help-keys' }, h('h3', {}, 'Keys'),
      h('dl', { class: 'shortcuts' }, ...SHORTCUTS.map(([keys, text]) =>
        h('div', {}, h('dt', {}, ...keys.split(/ +/).map((key) => h('kbd', {}, key))), h('dd', {}, text))))),
    h('p', { class: 'field-hint' }, 'Programs can ask too: ', h('a', { href: 'docs' }, 'the HTTP API'), '.'));

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
