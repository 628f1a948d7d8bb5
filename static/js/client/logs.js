/**
 * Reading a model server's log, over as many connections as it takes.
 *
 * A subscription ends with its socket. After a reconnect the log is requested from further back, and
 * known lines are dropped: those older than the last one, and as many with its timestamp as were
 * already received.
 *
 * Read lines by events or by `for await`; leaving that loop ends the subscription.
 */

import { Emitter } from './emitter.js';
import { SidestreamError } from './protocol.js';

/** @import { LogEvent, LogLine, WireError } from './protocol.js' */

const MAX_TAIL = 10_000; // as many as the server lets a client ask for

/** @extends {Emitter<{lines: LogLine[], end: LogReading}>} */
export class LogReading extends Emitter {
  /** Set by the client. @type {string | null} */
  subscription = null;
  #model;
  #tail;
  #follow;
  #onClose;
  /** @type {LogLine[]} Those that no `for await` has had, the last of them. */
  #lines = [];
  #lastTime = -Infinity;
  #countAtLastTime = 0;
  #knownAtLastTime = 0;
  #isCatchingUp = false;
  #isOver = false;
  /** @type {WireError | null} */
  #error = null;
  #wake = () => {};

  /**
   * @param {string} model
   * @param {{tail: number, follow: boolean}} options
   * @param {(reading: LogReading) => void} onClose
   */
  constructor(model, { tail, follow }, onClose) {
    super();
    this.#model = model;
    this.#tail = tail;
    this.#follow = follow;
    this.#onClose = onClose;
  }

  get isOver() { return this.#isOver; }
  get error() { return this.#error; }

  /** The fields of the command that starts or resumes the subscription. */
  get command() {
    const tail = this.#lastTime === -Infinity ? this.#tail : MAX_TAIL;
    return { model: this.#model, tail, follow: this.#follow };
  }

  /** Stop reading. */
  close() {
    this.#end(null);
  }

  /** @returns {AsyncGenerator<LogLine, void, void>} */
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const line = this.#lines.shift();
        if (line) yield line;
        else if (this.#error) throw new SidestreamError(this.#error);
        else if (this.#isOver) return;
        else await new Promise((resolve) => { this.#wake = () => resolve(undefined); });
      }
    } finally {
      this.close();
    }
  }

  // What the client does

  /** @param {string} subscription */
  begin(subscription) {
    this.subscription = subscription;
    this.#isCatchingUp = this.#lastTime !== -Infinity;
    this.#knownAtLastTime = this.#countAtLastTime;
  }

  /** @param {LogEvent} event */
  receive({ lines, ended }) {
    const news = lines.filter((line) => this.#isNew(line));
    this.#lines.push(...news);
    this.#lines.splice(0, this.#lines.length - MAX_TAIL);
    if (news.length > 0) this.emit('lines', news);
    if (ended) {
      this.subscription = null;
      this.#end(null);
    }
    this.#wake();
  }

  /** @param {WireError} error */
  fail(error) {
    this.#end(error);
  }

  // Internal

  /** @param {WireError | null} error */
  #end(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    this.#onClose(this);
    this.emit('end', this);
    this.#wake();
  }

  /** @param {LogLine} line */
  #isNew({ time }) {
    if (this.#isCatchingUp) {
      if (time < this.#lastTime) return false;
      if (time === this.#lastTime && this.#knownAtLastTime > 0) {
        this.#knownAtLastTime -= 1;
        return false;
      }
      this.#isCatchingUp = false;
    }
    if (time !== this.#lastTime) this.#countAtLastTime = 0;
    this.#lastTime = time;
    this.#countAtLastTime += 1;
    return true;
  }
}
