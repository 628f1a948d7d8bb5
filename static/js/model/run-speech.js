/**
 * What is said aloud of a run that is watched: when it begins, stops, fails and ends, and a quarter on. No DOM.
 *
 * A run changes several times a second; whoever listens to it would hear nothing else. Between two quarters of its
 * answers it is silent, and quarters of a fast run that follow each other closely are left out.
 */

import { runWords } from './run-table.js';

/** @import { Run } from '../client/runs.js' */

const QUARTERS = 4;
/** The shortest silence between two quarters. */
const SILENCE_MS = 15_000;

export class RunSpeech {
  #state = '';
  #error = '';
  #quarter = 0;
  #saidAt = 0;

  /**
   * @param {Run} run @param {string} error What is shown of an error, empty where there is none.
   * @param {number} now In milliseconds.
   * @returns {string | null} Null: nothing is to be said.
   */
  next(run, error, now) {
    const quarter = run.total ? Math.floor((run.answered / run.total) * QUARTERS) : 0;
    this.#quarter = Math.min(this.#quarter, quarter); // it was extended
    const isOther = run.state !== this.#state;
    const isNewError = error !== this.#error && error !== '';
    const isFurther = quarter > this.#quarter && now - this.#saidAt >= SILENCE_MS;
    this.#error = error;
    if (!isOther && !isNewError && !isFurther) return null;
    [this.#state, this.#quarter, this.#saidAt] = [run.state, quarter, now];
    return [runWords(run), isNewError ? error : ''].filter(Boolean).join('. ');
  }
}
