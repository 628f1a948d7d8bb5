/** What people's votes and judges say of a target, in words for the results table; and who voted. No DOM. */

/** @import { GradeSummary } from '../client/run-assessments.js' */
/** @import { JudgeRate, RunVoter, WonPairs } from '../client/runs.js' */

/** Which share of its pairs a target won: "62 % (48 to 74 %)"; how many of them where that tells too little: "2.5 of 4 pairs, too few winners". @param {WonPairs | null} pairs */
export function wonWords(pairs) {
  const total = pairs ? pairs.wins + pairs.losses + pairs.ties : 0;
  if (!pairs || total === 0) return '';
  const { share, interval, wins, ties, inconsistent } = pairs;
  const words = share === null || interval === null
    ? `${(wins + ties / 2).toLocaleString('en')} of ${counted(total, 'pair')}, too few winners`
    : `${percent(share)} (${Math.round(interval.low * 100)} to ${percent(interval.high)})`;
  return inconsistent ? `${words}; contradicted itself in ${inconsistent.toLocaleString('en')}` : words;
}

/** What a judge says of a target: "3.80 of 5 (3.50 to 4.10)", or the pairs that it won. @param {Pick<JudgeRate, 'grades' | 'pairs' | 'highest_grade'>} rate */
export function rateWords({ grades, pairs, highest_grade: highest }) {
  return grades ? meanWords(grades, highest) : wonWords(pairs);
}

/** What a ranking of votes is made of: "12 votes by 3 voters, all of them blind". @param {RunVoter[]} voters One or more. */
export function madeOf(voters) {
  const all = voters.reduce((sum, { votes }) => sum + votes, 0);
  const blind = voters.reduce((sum, voter) => sum + voter.blind, 0);
  const share = blind === all ? 'all of them blind' : blind === 0 ? 'none of them blind' : `${blind.toLocaleString('en')} of them blind`;
  return `${counted(all, 'vote')} by ${byWhom(voters)}, ${all === 1 ? (blind ? 'blind' : 'not blind') : share}`;
}

/** Who a voter is, in a list of several. @param {RunVoter} voter */
export function voterName({ name, is_me: isMe }) {
  if (!name) return 'Without a key';
  return isMe ? `${name} (you)` : name;
}

/** Nobody is called "you" where no key tells people apart. @param {RunVoter[]} voters */
function byWhom([first, ...others]) {
  if (others.length) return `${(others.length + 1).toLocaleString('en')} voters`;
  if (!first.name) return '1 voter';
  return first.is_me ? 'you' : first.name;
}

/** @param {GradeSummary} grades @param {number} highest */
function meanWords({ mean, interval }, highest) {
  if (mean === null) return '';
  const words = `${mean.toFixed(2)} of ${highest}`;
  return interval ? `${words} (${interval.low.toFixed(2)} to ${interval.high.toFixed(2)})` : words;
}

/** @param {number} share */
function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** @param {number} count @param {string} one */
function counted(count, one) {
  return `${count.toLocaleString('en')} ${count === 1 ? one : `${one}s`}`;
}
