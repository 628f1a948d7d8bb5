/**
 * The commands that have no answer yet.
 *
 * While `hold` is in force they only collect; `release` sends all of them, in their order: those
 * made meanwhile, and those whose answer was lost with a connection. So a command must bear being
 * sent twice (`generate` does by its request id), or be answered here:
 *
 * | what it acts on | when the socket is gone   | when the session is gone  |
 * |-----------------|---------------------------|---------------------------|
 * | the server      | sent again                | sent again                |
 * | the session     | sent again                | answered: nothing is left |
 * | the socket      | answered: nothing is left | answered: nothing is left |
 */

import { SidestreamError } from './protocol.js';

/** @import { ErrorEvent, ResultEvent, WireError } from './protocol.js' */

/** @typedef {'server' | 'session' | 'socket'} Scope What a command acts on. */

/**
 * @typedef {object} RunOptions
 * @property {(result: any) => void} [onResult] Called at once, before the next event is looked at.
 * @property {Scope} [scope]
 */

/**
 * @typedef {object} Pending
 * @property {{id: number, type: string}} command
 * @property {Scope} scope
 * @property {((result: any) => void) | undefined} onResult
 * @property {(result: any) => void} resolve
 * @property {(error: SidestreamError) => void} reject
 */

export class Commands {
  /** @type {(command: object) => void} */
  #send;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #lastId = 0;
  #isHeld = true;

  /** @param {(command: object) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /** Return an id that no command has had. */
  nextId() {
    this.#lastId += 1;
    return this.#lastId;
  }

  /**
   * Run a command and return its result; the error is a SidestreamError.
   *
   * @param {string} type
   * @param {object} [fields]
   * @param {RunOptions} [options]
   * @returns {Promise<any>}
   */
  run(type, fields, { onResult, scope = 'server' } = {}) {
    return new Promise((resolve, reject) => {
      const command = { id: this.nextId(), type, ...fields };
      this.#pending.set(command.id, { command, scope, onResult, resolve, reject });
      if (!this.#isHeld) this.#send(command);
    });
  }

  /** Take an answer; one to nothing that is waited for is ignored. @param {ResultEvent | ErrorEvent} event */
  answer(event) {
    const id = event.id ?? 0;
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    if (event.type === 'error') {
      pending.reject(new SidestreamError(event.error));
    } else {
      pending.onResult?.(event.result);
      pending.resolve(event.result);
    }
  }

  /** Send nothing: the socket is gone. */
  hold() {
    this.#isHeld = true;
    this.#drop('socket');
  }

  /** Send all that is unanswered, in a session that goes on or in a new one. @param {boolean} isResumed */
  release(isResumed) {
    this.#isHeld = false;
    if (!isResumed) this.#drop('session');
    for (const { command } of this.#pending.values()) this.#send(command);
  }

  /** Give up all that is unanswered. @param {WireError} error */
  rejectAll(error) {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(new SidestreamError(error));
  }

  /** @param {Scope} scope */
  #drop(scope) {
    for (const [id, pending] of this.#pending) {
      if (pending.scope !== scope) continue;
      this.#pending.delete(id);
      pending.resolve({});
    }
  }
}

/** Make an id for `request_id`: 128 random bits (`randomUUID` would need a secure context). */
export function randomId() {
  const bytes = new Uint8Array(16);
  // Node 18 has no `crypto` here; nobody is to be kept from guessing this id.
  if (globalThis.crypto) crypto.getRandomValues(bytes);
  else bytes.forEach((_, index) => { bytes[index] = Math.random() * 256; });
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
