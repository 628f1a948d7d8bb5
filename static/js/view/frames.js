/**
 * When the page writes: at most once per animation frame, all columns together.
 *
 * All that is due is written first, then settled, so that eight columns cost one layout and not
 * eight. A hidden tab gets no animation frames; there a timer takes their place, also for a
 * frame that was asked for before the tab was hidden.
 */

const HIDDEN_INTERVAL_MS = 500;

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

/** Make the page's own. */
export function pageFrames() {
  const frames = new Frames({
    isHidden: () => document.hidden,
    request: (callback) => requestAnimationFrame(callback),
    cancel: (handle) => cancelAnimationFrame(handle),
  });
  document.addEventListener('visibilitychange', () => frames.visibilityChanged());
  return frames;
}
