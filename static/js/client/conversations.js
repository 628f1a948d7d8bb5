/** Stored conversations, over HTTP; described in docs/CONVERSATIONS.md. */

import { SidestreamError } from './protocol.js';

/** @import { Attachment, Cost, FinishReason, Message, Notice, Parameters, Timings, Token, ToolCall, Usage, WireError } from './protocol.js' */

/** @typedef {{text: string, hit: boolean}} Piece */
/**
 * @typedef {object} Summary
 * @property {string} id
 * @property {string} title
 * @property {number} created
 * @property {number} updated
 * @property {number | null} deleted
 * @property {number} turns
 * @property {string[]} models
 * @property {boolean} pinned
 * @property {string[]} tags
 * @property {number} answering How many answers are under way.
 * @property {Piece[]} found The line that was found.
 * @property {{part: 'title' | 'prompt' | 'answer' | 'thinking', turn: string | null, answer: string | null} | null} found_in Where it stands.
 * @property {Piece[]} found_title
 */
/** @typedef {Summary & {source: 'sidestream' | 'chatgpt' | 'open_webui', imported: number, ids: string[], left_out: {words: string}[]}} ImportResult */
/** @typedef {{title?: string, columns?: StoredColumn[], view?: object, pinned?: boolean, tags?: string[]}} Changes */
/** @typedef {{id: string, model: string, parameters: Parameters, system: string | null}} StoredColumn */
/** @typedef {{verdict: 'better' | 'tie' | 'bad', winners: string[], among: string[], blind: boolean}} StoredVote */
/**
 * @typedef {{id: string, parent: string | null, history: string | null, text: string, vote: StoredVote | null,
 *   attachments?: {type: 'image' | 'file', attachment: string, name?: string}[]}} StoredTurn
 */
/**
 * @typedef {object} StoredAnswer
 * @property {string} id
 * @property {string} turn
 * @property {string | null} column
 * @property {string} model
 * @property {'queued' | 'starting' | 'running' | 'ended'} state
 * @property {string} text The answer alone.
 * @property {string} [reasoning]
 * @property {ToolCall[]} [tool_calls]
 * @property {Parameters} parameters All that were in force.
 * @property {string[] | null} [chosen] Those that the client set; not known of older answers.
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
/**
 * @typedef {{id: string, title: string, columns: StoredColumn[], view: any, turns: StoredTurn[], answers: StoredAnswer[], messages: {role: string, content: Message['content']}[],
 *   attachments?: Attachment[]}} Stored
 */

export class Conversations {
  #base;

  /** @param {string} base The service's address, ending with a slash. */
  constructor(base) {
    this.#base = base;
  }

  /** @param {{q?: string, pinned?: string, tag?: string, before?: string, limit?: string}} options @returns {Promise<{conversations: Summary[], next: string | null}>} */
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

  /** @param {string} id @param {Changes} changes @returns {Promise<Summary>} */
  change(id, changes) {
    return this.#ask('PATCH', `/${id}`, changes);
  }

  /** Change several, all or none; `deleted` can be undone for a while. @param {string[]} ids @param {{deleted?: boolean, pinned?: boolean, add_tags?: string[], remove_tags?: string[]}} changes @returns {Promise<{conversations: Summary[]}>} */
  changeAll(ids, changes) {
    return this.#ask('PATCH', '', { ids, ...changes });
  }

  /** @returns {Promise<{tags: {name: string, conversations: number}[]}>} */
  tags() {
    return this.#ask('GET', '/tags');
  }

  /** Import an export as new conversations. @param {string | Blob} file @returns {Promise<ImportResult>} */
  import(file) {
    return this.#ask('POST', '/import', file);
  }

  /** The URL of the exported file. @param {string} id @param {'json' | 'markdown' | 'html'} form */
  exportUrl(id, form) {
    return `${this.#base}conversations/${id}/export?form=${form}`;
  }

  /** The exports of several in one file. @param {string[]} ids @param {string} form @returns {Promise<Blob>} */
  exportAll(ids, form) {
    return ask('POST', `${this.#base}conversations/export`, { ids, form }, (response) => response.blob());
  }

  /** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
  #ask(method, path, body) {
    return ask(method, `${this.#base}conversations${path}`, body);
  }
}

/** Send a request and return the reply, which is JSON unless `read` says otherwise; rejects with a SidestreamError. @param {string} method @param {string} url @param {unknown} [body] @param {(response: Response) => Promise<any>} [read] @returns {Promise<any>} */
export async function ask(method, url, body, read = (response) => response.json()) {
  const isFile = typeof body === 'string' || body instanceof Blob;
  let answer;
  try {
    const response = await fetch(url, {
      method,
      keepalive: method === 'DELETE', // also from a page that is being closed
      ...(body !== undefined && {
        headers: { 'Content-Type': 'application/json' },
        body: isFile ? /** @type {BodyInit} */ (body) : JSON.stringify(body),
      }),
    });
    if (response.ok) return response.status === 204 ? null : await read(response);
    answer = await response.json();
  } catch (error) {
    const message = error instanceof SyntaxError ? 'The server gave no proper answer.' : 'The server cannot be reached.';
    throw new SidestreamError({ code: 'connection_closed', message });
  }
  throw new SidestreamError(answer.error);
}
