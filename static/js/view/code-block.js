/**
 * A block of code in an answer: its lines, and a head that stays in sight.
 *
 * A line is coloured once, when it is complete. What tells the parts of code apart is loaded with the
 * first block that names its language. Lines that come while an answer is written are coloured in the
 * same frame; many at once, as of a stored chat, a slice at a time.
 */

import { copyButton } from './clipboard.js';
import { h, setText } from './element.js';
import { Late } from './late.js';

/** @import { Highlighter } from '../code/highlighter.js' */

const LONG_LINES = 30;
/** From here on the head stays in sight. Below that it hardly leaves it, and each head that sticks costs the browser a layer. */
const TALL_LINES = 8;
/** Coloured in one task. Some 30 µs each. */
const LINES_AT_ONCE = 100;

const highlighting = new Late(async () => (await import('../code/highlighter.js')).Highlighter);

export class CodeBlock {
  /** Where lines go. */
  code = h('code');
  #language;
  #count = 0;
  /** Complete lines that are not coloured. @type {HTMLElement[]} */
  #plain = [];
  /** @type {Highlighter | null} */
  #highlighter = null;
  #wrap = h('button', { type: 'button', class: 'code-button', 'aria-pressed': 'false' }, 'Wrap');
  #fold = h('button', { type: 'button', class: 'code-button', 'aria-expanded': 'true', hidden: true }, 'Fold');

  /** @param {string} [language] */
  constructor(language = '') {
    this.#language = language;
    // The language is drawn by CSS, so that a selection contains the code alone.
    const head = h('div', { class: 'code-head', 'data-language': language }, this.#fold, this.#wrap, copyButton('Copy code'));
    this.element = h('div', { class: 'code', dir: 'ltr' }, head, h('pre', { tabindex: 0 }, this.code));
    this.#wrap.addEventListener('click', () => {
      this.#wrap.setAttribute('aria-pressed', String(this.element.classList.toggle('is-wrapped')));
      this.#changed();
    });
    this.#fold.addEventListener('click', () => {
      this.#fold.setAttribute('aria-expanded', String(!this.element.classList.toggle('is-folded')));
      this.#nameFold();
      this.#changed();
    });
  }

  // Actions

  /** Take note that a line is complete. @param {HTMLElement} line */
  completeLine(line) {
    this.#count += 1;
    if (this.#count === TALL_LINES) this.element.classList.add('is-tall');
    if (this.#count > LONG_LINES) this.#nameFold();
    if (!this.#language) return;
    this.#plain.push(line);
    colouring.add(this);
  }

  /** Colour complete lines; return how many. @param {number} most @returns {number} */
  colour(most) {
    const Highlighter = highlighting.value;
    if (!Highlighter) return 0;
    this.#highlighter ??= new Highlighter(this.#language);
    const lines = this.#plain.splice(0, this.#highlighter.isKnown ? most : Infinity);
    if (!this.#highlighter.isKnown) return 0;
    for (const line of lines) {
      const text = line.textContent ?? '';
      const parts = this.#highlighter.read(text.replace(/\n$/, ''));
      if (parts.every(([kind]) => kind === '')) continue;
      line.replaceChildren(...parts.map(([kind, part]) => (kind ? h('span', { class: `code-${kind}` }, part) : part)), '\n');
    }
    return lines.length;
  }

  get isColoured() {
    return this.#plain.length === 0;
  }

  // Internal

  #nameFold() {
    this.#fold.hidden = false;
    setText(this.#fold, this.element.classList.contains('is-folded') ? `All ${this.#count} lines` : 'Fold');
  }

  #changed() {
    this.element.scrollIntoView({ block: 'nearest' });
    this.element.dispatchEvent(new CustomEvent('fold', { bubbles: true }));
  }
}

/** The blocks with lines to colour: some at once, the others in tasks of their own. */
class Colouring {
  /** @type {Set<CodeBlock>} */
  #blocks = new Set();
  #left = LINES_AT_ONCE;
  #isTaskDue = false;

  constructor() {
    highlighting.on('change', () => this.#schedule());
  }

  /** @param {CodeBlock} block */
  add(block) {
    this.#blocks.add(block);
    if (!highlighting.value) return void highlighting.load();
    this.#work();
    this.#schedule();
  }

  // Internal

  #work() {
    for (const block of this.#blocks) {
      if (this.#left <= 0) return;
      this.#left -= block.colour(this.#left);
      if (block.isColoured) this.#blocks.delete(block);
    }
  }

  #schedule() {
    if (this.#isTaskDue) return;
    this.#isTaskDue = true;
    setTimeout(() => {
      this.#isTaskDue = false;
      this.#left = LINES_AT_ONCE;
      this.#work();
      if (this.#blocks.size > 0 && highlighting.value) this.#schedule();
    });
  }
}

const colouring = new Colouring();
