/**
 * The commands that have no answer yet.
 *
 * While `hold` is in force they only collect; `release` sends all of them, in their order: those
 * made meanwhile, and those whose answer was lost with a connection. So a command must bear being
 * sent twice, which all of the protocol's do (`generate` by its request id).
 */

import { SidestreamError } from './protocol.js';

/** @import { ErrorEvent, ResultEvent, WireError } from './protocol.js' */

/**
 * @typedef {object} Pending
 * @property {{id: number, type: string}} command
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
   * @param {(result: any) => void} [onResult] Called at once, before the next event is looked at.
   * @returns {Promise<any>}
   */
  run(type, fields, onResult) {
    return new Promise((resolve, reject) => {
      const command = { id: this.nextId(), type, ...fields };
      this.#pending.set(command.id, { command, onResult, resolve, reject });
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

  hold() {
    this.#isHeld = true;
  }

  release() {
    this.#isHeld = false;
    for (const { command } of this.#pending.values()) this.#send(command);
  }

  /** Give up all that is unanswered. @param {WireError} error */
  rejectAll(error) {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(new SidestreamError(error));
  }
}

/** Make an id for `request_id`: 128 random bits (`randomUUID` would need a secure context). */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
