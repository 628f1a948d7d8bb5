/**
 * When the page writes: at most thirty times a second, all columns together in an animation frame.
 *
 * All that is due is written first, then settled, so that eight columns cost one layout and not
 * eight. A hidden tab gets no animation frames; there a timer takes their place, also for a
 * frame that was asked for before the tab was hidden.
 */

const HIDDEN_INTERVAL_MS = 500;
/** After a frame no other is asked for so long: the one after the next comes then. */
const REST_MS = 25;

/** @typedef {{write: () => void, settle?: () => void}} Job */

/**
 * @typedef {object} FrameSource
 * @property {() => boolean} isHidden
 * @property {(callback: () => void) => number} request
 * @property {(handle: number) => void} cancel
 */

export class Frames {
  /** @type {FrameSource} */
  #source;
  /** @type {Set<Job>} */
  #due = new Set();
  /** @type {() => void} */
  #cancel = () => {};

  /** @param {FrameSource} source */
  constructor(source) {
    this.#source = source;
  }

  /** Do `job` at the next frame; once, however often it is asked for. @param {Job} job */
  schedule(job) {
    this.#due.add(job);
    if (this.#due.size === 1) this.#request();
  }

  /** Say that the page was hidden or shown. */
  visibilityChanged() {
    if (this.#due.size === 0) return;
    this.#cancel();
    this.#request();
  }

  // Internal

  #request() {
    if (this.#source.isHidden()) {
      const timer = setTimeout(() => this.#flush(), HIDDEN_INTERVAL_MS);
      this.#cancel = () => clearTimeout(timer);
    } else {
      const handle = this.#source.request(() => this.#flush());
      this.#cancel = () => this.#source.cancel(handle);
    }
  }

  #flush() {
    const jobs = [...this.#due];
    this.#due.clear();
    for (const job of jobs) job.write();
    for (const job of jobs) job.settle?.();
  }
}

/**
 * Make the page's own: every other frame of a common screen.
 *
 * A frame in which something was written costs a layout and a painting of all columns, however
 * little it was, and thirty a second are as smooth to a reader as sixty.
 */
export function pageFrames() {
  let lastAt = -Infinity;
  let frame = 0;
  const frames = new Frames({
    isHidden: () => document.hidden,
    request: (callback) => {
      const onFrame = () => {
        lastAt = performance.now();
        callback();
      };
      return setTimeout(() => { frame = requestAnimationFrame(onFrame); }, lastAt + REST_MS - performance.now());
    },
    cancel: (timer) => {
      clearTimeout(timer);
      cancelAnimationFrame(frame);
    },
  });
  document.addEventListener('visibilitychange', () => frames.visibilityChanged());
  return frames;
}
