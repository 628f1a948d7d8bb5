/**
 * A connection with `hello`: sends commands, emits events, and reconnects.
 *
 * | state      | commands                           | next                                   |
 * |------------|------------------------------------|----------------------------------------|
 * | closed     | reject                             | connecting, by `open`                  |
 * | connecting | are queued                         | connected, waiting, closed             |
 * | connected  | are sent                           | waiting, closed                        |
 * | waiting    | are queued, unanswered ones too    | connecting, by itself or by `open`     |
 *
 * `connected` begins with the answer to `hello`; `welcome` is emitted just before.
 */

import { Commands } from './commands.js';
import { Emitter } from './emitter.js';
import { Heartbeat } from './heartbeat.js';
import { PROTOCOL_VERSION, SidestreamError } from './protocol.js';
import { ReconnectingSocket } from './socket.js';

/** @import { ErrorEvent, HelloResult, ResultEvent, ServerEvent, WireError } from './protocol.js' */
/** @import { RunOptions } from './commands.js' */
/** @import { Rhythm } from './heartbeat.js' */
/** @import { SocketOptions, SocketState } from './socket.js' */

/** @typedef {SocketOptions & {rhythm?: Rhythm}} ConnectionOptions */

/** @typedef {{name: 'connected'} | Exclude<SocketState, {name: 'open'}>} ConnectionState */

/**
 * @typedef {object} ConnectionEvents
 * @property {ConnectionState} state
 * @property {HelloResult} welcome
 * @property {Exclude<ServerEvent, ResultEvent | ErrorEvent>} event
 * @property {WireError} fault An error that belongs to no command.
 */

/** @extends {Emitter<ConnectionEvents>} */
export class Connection extends Emitter {
  /** @type {ReconnectingSocket} */
  #socket;
  /** @type {() => object} */
  #greeting;
  /** @type {ConnectionState} */
  #state = { name: 'closed', code: null, reason: '' };
  #helloId = 0;
  #commands = new Commands((frame) => this.#socket.send(frame));
  /** @type {Heartbeat} */
  #heartbeat;

  /**
   * @param {ConnectionOptions} options
   * @param {() => object} greeting What to say in `hello`, asked at each connection.
   */
  constructor({ rhythm, ...options }, greeting) {
    super();
    this.#greeting = greeting;
    this.#heartbeat = new Heartbeat({
      ask: () => this.#socket.send(JSON.stringify({ id: this.#commands.nextId(), type: 'ping' })),
      giveUp: () => this.#socket.drop('no sign of life'),
      rhythm,
    });
    this.#socket = new ReconnectingSocket(options);
    this.#socket.on('open', () => this.#hello());
    this.#socket.on('frame', (frame) => this.#receiveFrame(frame));
    this.#socket.on('state', (state) => this.#follow(state));
  }

  get state() {
    return this.#state;
  }

  // Actions

  open() {
    this.#socket.open();
  }

  /** @param {string} reason */
  close(reason) {
    this.#socket.close(reason);
  }

  /**
   * Run a command and return its result.
   *
   * @param {string} type
   * @param {object} [fields]
   * @param {RunOptions} [options]
   * @returns {Promise<any>}
   */
  async run(type, fields, options) {
    if (this.#state.name === 'closed') throw new SidestreamError(notConnected(this.#state.reason));
    return this.#commands.run(type, fields, options);
  }

  // Internal

  #hello() {
    this.#heartbeat.start();
    this.#helloId = this.#commands.nextId();
    this.#socket.send(JSON.stringify({ id: this.#helloId, type: 'hello', ...this.#greeting() }));
  }

  /** @param {HelloResult} result */
  #welcome(result) {
    if (result.protocol !== PROTOCOL_VERSION) {
      this.close(`the server speaks version ${result.protocol} of the protocol; reload the page`);
      return;
    }
    this.#socket.confirm();
    this.emit('welcome', result);
    this.#enter({ name: 'connected' });
    this.#commands.release(result.resumed, result.max_frame_bytes);
  }

  /** @param {unknown} frame */
  #receiveFrame(frame) {
    this.#heartbeat.heard();
    if (!Array.isArray(frame)) return;
    for (const event of frame) this.#receive(event);
  }

  /** @param {ServerEvent} event */
  #receive(event) {
    if (event.type !== 'result' && event.type !== 'error') this.emit('event', event);
    else if (event.id === undefined) this.emit('fault', /** @type {ErrorEvent} */ (event).error);
    else if (event.id !== this.#helloId) this.#commands.answer(event);
    else if (event.type === 'result') this.#welcome(/** @type {HelloResult} */ (event.result));
    else this.#socket.drop(event.error.message);
  }

  /** @param {SocketState} state */
  #follow(state) {
    if (state.name === 'open') return; // not connected before `hello` is answered
    this.#heartbeat.stop();
    this.#commands.hold('code' in state ? state.code : null);
    this.#enter(state);
    if (state.name === 'closed') this.#commands.rejectAll(notConnected(state.reason));
  }

  /** @param {ConnectionState} state */
  #enter(state) {
    this.#state = state;
    this.emit('state', state);
  }
}

/** @param {string} reason @returns {WireError} */
export function notConnected(reason) {
  return { code: 'connection_closed', message: `Not connected${reason ? `: ${reason}` : ''}.` };
}
