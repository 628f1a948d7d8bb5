/**
 * What every element of the page has in common.
 *
 * `build` runs once, at the first connection, and makes the children; `connected` runs at every
 * connection with a signal that aborts when the element leaves the document. Everything that
 * outlives a call (listeners, timers) hangs on that signal, so an element that moves or goes
 * leaves nothing behind. Properties may be set before the element is in the document.
 */

import { icon } from './icons.js';

/** @import { IconName } from './icons.js' */

export class PageElement extends HTMLElement {
  /** @type {AbortController | null} */
  #connection = null;
  #isBuilt = false;

  connectedCallback() {
    this.#connection?.abort();
    this.#connection = new AbortController();
    if (!this.#isBuilt) {
      this.#isBuilt = true;
      this.build();
    }
    this.connected(this.#connection.signal);
  }

  disconnectedCallback() {
    this.#connection?.abort();
    this.#connection = null;
  }

  /** Make the children. @protected */
  build() {}

  /** Listen, for as long as `signal` has not aborted. @protected @param {AbortSignal} signal */
  connected(signal) {
    void signal;
  }

  /** Tell those above. @protected @param {string} type @param {unknown} [detail] */
  announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { bubbles: true, detail }));
  }
}

/**
 * Make an element; `true` sets an attribute without a value, `false` and null leave it out.
 * Strings among the children become text, never markup.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children);
  return element;
}

/**
 * Make a button that is only a drawing; its label is read aloud and shown on hovering.
 *
 * @param {IconName} name
 * @param {string} label
 * @param {Record<string, string | boolean>} [attributes]
 */
export function iconButton(name, label, attributes = {}) {
  return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, ...attributes }, icon(name));
}

/** Put these children into an element, in this order; those that stand right are not touched. @param {Element} parent @param {Element[]} children */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

/** Have a dialog closed by its button, and by a click beside it. @param {HTMLDialogElement} dialog @param {HTMLElement} button @param {AbortSignal} signal */
export function letClose(dialog, button, signal) {
  button.addEventListener('click', () => dialog.close(), { signal });
  dialog.addEventListener('click', ({ target }) => target === dialog && dialog.close(), { signal });
}

/** Write `text` only when it differs, so that nothing is laid out or read aloud in vain. */
export function setText(/** @type {Element} */ element, /** @type {string} */ text) {
  if (element.textContent !== text) element.textContent = text;
}
