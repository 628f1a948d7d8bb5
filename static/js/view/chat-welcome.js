/**
 * `<chat-welcome>`: an introduction and three example prompts for an empty chat.
 *
 * Events: `prompt-send` with `{text}` when an example is chosen.
 */

import { PageElement, h } from './element.js';

const EXAMPLES = [
  'Explain in two sentences why the sky is blue.',
  'Write four lines about the sea in winter.',
  'Give me three ideas for a rainy afternoon.',
];

export class ChatWelcome extends PageElement {
  /** @type {string | null} */
  #named = null;
  #models = h('p', { class: 'welcome-models' });
  #examples = EXAMPLES.map((text) => h('button', { type: 'button', class: 'example' }, text));

  /** @param {string[]} names The labels of the columns. */
  set models(names) {
    if (names.join('\n') === this.#named) return; // a starting model changes many times a second
    this.#named = names.join('\n');
    this.#models.replaceChildren(...(names.length === 0
      ? ['Pick one or more models to begin.']
      : names.map((name) => h('span', { class: 'chip' }, name))));
    for (const example of this.#examples) example.disabled = names.length === 0;
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(
      h('h2', {}, 'Ask once, compare the answers'),
      h('p', {}, 'Every model you pick answers in a column of its own, at the same time.'),
      this.#models,
      h('ul', { class: 'examples' }, ...this.#examples.map((example) => h('li', {}, example))),
    );
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    for (const example of this.#examples) {
      const text = example.textContent;
      example.addEventListener('click', () => this.announce('prompt-send', { text }), { signal });
    }
  }
}

customElements.define('chat-welcome', ChatWelcome);
