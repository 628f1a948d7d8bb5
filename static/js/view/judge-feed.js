/**
 * The judges of a run, as they are now: read once, and followed over the socket.
 *
 * Events tell how far each judge is. What its judgements come to is read: at once when a judge begins, ends or is
 * changed by somebody, and while it goes on after a pause, for it is summed up over all that it said.
 */

import { followRuns } from '../client/run-following.js';
import { differs, withProgress } from '../model/run-judges.js';

/** @import { JudgeResults } from '../client/run-assessments.js' */
/** @import { Run, RunJudge } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const PAUSE_MS = 2000;

export class JudgeFeed {
  #host;
  #signal;
  #run;
  #show;
  /** @type {JudgeResults[] | null} */
  #read = null;
  /** @type {RunJudge[] | null} */
  #told = null;
  #isReading = false;
  #isDue = false;
  #timer = 0;

  /** @param {Host} host @param {AbortSignal} signal @param {Run} run @param {{show: (judges: JudgeResults[]) => void, told?: (run: Run) => void}} parts `told`: also what else is told of the run. */
  constructor(host, signal, run, { show, told }) {
    this.#host = host;
    this.#signal = signal;
    this.#run = run;
    this.#show = show;
    signal.addEventListener('abort', () => clearTimeout(this.#timer));
    const reading = followRuns(host.client, [run.id], { signal });
    reading.on('run', (now) => {
      told?.(now);
      this.#told = now.judges;
      if (!this.#isReading) this.#compare();
    });
    reading.on('removed', () => host.gone());
    reading.on('end', ({ error }) => error && host.fail(error));
  }

  // Actions

  /** Read the judges, one request at a time. */
  async read() {
    this.#isDue = true;
    if (this.#isReading) return;
    this.#isReading = true;
    clearTimeout(this.#timer);
    this.#timer = 0;
    while (this.#isDue && !this.#signal.aborted) {
      this.#isDue = false;
      this.#told = null; // what is told from here on is newer than what was told before
      await this.#host.read(async () => {
        const { judges } = await this.#host.assessments.judges(this.#run.id);
        if (this.#signal.aborted) return;
        this.#read = judges;
        this.#show(withProgress(judges, this.#told));
      });
    }
    this.#isReading = false;
    if (!this.#signal.aborted) this.#compare();
  }

  // Internal

  /** Show what was told, and read what follows from it where that is due. */
  #compare() {
    if (!this.#read || !this.#told) return;
    this.#show(withProgress(this.#read, this.#told));
    const due = differs(this.#read, this.#told);
    if (due === 'judges') void this.read();
    else if (due === 'progress') this.#timer ||= setTimeout(() => void this.read(), PAUSE_MS);
  }
}
