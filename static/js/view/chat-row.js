/**
 * One chat of the list, in two lines: its title; its models and when it was changed, or what was found.
 *
 * The list listens to its buttons; only the row that the arrow keys are at can be reached with Tab.
 */

import { timeOf, wholeTime } from '../model/days.js';
import { h, iconButton, setText } from './element.js';

/** @import { Piece, Summary } from '../client/conversations.js' */

const MAX_MODELS = 3;

/** @typedef {{nameOf: (model: string) => string, names: number, isCurrent: boolean, isChosen: boolean, isUnderWay: boolean, now: Date, day: string}} Look `names`: another number when names have changed. */

export class ChatRow {
  /** @type {Summary} */
  summary;
  #shown = '';
  #words = h('span', { class: 'chat-words', dir: 'auto' });
  #time = h('time', {});
  #foot = h('p', { class: 'chat-foot' }, this.#words, this.#time);
  check = h('input', { type: 'checkbox', tabindex: -1 });
  open = h('button', { type: 'button', class: 'chat', tabindex: -1, dir: 'auto' });
  more = iconButton('more', 'More', { 'aria-haspopup': 'menu' });
  element = h('li', {}, this.check, h('div', { class: 'chat-lines' }, this.open, this.#foot), this.more);

  /** @param {Summary} summary */
  constructor(summary) {
    this.summary = summary;
    this.more.tabIndex = -1;
    this.#foot.id = `chat-${summary.id}`;
    this.open.setAttribute('aria-describedby', this.#foot.id);
  }

  get name() {
    return this.summary.title || 'Untitled';
  }

  /** Whether Tab comes here. @param {boolean} isReachable */
  set isReachable(isReachable) {
    for (const one of [this.check, this.open, this.more]) one.tabIndex = isReachable ? 0 : -1;
  }

  /** Whether it is ticked. @param {boolean} isChosen */
  set isChosen(isChosen) {
    this.check.checked = isChosen;
    this.element.classList.toggle('is-chosen', isChosen);
  }

  /** @param {Summary} summary @param {Look} look */
  show(summary, { nameOf, names: version, isCurrent, isChosen, isUnderWay, now, day }) {
    this.isChosen = isChosen;
    const shown = [summary.title, version, isCurrent, isUnderWay, day].join();
    if (summary === this.summary && shown === this.#shown) return;
    this.#shown = shown;
    this.summary = summary;
    const { answering, found, found_in: place, found_title: marked, models, tags, updated } = summary;
    const isBusy = isUnderWay || answering > 0;
    const names = models.map(nameOf);
    const more = names.length - MAX_MODELS;
    const words = [isBusy ? 'Answering…' : '', tags.map((tag) => `#${tag}`).join(' '), [...names.slice(0, MAX_MODELS), ...(more > 0 ? [`${more} more`] : [])].join(', ')];
    const foot = place && place.part !== 'title' ? found : [{ text: words.filter(Boolean).join(' · '), hit: false }];
    const title = marked?.length ? marked : [{ text: this.name, hit: false }];
    const time = timeOf(updated, now);
    this.open.replaceChildren(...marks(title));
    this.#words.replaceChildren(...marks(foot));
    setText(this.#time, time);
    this.#time.dateTime = new Date(updated * 1000).toISOString();
    this.open.title = `${this.name}\n${wholeTime(updated)}`;
    this.check.setAttribute('aria-label', `Choose: ${this.name}`);
    this.more.setAttribute('aria-label', `More: ${this.name}`);
    this.more.title = 'More';
    if (isCurrent) this.open.setAttribute('aria-current', 'true');
    else this.open.removeAttribute('aria-current');
    this.element.classList.toggle('is-current', isCurrent);
    this.element.classList.toggle('is-busy', isBusy);
    this.element.classList.toggle('is-found', foot === found);
  }
}

/** @param {Piece[]} pieces */
function marks(pieces) {
  return pieces.map(({ text, hit }) => (hit ? h('mark', {}, text) : text));
}
