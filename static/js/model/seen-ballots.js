/**
 * The ballots whose answers somebody saw with their names: a vote on one is not blind. No DOM.
 *
 * It outlives the screen and the page. What the storage refuses is known as long as the page is open.
 */

import { keyOf } from './run-ballots.js';

/** @import { Ballot } from './run-ballots.js' */
/** @import { Memory } from './workspace.js' */

/** @typedef {Pick<Ballot, 'prompt' | 'repeat'>} Place */

const ENTRY = 'seenBallots';
/** Of all runs; those that were seen first are forgotten. */
export const MOST_SEEN = 5000;

/** @type {Memory} */
const NOWHERE = { get: () => null, set: () => {} };

export class SeenBallots {
  #memory;
  /** "run prompt repeat", those that were seen last behind. @type {Set<string>} */
  #seen = new Set();

  /** @param {Memory} [memory] Shared with other tabs. */
  constructor(memory = NOWHERE) {
    this.#memory = memory;
  }

  /** @param {string} run @param {Place} ballot */
  has(run, ballot) {
    const key = `${run} ${keyOf(ballot)}`;
    return this.#seen.has(key) || this.#stored().includes(key);
  }

  /** @param {string} run @param {Place[]} ballots */
  add(run, ...ballots) {
    const known = new Set([...this.#stored(), ...this.#seen]);
    const added = ballots.map((ballot) => `${run} ${keyOf(ballot)}`).filter((key) => !known.has(key));
    if (added.length === 0) return;
    this.#seen = new Set([...known, ...added].slice(-MOST_SEEN));
    this.#memory.set(ENTRY, [...this.#seen]);
  }

  // Internal

  /** @returns {string[]} */
  #stored() {
    const stored = this.#memory.get(ENTRY);
    return Array.isArray(stored) ? stored : [];
  }
}
