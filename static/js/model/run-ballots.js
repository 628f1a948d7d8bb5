/**
 * Ballots: the answers of a run to one prompt, of one repeat, among which somebody votes. No DOM.
 *
 * A ballot shows all its complete answers, or two of them, in a random order. Which two is drawn among the
 * pairs that were compared least so far. What was voted on is shown again in the order in which it was seen.
 */

import { shuffled } from './rounds.js';

/** @import { Row } from '../client/runs.js' */
/** @import { RunVote } from '../client/run-assessments.js' */

/** @typedef {{prompt: number, repeat: number, targets: number[]}} Ballot `targets`: those whose answer is complete. */
/** @typedef {'best' | 'pairs'} VoteForm */

/** More answers are not read side by side, and have no key. */
export const MOST_ANSWERS = 8;

/** Whether the model ended an answer, or reached its length. @param {{finish_reason?: string}} answer */
export function isComplete({ finish_reason: reason }) {
  return reason === 'stop' || reason === 'length';
}

/** What a ballot is known by. @param {Pick<Ballot, 'prompt' | 'repeat'>} ballot */
export function keyOf({ prompt, repeat }) {
  return `${prompt} ${repeat}`;
}

/** The ballots of a prompt, a repeat each; without those that have fewer than two complete answers. @param {Row} row @returns {Ballot[]} */
export function ballotsOf({ prompt, cells }) {
  /** @type {Map<number, number[]>} */
  const byRepeat = new Map();
  for (const cell of cells) {
    if (isComplete(cell)) byRepeat.set(cell.repeat, [...(byRepeat.get(cell.repeat) ?? []), cell.target]);
  }
  return [...byRepeat]
    .filter(([, targets]) => targets.length > 1)
    .sort(([one], [other]) => one - other)
    .map(([repeat, targets]) => ({ prompt, repeat, targets }));
}

/** How often targets were compared with each other. */
export class Pairings {
  /** @type {Map<string, number>} */
  #counts = new Map();

  /** @param {number[]} among @param {number} [by] */
  add(among, by = 1) {
    for (const pair of pairsOf(among)) this.#counts.set(pairKey(pair), this.count(pair) + by);
  }

  /** @param {number[]} pair */
  count(pair) {
    return this.#counts.get(pairKey(pair)) ?? 0;
  }

  /** A pair of these targets that was compared least, in a random order. @param {number[]} targets @param {() => number} random */
  draw(targets, random) {
    const pairs = pairsOf(targets);
    const least = Math.min(...pairs.map((pair) => this.count(pair)));
    const [drawn] = shuffled(pairs.filter((pair) => this.count(pair) === least), random);
    return shuffled(drawn, random);
  }
}

/** What a ballot shows, in the order in which it is shown. @param {number[]} targets @param {VoteForm} form @param {Pairings} pairings @param {() => number} [random] */
export function drawn(targets, form, pairings, random = Math.random) {
  return form === 'pairs' ? pairings.draw(targets, random) : shuffled(targets, random).slice(0, MOST_ANSWERS);
}

/** Whether a vote can be shown on a ballot: all that it was among is still there. @param {Pick<RunVote, 'among'>} vote @param {number[]} targets */
export function isOf({ among }, targets) {
  return among.length > 1 && among.length <= MOST_ANSWERS && among.every((target) => targets.includes(target));
}

/** @param {number[]} targets @returns {number[][]} */
function pairsOf(targets) {
  return targets.flatMap((one, index) => targets.slice(index + 1).map((other) => [one, other]));
}

/** @param {number[]} pair */
function pairKey(pair) {
  return [...pair].sort((one, other) => one - other).join(' ');
}
