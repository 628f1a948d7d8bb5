/**
 * Votes of blind rounds: what can win, and where votes are stored. No DOM.
 *
 * The server stores the votes of each voter. If it stores no conversations, votes stay in the browser
 * until it does; those of earlier pages too, which had them there as well.
 */

import { randomId } from '../client/commands.js';

/** @import { Candidate, EarlierVote, Score, Votes } from '../client/votes.js' */
/** @import { Answer } from './answer.js' */
/** @import { Column } from './columns.js' */
/** @import { Conversation, Turn } from './conversation.js' */
/** @import { Vote } from './rounds.js' */
/** @import { Memory } from './workspace.js' */

/** @typedef {{kind: Vote['kind'], best: string | null, names: Record<string, string>}} OldVote As earlier pages had it, with labels of columns. */

const CANNOT_WIN = ['cancelled', 'failed', 'interrupted'];
const AT_ONCE = 500; // imported by one request
const MAX_LOCAL = 1000;
const PAGE = 200;
const MAX_PAGES = 10;

/** Whether an answer takes part in a vote: one that failed or was stopped cannot win. @param {Answer | null | undefined} answer */
export function takesPart(answer) {
  return !!answer && !answer.isLive && !CANNOT_WIN.includes(answer.finishReason ?? '');
}

/**
 * The columns that can be voted for. A vote compares two at least, and waits for what is being written.
 *
 * @param {Turn | undefined} turn @param {Column[]} columns
 * @returns {{isLive: boolean, among: Column[], canVote: boolean}}
 */
export function standing(turn, columns) {
  const isLive = columns.some(({ id }) => turn?.answer(id)?.isLive);
  const among = columns.filter(({ id }) => takesPart(turn?.answer(id)));
  return { isLive, among, canVote: !isLive && among.length > 1 };
}

export class VoteStore {
  #api;
  #isOn;
  #memory;
  #models;
  /** @type {unknown[]} */
  #deleted = [];

  /**
   * @param {{api: Votes, memory: Memory, isOn: () => boolean, models: () => {id: string, name: string}[]}} parts
   *   `isOn`: whether the server stores votes.
   */
  constructor({ api, memory, isOn, models }) {
    this.#api = api;
    this.#memory = memory;
    this.#isOn = isOn;
    this.#models = models;
  }

  // Actions

  /**
   * Store a vote on a turn; return the one that it replaces. Rejects with a SidestreamError.
   *
   * @param {Conversation} conversation @param {Turn} turn @param {Vote} vote @param {Column[]} among
   * @returns {Promise<Vote | null>}
   */
  async give(conversation, turn, { kind, best }, among) {
    /** @type {EarlierVote['verdict']} */
    const verdict = kind === 'best' ? 'better' : kind;
    const ids = among.map(({ id }) => turn.answer(id)?.storedId ?? '');
    if (this.#isOn() && conversation.id && turn.isStored && !ids.includes('')) {
      const winners = ids.filter((_, index) => among[index].id === best);
      const { replaced } = await this.#api.give(conversation.id, turn.id, { verdict, winners, among: ids, blind: true });
      const former = among.find((_, index) => replaced?.winners.includes(ids[index]));
      return replaced && { kind: replaced.verdict === 'better' ? 'best' : replaced.verdict, best: former?.id ?? null };
    }
    const candidates = among.map(({ id, model, parameters, system }) => ({ model: turn.answer(id)?.model ?? model, parameters, system, won: id === best }));
    const own = { id: randomId().slice(0, 32), verdict, candidates };
    if (this.#isOn()) await this.#api.import([own]);
    else this.#memory.set('votes', [...this.#local, { ...own, turn: turn.id }].slice(-MAX_LOCAL));
    return null;
  }

  /** Delete a turn's vote. Rejects with a SidestreamError. @param {Conversation} conversation @param {Turn} turn */
  async takeBack(conversation, turn) {
    if (this.#isOn() && conversation.id) await this.#api.takeBack(conversation.id, turn.id);
    else this.#memory.set('votes', this.#local.filter((vote) => vote.turn !== turn.id));
  }

  /** All votes added up, the best first. Rejects with a SidestreamError. @returns {Promise<{votes: number, scores: Score[]}>} */
  async tally() {
    return this.#isOn() ? this.#api.tally() : tally(this.#local);
  }

  /** Delete all votes; return how many. Rejects with a SidestreamError. */
  async deleteAll() {
    if (this.#isOn()) return (await this.#api.deleteAll()).votes;
    this.#deleted = this.#local;
    this.#memory.set('votes', []);
    return this.#deleted.length;
  }

  /** Undo the latest deletion; return how many votes are back. Rejects with a SidestreamError. */
  async restore() {
    if (this.#isOn()) return (await this.#api.restore()).votes;
    const { length } = this.#deleted;
    this.#memory.set('votes', [...this.#deleted, ...this.#local]);
    this.#deleted = [];
    return length;
  }

  /** Give the server what is in this browser, once. Rejects with a SidestreamError. */
  async takeOver() {
    if (!this.#isOn() || this.#local.length === 0) return;
    const votes = this.#local;
    const old = (/** @type {EarlierVote} */ { id }) => id.startsWith('old-');
    const known = votes.some(old) ? await this.#known() : [];
    const wanted = votes.filter((vote) => {
      const at = old(vote) ? known.indexOf(this.#key(vote)) : -1;
      if (at >= 0) known.splice(at, 1); // the server has it from its conversation
      return at < 0;
    });
    for (let at = 0; at < wanted.length; at += AT_ONCE) {
      await this.#api.import(wanted.slice(at, at + AT_ONCE).map(({ id, verdict, candidates }) => ({ id, verdict, candidates })));
    }
    this.#memory.set('votes', []);
  }

  // Internal

  /** Votes in this browser. @returns {(EarlierVote & {turn?: string})[]} */
  get #local() {
    const saved = this.#memory.get('votes');
    const votes = Array.isArray(saved) ? saved : [];
    const hash = hashOf(JSON.stringify(votes)); // so that two windows give the same ids
    return votes.flatMap((vote, index) => {
      if (vote?.names) return this.#convert(vote, `old-${hash}-${index}`);
      return vote?.candidates ? vote : [];
    });
  }

  /** @param {OldVote} vote @param {string} id @returns {EarlierVote} */
  #convert({ kind, best, names }, id) {
    const models = this.#models();
    const candidates = Object.entries(names).map(([column, name]) => ({
      model: models.find((model) => model.name === name)?.id ?? String(name),
      won: kind === 'best' && column === best,
    }));
    return { id, verdict: kind === 'best' && candidates.some(({ won }) => won) ? 'better' : kind === 'bad' ? 'bad' : 'tie', candidates };
  }

  /** The votes that the server has, each as its key. */
  async #known() {
    const keys = [];
    let before = '';
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const { votes, next } = await this.#api.list({ limit: String(PAGE), before });
      keys.push(...votes.map((vote) => this.#key(vote)));
      if (next === null) break;
      before = next;
    }
    return keys;
  }

  /** What was compared and with which result, by the models' names alone. @param {{verdict: string, candidates: Candidate[]}} vote */
  #key({ verdict, candidates }) {
    const models = this.#models();
    const name = (/** @type {Candidate} */ { model }) => (models.find(({ id }) => id === model)?.name ?? model).replace(/ (\(.*\)|· .*)$/, '');
    return JSON.stringify([verdict, candidates.map((one) => `${name(one)} ${!!one.won}`).sort()]);
  }
}

/** Add votes up as the server does. @param {EarlierVote[]} votes */
function tally(votes) {
  /** @type {Map<string, Score>} */
  const scores = new Map();
  for (const { verdict, candidates } of votes) {
    for (const { model, parameters = {}, system = null, won } of candidates) {
      const key = JSON.stringify([model, Object.entries(parameters).sort(), system]);
      const score = scores.get(key) ?? { model, parameters, system, rounds: 0, wins: 0, ties: 0, bad: 0 };
      scores.set(key, score);
      score.rounds += 1;
      if (won) score.wins += 1;
      if (verdict === 'tie') score.ties += 1;
      if (verdict === 'bad') score.bad += 1;
    }
  }
  const all = [...scores.values()].sort((a, b) => b.wins / b.rounds - a.wins / a.rounds || b.ties / b.rounds - a.ties / a.rounds || b.rounds - a.rounds);
  return { votes: votes.length, scores: all };
}

/** A short number for a text (FNV-1a). @param {string} text */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(36);
}
