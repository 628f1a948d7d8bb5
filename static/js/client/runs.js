/** Prompt sets and runs, over HTTP; described in docs/API_REFERENCE.md. */

import { ask } from './conversations.js';
import { followPrompt } from './prompt-following.js';

/** @import { FollowOptions } from './prompt-following.js' */
/** @import { GradeSummary, Rank } from './run-assessments.js' */
/** @import { Cost, FinishReason, Notice, Parameters, Timings, Usage, WireError } from './protocol.js' */

/** @typedef {{id: string, name: string, tags: string[], created: number, updated: number, version: string, prompts: number, versions: number}} PromptSet */
/** @typedef {{variables?: Record<string, string>, messages?: {role: string, content: string}[], expected?: string, system?: string, checks?: object[], tags?: string[]}} PromptItem */
/** @typedef {PromptSet & {template: string, system: string, checks: object[], items: PromptItem[], own_checks: number, expected: number}} WholeSet `own_checks` and `expected` count those of all prompts. */
/** @typedef {{version: string, prompts: number, created: number}} SetVersion */
/** @typedef {{prompts: number, first: string[], checks: number, encoding: string, delimiter: string | null, form: 'lines' | 'csv' | 'jsonl', expected: number}} SetLook `form` is what it was taken for; `expected` counts prompts with an answer that is hoped for. */
/** @typedef {'auto' | 'lines' | 'csv' | 'jsonl'} FileForm */
/** @typedef {{show: 'all' | 'failed' | 'disagree' | 'cut' | 'errors' | 'unvoted', sort: 'prompt' | 'slowest' | 'failed', search: string}} RowChoice */
/** @typedef {{model: string, parameters: Parameters, system: string | null, name: string}} Target */
/**
 * @typedef {Target & {state: 'waiting' | 'asking' | 'done' | 'failed', answered: number, failed: number, passed: number,
 *   checked: number, error: WireError | null}} RunTarget
 */
/** @typedef {{id: string, model: string, mode: 'grades' | 'pairs', state: Run['state'], judged: number, total: number}} RunJudge `total` is what the answers that are complete now call for. */
/**
 * @typedef {object} Run
 * @property {string} id
 * @property {string} name
 * @property {string} prompt_set
 * @property {string} set_name
 * @property {number} prompts
 * @property {number} repeats
 * @property {'running' | 'paused' | 'done' | 'incomplete' | 'cancelled'} state
 * @property {number} created
 * @property {number} answered
 * @property {number} total
 * @property {RunTarget[]} targets
 * @property {WireError | null} error
 * @property {string} owner The id of a key, `local` where there are none.
 * @property {string} owner_name
 * @property {boolean} is_mine
 * @property {string[]} shared_with Names of keys, or `*`; told to the owner only.
 * @property {RunJudge[]} judges In the order in which they began.
 * @property {number} votes Of all voters.
 */
/**
 * @typedef {object} Cell One answer in short.
 * @property {number} prompt
 * @property {number} target
 * @property {number} repeat
 * @property {'waiting' | 'asking' | 'done'} state
 * @property {string} [text] How it begins.
 * @property {FinishReason} [finish_reason]
 * @property {string} [code] Of the error.
 * @property {boolean} [passed]
 * @property {string} [reason] Why its checks failed.
 * @property {number} [total_ms]
 */
/** @typedef {{prompt: number, text: string, cells: Cell[]}} Row */
/** @typedef {{check: {type: string}, passed: boolean | null, explanation: string}} CheckOutcome */
/**
 * @typedef {{prompt: number, target: number, repeat: number, text: string, finish_reason: FinishReason, usage: Usage, timings: Timings,
 *   reasoning?: string, checks?: CheckOutcome[], passed?: boolean, error?: WireError, notices?: Notice[], cost?: Cost}} RunAnswer
 */
/** @typedef {{prompt: number, messages: {role: string, content: string | {type: string, text?: string}[]}[], expected: string | null, answers: RunAnswer[]}} AskedPrompt */
/** @typedef {{passed: number, total: number, share: number, interval: {low: number, high: number}}} Passed */
/** @typedef {{count: number, median: number | null, p95: number | null}} FirstToken */
/**
 * @typedef {{count: number, answers: Passed | null, first_token_warm: FirstToken, first_token_cold: FirstToken, tokens_per_second: number | null,
 *   prompt_tokens: number | null, completion_tokens: number | null, reasoning_tokens: number | null, tokens_are_estimated: boolean, cut: number, failures: Record<string, number>, cost: number | null, cost_is_estimated: boolean, cost_is_partial: boolean}} Figures
 */
/** @typedef {{wins: number, losses: number, ties: number, prompts: number, share: number | null, interval: {low: number, high: number} | null, inconsistent: number}} WonPairs Too few say no share. */
/** @typedef {{judge: string, name: string, model: string, highest_grade: number, grades: GradeSummary | null, pairs: WonPairs | null}} JudgeRate */
/** @typedef {{target: number, name: string, seconds: number | null, figures: Figures, votes: WonPairs | null, judges: JudgeRate[]}} TargetResult `votes` are people's. */
/** @typedef {{name: string, is_me: boolean, votes: number, blind: number}} RunVoter `name` is empty where no key was needed. */
/**
 * @typedef {{run: Run, targets: TargetResult[], comparisons: {first: number, second: number, words: string}[],
 *   votes: number, ranking: Rank[], voters: RunVoter[]}} Results
 */
/** @typedef {'pause' | 'cancel' | 'continue' | 'continue?failed=1'} RunAct */

export class Runs {
  #base;

  /** @param {string} base The service's address, ending with a slash. */
  constructor(base) {
    this.#base = base;
  }

  /** The latest first. @param {string} [before] The `next` of the page before. @returns {Promise<{runs: Run[], next: string | null}>} */
  list(before = '') {
    return ask('GET', `${this.#base}runs?${new URLSearchParams({ before })}`);
  }

  /** @param {{prompt_set: string, targets: Target[], repeats: number, name: string}} given @returns {Promise<Run>} */
  create(given) {
    return ask('POST', `${this.#base}runs`, given);
  }

  /** @param {string} id @returns {Promise<Run>} */
  get(id) {
    return ask('GET', this.#of(id));
  }

  /** @param {string} id @param {number} first @param {number} count @param {RowChoice} [choice] @returns {Promise<{total: number, matching: number, rows: Row[]}>} */
  rows(id, first, count, choice) {
    return ask('GET', `${this.#of(id)}/rows?${new URLSearchParams({ ...choice, first: String(first), count: String(count) })}`);
  }

  /** @param {string} id @param {number} prompt From 0. @returns {Promise<AskedPrompt>} */
  prompt(id, prompt) {
    return ask('GET', `${this.#of(id)}/prompts/${prompt}`);
  }

  /** What is written of its answers, until all are complete or the run is over: see prompt-following.js. @param {string} id @param {number} prompt From 0. @param {FollowOptions} [options] */
  followPrompt(id, prompt, options) {
    return followPrompt(this.#base, id, prompt, options);
  }

  /** @param {string} id @returns {Promise<Results>} */
  results(id) {
    return ask('GET', `${this.#of(id)}/results`);
  }

  /** @param {string} id @param {RunAct} act @returns {Promise<Run>} */
  act(id, act) {
    return ask('POST', `${this.#of(id)}/${act}`);
  }

  /** Let the holders of these keys read it and vote, and nobody else. @param {string} id @param {string[]} names Or `*`. @returns {Promise<Run>} */
  share(id, names) {
    return ask('PATCH', this.#of(id), { shared_with: names });
  }

  /** @param {string} id @param {string} name @returns {Promise<Run>} */
  rename(id, name) {
    return ask('PATCH', this.#of(id), { name });
  }

  /** Give a run more to ask. @param {string} id @param {{targets?: Target[], repeats?: number}} more @returns {Promise<Run>} */
  extend(id, more) {
    return ask('POST', `${this.#of(id)}/extend`, more);
  }

  /** @param {string} id @returns {Promise<void>} */
  delete(id) {
    return ask('DELETE', this.#of(id));
  }

  /** The address of the exported file. @param {string} id @param {'csv' | 'jsonl' | 'html'} form */
  exportUrl(id, form) {
    return `${this.#of(id)}/export?form=${form}`;
  }

  // Prompt sets

  /** @returns {Promise<{sets: PromptSet[]}>} */
  sets() {
    return ask('GET', `${this.#base}prompt-sets`);
  }

  /** Keep a file's prompts; an error's `details.problems` has every place that is wrong. @param {string | Blob} file @param {{name?: string, form?: FileForm}} options @returns {Promise<PromptSet>} */
  keep(file, options) {
    return ask('PUT', `${this.#base}prompt-sets?${new URLSearchParams(options)}`, file);
  }

  /** Read a file and keep nothing. @param {string | Blob} file @param {{form?: FileForm}} [options] @returns {Promise<SetLook>} */
  look(file, options) {
    return ask('PUT', `${this.#base}prompt-sets/look?${new URLSearchParams(options)}`, file);
  }

  /** A set with its first prompts. @param {string} set @param {number} count @returns {Promise<WholeSet>} */
  set(set, count) {
    return ask('GET', `${this.#base}prompt-sets/${set}?count=${count}`);
  }

  /** The present one first. @param {string} set @returns {Promise<{versions: SetVersion[]}>} */
  versions(set) {
    return ask('GET', `${this.#base}prompt-sets/${set}/versions`);
  }

  /** @param {string} set @param {{name?: string, tags?: string[]}} changes @returns {Promise<PromptSet>} */
  change(set, changes) {
    return ask('PATCH', `${this.#base}prompt-sets/${set}`, changes);
  }

  /** Give a set other prompts, as a new version. @param {string} set @param {string | Blob} file @param {{form?: FileForm}} [options] @returns {Promise<PromptSet>} */
  replace(set, file, options) {
    return ask('PUT', `${this.#base}prompt-sets/${set}/prompts?${new URLSearchParams(options)}`, file);
  }

  /** The address of a set as a file. @param {string} set @param {'csv' | 'jsonl'} form @param {string} [version] Else the last. */
  setUrl(set, form, version = '') {
    return `${this.#base}prompt-sets/${set}/export?${new URLSearchParams({ form, version })}`;
  }

  /** A set as JSON Lines. @param {string} set @param {string} [version] @returns {Promise<string>} */
  lines(set, version) {
    return ask('GET', this.setUrl(set, 'jsonl', version), undefined, (response) => response.text());
  }

  /** Delete a set; runs keep what they have asked. @param {string} set @returns {Promise<void>} */
  forget(set) {
    return ask('DELETE', `${this.#base}prompt-sets/${set}`);
  }

  /** @param {string} id */
  #of(id) {
    return `${this.#base}runs/${id}`;
  }
}
