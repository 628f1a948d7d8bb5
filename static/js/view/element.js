/**
 * What every element of the page has in common.
 *
 * `build` runs once, at the first connection, and makes the children; `connected` runs at every
 * connection with a signal that aborts when the element leaves the document. Listeners and timers
 * use that signal, so that an element that moves or goes leaves nothing behind. Properties may be
 * set before the element is in the document.
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

  /** Dispatch a bubbling event. @protected @param {string} type @param {unknown} [detail] */
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
 * Make a button with an icon only; the label is its accessible name and tooltip.
 *
 * @param {IconName} name
 * @param {string} label
 * @param {Record<string, string | boolean>} [attributes]
 */
export function iconButton(name, label, attributes = {}) {
  return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, ...attributes }, icon(name));
}

/** Name a button that has an icon only. @param {HTMLElement} button @param {string} label */
export function setLabel(button, label) {
  button.title = label;
  button.setAttribute('aria-label', label);
}

/** Give an element these children in this order, without touching those in the right place. @param {Element} parent @param {Element[]} children */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

/** Close a dialog by its button, and by a click on its backdrop. @param {HTMLDialogElement} dialog @param {HTMLElement} button @param {AbortSignal} signal */
export function letClose(dialog, button, signal) {
  button.addEventListener('click', () => dialog.close(), { signal });
  dialog.addEventListener('click', ({ target }) => target === dialog && dialog.close(), { signal });
}

/** Set the text if it differs, so that nothing is laid out or announced needlessly. */
export function setText(/** @type {Element} */ element, /** @type {string} */ text) {
  if (element.textContent !== text) element.textContent = text;
}
