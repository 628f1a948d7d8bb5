/**
 * Write a Markdown answer into the page: the parser's operations become nodes that only grow.
 *
 * Text goes into text nodes and is never parsed as markup. Each line of code is a block, so that the
 * browser lays out only the last one; every few blocks form a part, so that it paints only the last
 * one. A link opens a new tab without a referrer; an unsafe one becomes text followed by its address.
 * A picture becomes a link, since showing it would contact another server. Each block has its own
 * text direction. A formula stands as its source until it is typeset; what does that is loaded with the
 * first one.
 */

import { Markdown } from '../markdown/blocks.js';
import { CodeBlock } from './code-block.js';
import { h, iconButton } from './element.js';
import { Late } from './late.js';

/** @typedef {{open: HTMLElement[], node: ChildNode | null, length: number}} Mark */

/** About as many as are visible at once. */
const BLOCKS_IN_PART = 6;

const formulas = new Late(async () => new (await import('./formulas.js')).Formulas());
/** Complete before `formulas` is here. @type {HTMLElement[]} */
const waiting = [];
formulas.on('change', typeset);

export class MarkdownWriter {
  #markdown = new Markdown(this);
  #element;
  /** The last part, and what is open in it. @type {HTMLElement[]} */
  #open = [];
  #isEmpty = true;
  /** The last block of code. @type {CodeBlock | null} */
  #code = null;

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

  /** Mark the end of the text. */
  end() {
    this.#markdown.end();
  }

  // Operations of the parser

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
    const element = this.#open.pop();
    if (element?.className === 'line') this.#code?.completeLine(element);
    if (element?.className !== 'formula') return;
    waiting.push(element);
    typeset();
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
  #make(tag, { href, to, title, language, state, ...attributes }) {
    if (tag === 'pre') {
      this.#code = new CodeBlock(language);
      return [this.#code.element, this.#code.code];
    }
    if (tag === 'table') {
      const table = h('table');
      const open = iconButton('expand', 'Open this table over the page', { class: 'icon-button table-open' });
      open.addEventListener('click', async () => (await import('./opened-table.js')).openTable(table));
      return [h('div', { class: 'table' }, h('div', { class: 'table-part', tabindex: 0 }, table), open), table];
    }
    /** @type {HTMLElement} */
    let element;
    if (tag === 'task') {
      element = h('span', { class: 'task', role: 'img', 'aria-label': state });
      this.#last.closest('li')?.classList.add('has-task');
    } else if (tag === 'line') element = h('span', { class: 'line' });
    else if (tag === 'math') element = h('span', { class: 'formula' });
    else if (tag === 'a' && href) element = h('a', { href, title: title ?? null, target: '_blank', rel: 'noopener noreferrer' });
    else if (to !== undefined && !href) element = h('span', { class: 'address', 'data-to': to });
    else element = h(/** @type {keyof HTMLElementTagNameMap} */ (tag), attributes);
    return [element, element];
  }
}

/** Typeset the formulas that are complete, or load what does it. */
function typeset() {
  if (!formulas.value) return void formulas.load();
  for (const element of waiting.splice(0)) formulas.value.add(element);
}
