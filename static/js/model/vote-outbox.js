/**
 * Votes on their way to the server, of all runs, so that a lost connection loses none. No DOM.
 *
 * A ballot has one vote here at most: the last one. Votes are sent one after the other. Where that fails they
 * wait for `retry`, or for the next vote; one that the server will never take is dropped, and `refused` is told.
 *
 * Events: `change` when a vote was sent, failed or was refused; `refused` with its run, ballot and error.
 */

import { SidestreamError } from '../client/protocol.js';
import { keyOf } from './run-ballots.js';

/** @import { Assessments, RunVoteGiven } from '../client/run-assessments.js' */
/** @import { Ballot } from './run-ballots.js' */

/** @typedef {{run: string, prompt: number, repeat: number, vote: RunVoteGiven | null}} Item Null takes a vote back. */

/** A vote that is wrong stays wrong, however often it is sent. */
const FINAL = ['invalid_command', 'not_found', 'unknown_run'];

export class VoteOutbox extends EventTarget {
  #api;
  /** @type {Map<string, Item>} */
  #items = new Map();
  /** Until all is sent or something failed. @type {Promise<void> | null} */
  #sending = null;
  /** Why the last attempt failed. @type {SidestreamError | null} */
  error = null;

  /** @param {Pick<Assessments, 'vote' | 'takeBack'>} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  get size() {
    return this.#items.size;
  }

  /** What waits of a run. @param {string} run @returns {Item[]} */
  of(run) {
    return [...this.#items.values()].filter((item) => item.run === run);
  }

  /** Send a vote in place of the one that waits for the same ballot. @param {string} run @param {Pick<Ballot, 'prompt' | 'repeat'>} ballot @param {RunVoteGiven | null} vote */
  put(run, { prompt, repeat }, vote) {
    const key = `${run} ${keyOf({ prompt, repeat })}`;
    this.#items.delete(key); // to the end
    this.#items.set(key, { run, prompt, repeat, vote });
    return this.retry();
  }

  /** Send what waits; return when all is sent or something failed. */
  retry() {
    this.#sending ??= this.#sendAll().finally(() => (this.#sending = null));
    return this.#sending;
  }

  // Internal

  async #sendAll() {
    this.error = null;
    for (let next = this.#next; next && !this.error; next = this.#next) await this.#send(...next);
    this.dispatchEvent(new Event('change'));
  }

  /** @returns {[string, Item] | undefined} */
  get #next() {
    return this.#items.entries().next().value;
  }

  /** @param {string} key @param {Item} item */
  async #send(key, item) {
    const { run, prompt, repeat, vote } = item;
    try {
      await (vote ? this.#api.vote(run, prompt, vote) : this.#api.takeBack(run, prompt, repeat));
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      if (!FINAL.includes(error.code)) {
        this.error = error;
        return;
      }
      if (this.#items.get(key) === item) this.#items.delete(key);
      this.dispatchEvent(new CustomEvent('refused', { detail: { ...item, error } }));
      return;
    }
    if (this.#items.get(key) === item) this.#items.delete(key); // else another came meanwhile
    this.dispatchEvent(new Event('change'));
  }
}
