/** What a leaderboard says in words and figures. No DOM. */

import { describe } from './parameters.js';

/** @import { BoardRank, BoardVariant, BoardVoter, Leaderboard } from '../client/leaderboard.js' */

const MAX_SYSTEM = 40;
const KEY_CHARS = 6;
/** Somebody whose key is not told. */
const NUMBERED = /^voter \d+$/;

/** How often a model would win against one of average strength, as a share. @param {number} strength In log odds. */
export function expectedWins(strength) {
  return 1 / (1 + Math.exp(-strength));
}

/** @param {number} share */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** @param {[number, number]} interval Of shares. */
export function intervalWords([low, high]) {
  return `${Math.round(low * 100)} to ${Math.round(high * 100)} %`;
}

/** "1", or "1 to 3" where they cannot be told apart. @param {BoardRank} rank */
export function placeWords({ places: [best, worst] }) {
  return best === worst ? String(best) : `${best} to ${worst}`;
}

/** @param {Pick<BoardRank, 'wins' | 'losses' | 'ties'>} rank */
export function recordWords({ wins, losses, ties }) {
  return `${wins.toLocaleString('en')} won, ${losses.toLocaleString('en')} lost, ${counted(ties, 'tie')}`;
}

/** Who is ahead, if that is more than noise. @param {BoardRank[]} ranking The best first. @param {(model: string) => string} nameOf */
export function standingWords(ranking, nameOf) {
  const [first, ...others] = ranking.filter(({ group }) => group === 0);
  if (!first || others.length === 0) return '';
  if (first.places[1] === 1) return `${nameOf(first.model)} is ahead: its interval lies above all others.`;
  if (first.interval === null) return 'Too few prompts were decided by votes to tell who is better.';
  return 'Nobody is ahead for sure: the intervals of the first ones overlap.';
}

/** @param {Leaderboard} board */
export function votesWords({ votes, other_votes: others, same_model: same }) {
  const counting = `${counted(votes, 'blind vote')} ${votes === 1 ? 'counts' : 'count'}`;
  const apart = others ? `; ${counted(others, 'vote')} by people who saw the names ${others === 1 ? 'does' : 'do'} not` : '';
  const own = same ? `; ${counted(same, 'pair')} of answers by one model ${same === 1 ? 'says' : 'say'} nothing` : '';
  return `${counting}${apart}${own}.`;
}

/** One of the ways in which a model was asked. @param {BoardVariant} variant */
export function variantWords({ parameters, system, runs, rounds }) {
  const words = system && system.length > MAX_SYSTEM ? `${system.slice(0, MAX_SYSTEM)}…` : system;
  const own = [describe(parameters), words ? `system prompt “${words}”` : ''].filter(Boolean).join(' · ') || 'as the settings say';
  const where = [runs ? counted(runs, 'run') : '', rounds ? counted(rounds, 'vote on a chat', 'votes on chats') : ''].filter(Boolean).join(', ');
  return `${own} (${where})`;
}

/** @param {BoardVoter} voter */
export function voterWords({ voter, is_me: isMe, votes, other_votes: others }) {
  const who = isMe ? 'You' : NUMBERED.test(voter) ? `V${voter.slice(1)}` : `Key ${voter.slice(0, KEY_CHARS)}…`;
  return `${who}: ${counted(votes, 'blind vote')}${others ? `, ${others.toLocaleString('en')} not blind` : ''}`;
}

/** "1 run", "2,000 runs". @param {number} count @param {string} one @param {string} [several] */
export function counted(count, one, several = `${one}s`) {
  return `${count.toLocaleString('en')} ${count === 1 ? one : several}`;
}
