/**
 * Which prompts of a run are shown and in which order, as far as it is known. No DOM.
 *
 * A place counts from 0 among the prompts that match. While all are shown in their own order, a place is the
 * prompt. Places that were read stay as they were, so that stepping from prompt to prompt repeats none while answers come.
 */

import { counted } from './prompt-sets.js';

/** @import { Row, RowChoice } from '../client/runs.js' */

/** @type {Readonly<RowChoice>} */
export const EVERY_ROW = Object.freeze({ show: 'all', sort: 'prompt', search: '' });
/** @type {[RowChoice['show'], string][]} */
export const SHOWN = [
  ['all', 'All prompts'], ['failed', 'Failed'], ['disagree', 'Models disagree'], ['cut', 'Cut at the greatest length'],
  ['errors', 'No answer: an error'], ['unvoted', 'Without a vote of mine'],
];
/** @type {[RowChoice['sort'], string][]} */
export const SORTED = [['prompt', 'As in the set'], ['slowest', 'Slowest first'], ['failed', 'Most failed first']];

/** @typedef {(first: number) => Promise<{rows: Row[], matching: number}>} ReadRows */

export class RunOrder {
  /** @type {Readonly<RowChoice>} */
  choice = EVERY_ROW;
  /** How many prompts match, null as long as that is not known. @type {number | null} */
  matching = null;
  /** @type {Map<number, number>} */
  #prompts = new Map();

  get isEverything() {
    const { show, sort, search } = this.choice;
    return show === 'all' && sort === 'prompt' && search === '';
  }

  /** @param {RowChoice} choice */
  choose({ show, sort, search }) {
    this.choice = Object.freeze({ show, sort, search: search.trim() });
    this.matching = null;
    this.#prompts.clear();
  }

  /** Rows were read. @param {number} first Their first place. @param {Row[]} rows @param {number} matching */
  note(first, rows, matching) {
    this.matching = matching;
    rows.forEach(({ prompt }, index) => this.#prompts.set(first + index, prompt));
  }

  /** Where a prompt stands, null if it is not known to match. @param {number} prompt @returns {number | null} */
  placeOf(prompt) {
    if (this.isEverything) return prompt;
    for (const [place, one] of this.#prompts) if (one === prompt) return place;
    return null;
  }

  /** The prompt that follows another by so many places, null if none does. @param {number} prompt @param {number} by @param {number} total @param {ReadRows} read @returns {Promise<number | null>} */
  async step(prompt, by, total, read) {
    const place = this.placeOf(prompt);
    if (place === null || this.isEverything) return prompt + by >= 0 && prompt + by < total ? prompt + by : null;
    const next = place + by;
    if (next < 0) return null;
    if (!this.#prompts.has(next)) {
      const { rows, matching } = await read(next);
      this.note(next, rows, matching);
    }
    return this.#prompts.get(next) ?? null;
  }

  /** Whether nothing is known of a prompt in that direction. @param {number} prompt @param {number} by @param {number} total */
  isAtEnd(prompt, by, total) {
    const place = this.placeOf(prompt) ?? prompt;
    const count = this.placeOf(prompt) === null || this.isEverything ? total : this.matching ?? total;
    return place + by < 0 || place + by >= count;
  }
}

/** How many match, in words; empty while all are shown. @param {RunOrder} order @param {number} total */
export function matchingWords({ choice: { show, search }, matching }, total) {
  if (matching === null || (show === 'all' && !search)) return '';
  return `${matching === 0 ? 'None' : matching.toLocaleString('en')} of ${counted(total, 'prompt')}`;
}

/** Where a prompt stands among those that match, in words: "3 of 12 shown"; empty while all are. @param {RunOrder} order @param {number} prompt */
export function placeWords(order, prompt) {
  const place = order.placeOf(prompt);
  if (order.isEverything || order.matching === null || place === null) return '';
  return `${(place + 1).toLocaleString('en')} of ${order.matching.toLocaleString('en')} shown`;
}
