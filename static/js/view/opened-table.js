/** A wide table of an answer, opened over the page. Loaded when the first one is opened. */

import { h, iconButton, letClose } from './element.js';

/** Show a copy of a table in a dialog of the whole window. @param {HTMLElement} table */
export function openTable(table) {
  const close = iconButton('close', 'Close');
  const body = h('div', { class: 'answer table-whole', tabindex: 0, dir: table.closest('[dir]')?.getAttribute('dir') ?? 'auto' }, table.cloneNode(true));
  const dialog = h('dialog', { class: 'sheet wide-sheet', 'aria-label': 'Table' }, h('header', {}, h('h2', {}, 'Table'), close), body);
  const closing = new AbortController();
  letClose(dialog, close, closing.signal);
  dialog.addEventListener('close', () => {
    closing.abort();
    dialog.remove();
  }, { once: true });
  document.body.append(dialog);
  dialog.showModal();
  body.focus();
}
