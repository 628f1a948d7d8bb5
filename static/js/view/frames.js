/**
 * Schedule writes to the page: all columns together in one animation frame, at most 30 a second.
 *
 * A hidden tab gets no animation frames, so a timer replaces them, also for a frame that was requested
 * before the tab was hidden.
 */

const HIDDEN_INTERVAL_MS = 500;
/** Text that grows out of sight is written this seldom: it takes layout and paint all the same. */
const UNSEEN_INTERVAL_MS = 400;
/** The shortest rest after a frame: every second frame of a 60 Hz screen is used. */
const REST_MS = 20;
/** The rest as a multiple of the cost of a frame. */
const RESTS_PER_COST = 8;
/** Text that comes less often seems to stutter. */
const LONGEST_REST_MS = 100;
/** How long a slice of a long work takes: typing and scrolling go on between two. */
const SLICE_MS = 12;

/** @typedef {{write: () => void}} Job */

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
  /** @type {Set<Job>} */
  #unseen = new Set();
  /** @type {() => void} */
  #cancel = () => {};

  /** @param {FrameSource} source */
  constructor(source) {
    this.#source = source;
  }

  /** Run `job` once at the next frame, however often it is scheduled. @param {Job} job */
  schedule(job) {
    this.#unseen.delete(job);
    this.#due.add(job);
    if (this.#due.size === 1) this.#request();
  }

  /** Run `job`, which writes out of sight, once in a frame of the next 400 ms, all such jobs in one. @param {Job} job */
  scheduleUnseen(job) {
    if (this.#due.has(job)) return;
    this.#unseen.add(job);
    if (this.#unseen.size === 1) setTimeout(() => this.#unseen.forEach((unseen) => this.schedule(unseen)), UNSEEN_INTERVAL_MS);
  }

  /** React to the page being hidden or shown. */
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
  }
}

/**
 * Make the page's own frames: 30 a second where that is cheap, fewer where it is not.
 *
 * Every frame with a write costs a layout and a paint of all columns, and 30 a second look as smooth
 * as 60. After each frame the page rests eight times as long as the frame took, so that a slow machine
 * has most of its time for typing, scrolling and the models that run on it.
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
        setTimeout(() => { // after the paint
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

/** Long works that take turns. @type {Set<() => boolean>} */
const works = new Set();

/** Do a long work a step at a time, while the page stays usable. @param {() => boolean} step Tells whether there is more. */
export function inSlices(step) {
  works.add(step);
  if (works.size === 1) setTimeout(slice);
}

function slice() {
  const until = performance.now() + SLICE_MS;
  for (const step of works) {
    works.delete(step);
    if (step()) works.add(step); // behind the others
    if (performance.now() > until) break;
  }
  if (works.size > 0) setTimeout(slice);
}
