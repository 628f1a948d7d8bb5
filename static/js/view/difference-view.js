/**
 * `<difference-view>`: a dialog with two answers side by side and their differences marked.
 *
 * Any two of the given answers can be chosen. They are shown as source, since Markdown's own
 * characters may differ too.
 */

import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { differences } from './differences.js';

/** @typedef {{name: string, text: string}} Compared */

export class DifferenceView extends PageElement {
  /** @type {Compared[]} */
  #answers = [];
  #sides = ['Left', 'Right'].map((side) => ({
    choice: h('select', { 'aria-label': `${side} answer` }),
    text: h('div', { class: 'compared', tabindex: 0, role: 'region', dir: 'auto' }),
  }));
  #summary = h('p', { class: 'compared-summary', role: 'status' });
  #close = iconButton('close', 'Close');
  #dialog = h('dialog', { class: 'sheet wide-sheet', 'aria-labelledby': 'differences-title' },
    h('header', {}, h('h2', { id: 'differences-title' }, 'Differences'), this.#summary, this.#close),
    h('div', { class: 'compared-pair' }, ...this.#sides.map(({ choice, text }) => h('div', {}, choice, text))));

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    for (const { choice } of this.#sides) choice.addEventListener('change', () => this.#compare(), { signal });
    letClose(this.#dialog, this.#close, signal);
  }

  // Actions

  /** Compare these, the first two to begin with. @param {Compared[]} answers Two or more. */
  open(answers) {
    this.#answers = answers;
    this.#sides.forEach(({ choice }, side) => {
      choice.replaceChildren(...answers.map(({ name }, at) => h('option', { value: at }, name)));
      choice.value = String(Math.min(side, answers.length - 1));
    });
    this.#compare();
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  // Internal

  #compare() {
    const [left, right] = this.#sides.map(({ choice }) => this.#answers[Number(choice.value)]);
    const found = differences(left.text, right.text);
    const ranges = [found.left, found.right];
    [left, right].forEach(({ name, text }, side) => {
      this.#sides[side].text.replaceChildren(...marked(text, ranges[side]));
      this.#sides[side].text.setAttribute('aria-label', name);
    });
    const differing = ranges.flat().reduce((sum, { start, end }) => sum + end - start, 0);
    const length = left.text.length + right.text.length;
    const share = length === 0 ? 100 : Math.round((1 - differing / length) * 100);
    setText(this.#summary, differing === 0 ? 'They are the same.' : `${Math.min(share, 99)} % is the same.`);
  }
}

/** @param {string} text @param {{start: number, end: number}[]} ranges */
function* marked(text, ranges) {
  let at = 0;
  for (const { start, end } of ranges) {
    yield text.slice(at, start);
    yield h('mark', {}, text.slice(start, end));
    at = end;
  }
  yield text.slice(at);
}

customElements.define('difference-view', DifferenceView);
