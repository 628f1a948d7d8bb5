/**
 * Somebody's voting on the answers of a run: which ballots there are, what each shows, the votes. No DOM.
 *
 * A vote stands here at once, and goes to the server through an outbox. There is one on each ballot; a later
 * one replaces it. Names may be shown on a ballot once it has a vote. A vote that is given or changed after
 * its names were seen, here or elsewhere, is not blind.
 */

import { Pairings, ballotsOf, drawn, isOf, keyOf } from './run-ballots.js';
import { SeenBallots } from './seen-ballots.js';

/** @import { RunVoteGiven } from '../client/run-assessments.js' */
/** @import { Row, Run } from '../client/runs.js' */
/** @import { Ballot, VoteForm } from './run-ballots.js' */
/** @import { VoteOutbox } from './vote-outbox.js' */

export class RunVoting {
  #run;
  #outbox;
  #random;
  /** @type {VoteForm} */
  #form = 'best';
  /** @type {Map<string, RunVoteGiven>} */
  #votes = new Map();
  /** What ballots without a vote show. @type {Map<string, number[]>} */
  #drawn = new Map();
  #pairings = new Pairings();
  /** Ballots that show names. @type {Set<string>} */
  #named = new Set();
  #seen;
  /** Those that were read, by prompt. @type {Ballot[]} */
  ballots = [];
  /** How many prompts were read. */
  read = 0;

  /**
   * @param {{run: Pick<Run, 'id' | 'prompts' | 'repeats'>, votes: (RunVoteGiven & {prompt: number})[], outbox: VoteOutbox, seen?: SeenBallots, random?: () => number}} parts
   *   `votes`: those of this voter that the server has; `seen`: the ballots whose names may be known.
   */
  constructor({ run, votes, outbox, seen = new SeenBallots(), random = Math.random }) {
    this.#run = run;
    this.#outbox = outbox;
    this.#seen = seen;
    this.#random = random;
    for (const { prompt, ...vote } of votes) this.#votes.set(keyOf({ prompt, repeat: vote.repeat }), vote);
    for (const { prompt, repeat, vote } of outbox.of(run.id)) {
      if (vote) this.#votes.set(keyOf({ prompt, repeat }), vote);
      else this.#votes.delete(keyOf({ prompt, repeat }));
    }
    for (const { among } of this.#votes.values()) this.#pairings.add(among);
  }

  // State

  /** How many ballots there are, as far as is known. */
  get total() {
    return this.ballots.length + (this.#run.prompts - this.read) * this.#run.repeats;
  }

  /** How many have a vote. */
  get voted() {
    return this.#votes.size;
  }

  get isRead() {
    return this.read >= this.#run.prompts;
  }

  get form() {
    return this.#form;
  }

  /** Draw anew what has no vote. */
  set form(form) {
    if (form === this.#form) return;
    this.#form = form;
    for (const among of this.#drawn.values()) this.#pairings.add(among, -1);
    this.#drawn.clear();
  }

  /** The first ballot from a place on that has no vote; -1 if none that was read is so. */
  open(from = 0) {
    return this.ballots.findIndex((ballot, place) => place >= from && !this.vote(ballot));
  }

  /** @param {Ballot} ballot @returns {RunVoteGiven | null} */
  vote(ballot) {
    return this.#votes.get(keyOf(ballot)) ?? null;
  }

  /** The targets that a ballot shows, in this order. @param {Ballot} ballot @returns {number[]} */
  shown(ballot) {
    const key = keyOf(ballot);
    const known = this.#votes.get(key)?.among ?? this.#drawn.get(key);
    if (known) return known;
    const among = drawn(ballot.targets, this.#form, this.#pairings, this.#random);
    this.#draw(key, among);
    return among;
  }

  /** Whether a ballot shows whose answers they are. @param {Ballot} ballot */
  isNamed(ballot) {
    return this.#named.has(keyOf(ballot)) && !!this.vote(ballot);
  }

  // Actions

  /** Take the prompts that follow those that were read; none is the end. @param {Row[]} rows */
  add(rows) {
    for (const row of rows) {
      const found = ballotsOf(row);
      for (let repeat = 0; repeat < this.#run.repeats; repeat += 1) {
        const ballot = found.find((one) => one.repeat === repeat);
        if (!ballot || !this.#fits(ballot)) this.#forget(keyOf({ prompt: row.prompt, repeat }));
      }
      this.ballots.push(...found);
    }
    this.read = rows.length ? this.read + rows.length : this.#run.prompts;
  }

  /** Note which answers a ballot has now; what it showed is drawn anew if one is gone. @param {Ballot} ballot @param {number[]} targets */
  update(ballot, targets) {
    ballot.targets = targets;
    if (!isOf({ among: this.shown(ballot) }, targets)) this.#forget(keyOf(ballot));
  }

  /** Choose the answer at this place of a ballot, or no longer; of two, instead of the other. @param {Ballot} ballot @param {number} place */
  choose(ballot, place) {
    const among = this.shown(ballot);
    const target = among[place];
    const winners = this.vote(ballot)?.winners ?? [];
    if (target === undefined) return;
    if (winners.includes(target)) return this.#put(ballot, winners.filter((one) => one !== target), 'none');
    this.#put(ballot, among.length === 2 ? [target] : among.filter((one) => one === target || winners.includes(one)));
  }

  /** Say that none is better, or no longer. @param {Ballot} ballot */
  tie(ballot) {
    this.#put(ballot, [], this.vote(ballot)?.winners.length === 0 ? 'none' : 'tie');
  }

  /** Show whose answers they are; that changes nothing without a vote. @param {Ballot} ballot @param {boolean} isNamed */
  name(ballot, isNamed) {
    if (!this.vote(ballot)) return;
    this.#named[isNamed ? 'add' : 'delete'](keyOf(ballot));
    this.#seen.add(this.#run.id, ballot);
  }

  /** Drop a vote that the server does not take. @param {Pick<Ballot, 'prompt' | 'repeat'>} ballot */
  refuse(ballot) {
    this.#forget(keyOf(ballot));
  }

  // Internal

  /** @param {Ballot} ballot @param {number[]} winners @param {'tie' | 'none'} [empty] What it is without a winner. */
  #put(ballot, winners, empty = 'tie') {
    const key = keyOf(ballot);
    const among = this.shown(ballot);
    if (this.#votes.get(key)?.blind === false) this.#seen.add(this.#run.id, ballot);
    if (winners.length === 0 && empty === 'none') {
      this.#votes.delete(key);
      this.#drawn.set(key, among); // it stays in sight
      return void this.#outbox.put(this.#run.id, ballot, null);
    }
    // That all are best is a tie.
    const best = winners.length === among.length ? [] : winners;
    const vote = { among, winners: best, repeat: ballot.repeat, blind: !this.#seen.has(this.#run.id, ballot) };
    this.#votes.set(key, vote);
    this.#drawn.delete(key);
    void this.#outbox.put(this.#run.id, ballot, vote);
  }

  /** @param {string} key @param {number[]} among */
  #draw(key, among) {
    this.#drawn.set(key, among);
    this.#pairings.add(among);
  }

  /** @param {Ballot} ballot */
  #fits(ballot) {
    const vote = this.#votes.get(keyOf(ballot));
    return !vote || isOf(vote, ballot.targets);
  }

  /** @param {string} key */
  #forget(key) {
    const among = this.#votes.get(key)?.among ?? this.#drawn.get(key);
    if (among) this.#pairings.add(among, -1);
    this.#votes.delete(key);
    this.#drawn.delete(key);
  }
}
