/**
 * Notice a connection that is dead without having been closed (a laptop that slept, a lost network).
 *
 * A browser shows nothing of the server's WebSocket pings, so after a silence one of the
 * protocol's is sent, and anything that then arrives counts as a sign of life.
 */

const CHECK_EVERY_MS = 5_000;
const SILENT_AFTER_MS = 30_000;
const ANSWER_WITHIN_MS = 10_000;

export class Heartbeat {
  /** @type {() => void} */
  #ask;
  /** @type {() => void} */
  #giveUp;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #heardAtMs = 0;
  /** @type {number | null} */
  #askedAtMs = null;

  /** @param {{ask: () => void, giveUp: () => void}} does */
  constructor({ ask, giveUp }) {
    this.#ask = ask;
    this.#giveUp = giveUp;
  }

  start() {
    this.stop();
    this.heard();
    this.#timer = setInterval(() => this.#check(), CHECK_EVERY_MS);
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
      if (nowMs - this.#askedAtMs >= ANSWER_WITHIN_MS) this.#giveUp();
    } else if (nowMs - this.#heardAtMs >= SILENT_AFTER_MS) {
      this.#askedAtMs = nowMs;
      this.#ask();
    }
  }
}
