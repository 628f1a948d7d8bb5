/** What judges of a run say, in words. No DOM. */

import { FEWEST_DECIDED } from './run-ranking.js';
import { stateWords } from './run-table.js';

/** @import { GradeSummary, JudgeGiven, JudgeResults, Judgement } from '../client/run-assessments.js' */
/** @import { Run, RunJudge } from '../client/runs.js' */

/** One judgement of an answer: a grade, or how it compares with another target's. */
/** @typedef {{words: string, reason: string, isUnreadable: boolean, asked: Judgement[]}} Verdict */

/** How far a judge is: "Running · 12 of 40 judged · 1 unreadable". @param {JudgeResults} results */
export function judgeWords({ judge, inconsistent, cost }) {
  const { judged, mode, total, unreadable } = judge;
  const all = total === null ? '' : ` of ${Math.max(total, judged).toLocaleString('en')}`;
  return [
    stateWords(judge),
    `${judged.toLocaleString('en')}${all} ${mode === 'pairs' ? 'replies, a pair in both orders' : 'graded'}`,
    unreadable ? `${unreadable.toLocaleString('en')} unreadable` : '',
    mode === 'pairs' ? `${inconsistent.toLocaleString('en')} ${inconsistent === 1 ? 'pair' : 'pairs'} contradicted` : '',
    cost === null ? '' : `$${cost.toFixed(cost < 1 ? 4 : 2)}`,
  ].filter(Boolean).join(' · ');
}

/** What is at work on a run: "Judging: 12 of 40", of all judges together; empty where none is. @param {RunJudge[]} judges */
export function judgingWords(judges) {
  const [judged, total] = judges.filter(({ state }) => state === 'running')
    .reduce(([done, due], one) => [done + one.judged, due + Math.max(one.total, one.judged)], [0, 0]);
  const count = judges.filter(({ state }) => state === 'running').length;
  if (!count) return '';
  return `${count === 1 ? 'Judging' : `${count} judges`}: ${judged.toLocaleString('en')} of ${total.toLocaleString('en')}`;
}

/** Judges as they were read, with how far they were told to be since. @param {JudgeResults[]} read @param {RunJudge[] | null} told @returns {JudgeResults[]} */
export function withProgress(read, told) {
  return read.map((results) => {
    const now = told?.find(({ id }) => id === results.judge.id);
    return now ? { ...results, judge: { ...results.judge, state: now.state, judged: now.judged, total: now.total } } : results;
  });
}

/** What was told of judges that was not read: `judges` where one is new, gone or in another state; `progress` where one has judged more. @param {JudgeResults[]} read @param {RunJudge[]} told @returns {'judges' | 'progress' | ''} */
export function differs(read, told) {
  const known = new Map(read.map(({ judge }) => [judge.id, judge]));
  if (known.size !== told.length || told.some(({ id, state }) => known.get(id)?.state !== state)) return 'judges';
  return told.some(({ id, judged }) => known.get(id)?.judged !== judged) ? 'progress' : '';
}

/** How many replies a judge of all complete answers gives, at most. @param {Pick<Run, 'prompts' | 'repeats' | 'targets'>} run @param {JudgeGiven['mode']} mode */
export function repliesDue({ prompts, repeats, targets }, mode) {
  const { length } = targets;
  return prompts * repeats * (mode === 'pairs' ? length * (length - 1) : length);
}

/** The mean with its interval: "3.80", "3.50 to 4.10"; empty where too little was graded. @param {GradeSummary} grades @returns {[string, string]} */
export function gradeWords({ graded, mean, interval }) {
  return [mean === null ? '' : mean.toFixed(2), interval === null || graded < FEWEST_DECIDED ? '' : `${interval.low.toFixed(2)} to ${interval.high.toFixed(2)}`];
}

/**
 * What a judge says of one answer: one grade, or a verdict for each other target.
 *
 * @param {Judgement[]} judgements Of the prompt. @param {{target: number, repeat: number}} answer @param {number} grades
 * @param {string[]} names By target. @returns {Verdict[]}
 */
export function verdicts(judgements, { target, repeat }, grades, names) {
  const own = judgements.filter((one) => one.repeat === repeat && (one.first === target || one.second === target));
  const graded = own.filter(({ second }) => second === null).map((one) => gradeOf(one, grades));
  const others = [...new Set(own.filter(({ second }) => second !== null).map(({ first, second }) => (first === target ? Number(second) : first)))];
  const compared = others.sort((one, other) => one - other).map((other) => {
    const orders = own.filter(({ first, second }) => first === other || second === other);
    return compare(orders, target, names[other]);
  });
  return [...graded, ...compared];
}

/** @param {Judgement} judgement @param {number} grades @returns {Verdict} */
function gradeOf(judgement, grades) {
  const { grade, reason } = judgement;
  return { words: grade === null ? 'Unreadable' : `${grade} of ${grades}`, reason, isUnreadable: grade === null, asked: [judgement] };
}

/** @param {Judgement[]} orders @param {number} target @param {string} other @returns {Verdict} */
function compare(orders, target, other) {
  const said = orders.map((one) => preferred(one, target));
  const asked = [...orders].sort((one) => (one.first === target ? -1 : 1));
  const reason = [...new Set(asked.map((one) => one.reason).filter(Boolean))].join(' / ');
  const words = (/** @type {string} */ how) => ({ words: `${how} ${other}`, reason, isUnreadable: false, asked });
  if (said.includes(null)) return { words: `Unreadable, against ${other}`, reason, isUnreadable: true, asked };
  if (orders.length < 2) return words('One order only, against');
  if (said[0] !== said[1]) return words('Contradicts itself, so a tie with');
  return words(said[0] === 'tie' ? 'A tie with' : said[0] === 'own' ? 'Better than' : 'Worse than');
}

/** @param {Judgement} judgement @param {number} target @returns {'own' | 'other' | 'tie' | null} */
function preferred({ better, first }, target) {
  if (better === null || better === 'tie') return better;
  return (better === 'first') === (first === target) ? 'own' : 'other';
}
