/**
 * Detect a dead connection that was never closed (a laptop that slept, a lost network).
 *
 * Browsers hide the server's WebSocket pings. So after a silence the protocol's own `ping` is sent,
 * and anything that arrives then proves the connection alive.
 */

/** @typedef {{checkEveryMs: number, silentAfterMs: number, answerWithinMs: number}} Rhythm */

/** @type {Rhythm} */
const RHYTHM = { checkEveryMs: 5_000, silentAfterMs: 30_000, answerWithinMs: 10_000 };

export class Heartbeat {
  /** @type {() => void} */
  #ask;
  /** @type {() => void} */
  #giveUp;
  /** @type {Rhythm} */
  #rhythm;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #heardAtMs = 0;
  /** @type {number | null} */
  #askedAtMs = null;

  /** @param {{ask: () => void, giveUp: () => void, rhythm?: Rhythm}} options */
  constructor({ ask, giveUp, rhythm = RHYTHM }) {
    this.#rhythm = rhythm;
    this.#ask = ask;
    this.#giveUp = giveUp;
  }

  start() {
    this.stop();
    this.heard();
    this.#timer = setInterval(() => this.#check(), this.#rhythm.checkEveryMs);
  }

  stop() {
    clearInterval(this.#timer);
  }

  /** Something arrived. */
  heard() {
    this.#heardAtMs = Date.now();
    this.#askedAtMs = null;
  }

  // Internal

  #check() {
    const nowMs = Date.now();
    if (this.#askedAtMs !== null) {
      if (nowMs - this.#askedAtMs >= this.#rhythm.answerWithinMs) this.#giveUp();
    } else if (nowMs - this.#heardAtMs >= this.#rhythm.silentAfterMs) {
      this.#askedAtMs = nowMs;
      this.#ask();
    }
  }
}
