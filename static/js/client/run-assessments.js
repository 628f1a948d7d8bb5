/** What people and judges say of the answers of a run, over HTTP; described in docs/API_REFERENCE.md. */

import { ask } from './conversations.js';

/** @import { Cost, Parameters, WireError } from './protocol.js' */
/** @import { Run, WonPairs } from './runs.js' */

/** @typedef {{among: number[], winners: number[], repeat: number, blind: boolean}} RunVoteGiven `among` in the order in which they were shown; no winner is a tie. */
/** @typedef {RunVoteGiven & {prompt: number, voter: string, created: number}} RunVote */
/** @typedef {{target: number, strength: number, interval: [number, number] | null, wins: number, losses: number, ties: number, group: number, regularised: boolean, prompts: number}} Rank */
/** @typedef {{model: string, criteria: string, mode: 'grades' | 'pairs', grades: number, parameters?: Parameters}} JudgeGiven */
/** @typedef {JudgeGiven & {id: string, created: number, state: Run['state'], judged: number, unreadable: number, total: number | null, error: WireError | null}} Judge */
/** @typedef {'pause' | 'pause?wait=0' | 'continue'} JudgeAct A pause waits for the judgements that are being written, unless told not to. */
/** @typedef {{mean: number | null, interval: {low: number, high: number} | null, graded: number, unreadable: number, counts: Record<string, number>}} GradeSummary */
/** @typedef {{judge: Judge, grades: {target: number, grades: GradeSummary}[], ranking: Rank[], inconsistent: number, cost: number | null, pairs: {target: number, pairs: WonPairs}[]}} JudgeResults */
/**
 * @typedef {object} Judgement
 * @property {number} prompt
 * @property {number} repeat
 * @property {number} first
 * @property {number | null} second Null for a grade.
 * @property {number | null} grade
 * @property {'first' | 'second' | 'tie' | null} better
 * @property {string} reason
 * @property {string} reply
 * @property {{role: string, content: string | {type: string, text?: string}[]}[]} asked
 * @property {Cost} [cost]
 * @property {WireError} [error]
 */

export class Assessments {
  #base;

  /** @param {string} base The service's address, ending with a slash. */
  constructor(base) {
    this.#base = base;
  }

  // Votes

  /** By prompt. @param {string} run @param {{mine?: '1'}} [options] @returns {Promise<{votes: RunVote[]}>} */
  votes(run, options = {}) {
    return ask('GET', `${this.#of(run)}/votes?${new URLSearchParams(options)}`);
  }

  /** Vote in place of an earlier vote on the same answers. @param {string} run @param {number} prompt @param {RunVoteGiven} given @returns {Promise<RunVote>} */
  vote(run, prompt, given) {
    return ask('PUT', `${this.#of(run)}/prompts/${prompt}/vote`, given);
  }

  /** @param {string} run @param {number} prompt @param {number} repeat @returns {Promise<void>} */
  takeBack(run, prompt, repeat) {
    return ask('DELETE', `${this.#of(run)}/prompts/${prompt}/vote?repeat=${repeat}`);
  }

  // Judges

  /** @param {string} run @returns {Promise<{judges: JudgeResults[]}>} */
  judges(run) {
    return ask('GET', `${this.#of(run)}/judges`);
  }

  /** @param {string} run @param {JudgeGiven} given @returns {Promise<Judge>} */
  beginJudge(run, given) {
    return ask('POST', `${this.#of(run)}/judges`, given);
  }

  /** @param {string} run @param {string} judge @param {JudgeAct} act @returns {Promise<Judge>} */
  actOnJudge(run, judge, act) {
    return ask('POST', `${this.#of(run)}/judges/${judge}/${act}`);
  }

  /** Delete a judge with all that it said. @param {string} run @param {string} judge @returns {Promise<void>} */
  deleteJudge(run, judge) {
    return ask('DELETE', `${this.#of(run)}/judges/${judge}`);
  }

  /** What a judge was asked and said of the answers to a prompt. @param {string} run @param {string} judge @param {number} prompt @returns {Promise<{judgements: Judgement[]}>} */
  judgements(run, judge, prompt) {
    return ask('GET', `${this.#of(run)}/judges/${judge}?first=${prompt}&count=1`);
  }

  /** @param {string} run */
  #of(run) {
    return `${this.#base}runs/${run}`;
  }
}
