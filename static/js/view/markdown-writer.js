/**
 * A Markdown answer in the page: what the parser says, written as nodes that only grow.
 *
 * Text goes into text nodes and nothing is ever read as markup. Each line of code is a block of its
 * own, so that the browser lays out only the last one, and every few blocks are a part, so that it
 * paints only the last one. A link leads outside in a new tab and
 * tells nobody where it came from; one that is not safe is text, with its address behind it. A picture
 * is a link too, since showing it would ask another server. Each block finds its own direction.
 */

import { Markdown } from '../markdown/blocks.js';
import { h } from './element.js';
import { icon } from './icons.js';

/** @typedef {{open: HTMLElement[], node: ChildNode | null, length: number}} Mark */

/** About what is seen of an answer at once. */
const BLOCKS_IN_PART = 6;

export class MarkdownWriter {
  #markdown = new Markdown(this);
  #element;
  /** The last part, and what is open in it. @type {HTMLElement[]} */
  #open = [];
  #isEmpty = true;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.#beginPart();
  }

  get isEmpty() {
    return this.#isEmpty;
  }

  /** @param {string} text */
  append(text) {
    if (text) this.#isEmpty = false;
    this.#markdown.append(text);
  }

  /** Say that nothing follows. */
  end() {
    this.#markdown.end();
  }

  // What the parser says

  /** @param {string} tag @param {Record<string, string | number>} [attributes] */
  open(tag, attributes = {}) {
    const [outer, inner] = this.#make(tag, attributes);
    if (this.#open.length === 1) {
      if (tag !== 'pre') outer.dir = 'auto';
      if (this.#last.childElementCount >= BLOCKS_IN_PART) this.#beginPart();
    }
    this.#last.append(outer);
    this.#open.push(inner);
    return inner;
  }

  close() {
    this.#open.pop();
  }

  /** @param {string} text */
  text(text) {
    const node = this.#last.lastChild;
    if (node instanceof Text) node.appendData(text);
    else this.#last.append(text);
  }

  /** @returns {Mark} */
  mark() {
    const node = this.#last.lastChild;
    return { open: [...this.#open], node, length: node instanceof Text ? node.length : 0 };
  }

  /** @param {Mark} mark */
  rewind({ open, node, length }) {
    this.#open = [...open];
    for (const element of open) while (element.nextSibling) element.nextSibling.remove();
    while (this.#last.lastChild !== node) this.#last.lastChild?.remove();
    if (node instanceof Text && node.length > length) node.deleteData(length, node.length - length);
  }

  /** @param {HTMLElement} list */
  loosen(list) {
    list.classList.add('loose');
  }

  // Internal

  #beginPart() {
    const part = h('div', { class: 'part' });
    this.#element.append(part);
    this.#open = [part];
  }

  get #last() {
    return /** @type {HTMLElement} */ (this.#open.at(-1));
  }

  /** Make an element; return it and where its content goes. @param {string} tag @param {Record<string, any>} attributes @returns {[HTMLElement, HTMLElement]} */
  #make(tag, { href, to, title, language, ...attributes }) {
    if (tag === 'pre') return codeBlock(language);
    if (tag === 'table') {
      const table = h('table');
      return [h('div', { class: 'table', tabindex: 0 }, table), table];
    }
    /** @type {HTMLElement} */
    let element;
    if (tag === 'line') element = h('span', { class: 'line' });
    else if (tag === 'a' && href) element = h('a', { href, title: title ?? null, target: '_blank', rel: 'noopener noreferrer' });
    else if (to !== undefined && !href) element = h('span', { class: 'address', 'data-to': to });
    else element = h(/** @type {keyof HTMLElementTagNameMap} */ (tag), attributes);
    return [element, element];
  }
}

/** @param {string} [language] @returns {[HTMLElement, HTMLElement]} */
function codeBlock(language = '') {
  const code = h('code');
  // The name is a picture of text, not text: what is selected or read back is the code alone.
  const head = h('div', { class: 'code-head', 'data-language': language },
    h('button', { type: 'button', class: 'copy', 'aria-label': 'Copy code', title: 'Copy code' }, icon('copy')));
  return [h('div', { class: 'code', dir: 'ltr' }, head, h('pre', { tabindex: 0 }, code)), code];
}
