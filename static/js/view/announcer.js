/**
 * Announcements for screen readers: one answer sentence by sentence, and the ends of the others.
 *
 * Nobody can listen to several answers at once. The one in the focused column is read, or the first.
 */

import { h } from './element.js';
import { Sentences } from '../model/sentences.js';
import { endLine } from './labels.js';

/** @import { Answer } from '../model/answer.js' */

const MAX_LINES = 20; // older ones need not be read again

export class Announcer {
  element = h('div', { class: 'unseen', role: 'log', 'aria-live': 'polite', 'aria-label': 'Answers' });
  /** @type {WeakSet<Answer>} */
  #followed = new WeakSet();

  /** Follow the live ones. @param {{answer: Answer, name: string, isSecret?: boolean}[]} answers `isSecret`: leave out the figures. @param {number} focused The index of the one that is read; -1: the first. */
  follow(answers, focused) {
    answers.forEach(({ answer, name, isSecret }, index) => {
      if (!answer.isLive || this.#followed.has(answer)) return;
      this.#followed.add(answer);
      const sentences = index === Math.max(focused, 0) ? new Sentences() : null;
      const offText = answer.on('text', (text) => this.say(...(sentences?.add(text) ?? [])));
      let isToldThinking = false;
      const offChange = answer.on('change', () => {
        if (sentences && answer.thinking?.isNow && !isToldThinking) {
          isToldThinking = true;
          this.say(`${name} is thinking.`);
        }
        if (answer.isLive) return;
        offText();
        offChange();
        this.#followed.delete(answer);
        this.say(sentences?.end() ?? '', `${name}: ${isSecret ? 'Ended' : endLine(answer)}.`);
      });
    });
  }

  /** @param {...string} lines */
  say(...lines) {
    for (const line of lines) if (line) this.element.append(h('p', { dir: 'auto' }, line));
    while (this.element.childElementCount > MAX_LINES) this.element.firstElementChild?.remove();
  }
}
