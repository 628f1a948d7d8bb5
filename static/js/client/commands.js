/**
 * The unanswered commands.
 *
 * After `hold` commands are only collected; `release` sends all of them in order: new ones, and those
 * whose answer was lost with a connection. So a command must be safe to send twice (`generate` has a
 * request id), or it is answered here:
 *
 * | what it acts on | when the socket is gone   | when the session is gone  |
 * |-----------------|---------------------------|---------------------------|
 * | the server      | sent again                | sent again                |
 * | the session     | sent again                | answered: nothing is left |
 * | the socket      | answered: nothing is left | answered: nothing is left |
 *
 * What the server refuses as a frame fails and is not sent again: what is too large for it, what closed
 * the socket with 4400 or 1009, and what so many sockets in a row have not outlived.
 */

import { CLOSE_BAD_FRAME, CLOSE_TOO_LARGE, SidestreamError } from './protocol.js';

/** @import { ErrorEvent, ResultEvent, WireError } from './protocol.js' */

/** @typedef {'server' | 'session' | 'socket'} Scope What a command acts on. */

/**
 * @typedef {object} RunOptions
 * @property {(result: any) => void} [onResult] Called at once, before the next event is looked at.
 * @property {Scope} [scope]
 */

/** Some proxies have limits of their own, and close without a word. */
const MAX_LOSSES = 10;

/**
 * @typedef {object} Pending
 * @property {string} frame
 * @property {boolean} isSent Whether the present socket has it.
 * @property {number} losses Sockets that ended before its answer.
 * @property {Scope} scope
 * @property {((result: any) => void) | undefined} onResult
 * @property {(result: any) => void} resolve
 * @property {(error: SidestreamError) => void} reject
 */

export class Commands {
  /** @type {(frame: string) => void} */
  #send;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #lastId = 0;
  #isHeld = true;
  #maxBytes = Infinity;

  /** @param {(frame: string) => void} send */
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
      const id = this.nextId();
      const frame = JSON.stringify({ id, type, ...fields });
      this.#pending.set(id, { frame, isSent: false, losses: 0, scope, onResult, resolve, reject });
      if (!this.#isHeld) this.#post(id);
    });
  }

  /** Take an answer; ignores one that no command waits for. @param {ResultEvent | ErrorEvent} event */
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

  /** Stop sending: the socket is gone. @param {number | null} [code] What it was closed with. */
  hold(code) {
    this.#isHeld = true;
    const sent = [...this.#pending].filter(([, { isSent }]) => isSent);
    // The server reads frame after frame, and answers what it has read.
    if (code === CLOSE_BAD_FRAME && sent.length > 0) this.#refuse(sent[0][0], 'The server takes it for no command.');
    if (code === CLOSE_TOO_LARGE && sent.length > 0) {
      const [id] = sent.reduce((one, other) => (other[1].frame.length > one[1].frame.length ? other : one));
      this.#refuse(id, 'It is larger than the server takes.');
    }
    for (const [id, pending] of sent) {
      pending.isSent = false;
      pending.losses += 1;
      if (pending.losses === MAX_LOSSES) this.#refuse(id, 'The connection broke each time it was sent.', 'connection_closed');
    }
    this.#drop('socket');
  }

  /** Send all unanswered commands, in the resumed session or in a new one. @param {boolean} isResumed @param {number} [maxBytes] How large a frame may be. */
  release(isResumed, maxBytes = Infinity) {
    this.#isHeld = false;
    this.#maxBytes = maxBytes;
    if (!isResumed) this.#drop('session');
    for (const id of this.#pending.keys()) this.#post(id);
  }

  /** Reject all unanswered commands. @param {WireError} error */
  rejectAll(error) {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(new SidestreamError(error));
  }

  /** @param {number} id */
  #post(id) {
    const pending = this.#pending.get(id);
    if (!pending) return;
    const { length } = new TextEncoder().encode(pending.frame);
    if (length > this.#maxBytes) {
      this.#refuse(id, `It has ${length.toLocaleString('en')} bytes with all that was said before; the server takes ${this.#maxBytes.toLocaleString('en')}.`);
      return;
    }
    pending.isSent = true;
    this.#send(pending.frame);
  }

  /** @param {number} id @param {string} message @param {string} [code] */
  #refuse(id, message, code = 'invalid_command') {
    this.answer({ type: 'error', id, error: { code, message } });
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
  // Node 18 has no `crypto` here; this id need not be unguessable.
  if (globalThis.crypto) crypto.getRandomValues(bytes);
  else bytes.forEach((_, index) => { bytes[index] = Math.random() * 256; });
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
