/**
 * What a model thought, as one quiet line that opens.
 *
 * Folded, nothing is written but the line, whenever `tick` is called. Open, its text grows with the
 * model's; both go through the same Markdown writer as an answer.
 */

import { h, setText } from './element.js';
import { icon } from './icons.js';
import { thinkingLine } from './answer-labels.js';
import { MarkdownWriter } from './markdown-writer.js';

/** @import { Answer } from '../model/answer.js' */

let count = 0;

export class ThinkingView {
  #answer;
  #isExact;
  #id = `thoughts-${(count += 1)}`;
  #words = h('span', {});
  #figures = h('span', { class: 'thinking-figures' });
  #button = h('button', { type: 'button', class: 'thinking-line', 'aria-expanded': 'false', 'aria-controls': this.#id }, icon('right'), this.#words, this.#figures);
  #thoughts = h('div', { class: 'answer thoughts', id: this.#id, hidden: true });
  /** @type {MarkdownWriter | null} */
  #writer = null;
  #written = 0;
  #isEnded = false;
  element = h('div', { class: 'thinking' }, this.#button, this.#thoughts);

  /** @param {Answer} answer @param {() => boolean} isExact Whether each of its deltas is a token. */
  constructor(answer, isExact) {
    this.#answer = answer;
    this.#isExact = isExact;
    this.#button.addEventListener('click', () => this.#toggle());
  }

  get isOpen() {
    return !this.#thoughts.hidden;
  }

  // Actions

  /** Show the time and the tokens of now. */
  tick() {
    const { isLive, thinking } = this.#answer;
    if (!thinking) return;
    const isEstimated = !this.#isExact() && (isLive || thinking.isEstimated);
    const [word, ...figures] = thinkingLine({ ...thinking, isEstimated }).split(' ');
    setText(this.#words, word);
    setText(this.#figures, figures.map((part) => ` ${part}`).join(''));
  }

  /** Write what came since, if it is open. */
  write() {
    if (!this.isOpen) return;
    const { isLive, reasoning } = this.#answer;
    if (!this.#writer || (this.#isEnded && reasoning.length > this.#written)) this.#begin();
    if (reasoning.length > this.#written) this.#writer?.append(reasoning.slice(this.#written));
    this.#written = reasoning.length;
    if (!isLive && !this.#isEnded) this.#writer?.end();
    this.#isEnded = !isLive;
  }

  // Internal

  #begin() {
    this.#thoughts.replaceChildren();
    this.#writer = new MarkdownWriter(this.#thoughts);
    this.#written = 0;
    this.#isEnded = false;
  }

  #toggle() {
    this.#thoughts.hidden = this.isOpen;
    this.#button.setAttribute('aria-expanded', String(this.isOpen));
    this.write();
    this.element.dispatchEvent(new CustomEvent('fold', { bubbles: true }));
  }
}
