/** At the answers to a prompt: what each judge said of them, and in a fold what it was asked and its whole reply. */

import { verdicts } from '../model/run-judges.js';
import { targetNames } from '../model/run-table.js';
import { h } from './element.js';
import { withCode } from './error-notice.js';
import { sentence } from './labels.js';
import { askedLines } from './run-texts.js';

/** @import { Judge, Judgement } from '../client/run-assessments.js' */
/** @import { Run } from '../client/runs.js' */
/** @import { Verdict } from '../model/run-judges.js' */
/** @import { Host } from './runs-view.js' */

export class RunJudgements {
  #host;
  #signal;
  /** As they were when a prompt was last read. @type {Promise<Judge[]> | null} */
  #judges = null;

  /** @param {Host} host @param {AbortSignal} signal */
  constructor(host, signal) {
    this.#host = host;
    this.#signal = signal;
  }

  // Actions

  /** A prompt is read anew: other judges may have begun since. */
  renew() {
    this.#judges = null;
  }

  /** Add to each answer what the judges said of it. @param {Run} run As it is now. @param {number} prompt @param {{target: number, repeat: number, element: HTMLElement}[]} answers */
  show(run, prompt, answers) {
    return this.#host.read(async () => {
      const names = targetNames(run.targets, this.#host.nameOf);
      const judges = await this.#read(run);
      const labels = targetNames(judges.map(({ model }) => ({ name: '', model })), this.#host.nameOf);
      for (const [index, judge] of judges.entries()) {
        const { judgements } = await this.#host.assessments.judgements(run.id, judge.id, prompt);
        if (this.#signal.aborted || !answers.some(({ element }) => element.isConnected)) return;
        for (const answer of answers) {
          const said = verdicts(judgements, answer, judge.grades, names);
          if (said.length) answer.element.append(judged(labels[index], said));
        }
      }
    });
  }

  // Internal

  /** Read them once for all answers of a prompt; what could not be read is read again for the next. @param {Run} run */
  #read({ id }) {
    const reading = this.#judges ??= this.#host.assessments.judges(id).then(({ judges }) => judges.map(({ judge }) => judge));
    reading.catch(() => {
      if (this.#judges === reading) this.#judges = null;
    });
    return reading;
  }
}

/** @param {string} name @param {Verdict[]} said */
function judged(name, said) {
  return h('div', { class: 'run-judged', role: 'group', 'aria-label': `Judge ${name}` }, h('h4', { dir: 'auto' }, `Judge ${name}`),
    ...said.map(({ words, reason, isUnreadable, asked }) => {
      const whole = h('div', {});
      const details = h('details', {}, h('summary', {}, 'What it was asked and said'), whole);
      details.addEventListener('toggle', () => whole.append(...asked.flatMap(exchange)), { once: true });
      return h('div', {}, h('p', { dir: 'auto' }, h('b', { class: isUnreadable ? 'is-unreadable' : null }, words), ...(reason ? ['. ', ...withCode(sentence(reason))] : [])), details);
    }));
}

/** @param {Judgement} judgement */
function exchange({ asked, error, reply }) {
  return [
    h('h4', {}, 'It was asked'), h('div', { class: 'run-asked', tabindex: 0, role: 'region', 'aria-label': 'What the judge was asked' }, ...askedLines(asked)),
    h('h4', {}, 'It said'), h('p', { class: 'run-message', dir: 'auto' }, reply || (error ? sentence(error.message) : 'Nothing.')),
  ];
}
