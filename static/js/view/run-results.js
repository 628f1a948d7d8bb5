/**
 * The results of a run: who passed how much and how sure that is, how fast, what failed; comparisons in words;
 * the ranking by people's votes; and each judge by itself. Votes and judgements are never mixed. They are shown
 * as they come, whoever gives them.
 */

import { firstToken, tokenWords } from '../model/run-figures.js';
import { rateWords, wonWords } from '../model/run-rates.js';
import { isOver, targetNames } from '../model/run-table.js';
import { h } from './element.js';
import { JudgeFeed } from './judge-feed.js';
import { JudgeSummary } from './judge-summary.js';
import { briefly, costLabel, duration, rate } from './labels.js';
import { rankingView } from './run-ranking.js';
import { votersView } from './run-voters.js';

/** @import { JudgeResults } from '../client/run-assessments.js' */
/** @import { Figures, Passed, Results, Run, TargetResult } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const PASSED = ['Target', 'Passed', '95 % interval'];
const SPEED = ['First token', '95 % within', 'Speed', 'Tokens', 'Cut', 'Failed', 'Cost', 'Time'];
const PAIRS = 'Votes and pairs won: in which share of the pairs of answers it was the better one, a tie being half; people’s votes and judges apart. With fewer than six prompts that have a winner, nothing is said but how many pairs were won. A judge contradicts itself where two answers in the other order have another winner, which counts as a tie.';
/** While answers come, so often are they summed up again. */
const READ_EVERY_MS = 2000;
const NONE = '–';

export class RunResults {
  #host;
  #signal;
  #run;
  #head = h('tr', {}, ...headings(false, []));
  #body = h('tbody');
  #pairs = h('p', { class: 'field-hint', hidden: true }, PAIRS);
  #words = h('ul', { class: 'run-comparisons' });
  #comparisons = h('div', { hidden: true }, h('h3', {}, 'Comparisons'), this.#words);
  #votes = h('section', { 'aria-labelledby': 'run-votes' });
  #judges = h('div', {});
  #table = h('div', { class: 'summary-table', tabindex: 0, role: 'region', 'aria-label': 'Results' },
    h('table', {}, h('thead', {}, this.#head), this.#body));
  element = h('div', { class: 'run-page' }, this.#table,
    h('p', { class: 'field-hint' }, 'First tokens are of answers whose model was loaded; where there are none, those with the model’s start are shown, as cold. Intervals are Wilson’s, by prompt.'), this.#pairs, this.#comparisons, this.#votes, this.#judges);

  /** @type {Results | null} */
  #results = null;
  #isReading = false;
  #isDue = false;
  /** How many votes there are, if that was told since they were read. @type {number | null} */
  #votesTold = null;
  /** How far the run was when its results were last read; empty if they could not be. */
  #progressRead = '';
  #timer = 0;
  /** What is shown of votes: the same does not take the focus away. */
  #votesShown = '';
  /** What judges said when the table was last compared with it: once is enough, for they may be behind it. */
  #judgesCompared = '';
  /** @type {Map<string, JudgeSummary>} */
  #summaries = new Map();

  /** @param {Host} host @param {AbortSignal} signal @param {Run} run */
  constructor(host, signal, run) {
    this.#host = host;
    this.#signal = signal;
    this.#run = run;
    this.#use(run);
    signal.addEventListener('abort', () => clearTimeout(this.#timer));
    const feed = new JudgeFeed(host, signal, run, { show: (judges) => this.#showJudges(judges), told: (now) => this.#told(now) });
    void this.#read(host.attempt).then(() => feed.read());
  }

  back = () => this.#host.open(this.#run);

  focus() {
    this.#table.focus();
  }

  // Internal

  /** Read the results, one request at a time. @param {Host['read']} how */
  async #read(how) {
    this.#isDue = true;
    if (this.#isReading) return;
    this.#isReading = true;
    clearTimeout(this.#timer);
    this.#timer = 0;
    while (this.#isDue && !this.#signal.aborted) {
      this.#isDue = false;
      this.#votesTold = null;
      this.#progressRead = '';
      const progress = progressOf(this.#run);
      await how(async () => {
        const results = await this.#host.api.results(this.#run.id);
        if (this.#signal.aborted) return;
        this.#results = results;
        this.#progressRead = progress;
        this.#show(results);
        this.#showVotes(results);
        this.#isDue ||= this.#votesTold !== null && this.#votesTold !== results.votes;
      });
    }
    this.#isReading = false;
    if (this.#progressRead) this.#compare(); // else once more is told, not at once
  }

  /** @param {Run} now */
  #told(now) {
    this.#use(now);
    this.#votesTold = now.votes;
    if (!this.#isReading) this.#compare();
  }

  /** @param {Run} run */
  #use(run) {
    this.#run = run;
    this.#host.name(`Results: ${run.name || run.set_name}`);
  }

  /** Read again where more was told than was read: votes and what is over at once, answers after a pause. */
  #compare() {
    if (this.#signal.aborted) return;
    const hasMore = this.#progressRead !== progressOf(this.#run);
    const hasVotes = this.#results !== null && this.#votesTold !== null && this.#votesTold !== this.#results.votes;
    const again = () => void this.#read(this.#results ? this.#host.read : this.#host.attempt);
    if (hasVotes || (hasMore && isOver(this.#run))) again();
    else if (hasMore) this.#timer ||= setTimeout(again, READ_EVERY_MS);
  }

  /** What targets are called in the sentences below the table, in the report and in a terminal: those that were told, or those of the results where these have more. */
  get #names() {
    const read = this.#results?.run.targets ?? [];
    return targetNames(read.length > this.#run.targets.length ? read : this.#run.targets);
  }

  /** @param {Results} results */
  #show({ targets, comparisons }) {
    const names = this.#names;
    const hasVotes = targets.some(({ votes }) => votes !== null);
    const judges = this.#judgeNames(targets[0].judges.map(({ model }) => model));
    this.#head.replaceChildren(...headings(hasVotes, judges));
    this.#body.replaceChildren(...targets.map((target, index) => h('tr', {},
      h('th', { scope: 'row', dir: 'auto' }, names[index]), ...cells(target, hasVotes).map((words) => h('td', {}, words)))));
    this.#pairs.hidden = !hasVotes && judges.length === 0;
    this.#comparisons.hidden = comparisons.length === 0;
    this.#words.replaceChildren(...comparisons.map(({ words }) => h('li', { dir: 'auto' }, words)));
  }

  /** @param {Results} results */
  #showVotes({ targets, ranking, voters }) {
    const names = this.#names;
    const shown = JSON.stringify([ranking, voters, names, targets.length]);
    if (shown === this.#votesShown) return;
    this.#votesShown = shown;
    const focused = this.#votes.contains(document.activeElement) ? document.activeElement : null;
    const isUnfolded = this.#votes.querySelector('details')?.open ?? false;
    const vote = h('button', { type: 'button', class: 'quiet' }, 'Vote blind');
    vote.addEventListener('click', () => this.#host.vote(this.#run));
    this.#votes.replaceChildren(h('h3', { id: 'run-votes' }, 'People’s votes'),
      ...(voters.length ? [...votersView(voters, isUnfolded), rankingView(ranking, names, 'Ranking by people’s votes')]
        : [h('p', { class: 'field-hint' }, 'Nobody has voted.')]),
      h('div', { class: 'run-acts', hidden: targets.length < 2 }, vote));
    const table = this.#votes.querySelector('[tabindex]');
    if (focused) (focused.matches('[tabindex]') && table instanceof HTMLElement ? table : vote).focus();
  }

  /** @param {JudgeResults[]} judges */
  #showJudges(judges) {
    if (!this.#results) return;
    const { targets } = this.#results;
    const names = this.#names;
    const said = JSON.stringify(saidBy(judges));
    if (said !== this.#judgesCompared && said !== JSON.stringify(shownOf(targets))) void this.#read(this.#host.read);
    this.#judgesCompared = said;
    const isKnown = judges.length === this.#summaries.size && judges.every(({ judge }) => this.#summaries.has(judge.id));
    if (isKnown) return judges.forEach((results) => this.#summaries.get(results.judge.id)?.show(results, names));
    const hadFocus = this.#judges.contains(document.activeElement);
    const labels = this.#judgeNames(judges.map(({ judge }) => judge.model));
    this.#summaries = new Map(judges.map((results, index) => [results.judge.id, new JudgeSummary(results, labels[index], names)]));
    this.#judges.replaceChildren(...[...this.#summaries.values()].map(({ element }) => element));
    if (hadFocus) this.focus();
  }

  /** What judges are called, numbered where two are alike. @param {string[]} models */
  #judgeNames(models) {
    return targetNames(models.map((model) => ({ name: '', model })), this.#host.nameOf);
  }
}

/** How far a run is: with more of it, its results are others. @param {Run} run */
function progressOf({ state, answered, targets, repeats }) {
  return [state, answered, targets.length, repeats].join();
}

/** What each judge says of each target. @param {JudgeResults[]} judges */
function saidBy(judges) {
  return judges.map(({ grades, pairs }) => (grades.length ? grades.map((one) => one.grades) : pairs.map((one) => one.pairs)));
}

/** The same, as the columns of the table have it. @param {TargetResult[]} targets */
function shownOf(targets) {
  return targets[0].judges.map((_, index) => targets.map(({ judges }) => judges[index].grades ?? judges[index].pairs));
}

/** @param {boolean} hasVotes @param {string[]} judges By name. */
function headings(hasVotes, judges) {
  const names = [...PASSED, ...(hasVotes ? ['Votes won'] : []), ...judges.map((judge) => `Judge ${judge}`), ...SPEED];
  return names.map((name) => h('th', { scope: 'col', dir: 'auto' }, name));
}

/** @param {TargetResult} target @param {boolean} hasVotes */
function cells({ figures, seconds, votes, judges }, hasVotes) {
  const [passed, interval, ...others] = measured(figures, seconds);
  return [passed, interval, ...(hasVotes ? [wonWords(votes) || NONE] : []), ...judges.map((rate) => rateWords(rate) || NONE), ...others];
}

/** @param {Figures} figures @param {number | null} seconds From the first question to the last answer's end. */
function measured(figures, seconds) {
  const { answers, tokens_per_second: speed, cut, failures, cost, cost_is_estimated: estimated, cost_is_partial: isPartial } = figures;
  const { median, p95, isCold } = firstToken(figures);
  const mark = isCold ? ' (cold)' : '';
  const causes = Object.entries(failures).map(([cause, count]) => `${count} ${cause}`);
  return [
    answers ? `${answers.passed} of ${answers.total}` : NONE,
    answers ? intervalOf(answers) : NONE,
    median === null ? NONE : briefly(median) + mark,
    p95 === null ? NONE : briefly(p95) + mark,
    speed === null ? NONE : rate(speed),
    tokenWords(figures) || NONE,
    String(cut),
    causes.join(', ') || '0',
    cost === null ? NONE : (isPartial ? 'at least ' : '') + costLabel({ amount: cost, estimated }),
    seconds === null ? NONE : duration(seconds * 1000),
  ];
}

/** @param {Passed} passed */
function intervalOf({ interval: { low, high } }) {
  return `${Math.round(low * 100)} to ${Math.round(high * 100)} %`;
}
