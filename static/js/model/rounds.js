/**
 * Blind rounds: names hidden, order shuffled, a vote, and the tally of all votes. No DOM.
 *
 * A round begins with the first prompt that is asked blind, without any history, and ends with
 * the vote; further prompts before it belong to the same round.
 */

/** @import { Turn } from './conversation.js' */

/**
 * What was voted and who took part, by the name shown: the models' own names, or with what sets
 * them apart.
 *
 * @typedef {object} Vote
 * @property {'best' | 'tie' | 'bad'} kind
 * @property {string | null} best The column voted for.
 * @property {Record<string, string>} names By the columns' ids.
 */

/** @typedef {{name: string, wins: number, ties: number, rounds: number}} Score */

/** What a column is called while its name is hidden. @param {number} index */
export function letter(index) {
  return String.fromCharCode(65 + index);
}

/** @template T @param {T[]} list @param {() => number} random */
export function shuffled(list, random = Math.random) {
  const copy = [...list];
  for (let last = copy.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other], copy[last]];
  }
  return copy;
}

/** Whether names are hidden on this path. @param {Turn[]} path */
export function isSecret(path) {
  const last = path.at(-1);
  return !!last?.isBlind && last.vote === null;
}

/** Add up votes, the best first. @param {Iterable<Vote>} votes @returns {Score[]} */
export function tally(votes) {
  /** @type {Map<string, Score>} */
  const scores = new Map();
  for (const { kind, best, names } of votes) {
    for (const [column, name] of Object.entries(names)) {
      const score = scores.get(name) ?? { name, wins: 0, ties: 0, rounds: 0 };
      scores.set(name, score);
      score.rounds += 1;
      if (kind === 'tie') score.ties += 1;
      if (kind === 'best' && column === best) score.wins += 1;
    }
  }
  return [...scores.values()].sort((a, b) => b.wins / b.rounds - a.wins / a.rounds || b.ties / b.rounds - a.ties / a.rounds);
}
