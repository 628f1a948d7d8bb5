/** The leaderboard over runs and chats, over HTTP; described in docs/API_REFERENCE.md. */

import { ask } from './conversations.js';

/** @import { Parameters } from './protocol.js' */

/** @typedef {'all' | 'runs' | 'chats'} Over */
/** @typedef {{over: Over, set: string, tag: string}} Choice */
/**
 * @typedef {object} BoardRank
 * @property {string} model
 * @property {number} strength In log odds.
 * @property {[number, number] | null} interval Null where too few prompts were decided.
 * @property {[number, number]} places The best and the worst that is possible.
 * @property {number} prompts
 * @property {number} wins
 * @property {number} losses
 * @property {number} ties
 * @property {number} group
 * @property {boolean} regularised
 */
/** @typedef {{passed: number, total: number, prompts: number, share: number, interval: [number, number]}} BoardPassed */
/** @typedef {{parameters: Parameters, system: string | null, runs: number, rounds: number}} BoardVariant */
/**
 * @typedef {{model: string, rank: BoardRank | null, passed: BoardPassed | null, votes: number, runs: number, prompts: number,
 *   variants: BoardVariant[], variants_count: number}} BoardEntry
 */
/** @typedef {{model: string, judges: number, pairs: number, inconsistent: number, ranking: BoardRank[]}} JudgeBoard */
/** @typedef {{id: string, name: string, set_name: string, is_mine: boolean, prompts: number, votes: number, other_votes: number, checked: number}} BoardRun */
/** @typedef {{voter: string, is_me: boolean, votes: number, other_votes: number}} BoardVoter */
/**
 * @typedef {{entries: BoardEntry[], judges: JudgeBoard[], votes: number, other_votes: number, same_model: number, runs: BoardRun[],
 *   chats: number, chat_votes: number, other_chat_votes: number, voters: BoardVoter[], left_out: boolean}} Leaderboard
 */

/** @param {string} base The service's address, ending with a slash. @param {Choice} choice @returns {Promise<Leaderboard>} */
export function leaderboard(base, choice) {
  const query = Object.entries(choice).filter(([, value]) => value !== '');
  return ask('GET', `${base}leaderboard?${new URLSearchParams(query)}`);
}

/** The tags that there are, of chats and of prompt sets. @param {string} base @returns {Promise<string[]>} */
export async function knownTags(base) {
  const [chats, sets] = await Promise.all([
    ask('GET', `${base}conversations/tags`).catch(() => ({ tags: [] })), // no conversations are kept
    ask('GET', `${base}prompt-sets`),
  ]);
  const names = [...chats.tags.map((/** @type {{name: string}} */ { name }) => name), ...sets.sets.flatMap((/** @type {{tags: string[]}} */ { tags }) => tags)];
  return [...new Set(names)].sort((one, other) => one.localeCompare(other));
}
