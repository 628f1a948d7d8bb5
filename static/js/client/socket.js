/**
 * A WebSocket that reconnects.
 *
 * - Only the newest socket counts: messages of older ones are dropped.
 * - Waits between attempts double up to a limit, with jitter, and end after `maxAttempts`.
 * - `confirm` resets the count, and opening does not: a server that accepts and closes at once is not
 *   called in a tight loop.
 * - Nothing is queued here: the caller sends again what could not be sent.
 */

import { Emitter } from './emitter.js';
import { FINAL_CLOSE_CODES } from './protocol.js';

const OPEN = 1;

/**
 * The part of the WebSocket interface that is used here; the browser's and the `ws` package's fit.
 *
 * @typedef {object} SocketLike
 * @property {number} readyState
 * @property {(data: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {(type: any, listener: (event: any) => void) => void} addEventListener
 */

/**
 * @typedef {{name: 'connecting'} | {name: 'open'} |
 *   {name: 'waiting', delayMs: number, retryAtMs: number, attempt: number, code: number | null, reason: string} |
 *   {name: 'closed', code: number | null, reason: string}} SocketState
 */

/**
 * @typedef {object} SocketOptions
 * @property {string} url
 * @property {(url: string) => SocketLike} [createSocket]
 * @property {number} [minDelayMs] The first wait, before jitter.
 * @property {number} [maxDelayMs] No wait is longer.
 * @property {number} [maxAttempts] Attempts that failed in a row before it gives up.
 * @property {number} [openTimeoutMs] How long one attempt may take.
 * @property {() => number} [random]
 */

/** @extends {Emitter<{state: SocketState, frame: unknown, open: void}>} */
export class ReconnectingSocket extends Emitter {
  /** @type {Required<SocketOptions>} */
  #options;
  /** @type {SocketLike | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #failures = 0;
  /** @type {SocketState} */
  #state = { name: 'closed', code: null, reason: '' };

  /** @param {SocketOptions} options */
  constructor(options) {
    super();
    this.#options = {
      createSocket: (url) => new WebSocket(url),
      minDelayMs: 250,
      maxDelayMs: 15_000,
      maxAttempts: 45, // about ten minutes, twice what the server keeps a session
      openTimeoutMs: 10_000,
      random: Math.random,
      ...options,
    };
  }

  get state() {
    return this.#state;
  }

  // Actions

  /** Connect now, unless connected or about to be. */
  open() {
    if (this.#socket) return;
    if (this.#state.name === 'closed') this.#failures = 0;
    this.#connect();
  }

  /** Close for good; `open` starts again. @param {string} [reason] */
  close(reason = '') {
    this.#end(null, reason);
  }

  /** Close this socket and connect again after a wait. @param {string} [reason] */
  drop(reason = '') {
    if (this.#socket) this.#lose(null, reason);
  }

  /** Report that the connection works: the next wait is the shortest again. */
  confirm() {
    this.#failures = 0;
  }

  /** Send one frame; false when there is no open socket to send it by. @param {string} frame */
  send(frame) {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(frame);
    return true;
  }

  // Internal

  #connect() {
    clearTimeout(this.#timer);
    const socket = this.#options.createSocket(this.#options.url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lose(null, 'no answer'), this.#options.openTimeoutMs);
    const whenCurrent = (/** @type {(event: any) => void} */ handle) => (/** @type {any} */ event) => {
      if (socket === this.#socket) handle(event);
    };
    socket.addEventListener('open', whenCurrent(() => {
      clearTimeout(this.#timer);
      this.#enter({ name: 'open' });
      this.emit('open', undefined);
    }));
    socket.addEventListener('message', whenCurrent((event) => this.#receive(event.data)));
    socket.addEventListener('close', whenCurrent(({ code, reason }) => {
      if (FINAL_CLOSE_CODES.includes(code)) this.#end(code, reason);
      else this.#lose(code, reason);
    }));
    // Without a listener, the `ws` package would throw; `close` follows and says the rest.
    socket.addEventListener('error', () => {});
    this.#enter({ name: 'connecting' });
  }

  /** @param {string} data */
  #receive(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      this.drop('a frame that is not JSON');
      return;
    }
    this.emit('frame', frame);
  }

  /** @param {number | null} code @param {string} reason */
  #lose(code, reason) {
    this.#failures += 1;
    if (this.#failures > this.#options.maxAttempts) {
      this.#end(code, reason || 'the server cannot be reached');
      return;
    }
    this.#hangUp();
    const { minDelayMs, maxDelayMs, random } = this.#options;
    const ceiling = Math.min(maxDelayMs, minDelayMs * 2 ** (this.#failures - 1));
    const delayMs = ceiling * (0.5 + random() / 2);
    this.#timer = setTimeout(() => this.#connect(), delayMs);
    const retryAtMs = Date.now() + delayMs;
    this.#enter({ name: 'waiting', delayMs, retryAtMs, attempt: this.#failures, code, reason });
  }

  /** @param {number | null} code @param {string} reason */
  #end(code, reason) {
    this.#hangUp();
    this.#enter({ name: 'closed', code, reason });
  }

  #hangUp() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** @param {SocketState} state */
  #enter(state) {
    this.#state = state;
    this.emit('state', state);
  }
}
