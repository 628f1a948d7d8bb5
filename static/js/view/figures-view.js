/** The figures of one answer, in one line: first token, speed, tokens, time. */

import { h, setText } from './element.js';
import { about, briefly, duration, rate, wait } from './labels.js';

/** @import { Answer } from '../model/answer.js' */

/** The names, and what a narrow column has in their place. @type {[name: string, before: string, behind: string][]} */
const FIGURES = [['First token', 'first ', ''], ['Speed', '', ''], ['Tokens', '', ' tok'], ['Time', '', ''], ['Answer after', 'answer ', '']];

/** What came before the model's own time is told from here on. */
const SHOWN_MS = 95;

export class FiguresView {
  #values = FIGURES.map(([, before, behind]) => h('dd', { 'data-before': before, 'data-behind': behind }));
  /** What came before the first token. */
  #before = h('span', { class: 'before' });
  #first = h('span', {});
  element = h('dl', { class: 'figures' }, ...FIGURES.map(([name], index) =>
    h('div', { title: name }, h('dt', {}, name), this.#values[index])));

  constructor() {
    this.#values[0].append(this.#first, this.#before);
  }

  /** @param {Answer | null} answer @param {boolean} isOurs Whether each of its deltas is a token. */
  show(answer, isOurs) {
    const { answerMs, isEstimated: wasEstimated, queueMs = 0, startMs = 0, ttftMs, tokensPerSecond, tokens, totalMs } = answer?.metrics ?? {};
    const isEstimated = !!answer && !isOurs && (wasEstimated || answer.isLive);
    const isBefore = !!answer?.isLive && ttftMs == null && answer.state !== 'waiting';
    const [first, speed, count, time, after] = this.#values;
    first.classList.toggle('is-running', isBefore);
    setText(this.#first, orDash(isBefore ? totalMs : ttftMs, briefly));
    const before = isBefore || ttftMs == null ? [] : [[startMs, 'start'], [queueMs, 'queue']].filter(([ms]) => Number(ms) >= SHOWN_MS);
    this.#before.replaceChildren(...before.flatMap(([ms, doing]) => [` + ${wait(Number(ms))}`, h('span', {}, ` ${doing}`)]));
    this.#before.title = before.map(([ms, doing]) => `and ${duration(Number(ms))} ${doing === 'start' ? 'until the model was started or loaded' : 'in the queue'}`).join(', ');
    setText(speed, orDash(tokensPerSecond, (value) => about(rate(value), isEstimated)));
    setText(count, orDash(tokens, (value) => about(value.toLocaleString('en'), isEstimated)));
    setText(time, orDash(answer?.state === 'waiting' ? null : totalMs, duration));
    /** @type {HTMLElement} */ (after.parentElement).hidden = answerMs == null;
    this.element.classList.toggle('has-thinking', answerMs != null);
    setText(after, orDash(answerMs, duration));
  }
}

/** @param {number | null | undefined} value @param {(value: number) => string} format */
function orDash(value, format) {
  return value == null ? '–' : format(value);
}
