/**
 * One prompt of a run: all targets' answers side by side, as they are written, with what their checks say.
 *
 * Names are shown, so that a vote that is given afterwards is not blind.
 * The arrow keys, left and right, go to the prompts before and after, and so do the buttons.
 * Answers that are written come by a stream, which ends with the screen, or where another prompt is shown.
 */

import { SidestreamError } from '../client/protocol.js';
import { followRuns } from '../client/run-following.js';
import { placeWords } from '../model/run-order.js';
import { isOver, targetNames } from '../model/run-table.js';
import { h, iconButton, setText } from './element.js';
import { RunAnswerView } from './run-answer.js';
import { RunJudgements } from './run-judgements.js';
import { askedLines } from './run-texts.js';
import { sideways } from './sideways.js';

/** @import { PromptEvent } from '../client/prompt-following.js' */
/** @import { AskedPrompt, Run, RunAnswer } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const LOOK_AGAIN_MS = 1000;
/** Read at once where a filter says which prompt is next. */
const ROWS = 20;

export class RunPrompt {
  #host;
  #signal;
  #run;
  #prompt;
  #order;
  /** The prompt that is shown. */
  #shown = -1;
  /** By target and repeat: answers that are complete, or under way. @type {Map<string, RunAnswerView>} */
  #views = new Map();
  /** The repeats of which something was read. @type {Set<number>} */
  #readRepeats = new Set();
  /** An answer came into sight or went, since that was last looked at. */
  #isOther = false;
  /** By target: where its answers are, and the words where there is none. @type {{section: HTMLElement, none: HTMLElement}[]} */
  #targets = [];
  /** Ends what is read for the shown prompt. @type {AbortController | null} */
  #reading = null;
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
    this.#judgements = new RunJudgements(host, signal);
    this.#before.addEventListener('click', () => this.#go(-1));
    this.#after.addEventListener('click', () => this.#go(1));
    signal.addEventListener('abort', () => this.#reading?.abort());
    this.#load();
    const reading = followRuns(host.client, [run.id], { signal });
    reading.on('run', (changed) => this.#changed(changed));
    reading.on('removed', () => this.#end());
  }

  back = () => this.#host.open(this.#run, this.#prompt);

  focus() {
    this.#asked.focus();
  }

  /** @param {KeyboardEvent} event */
  keydown(event) {
    const [left, right] = sideways(this.element);
    const by = { ArrowLeft: left, ArrowRight: right }[event.key];
    if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#go(by);
  }

  // Internal

  /** Its run was deleted, which its socket and the stream of its answers tell, one before the other. */
  #end() {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#reading?.abort();
    this.#host.gone();
  }

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

  /** Look again where the run has more for this prompt than is shown and followed. @param {Run} run */
  #changed(run) {
    const goesOn = run.state === 'running' && this.#run.state !== 'running';
    const isWider = run.targets.length > this.#run.targets.length;
    const hasEnded = isOver(run) !== isOver(this.#run);
    this.#run = run;
    this.#host.name(run.name || run.set_name);
    if (hasEnded) this.#showMissing();
    if (isWider && this.#reading) return this.#load(); // what was told of the new targets had no place
    const isFollowed = this.#reading !== null && !isOver(run);
    if (this.#isWaiting || isFollowed || !(goesOn || this.#isDue)) return;
    this.#isWaiting = true;
    setTimeout(() => {
      this.#isWaiting = false;
      if (this.#signal.aborted || this.#isGone) return;
      const isSilent = isOver(this.#run) && this.#isDue; // a stream that lost its end would be waited for
      if (!this.#reading || isSilent) this.#load();
    }, LOOK_AGAIN_MS);
  }

  get #isDue() {
    const complete = [...this.#views.values()].filter(({ isComplete }) => isComplete);
    return complete.length < this.#run.targets.length * this.#run.repeats;
  }

  /** Read the prompt, and follow what is written of its answers. */
  #load() {
    const prompt = this.#prompt;
    const { prompts } = this.#run;
    this.#before.setAttribute('aria-disabled', String(this.#order.isAtEnd(prompt, -1, prompts)));
    this.#after.setAttribute('aria-disabled', String(this.#order.isAtEnd(prompt, 1, prompts)));
    this.#judgements.renew();
    this.#reading?.abort();
    this.#reading = new AbortController();
    void this.#readAndFollow(prompt, this.#reading);
  }

  /** @param {number} prompt @param {AbortController} reading */
  async #readAndFollow(prompt, reading) {
    const { signal } = reading;
    let isRead = false;
    await this.#host.read(async () => {
      const asked = await this.#read(prompt);
      if (signal.aborted) return;
      if (this.#shown !== prompt) this.#begin(prompt, asked);
      this.#showAll(asked.answers);
      isRead = true;
    });
    if (isRead && this.#run.state === 'running' && this.#isDue) await this.#host.read(() => this.#follow(prompt, signal));
    if (this.#reading === reading) this.#reading = null;
  }

  /** @param {number} prompt @param {AbortSignal} signal */
  async #follow(prompt, signal) {
    try {
      for await (const events of this.#host.api.followPrompt(this.#run.id, prompt, { signal })) {
        if (!signal.aborted) this.#tell(events);
      }
    } catch (error) {
      if (!(error instanceof SidestreamError) || error.code !== 'unknown_run') throw error;
      this.#end();
    }
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
    this.#views.clear();
    this.#readRepeats.clear();
    this.#targets = [];
  }

  /** Show the complete answers; those that are asked again go. @param {RunAnswer[]} answers */
  #showAll(answers) {
    this.#addTargets();
    const complete = new Set(answers.map(({ target, repeat }) => `${target} ${repeat}`));
    for (const [key, view] of this.#views) if (view.isComplete && !complete.has(key)) this.#drop(key);
    this.#tell(answers.map((answer) => ({ type: 'answer', answer })));
  }

  /** @param {PromptEvent[]} events */
  #tell(events) {
    const added = [];
    for (const event of events) {
      if (event.type === 'end') continue;
      const { target, repeat } = event.type === 'answer' ? event.answer : event;
      const key = `${target} ${repeat}`;
      if (target >= this.#targets.length) continue; // the run as it is now is yet to come
      if (event.type === 'snapshot' && event.state === 'waiting') this.#drop(key);
      else if (event.type === 'answer') {
        const view = this.#view(target, repeat);
        if (view.complete(event.answer)) added.push({ target, repeat, element: view.element });
      } else if (event.type === 'snapshot') this.#view(target, repeat).begin(event);
      else if (event.type === 'delta') this.#views.get(key)?.append(event.text, event.kind);
      else this.#views.get(key)?.turn(event.state);
    }
    this.#noteSeen();
    if (this.#isOther) this.#showMissing();
    if (added.length) void this.#judgements.show(this.#run, this.#shown, added);
  }

  /** Who has read some of an answer knows whose it is. */
  #noteSeen() {
    const read = [...this.#views.values()].filter((view) => !this.#readRepeats.has(view.repeat) && (view.isComplete || view.hasText));
    if (!read.length) return;
    for (const { repeat } of read) this.#readRepeats.add(repeat);
    this.#host.seen.add(this.#run.id, ...read.map(({ repeat }) => ({ prompt: this.#shown, repeat })));
  }

  /** The view of an answer, at its place. @param {number} target @param {number} repeat */
  #view(target, repeat) {
    const key = `${target} ${repeat}`;
    const known = this.#views.get(key);
    if (known) return known;
    const view = new RunAnswerView(repeat, this.#run.repeats > 1);
    const { section, none } = this.#targets[target];
    const after = [...this.#views].filter(([other, { repeat: behind }]) => other.startsWith(`${target} `) && behind > repeat).sort(([, one], [, other]) => one.repeat - other.repeat)[0];
    section.insertBefore(view.element, after?.[1].element ?? none);
    this.#views.set(key, view);
    this.#isOther = true;
    return view;
  }

  /** An answer is to be asked again. @param {string} key */
  #drop(key) {
    const element = this.#views.get(key)?.element;
    if (!element) return;
    this.#views.delete(key);
    this.#isOther = true;
    const section = /** @type {HTMLElement | null} */ (element.closest('.run-target'));
    const isFocused = element.contains(document.activeElement);
    element.remove();
    if (isFocused) section?.focus();
  }

  #addTargets() {
    const names = targetNames(this.#run.targets, this.#host.nameOf);
    for (const name of names.slice(this.#targets.length)) {
      const none = h('p', { class: 'field-hint' });
      const section = h('section', { class: 'run-target', 'aria-label': name, tabindex: 0 }, h('h3', { dir: 'auto' }, name), none);
      this.#targets.push({ section, none });
      this.#answers.append(section);
      this.#isOther = true;
    }
  }

  #showMissing() {
    this.#isOther = false;
    const words = isOver(this.#run) ? 'No answer.' : 'Not answered yet.';
    for (const { section, none } of this.#targets) {
      none.hidden = section.querySelector('.run-answer') !== null;
      setText(none, words);
    }
  }
}
