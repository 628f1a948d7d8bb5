/**
 * `<vote-scores>`: a dialog with all votes added up, and their reset, which can be undone.
 *
 * Events: `scores-change` when votes were deleted or restored.
 */

import { SidestreamError } from '../client/protocol.js';
import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { sentence } from './labels.js';
import { scoreName } from './score-name.js';

/** @import { VoteStore } from '../model/vote-store.js' */

/** @param {number} count */
function votes(count) {
  return count === 1 ? '1 vote' : `${count.toLocaleString('en')} votes`;
}

export class VoteScores extends PageElement {
  #store;
  #nameOf;
  #count = 0;
  #close = iconButton('close', 'Close');
  #rows = h('tbody');
  #table = h('table', { class: 'vote-table' },
    h('thead', {}, h('tr', {}, ...['Model', 'Wins', 'Ties', 'Rounds'].map((name) => h('th', { scope: 'col' }, name)))), this.#rows);
  #summary = h('p', { class: 'field-hint', role: 'status' });
  #reset = h('button', { type: 'button', class: 'quiet' }, 'Reset…');
  #undo = h('button', { type: 'button', class: 'quiet', hidden: true }, 'Undo');
  #question = h('span', {});
  #yes = h('button', { type: 'button', class: 'quiet' }, 'Delete them');
  #no = h('button', { type: 'button', class: 'quiet' }, 'Keep them');
  #asking = h('div', { class: 'sheet-actions', role: 'group', 'aria-label': 'Reset', hidden: true }, this.#question, this.#yes, this.#no);
  #dialog = h('dialog', { class: 'sheet', 'aria-labelledby': 'votes-title' },
    h('header', {}, h('h2', { id: 'votes-title' }, 'Scores of blind rounds'), this.#close),
    h('div', { class: 'vote-scroll' }, this.#table), this.#summary, this.#asking,
    h('div', { class: 'sheet-actions' }, this.#reset, this.#undo));

  /** @param {VoteStore} store @param {(model: string) => string} nameOf */
  constructor(store, nameOf) {
    super();
    this.#store = store;
    this.#nameOf = nameOf;
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
    const on = (/** @type {Element} */ element, /** @type {() => void} */ act) => element.addEventListener('click', act, { signal });
    on(this.#reset, () => this.#ask());
    on(this.#no, () => this.#endAsking());
    on(this.#yes, () => void this.#try(async () => {
      const deleted = await this.#store.deleteAll();
      this.#undo.hidden = deleted === 0;
      await this.#changed(`${votes(deleted)} deleted.`);
      this.#undo.focus();
    }));
    on(this.#undo, () => void this.#try(async () => {
      const restored = await this.#store.restore();
      this.#undo.hidden = true;
      await this.#changed(`${votes(restored)} restored.`);
      this.#reset.focus();
    }));
  }

  // Actions

  /** Show the scores of now. */
  open() {
    this.#endAsking();
    this.#undo.hidden = true;
    if (!this.#dialog.open) this.#dialog.showModal();
    void this.#try(() => this.#load());
  }

  // Internal

  #ask() {
    setText(this.#question, `Delete ${this.#count === 1 ? 'the only vote' : `all ${votes(this.#count)}`}?`);
    this.#asking.hidden = false;
    this.#reset.hidden = true;
    this.#no.focus();
  }

  #endAsking() {
    const hadFocus = this.#asking.contains(document.activeElement);
    this.#asking.hidden = true;
    this.#reset.hidden = this.#count === 0;
    if (hadFocus) this.#reset.focus();
  }

  /** @param {string} words */
  async #changed(words) {
    this.#endAsking();
    await this.#load(words);
    this.announce('scores-change');
  }

  async #load(words = '') {
    const { scores, votes: count } = await this.#store.tally();
    this.#count = count;
    this.#rows.replaceChildren(...scores.map((score) => h('tr', {},
      h('th', { scope: 'row', dir: 'auto' }, scoreName(score, this.#nameOf)),
      ...[score.wins, score.ties, score.rounds].map((figure) => h('td', {}, figure.toLocaleString('en'))))));
    this.#table.hidden = scores.length === 0;
    this.#reset.hidden = count === 0;
    setText(this.#summary, words || (count ? `${votes(count)} in all.` : 'No votes yet.'));
  }

  /** @param {() => Promise<void>} act */
  async #try(act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      setText(this.#summary, sentence(error.message));
    }
  }
}

customElements.define('vote-scores', VoteScores);
