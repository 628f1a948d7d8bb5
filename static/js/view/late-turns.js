/**
 * Prompts and answers come after the page, and all that only they need with them.
 *
 * Until it is there nothing is shown, and if it cannot be loaded, plain text.
 */

import { PageElement, h } from './element.js';
import { Late } from './late.js';
import { laterStyles } from './late-styles.js';

/** @import { TurnParts } from './answer-turn.js' */

export const lateTurns = new Late(async () => {
  const [{ turnViews }] = await Promise.all([import('./turn-views.js'), laterStyles()]);
  return turnViews;
});

/** A turn as plain text. */
export class PlainTurn extends PageElement {
  #column;
  #context;
  #text = h('div', { dir: 'auto' });
  #job = {
    write: () => {
      this.hidden = lateTurns.failures === 0;
      this.#text.textContent = this.turn.answer(this.#column)?.text ?? '';
    },
  };

  /** @param {TurnParts} parts */
  constructor({ turn, column, context }) {
    super();
    this.turn = turn;
    this.#column = column;
    this.#context = context;
    void lateTurns.load();
  }

  // Lifecycle

  /** @override */
  build() {
    this.hidden = true;
    this.append(
      h('p', { class: 'hint' }, 'Plain text until the rest of the page is loaded.'),
      h('p', { dir: 'auto' }, this.turn.prompt),
      this.#text,
    );
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    lateTurns.on('change', () => this.refresh(), { signal });
    this.refresh();
  }

  // Actions

  /** Show the text of now. */
  refresh() {
    this.#context.frames.schedule(this.#job);
  }

  tick() {}
}

customElements.define('plain-turn', PlainTurn);
