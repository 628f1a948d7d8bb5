/** What a ranking says in words and figures. No DOM. */

/** @import { Rank } from '../client/run-assessments.js' */

/** With fewer prompts on which a winner was chosen, not even all of them in favour of one target would be significant. */
export const FEWEST_DECIDED = 6;

/** How often a target would win against one of average strength, in percent. @param {number} strength In log odds. */
export function expectedWins(strength) {
  return Math.round(100 / (1 + Math.exp(-strength)));
}

/** "62 %"; empty if too few prompts have a winner to tell anything. @param {Rank} rank */
export function expectedWinsWords({ strength, interval }) {
  return interval ? `${expectedWins(strength)} %` : '';
}

/** The interval of the expected wins: "48 to 74 %"; empty if too few votes say anything of it, or all the same. @param {Rank} rank */
export function intervalWords({ interval }) {
  if (!interval || interval[0] === interval[1]) return '';
  return `${expectedWins(interval[0])} to ${expectedWins(interval[1])} %`;
}

/** Say who is ahead, if that is more than noise. @param {Rank[]} ranking Of one group, the best first. @param {string[]} names By target. */
export function standingWords([first, second, ...others], names) {
  if (!first || !second) return '';
  const [one, two] = [names[first.target], names[second.target]];
  if (first.prompts < FEWEST_DECIDED) return `${first.prompts} ${first.prompts === 1 ? 'prompt with a winner is' : 'prompts with a winner are'} too few to tell who is better.`;
  const low = first.interval?.[0] ?? -Infinity;
  const isAhead = [second, ...others].every(({ interval }) => interval !== null && interval[1] < low);
  if (isAhead && first.losses === 0 && first.interval?.[1] === low) return `${one} is ahead: it was better in all ${first.wins} comparisons without a tie.`;
  return isAhead ? `${one} is ahead: its interval lies above all others.` : `Nobody is ahead for sure: the intervals of ${one} and others, such as ${two}, overlap.`;
}

/** The groups of a ranking, each of targets that were compared, by others between them too. @param {Rank[]} ranking @returns {Rank[][]} */
export function groupsOf(ranking) {
  /** @type {Map<number, Rank[]>} */
  const groups = new Map();
  for (const rank of ranking) groups.set(rank.group, [...(groups.get(rank.group) ?? []), rank]);
  return [...groups.values()];
}
