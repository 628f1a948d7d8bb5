/** The kept conversations, over HTTP; docs/CONVERSATIONS.md says what they are. */

import { SidestreamError } from './protocol.js';

/** @import { Cost, FinishReason, Notice, Parameters, Timings, Token, Usage, WireError } from './protocol.js' */

/** @typedef {{id: string, title: string, created: number, updated: number, deleted: number | null, turns: number, models: string[], found: {text: string, hit: boolean}[]}} Summary */
/** @typedef {{id: string, model: string, parameters: Parameters, system: string | null}} StoredColumn */
/** @typedef {{verdict: 'better' | 'tie' | 'bad', winners: string[], among: string[], blind: boolean}} StoredVote */
/** @typedef {{id: string, parent: string | null, history: string | null, text: string, vote: StoredVote | null}} StoredTurn */
/**
 * @typedef {object} StoredAnswer
 * @property {string} id
 * @property {string} turn
 * @property {string | null} column
 * @property {string} model
 * @property {'queued' | 'starting' | 'running' | 'ended'} state
 * @property {string} text
 * @property {Parameters} parameters
 * @property {string | null} continues
 * @property {string | null} repeats The answer of another conversation that was asked again.
 * @property {FinishReason | null} finish_reason
 * @property {WireError | null} error
 * @property {Usage | null} usage
 * @property {Timings | null} timings
 * @property {boolean} [cached]
 * @property {Notice[]} [notices]
 * @property {Record<string, any>} [details]
 * @property {string} [answered_by]
 * @property {Cost | null} [cost]
 * @property {boolean} has_tokens
 * @property {StoredEngine | null} engine
 * @property {number[]} asked Places in `messages`; only in full.
 */
/** @typedef {{engine: string, runner: string, model_id: string, version: string, revision: string, image: string, weights: string}} StoredEngine */
/** @typedef {{tokens: Token[]}} StoredTokens */
/** @typedef {{id: string, title: string, columns: StoredColumn[], view: any, turns: StoredTurn[], answers: StoredAnswer[], messages: {role: string, content: string}[]}} Stored */

export class Conversations {
  #base;

  /** @param {string} base The service's address, ending with a slash. */
  constructor(base) {
    this.#base = base;
  }

  /** @param {{q?: string, before?: string}} options @returns {Promise<{conversations: Summary[], next: string | null}>} */
  list(options) {
    return this.#ask('GET', `?${new URLSearchParams(options)}`);
  }

  /** @param {{title?: string, columns?: StoredColumn[], view?: object}} outline @returns {Promise<Summary>} */
  create(outline) {
    return this.#ask('POST', '', outline);
  }

  /** @param {string} id @param {{isFull?: boolean}} [options] `isFull`: with what was asked. @returns {Promise<Stored>} */
  get(id, { isFull = false } = {}) {
    return this.#ask('GET', `/${id}${isFull ? '?full=1' : ''}`);
  }

  /** @param {string} id @param {string} answer @returns {Promise<StoredTokens>} */
  tokens(id, answer) {
    return this.#ask('GET', `/${id}/answers/${answer}/tokens`);
  }

  /** @param {string} id @param {{title?: string, columns?: StoredColumn[], view?: object}} changes @returns {Promise<Summary>} */
  change(id, changes) {
    return this.#ask('PATCH', `/${id}`, changes);
  }

  /** Delete it; `restore` takes that back for a while. @param {string} id @returns {Promise<Summary>} */
  remove(id) {
    return this.#ask('DELETE', `/${id}`);
  }

  /** @param {string} id @returns {Promise<Summary>} */
  restore(id) {
    return this.#ask('POST', `/${id}/restore`);
  }

  /** @param {string} id @param {string} turn @param {StoredVote} vote @returns {Promise<StoredVote>} */
  vote(id, turn, vote) {
    return this.#ask('PUT', `/${id}/turns/${turn}/vote`, vote);
  }

  /** Take an export back as a new conversation. @param {string | Blob} file @returns {Promise<Summary>} */
  import(file) {
    return this.#ask('POST', '/import', file);
  }

  /** Where the file is. @param {string} id @param {'json' | 'markdown' | 'html'} form */
  exportUrl(id, form) {
    return `${this.#base}conversations/${id}/export?form=${form}`;
  }

  /** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
  async #ask(method, path, body) {
    const isFile = typeof body === 'string' || body instanceof Blob;
    let answer;
    try {
      const response = await fetch(`${this.#base}conversations${path}`, {
        method,
        ...(body !== undefined && {
          headers: { 'Content-Type': 'application/json' },
          body: isFile ? /** @type {BodyInit} */ (body) : JSON.stringify(body),
        }),
      });
      answer = await response.json();
      if (response.ok) return answer;
    } catch (error) {
      const message = error instanceof SyntaxError ? 'The server gave no proper answer.' : 'The server cannot be reached.';
      throw new SidestreamError({ code: 'connection_closed', message });
    }
    throw new SidestreamError(answer.error);
  }
}
