/**
 * One prompt of a run: all targets' whole answers side by side, with what their checks say.
 *
 * Names are shown, so that a vote that is given afterwards is not blind.
 * The arrow keys, left and right, go to the prompts before and after, and so do the buttons.
 */

import { followRuns } from '../client/run-following.js';
import { placeWords } from '../model/run-order.js';
import { isOver, targetNames } from '../model/run-table.js';
import { h, iconButton, setText } from './element.js';
import { errorNotice } from './error-notice.js';
import { icon } from './icons.js';
import { capital, duration, sentence, tokens } from './labels.js';
import { RunJudgements } from './run-judgements.js';
import { askedLines, write } from './run-texts.js';

/** @import { AskedPrompt, CheckOutcome, Run, RunAnswer } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const LOOK_AGAIN_MS = 1000;
/** Read at once where a filter says which prompt is next. */
const ROWS = 20;
/** @type {Record<string, string>} */
const ENDS = { stop: 'Complete', length: 'Length limit reached', cancelled: 'Cancelled', failed: 'Failed' };

export class RunPrompt {
  #host;
  #signal;
  #run;
  #prompt;
  #order;
  /** The prompt that is shown, and how many answers of it. */
  #shown = -1;
  #count = 0;
  /** Those that are shown, by target and repeat, and what was written there. @type {Map<string, {element: HTMLElement, written: string}>} */
  #elements = new Map();
  /** By target: where its answers are, and the words where there is none. @type {{section: HTMLElement, none: HTMLElement}[]} */
  #targets = [];
  #isWaiting = false;
  /** Its run was deleted. */
  #isGone = false;
  #judgements;
  #before = iconButton('left', 'The prompt before');
  #after = iconButton('right', 'The next prompt');
  #place = h('span', { class: 'run-words', role: 'status' });
  #asked = h('div', { class: 'run-asked', role: 'region', 'aria-label': 'Prompt', tabindex: 0 });
  #answers = h('div', { class: 'run-answers', role: 'region', 'aria-label': 'Answers', tabindex: 0 });
  element = h('div', { class: 'run-page run-whole' },
    h('div', { class: 'run-acts' }, this.#before, this.#place, this.#after), this.#asked, this.#answers);

  /** @param {Host} host @param {AbortSignal} signal @param {Run} run @param {number} prompt From 0. */
  constructor(host, signal, run, prompt) {
    this.#host = host;
    this.#signal = signal;
    this.#run = run;
    this.#prompt = prompt;
    this.#order = host.orderOf(run);
    host.name(run.name || run.set_name);
    this.#judgements = new RunJudgements(host, signal, run);
    this.#before.addEventListener('click', () => this.#go(-1));
    this.#after.addEventListener('click', () => this.#go(1));
    this.#load();
    const reading = followRuns(host.client, [run.id], { signal });
    reading.on('run', (changed) => this.#changed(changed));
    reading.on('removed', () => {
      this.#isGone = true;
      host.gone();
    });
  }

  back = () => this.#host.open(this.#run, this.#prompt);

  focus() {
    this.#asked.focus();
  }

  /** @param {KeyboardEvent} event */
  keydown(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#go(by);
  }

  // Internal

  /** Show the next prompt of those that are chosen in the grid. @param {number} by */
  #go(by) {
    const { id, prompts } = this.#run;
    const from = this.#prompt;
    void this.#host.attempt(async () => {
      const next = await this.#order.step(from, by, prompts, (first) => this.#host.api.rows(id, first, ROWS, this.#order.choice));
      if (this.#signal.aborted || next === null || this.#prompt !== from) return;
      this.#prompt = next;
      this.#count = 0;
      this.#host.moved(this.#run, next);
      this.#load();
    });
  }

  /** Look whether this prompt has more answers. @param {Run} run */
  #changed(run) {
    this.#run = run;
    this.#showMissing();
    const due = run.targets.length * run.repeats;
    if (this.#isWaiting || this.#count >= due) return;
    this.#isWaiting = true;
    setTimeout(() => {
      this.#isWaiting = false;
      if (!this.#signal.aborted && !this.#isGone) this.#load();
    }, LOOK_AGAIN_MS);
  }

  #load() {
    const prompt = this.#prompt;
    const { prompts } = this.#run;
    this.#before.setAttribute('aria-disabled', String(this.#order.isAtEnd(prompt, -1, prompts)));
    this.#after.setAttribute('aria-disabled', String(this.#order.isAtEnd(prompt, 1, prompts)));
    void this.#host.read(async () => {
      const asked = await this.#read(prompt);
      const isShown = this.#shown === prompt && this.#count === asked.answers.length;
      if (this.#signal.aborted || prompt !== this.#prompt || isShown) return;
      if (this.#shown !== prompt) this.#begin(prompt, asked);
      this.#count = asked.answers.length;
      void this.#judgements.show(prompt, this.#add(asked.answers));
    });
  }

  /** What was shown before stays until the prompt is there, or cannot be read. @param {number} prompt */
  async #read(prompt) {
    try {
      return await this.#host.api.prompt(this.#run.id, prompt);
    } catch (error) {
      if (prompt === this.#prompt && this.#shown !== prompt && !this.#signal.aborted) {
        this.#begin(prompt, null);
        this.#shown = -1;
      }
      throw error;
    }
  }

  /** Show another prompt, without its answers; null if it cannot be read. @param {number} prompt @param {AskedPrompt | null} asked */
  #begin(prompt, asked) {
    this.#shown = prompt;
    setText(this.#place, [`Prompt ${prompt + 1} of ${this.#run.prompts}`, placeWords(this.#order, prompt)].filter(Boolean).join(' · '));
    this.#asked.replaceChildren(...(asked ? askedLines(asked.messages, asked.expected) : []));
    this.#asked.scrollTop = 0;
    this.#answers.replaceChildren();
    this.#elements.clear();
    this.#targets = [];
    this.#count = 0;
  }

  /** Show the answers; those that are shown already keep their folds. Return the others with their elements. @param {RunAnswer[]} answers */
  #add(answers) {
    this.#host.seen.add(this.#run.id, ...answers.map(({ repeat }) => ({ prompt: this.#shown, repeat })));
    const names = targetNames(this.#run.targets, this.#host.nameOf);
    for (const name of names.slice(this.#targets.length)) {
      const none = h('p', { class: 'field-hint' });
      const section = h('section', { class: 'run-target', 'aria-label': name, tabindex: 0 }, h('h3', { dir: 'auto' }, name), none);
      this.#targets.push({ section, none });
      this.#answers.append(section);
    }
    const due = new Map(answers.map((answer) => [`${answer.target} ${answer.repeat}`, { answer, written: JSON.stringify(answer) }]));
    for (const [key, { element, written }] of this.#elements) {
      if (due.get(key)?.written === written) continue;
      element.remove(); // it is asked again
      this.#elements.delete(key);
    }
    const added = [];
    for (const [key, { answer, written }] of due) {
      if (this.#elements.has(key)) continue;
      const { target, repeat } = answer;
      const element = this.#answer(answer);
      this.#elements.set(key, { element, written });
      element.dataset.repeat = String(repeat);
      const { section, none } = this.#targets[target];
      const after = [...section.querySelectorAll('.run-answer')].find((other) => Number(/** @type {HTMLElement} */ (other).dataset.repeat) > repeat);
      section.insertBefore(element, after ?? none);
      added.push({ target, repeat, element });
    }
    this.#showMissing();
    return added;
  }

  #showMissing() {
    const words = isOver(this.#run) ? 'No answer.' : 'Not answered yet.';
    for (const { section, none } of this.#targets) {
      none.hidden = section.querySelector('.run-answer') !== null;
      setText(none, words);
    }
  }

  /** @param {RunAnswer} answer */
  #answer({ repeat, text, reasoning, checks = [], error, finish_reason: reason, timings, usage }) {
    const written = h('div', { class: 'answer', dir: 'auto' });
    write(written, text);
    const figures = [ENDS[reason] ?? capital(reason), timings.total_ms === null ? '' : duration(timings.total_ms), tokens(usage.completion_tokens)].filter(Boolean).join(' · ');
    return h('article', { class: 'run-answer' },
      ...(this.#run.repeats > 1 ? [h('h4', {}, `Time ${repeat + 1}`)] : []),
      ...(reasoning ? [thoughts(reasoning)] : []),
      written,
      ...(error ? [errorNotice(error)] : []),
      ...(checks.length ? [h('ul', { class: 'run-checks', 'aria-label': 'Checks' }, ...checks.map(checkLine))] : []),
      h('p', { class: 'field-hint' }, figures));
  }
}

/** @param {CheckOutcome} outcome */
function checkLine({ check, passed, explanation }) {
  const [mark, word] = passed ? ['passed', 'Passed'] : passed === false ? ['failed', 'Failed'] : ['unsure', 'Cannot be told'];
  const sign = icon(passed ? 'check' : passed === false ? 'close' : 'about');
  return h('li', { class: `is-${mark}` }, sign, h('span', { dir: 'auto' }, h('b', {}, `${word}: ${check.type}`), explanation ? `, ${sentence(explanation)}` : ''));
}

/** @param {string} reasoning */
function thoughts(reasoning) {
  const written = h('div', { class: 'answer thoughts', dir: 'auto' });
  const details = h('details', {}, h('summary', {}, 'Thinking'), written);
  details.addEventListener('toggle', () => write(written, reasoning), { once: true });
  return details;
}
