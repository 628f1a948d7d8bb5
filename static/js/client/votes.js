/** Votes that the server stores, over HTTP; described in docs/CONVERSATIONS.md. */

import { ask } from './conversations.js';

/** @import { StoredVote } from './conversations.js' */
/** @import { Parameters } from './protocol.js' */

/** @typedef {{model: string, parameters?: Parameters, system?: string | null, answer?: string | null, column?: string | null, won?: boolean}} Candidate */
/** @typedef {{id: string, verdict: StoredVote['verdict'], candidates: Candidate[], blind?: boolean}} EarlierVote */
/** @typedef {{model: string, parameters: Parameters, system: string | null, rounds: number, wins: number, ties: number, bad: number}} Score */
/** @typedef {StoredVote & {id: string, voter: string, created: number, conversation: string | null, turn: string | null, candidates: Candidate[]}} ListedVote */

export class Votes {
  #base;

  /** @param {string} base The service's address, ending with a slash. */
  constructor(base) {
    this.#base = base;
  }

  /** @param {string} conversation @param {string} turn @param {StoredVote} vote @returns {Promise<StoredVote & {replaced: StoredVote | null}>} */
  give(conversation, turn, vote) {
    return ask('PUT', this.#of(conversation, turn), vote);
  }

  /** Delete a vote; `restore` undoes that for a while. @param {string} conversation @param {string} turn @returns {Promise<void>} */
  takeBack(conversation, turn) {
    return ask('DELETE', this.#of(conversation, turn));
  }

  /** @param {{conversation?: string, limit?: string, before?: string}} [options] @returns {Promise<{votes: ListedVote[], next: string | null}>} */
  list(options = {}) {
    return ask('GET', `${this.#base}votes?${new URLSearchParams(options)}`);
  }

  /** All votes added up, the best first. @returns {Promise<{votes: number, scores: Score[]}>} */
  tally() {
    return ask('GET', `${this.#base}votes/tally`);
  }

  /** Delete all; `restore` undoes that for a while. @returns {Promise<{votes: number}>} */
  deleteAll() {
    return ask('DELETE', `${this.#base}votes`);
  }

  /** Undo the latest deletion. @returns {Promise<{votes: number}>} */
  restore() {
    return ask('POST', `${this.#base}votes/restore`);
  }

  /** Import votes without a conversation, each id once. @param {EarlierVote[]} votes @returns {Promise<{votes: number}>} */
  import(votes) {
    return ask('POST', `${this.#base}votes/import`, { votes });
  }

  /** @param {string} conversation @param {string} turn */
  #of(conversation, turn) {
    return `${this.#base}conversations/${conversation}/turns/${turn}/vote`;
  }
}
