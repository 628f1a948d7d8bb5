/**
 * Blind votes on the answers of a run: a prompt after the other, its answers in a random order, by keys.
 *
 * Nothing in the document tells whose an answer is until its ballot has a vote and somebody wishes to know:
 * neither names nor times, thinking, ends or the order. Votes stand at once and are sent in the background;
 * those that could not be sent wait, also when the screen is left, and the page warns before it closes.
 */

import { followRuns } from '../client/run-following.js';
import { letter } from '../model/rounds.js';
import { isComplete } from '../model/run-ballots.js';
import { targetNames } from '../model/run-table.js';
import { RunVoting } from '../model/run-voting.js';
import { VoteOutbox } from '../model/vote-outbox.js';
import { h, iconButton, setText } from './element.js';
import { errorText } from './labels.js';
import { askedLines, write } from './run-texts.js';
import { rankingView } from './run-ranking.js';
import { votersView } from './run-voters.js';
import { sideways } from './sideways.js';

/** @import { SidestreamError } from '../client/protocol.js' */
/** @import { AskedPrompt, Run } from '../client/runs.js' */
/** @import { Ballot, VoteForm } from '../model/run-ballots.js' */
/** @import { Host } from './runs-view.js' */

const ROWS_AT_ONCE = 200;
/** So many prompts are kept beside the one that is shown. */
const KEPT_PROMPTS = 8;

/** @type {VoteOutbox | null} */
let outbox = null;
/** The run that is voted on now. @type {string | null} */
let votedOn = null;

/** The one of this page: it outlives the screen. @param {Host} host */
function outboxOf({ assessments, warn }) {
  if (outbox) return outbox;
  const made = outbox = new VoteOutbox(assessments);
  made.addEventListener('refused', (event) => {
    const { run, prompt, error } = /** @type {CustomEvent} */ (event).detail;
    if (run !== votedOn) warn(`A vote on prompt ${prompt + 1} of a run that was left was not taken: ${error.code === 'unknown_run' ? 'the run was deleted' : 'its answers have changed since'}.`);
  });
  addEventListener('online', () => void made.retry());
  addEventListener('beforeunload', (event) => made.size && event.preventDefault());
  return made;
}

export class RunVote {
  #host;
  #signal;
  #run;
  #outbox;
  /** @type {RunVoting | null} */
  #voting = null;
  /** The place among the ballots; behind the last one is the end. */
  #at = 0;
  /** The ballot that is in sight, null while another is read. @type {Ballot | null} */
  #shown = null;
  /** What the keys go back to where another ballot cannot be read: its place, and the ballot. @type {[number, Ballot | null]} */
  #inSight = [0, null];
  /** @type {Map<number, Promise<AskedPrompt>>} */
  #prompts = new Map();
  /** @type {HTMLElement[]} */
  #answers = [];
  /** @type {HTMLButtonElement[]} */
  #choices = [];
  #forms = this.#formButtons();
  #place = h('span', { class: 'run-words', role: 'status' }, 'Reading the answers…');
  #unsent = h('div', { role: 'alert' });
  #asked = h('div', { class: 'run-asked', role: 'region', 'aria-label': 'Prompt', tabindex: 0 });
  #ballot = h('div', { class: 'run-answers run-ballot', role: 'region', 'aria-label': 'Answers', tabindex: 0 });
  #end = h('div', { class: 'run-page', tabindex: -1, hidden: true });
  #before = iconButton('left', 'The prompt before', { 'aria-keyshortcuts': 'Backspace ArrowLeft' });
  #tie = this.#button('None is better', () => this.#vote((voting, ballot) => voting.tie(ballot)), { 'aria-pressed': 'false', 'aria-keyshortcuts': '0 T' }, '0');
  #names = this.#button('Show names', () => this.#vote((voting, ballot) => voting.name(ballot, !voting.isNamed(ballot))));
  #next = this.#button('Next', () => this.#go(1), { 'aria-keyshortcuts': 'Enter ArrowRight' }, 'Enter');
  #hint = h('span', { class: 'field-hint help-keys' }, 'Keys: A or 1 and so on choose, 0 or T is none, Enter goes on, Backspace goes back, Esc leaves.');
  #bar = h('div', { class: 'run-acts run-voting', role: 'group', 'aria-label': 'Vote', hidden: true }, this.#before, this.#tie, this.#names, this.#next,
    this.#hint);
  element = h('div', { class: 'run-page run-whole' },
    h('div', { class: 'run-acts' }, ...Object.values(this.#forms), this.#place), this.#unsent, this.#asked, this.#ballot, this.#end, this.#bar);

  /** @param {Host} host @param {AbortSignal} signal @param {Run} run */
  constructor(host, signal, run) {
    this.#host = host;
    this.#signal = signal;
    this.#run = run;
    this.#outbox = outboxOf(host);
    votedOn = run.id;
    signal.addEventListener('abort', () => (votedOn = null));
    this.#before.addEventListener('click', () => this.#go(-1));
    this.#outbox.addEventListener('change', () => this.#showUnsent(), { signal });
    this.#outbox.addEventListener('refused', (event) => this.#refused(/** @type {CustomEvent} */ (event).detail), { signal });
    this.#use(run);
    const reading = followRuns(host.client, [run.id], { signal });
    reading.on('run', (now) => this.#use(now));
    reading.on('removed', () => host.gone());
    void this.#begin();
  }

  back = () => this.#host.open(this.#run, this.#voting?.ballots[this.#at]?.prompt);

  focus() {
    this.#ballot.focus();
  }

  /** @param {KeyboardEvent} event */
  keydown(event) {
    const { key, target, altKey, ctrlKey, metaKey, repeat } = event;
    if (altKey || ctrlKey || metaKey || repeat) return;
    if (key === 'Enter' && target instanceof Element && target.closest('button, a, summary')) return; // it is theirs
    const upper = key.toUpperCase();
    const place = /^[1-9]$/.test(key) ? Number(key) - 1 : /^[A-H]$/.test(upper) ? upper.charCodeAt(0) - 65 : -1;
    if (place >= 0) this.#vote((voting, ballot) => voting.choose(ballot, place));
    else if (key === '0' || upper === 'T') this.#vote((voting, ballot) => voting.tie(ballot));
    else if (key === 'Enter') this.#go(1);
    else if (key === 'Backspace') this.#go(-1);
    else if (key === 'ArrowLeft') this.#go(sideways(this.element)[0]);
    else if (key === 'ArrowRight') this.#go(sideways(this.element)[1]);
    else return;
    event.preventDefault();
  }

  // Reading

  /** @param {Run} run */
  #use(run) {
    const isWider = run.targets.length > this.#run.targets.length;
    this.#run = run;
    this.#host.name(`Vote blind: ${run.name || run.set_name}`);
    if (isWider) this.#mark(); // answers of the new ones may be in sight
  }

  async #begin() {
    await this.#host.attempt(async () => {
      void this.#outbox.retry(); // what an earlier look at the run left
      const { votes } = await this.#host.assessments.votes(this.#run.id, { mine: '1' });
      this.#voting = new RunVoting({ run: this.#run, votes, outbox: this.#outbox, seen: this.#host.seen });
      while (!this.#voting.isRead && this.#voting.open() < 0 && !this.#signal.aborted) await this.#readMore(this.#voting);
      const first = this.#voting.open();
      this.#at = first < 0 ? this.#voting.ballots.length : first;
      await this.#show();
    });
    if (this.#voting) await this.#readAll(this.#voting);
  }

  /** So that it is known how many there are. @param {RunVoting} voting */
  #readAll(voting) {
    return this.#host.read(async () => {
      while (!voting.isRead && !this.#signal.aborted) {
        await this.#readMore(voting);
        this.#showPlace();
      }
    });
  }

  /** @param {RunVoting} voting */
  async #readMore(voting) {
    const { read } = voting;
    const { rows } = await this.#host.api.rows(this.#run.id, read, ROWS_AT_ONCE);
    if (voting.read === read) voting.add(rows); // else somebody read them at the same time
  }

  /** @param {number} prompt */
  #ask(prompt) {
    const known = this.#prompts.get(prompt);
    if (known) return known;
    const asked = this.#host.api.prompt(this.#run.id, prompt);
    this.#prompts.set(prompt, asked);
    asked.catch(() => this.#prompts.delete(prompt));
    for (const kept of this.#prompts.keys()) if (this.#prompts.size > KEPT_PROMPTS) this.#prompts.delete(kept);
    return asked;
  }

  // Actions

  /** @param {number} by */
  #go(by) {
    const voting = this.#voting;
    const at = this.#at + by;
    if (!voting || at < 0 || (at > voting.ballots.length && voting.isRead)) return;
    this.#at = at;
    this.#shown = null; // a key that comes before the answers is about others
    void this.#host.attempt(async () => {
      try {
        while (!voting.isRead && this.#at >= voting.ballots.length && !this.#signal.aborted) await this.#readMore(voting);
        await this.#show();
      } catch (error) {
        if (this.#at === at) [this.#at, this.#shown] = this.#inSight;
        throw error;
      }
    });
  }

  /** Do something with the ballot in sight. @param {(voting: RunVoting, ballot: Ballot) => void} act */
  #vote(act) {
    if (!this.#voting || !this.#shown) return;
    if (!this.#unsent.querySelector('button')) this.#unsent.replaceChildren(); // of a vote that was refused
    act(this.#voting, this.#shown);
    this.#mark();
    this.#showPlace();
  }

  /** @param {VoteForm} form */
  #take(form) {
    if (!this.#voting || form === this.#voting.form) return;
    this.#voting.form = form;
    this.#shown = null;
    void this.#host.attempt(() => this.#show());
  }

  /** @param {{run: string, prompt: number, repeat: number, error: SidestreamError}} item */
  #refused({ run, prompt, repeat, error }) {
    if (run !== this.#run.id) return;
    if (error.code === 'unknown_run') return this.#host.gone();
    this.#voting?.refuse({ prompt, repeat });
    this.#prompts.delete(prompt);
    void this.#host.attempt(() => this.#show());
    this.#unsent.replaceChildren(h('p', { class: 'notice' }, `The vote on prompt ${prompt + 1} was not taken: its answers have changed since. Vote again.`));
  }

  // Rendering

  /** Show the ballot at the place, or the end. */
  async #show() {
    const voting = /** @type {RunVoting} */ (this.#voting);
    const ballot = voting.ballots[this.#at];
    if (!ballot) return this.#showEnd(voting);
    const asked = await this.#ask(ballot.prompt);
    if (this.#signal.aborted || voting.ballots[this.#at] !== ballot) return;
    const answers = asked.answers.filter((answer) => answer.repeat === ballot.repeat && isComplete(answer));
    voting.update(ballot, answers.map(({ target }) => target));
    const texts = new Map(answers.map(({ target, text }) => [target, text]));
    this.#shown = ballot;
    this.#inSight = [this.#at, ballot];
    this.#asked.replaceChildren(...askedLines(asked.messages, asked.expected));
    this.#fill(answers.length < 2 ? [] : voting.shown(ballot).map((target) => texts.get(target) ?? ''));
    this.#showParts(false);
    this.#mark();
    this.#showPlace();
    const next = voting.ballots[this.#at + 1];
    if (next) this.#ask(next.prompt).catch(() => {}); // told when it is shown
  }

  /** @param {string[]} texts */
  #fill(texts) {
    const verb = texts.length === 2 ? 'is better' : 'is best';
    this.#choices = texts.map((_, place) =>
      this.#button(`${letter(place)} ${verb}`, () => this.#vote((voting, ballot) => voting.choose(ballot, place)), { 'aria-pressed': 'false', 'aria-keyshortcuts': `${letter(place)} ${place + 1}` }, letter(place)));
    this.#answers = texts.map((text, place) => {
      const written = h('div', { class: 'answer', dir: 'auto' });
      write(written, text);
      return h('section', { class: 'run-target', 'aria-label': `Answer ${letter(place)}`, tabindex: 0 }, h('h3', { dir: 'auto' }, letter(place)), written, h('div', { class: 'run-choice' }, this.#choices[place]));
    });
    this.#ballot.replaceChildren(...(texts.length ? this.#answers : [h('p', { class: 'field-hint' }, 'Fewer than two answers are left here.')]));
    this.#asked.scrollTop = this.#ballot.scrollTop = 0;
  }

  /** Mark what is chosen, and name whose the answers are if that is wished. */
  #mark() {
    const [voting, ballot] = [this.#voting, this.#shown];
    if (!voting || !ballot) return;
    const vote = voting.vote(ballot);
    const isNamed = voting.isNamed(ballot);
    const names = isNamed ? targetNames(this.#run.targets, this.#host.nameOf) : [];
    this.#choices.forEach((button, place) => {
      const target = voting.shown(ballot)[place];
      const isBest = !!vote?.winners.includes(target);
      button.setAttribute('aria-pressed', String(isBest));
      this.#answers[place].classList.toggle('is-best', isBest);
      setText(/** @type {Element} */ (this.#answers[place].querySelector('h3')), isNamed ? `${letter(place)}: ${names[target]}` : letter(place));
    });
    this.#tie.disabled = this.#choices.length === 0;
    this.#tie.setAttribute('aria-pressed', String(vote?.winners.length === 0));
    this.#names.hidden = !vote;
    setText(this.#names, isNamed ? 'Hide names' : 'Show names');
  }

  #showPlace() {
    const voting = this.#voting;
    if (!voting || this.#signal.aborted) return;
    const count = `${voting.voted.toLocaleString('en')} of ${voting.total.toLocaleString('en')} voted`;
    const ballot = voting.ballots[this.#at];
    const time = this.#run.repeats > 1 && ballot ? `, time ${ballot.repeat + 1} of ${this.#run.repeats}` : '';
    setText(this.#place, ballot ? `Prompt ${ballot.prompt + 1} of ${this.#run.prompts.toLocaleString('en')}${time} · ${count}` : count);
    this.#before.setAttribute('aria-disabled', String(this.#at === 0));
    for (const [form, button] of Object.entries(this.#forms)) button.setAttribute('aria-pressed', String(form === voting.form));
  }

  /** @param {boolean} isEnd */
  #showParts(isEnd) {
    const focused = document.activeElement;
    this.#bar.hidden = false;
    this.#asked.hidden = this.#ballot.hidden = this.#tie.hidden = this.#next.hidden = this.#hint.hidden = isEnd;
    this.#end.hidden = !isEnd;
    if (isEnd) this.#names.hidden = true;
    const isLost = !focused || focused === document.body || (this.element.contains(focused) && focused.closest('[hidden]'));
    if (isLost) (isEnd ? this.#end : this.#ballot).focus();
  }

  /** @param {RunVoting} voting */
  #showEnd(voting) {
    this.#shown = null;
    this.#inSight = [this.#at, null];
    const open = voting.open();
    const results = h('div', {});
    const show = this.#button('Show names and ranking', () => void this.#rank(show, results));
    const missing = this.#button('Go to the first without a vote', () => this.#go(open - this.#at));
    this.#end.replaceChildren(
      h('p', {}, voting.ballots.length === 0 ? 'No prompt has two complete answers.' : open < 0 ? 'All have your vote.' : `${(voting.total - voting.voted).toLocaleString('en')} have no vote yet.`),
      h('div', { class: 'run-acts' }, ...(open < 0 ? [] : [missing]), ...(voting.voted ? [show] : [])), results);
    this.#showParts(true);
    this.#showPlace();
  }

  /** @param {HTMLButtonElement} button @param {HTMLElement} place */
  #rank(button, place) {
    return this.#host.attempt(async () => {
      await this.#outbox.retry();
      const results = await this.#host.api.results(this.#run.id);
      button.remove();
      place.replaceChildren(...votersView(results.voters), rankingView(results.ranking, targetNames(results.run.targets, this.#host.nameOf), 'Ranking'));
      this.#end.focus();
    });
  }

  #showUnsent() {
    const count = this.#outbox.of(this.#run.id).length;
    const { error } = this.#outbox;
    if (count === 0 && this.#unsent.querySelector('button')) this.#unsent.replaceChildren();
    if (!error || count === 0) return; // what is sent again is still told
    const again = this.#button('Try again', () => void this.#outbox.retry());
    this.#unsent.replaceChildren(h('div', { class: 'notice run-acts' },
      h('span', {}, `${count === 1 ? 'A vote is' : `${count} votes are`} not saved yet, and kept here. ${errorText({ message: error.message, hint: error.hint })}`), again));
  }

  // Internal

  #formButtons() {
    return {
      best: this.#button('Which is best', () => this.#take('best'), { 'aria-pressed': 'true', title: 'All answers to a prompt side by side' }),
      pairs: this.#button('Two at a time', () => this.#take('pairs'), { 'aria-pressed': 'false', title: 'Two of the answers to each prompt, drawn so that all pairs come equally often' }),
    };
  }

  /** @param {string} words @param {() => unknown} act @param {Record<string, string>} [attributes] @param {string} [key] */
  #button(words, act, attributes = {}, key = '') {
    const button = h('button', { type: 'button', class: 'quiet', ...attributes }, words, ...(key ? [h('kbd', { 'aria-hidden': 'true', class: 'help-keys' }, key)] : []));
    button.addEventListener('click', ({ detail }) => {
      act();
      if (detail > 0) this.#ballot.focus({ preventScroll: true }); // so that Enter goes on after a click
    });
    return button;
  }
}
