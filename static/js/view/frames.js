/**
 * When the page writes: up to thirty times a second, all columns together in an animation frame.
 *
 * All that is due is written first, then settled, so that eight columns cost one layout and not
 * eight. A hidden tab gets no animation frames; there a timer takes their place, also for a
 * frame that was asked for before the tab was hidden.
 */

const HIDDEN_INTERVAL_MS = 500;
/** After a frame no other is asked for so long, at least: the one after the next comes then. */
const REST_MS = 20;
/** How long it rests, in times of what a frame cost. */
const RESTS_PER_COST = 8;
/** Text that comes more seldom reads as stuttering. */
const LONGEST_REST_MS = 100;

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
 * Make the page's own: thirty a second where that is cheap, fewer where it is not.
 *
 * A frame in which something was written costs a layout and a painting of all columns, however
 * little it was, and thirty a second are as smooth to a reader as sixty. What a frame cost is known
 * when it has been painted; the page then rests eight times as long, so that writing leaves the
 * greater part of a slow machine's time to typing, scrolling, and the models that run on it.
 */
export function pageFrames() {
  let lastAt = -Infinity;
  let costMs = 0;
  let frame = 0;
  const frames = new Frames({
    isHidden: () => document.hidden,
    request: (callback) => {
      const onFrame = () => {
        const startedAt = performance.now();
        callback();
        setTimeout(() => { // behind the painting
          lastAt = performance.now();
          costMs = (costMs + lastAt - startedAt) / 2;
        });
      };
      const restMs = Math.min(Math.max(REST_MS, RESTS_PER_COST * costMs), LONGEST_REST_MS);
      return setTimeout(() => { frame = requestAnimationFrame(onFrame); }, lastAt + restMs - performance.now());
    },
    cancel: (timer) => {
      clearTimeout(timer);
      cancelAnimationFrame(frame);
    },
  });
  document.addEventListener('visibilitychange', () => frames.visibilityChanged());
  return frames;
}
