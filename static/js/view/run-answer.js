/**
 * One answer at a prompt of a run: while it is written, and with its checks and figures once it is complete.
 *
 * Both are one element, so that what is read, selected or unfolded stays where it is when the answer is complete.
 */

import { h, setText } from './element.js';
import { errorNotice } from './error-notice.js';
import { GrowingText } from './growing-text.js';
import { icon } from './icons.js';
import { capital, duration, sentence, tokens } from './labels.js';

/** @import { AskedState, SnapshotEvent } from '../client/prompt-following.js' */
/** @import { CheckOutcome, RunAnswer } from '../client/runs.js' */

/** @type {Record<string, string>} */
const ENDS = { stop: 'Complete', length: 'Length limit reached', cancelled: 'Cancelled', failed: 'Failed' };
/** @type {Record<AskedState, string>} */
const STATES = { waiting: 'Waiting', queued: 'Waiting for its turn', starting: 'The model is starting', running: 'Writing…', ended: 'Being checked…' };

/** The texts by what stands at their ends. @type {WeakMap<Element, GrowingText>} */
const texts = new WeakMap();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const text = texts.get(target);
    if (text) text.isUnseen = !isIntersecting;
  }
});

export class RunAnswerView {
  #answer = h('div', { class: 'answer', dir: 'auto' });
  #text = new GrowingText(this.#answer);
  /** @type {Thoughts | null} */
  #thoughts = null;
  #mark = h('p', { class: 'field-hint run-mark' });
  /** @type {AskedState | null} Null once it is complete. */
  #state = null;
  /** What of it is shown; an answer that is told twice is written once. */
  #told = '';

  /** @param {number} repeat From 0. @param {boolean} isOneOfMany Whether it says which it is. */
  constructor(repeat, isOneOfMany) {
    this.repeat = repeat;
    this.element = h('article', { class: 'run-answer' }, ...(isOneOfMany ? [h('h4', {}, `Time ${repeat + 1}`)] : []), this.#answer, this.#mark);
    texts.set(this.#mark, this.#text);
    sight.observe(this.#mark);
  }

  /** Whether anything of it can be read. */
  get hasText() {
    return !this.#text.isEmpty || this.#thoughts !== null;
  }

  get isComplete() {
    return this.#state === null;
  }

  // Actions

  /** Show what is written so far, in place of all else. @param {SnapshotEvent} snapshot */
  begin({ state, text, reasoning }) {
    this.#told = '';
    sight.observe(this.#mark);
    this.#dropOutcome();
    this.#think(reasoning, false);
    this.#text.set(text);
    this.turn(state);
  }

  /** @param {string} text @param {'answer' | 'reasoning'} kind */
  append(text, kind) {
    if (kind === 'answer') this.#text.append(text);
    else if (this.#thoughts) this.#thoughts.text.append(text);
    else this.#think(text, false);
    this.#showState();
  }

  /** @param {AskedState} state */
  turn(state) {
    this.#state = state;
    this.#showState();
  }

  /** Show the whole answer; tell whether that is another than the one shown. @param {RunAnswer} answer */
  complete(answer) {
    const told = JSON.stringify(answer);
    if (told === this.#told) return false;
    const { text, reasoning = '', checks = [], error, finish_reason: reason, timings, usage } = answer;
    this.#told = told;
    this.#state = null;
    sight.unobserve(this.#mark);
    this.#dropOutcome();
    this.#think(reasoning, true);
    this.#text.set(text, { isWhole: true });
    setText(this.#mark, [ENDS[reason] ?? capital(reason), timings.total_ms === null ? '' : duration(timings.total_ms), tokens(usage.completion_tokens)].filter(Boolean).join(' · '));
    this.#mark.before(
      ...(error ? [outcome(errorNotice(error))] : []),
      ...(checks.length ? [outcome(h('ul', { class: 'run-checks', 'aria-label': 'Checks' }, ...checks.map(checkLine)))] : []),
    );
    return true;
  }

  // Internal

  /** Take away what stands at a complete answer, what judges said among it. */
  #dropOutcome() {
    for (const one of this.element.querySelectorAll('.run-outcome, .run-judged')) one.remove();
  }

  /** @param {string} reasoning @param {boolean} isWhole */
  #think(reasoning, isWhole) {
    if (!reasoning) {
      this.#thoughts?.element.remove();
      this.#thoughts = null;
      return;
    }
    if (!this.#thoughts) this.#answer.before((this.#thoughts = new Thoughts()).element);
    this.#thoughts.text.set(reasoning, { isWhole });
  }

  #showState() {
    const state = this.#state ?? 'running';
    const isThinking = state === 'running' && this.#text.isEmpty && this.#thoughts !== null;
    setText(this.#mark, isThinking ? 'Thinking…' : STATES[state]);
  }
}

/** What the model thought, folded; folded, nothing of it is written. */
class Thoughts {
  #written = h('div', { class: 'answer thoughts', dir: 'auto' });
  element = h('details', {}, h('summary', {}, 'Thinking'), this.#written);
  text = new LazyText(this.element, this.#written);
}

/** A text that is written once its fold was opened. */
class LazyText {
  #text;
  #fold;
  #whole = '';
  #isWhole = false;

  /** @param {HTMLDetailsElement} fold @param {HTMLElement} written */
  constructor(fold, written) {
    this.#fold = fold;
    this.#text = new GrowingText(written);
    fold.addEventListener('toggle', () => this.#write());
  }

  /** @param {string} text @param {{isWhole: boolean}} options */
  set(text, { isWhole }) {
    this.#whole = text;
    this.#isWhole = isWhole;
    this.#write();
  }

  /** @param {string} text */
  append(text) {
    this.#whole += text;
    this.#write();
  }

  #write() {
    if (this.#fold.open) this.#text.set(this.#whole, { isWhole: this.#isWhole });
  }
}

/** @param {HTMLElement} element */
function outcome(element) {
  element.classList.add('run-outcome');
  return element;
}

/** @param {CheckOutcome} outcome */
function checkLine({ check, passed, explanation }) {
  const [mark, word] = passed ? ['passed', 'Passed'] : passed === false ? ['failed', 'Failed'] : ['unsure', 'Cannot be told'];
  const sign = icon(passed ? 'check' : passed === false ? 'close' : 'about');
  return h('li', { class: `is-${mark}` }, sign, h('span', { dir: 'auto' }, h('b', {}, `${word}: ${check.type}`), explanation ? `, ${sentence(explanation)}` : ''));
}
