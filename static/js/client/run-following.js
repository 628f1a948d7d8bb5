/**
 * Following runs, over as many connections as it takes.
 *
 * The server follows what the last `follow_runs` says, so that one command names what all readers want
 * together. It is sent when a reader comes or goes, and when a session is lost; a resumed session follows
 * the same by itself. Of each run the latest state comes, once.
 *
 * Read runs by events or by `for await`; leaving that loop ends the reading. A program that follows no runs
 * does not load this module.
 */

import { Emitter } from './emitter.js';
import { SidestreamError } from './protocol.js';

/** @import { SidestreamClient } from './client.js' */
/** @import { RunEvent, RunRemovedEvent, WireError } from './protocol.js' */
/** @import { Run } from './runs.js' */

/** @typedef {Omit<Run, 'state'> & {state: Run['state'] | 'removed'}} FollowedRun */

/** @type {WeakMap<SidestreamClient, Following>} */
const followings = new WeakMap();

/**
 * Follow these runs as they are now and after changes, also when they are over, for they may go on.
 *
 * @param {SidestreamClient} client
 * @param {string[] | null} [runs] Their ids; without, all of one's own.
 * @param {{signal?: AbortSignal}} [options] `signal`: when to stop.
 * @returns {RunReading}
 */
export function followRuns(client, runs = null, { signal } = {}) {
  let following = followings.get(client);
  if (!following) followings.set(client, following = new Following(client));
  const reading = following.read(runs);
  signal?.addEventListener('abort', () => reading.close());
  return reading;
}

/** @extends {Emitter<{run: Run, removed: string, end: RunReading}>} */
export class RunReading extends Emitter {
  /** @type {Set<string> | null} */
  runs;
  /** Whether the server follows them; set by the following. */
  hasBegun = false;
  #onClose;
  #isOver = false;
  /** @type {WireError | null} */
  #error = null;
  /** Those that no `for await` has had. @type {Map<string, FollowedRun>} */
  #waiting = new Map();
  /** @type {Map<string, Run>} */
  #latest = new Map();
  #wake = () => {};

  /** @param {string[] | null} runs @param {(reading: RunReading) => void} onClose */
  constructor(runs, onClose) {
    super();
    this.runs = runs && new Set(runs);
    this.#onClose = onClose;
  }

  get isOver() { return this.#isOver; }
  get error() { return this.#error; }

  /** Follow no more. */
  close() {
    this.#end(null);
  }

  /** Runs that have changed; one that was deleted comes once more as `removed`. @returns {AsyncGenerator<FollowedRun, void, void>} */
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const [run] = this.#waiting.values();
        if (run) {
          this.#waiting.delete(run.id);
          yield run;
        } else if (this.#error) throw new SidestreamError(this.#error);
        else if (this.#isOver) return;
        else await new Promise((resolve) => { this.#wake = () => resolve(undefined); });
      }
    } finally {
      this.close();
    }
  }

  // What the following does

  /** @param {string} run */
  hasSeen(run) {
    return this.#latest.has(run);
  }

  /** @param {Run} run */
  receive(run) {
    if (this.runs && !this.runs.has(run.id)) return;
    this.#latest.set(run.id, run);
    this.#waiting.set(run.id, run);
    this.emit('run', run);
    this.#wake();
  }

  /** @param {string} id */
  remove(id) {
    if (this.runs && !this.runs.delete(id)) return;
    const known = /** @type {Run} */ (this.#latest.get(id) ?? { id });
    this.#latest.delete(id);
    this.#waiting.set(id, { ...known, state: 'removed' });
    this.emit('removed', id);
    if (this.runs?.size === 0) this.#end(null);
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
}

/** What the server follows for all readers of one client. */
class Following {
  #client;
  /** @type {Set<RunReading>} */
  #readings = new Set();
  /** The session in which it is followed. */
  #session;

  /** @param {SidestreamClient} client */
  constructor(client) {
    this.#client = client;
    this.#session = client.session;
    client.on('event', (event) => this.#receive(/** @type {RunEvent | RunRemovedEvent} */ (event)));
    client.on('connection', (state) => {
      if (state.name === 'connected') this.#follow();
      else if (state.name === 'closed') this.#failAll({ code: 'connection_closed', message: state.reason });
    });
  }

  /** @param {string[] | null} runs */
  read(runs) {
    const reading = new RunReading(runs, () => {
      if (this.#readings.delete(reading)) this.#send();
    });
    this.#readings.add(reading);
    this.#send();
    return reading;
  }

  // Internal

  /** @param {RunEvent | RunRemovedEvent} event */
  #receive(event) {
    for (const reading of [...this.#readings]) {
      if (event.type === 'run') reading.receive(event.run);
      else if (event.type === 'run_removed') reading.remove(event.run);
    }
  }

  #follow() {
    if (this.#client.session === this.#session) return;
    this.#session = this.#client.session;
    const begun = [...this.#readings].filter(({ hasBegun }) => hasBegun);
    for (const reading of begun) reading.hasBegun = false;
    if (begun.length > 0) this.#send(); // the command of those that have not is sent again by itself
  }

  #send() {
    const asking = [...this.#readings];
    const all = asking.some(({ runs }) => runs === null);
    const runs = new Set(asking.flatMap((reading) => [...reading.runs ?? []]));
    this.#client.run('follow_runs', all ? {} : { runs: [...runs] }).then(
      () => asking.forEach((reading) => { reading.hasBegun = true; }),
      (error) => this.#refused(error, asking),
    );
  }

  /** @param {SidestreamError} error @param {RunReading[]} asking */
  #refused(error, asking) {
    if (error.code === 'unknown_run') return this.#drop(error);
    // What the server followed before, it still follows.
    for (const reading of asking) if (!reading.hasBegun) this.#fail(reading, error);
  }

  /** End what was told of runs that are gone, fail the readers that never saw them. @param {SidestreamError} error */
  #drop(error) {
    /** @type {string[]} */
    const unknown = /** @type {any} */ (error.details)?.runs ?? [];
    let isChanged = false;
    for (const reading of [...this.#readings]) {
      const gone = unknown.filter((run) => reading.runs?.has(run));
      if (gone.length === 0) continue;
      isChanged = true;
      if (gone.every((run) => reading.hasSeen(run))) for (const run of gone) reading.remove(run);
      else this.#fail(reading, error);
    }
    if (isChanged && this.#readings.size > 0) this.#send();
  }

  /** @param {RunReading} reading @param {WireError | SidestreamError} error */
  #fail(reading, error) {
    this.#readings.delete(reading); // nothing is to be sent for it
    reading.fail(/** @type {WireError} */ (error));
  }

  /** @param {WireError} error */
  #failAll(error) {
    for (const reading of [...this.#readings]) this.#fail(reading, error);
  }
}
