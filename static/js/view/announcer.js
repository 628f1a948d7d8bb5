/**
 * What those hear who do not see: one answer by whole sentences, of the others that they ended.
 *
 * Several answers at once cannot be listened to. Read is the one in the column that has the focus
 * when it is asked, or the first.
 */

import { h } from './element.js';
import { Sentences } from '../model/sentences.js';
import { ending, figuresLine } from './words.js';

/** @import { Answer } from '../model/answer.js' */

const MAX_LINES = 20; // what was said long ago need not be read again

export class Announcer {
  element = h('div', { class: 'unseen', role: 'log', 'aria-live': 'polite', 'aria-label': 'Answers' });
  /** @type {WeakSet<Answer>} */
  #followed = new WeakSet();

  /** Follow those that are live. @param {{answer: Answer, name: string}[]} answers @param {number} focused The one to be read; -1: the first. */
  follow(answers, focused) {
    answers.forEach(({ answer, name }, index) => {
      if (!answer.isLive || this.#followed.has(answer)) return;
      this.#followed.add(answer);
      const sentences = index === Math.max(focused, 0) ? new Sentences() : null;
      const offText = answer.on('text', (text) => this.#say(...(sentences?.add(text) ?? [])));
      const offChange = answer.on('change', () => {
        if (answer.isLive) return;
        offText();
        offChange();
        this.#followed.delete(answer);
        this.#say(sentences?.end() ?? '', `${name}: ${ending(answer)}, ${figuresLine(answer.figures)}.`);
      });
    });
  }

  /** @param {...string} lines */
  #say(...lines) {
    for (const line of lines) if (line) this.element.append(h('p', { dir: 'auto' }, line));
    while (this.element.childElementCount > MAX_LINES) this.element.firstElementChild?.remove();
  }
}
