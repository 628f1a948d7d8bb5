/**
 * One prompt of a run: all targets' whole answers side by side, with what their checks say.
 *
 * Names are shown, so that a vote that is given afterwards is not blind.
 * The arrow keys, left and right, go to the prompts before and after, and so do the buttons.
 */

import { followRuns } from '../client/run-following.js';
import { placeWords } from '../model/run-order.js';
import { targetNames } from '../model/run-table.js';
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
      this.#host.moved(this.#run, next);
      this.#load();
    });
  }

  /** Look whether this prompt has more answers. @param {Run} run */
  #changed(run) {
    this.#run = run;
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
    setText(this.#place, [`Prompt ${prompt + 1} of ${prompts}`, placeWords(this.#order, prompt)].filter(Boolean).join(' · '));
    this.#before.setAttribute('aria-disabled', String(this.#order.isAtEnd(prompt, -1, prompts)));
    this.#after.setAttribute('aria-disabled', String(this.#order.isAtEnd(prompt, 1, prompts)));
    void this.#host.read(async () => {
      const asked = await this.#host.api.prompt(this.#run.id, prompt);
      const isShown = this.#shown === prompt && this.#count === asked.answers.length;
      if (this.#signal.aborted || prompt !== this.#prompt || isShown) return;
      [this.#shown, this.#count] = [prompt, asked.answers.length];
      void this.#judgements.show(prompt, this.#show(asked));
    });
  }

  /** Return the answers with their elements. @param {AskedPrompt} asked */
  #show({ messages, expected, answers }) {
    this.#asked.replaceChildren(...askedLines(messages, expected));
    this.#asked.scrollTop = 0;
    const names = targetNames(this.#run.targets, this.#host.nameOf);
    this.#host.seen.add(this.#run.id, ...answers.map(({ repeat }) => ({ prompt: this.#prompt, repeat })));
    const shown = answers.map((answer) => ({ target: answer.target, repeat: answer.repeat, element: this.#answer(answer) }));
    this.#answers.replaceChildren(...names.map((name, target) => {
      const own = shown.filter((answer) => answer.target === target);
      return h('section', { class: 'run-target', 'aria-label': name }, h('h3', { dir: 'auto' }, name),
        ...(own.length ? own.map(({ element }) => element) : [h('p', { class: 'field-hint' }, 'No answer.')]));
    }));
    return shown;
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
