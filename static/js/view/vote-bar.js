/**
 * `<vote-bar>`: the vote that ends a blind round, then the models' names and the score so far.
 *
 * Below each column stands a button that votes for its answer; the bar has what belongs to no column.
 * Names are shown once the vote is stored: if that fails, the round is still blind and can be voted
 * on again. Other windows of this browser are told of a vote, so that one that shows the same round
 * shows the vote too. The page loads this module when there is a blind round.
 *
 * Events: `prompt-begin` when the next round can be asked for.
 */

import { SidestreamError } from '../client/protocol.js';
import { Votes } from '../client/votes.js';
import { letter } from '../model/rounds.js';
import { VoteStore, standing, takesPart } from '../model/vote-store.js';
import { AnswerColumn } from './answer-column.js';
import { PageElement, h, setText } from './element.js';
import { sentence } from './labels.js';
import { scoreName } from './score-name.js';
import { VoteScores } from './vote-scores.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Column } from '../model/columns.js' */
/** @import { Turn } from '../model/conversation.js' */
/** @import { Vote } from '../model/rounds.js' */
/** @import { Memory, Workspace } from '../model/workspace.js' */

/** What windows tell each other. @typedef {{conversation: string | null, turn: string, vote: Vote | null}} Told */

export class VoteBar extends PageElement {
  #client;
  #store;
  #workspace;
  #channel = new BroadcastChannel('sidestream.votes');
  #status = h('span', { role: 'status' });
  #round = h('ol', { class: 'scores', 'aria-label': 'Score of this round’s models' });
  #tie = this.#button('Tie', () => this.#vote('tie'), { key: '0' });
  #bad = this.#button('All bad', () => this.#vote('bad'));
  #reveal = this.#button('Reveal without voting', () => this.#revealNames());
  #back = this.#button('Go to the open round', () => this.#goToRound());
  #undo = this.#button('Take the vote back', () => this.#takeBack(), { title: 'The names stay shown' });
  #next = this.#button('Next round', () => this.#begin(), { title: 'The next prompt starts over, without what was said so far' });
  #all = this.#button('All scores…', () => this.#scores.open());
  #scores;
  /** By the column's element. @type {WeakMap<Element, Place>} */
  #places = new WeakMap();
  #isSending = false;
  #isTakingOver = false;
  /** What is said of the turn that is shown, after something was done. @type {{turn: Turn, words: string} | null} */
  #said = null;
  /** Counts what may have changed the scores. */
  #version = 0;
  #shownVersion = -1;
  #listening = new AbortController();

  /** @param {{client: SidestreamClient, workspace: Workspace, store: VoteStore}} parts */
  constructor({ client, workspace, store }) {
    super();
    this.#client = client;
    this.#workspace = workspace;
    this.#store = store;
    this.#scores = new VoteScores(store, (id) => client.nameOf(id));
  }

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('role', 'group');
    this.setAttribute('aria-label', 'Vote');
    this.append(this.#status, this.#tie, this.#bad, this.#reveal, this.#back, this.#round, this.#all, this.#undo, this.#next);
    document.body.append(this.#scores);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    const { columns, scheduler } = this.#workspace;
    const refresh = () => this.refresh();
    this.#workspace.on('conversation', () => this.#follow(), { signal });
    this.#workspace.on('settings', refresh, { signal });
    columns.on('change', refresh, { signal });
    scheduler.on('change', refresh, { signal });
    this.#scores.addEventListener('scores-change', () => this.#changed(), { signal });
    this.#channel.addEventListener('message', ({ data }) => this.#hear(data), { signal });
    this.#follow();
    const take = () => void this.#takeOver();
    this.#client.on('models', take, { signal });
    this.#client.on('conversations', take, { signal });
    take();
  }

  // Actions

  /** Vote for the column with this number from 0, or for a tie with -1; return whether that can be done now. @param {number} index */
  take(index) {
    const { columns } = this.#workspace;
    const { among } = standing(this.#turn, columns.shown);
    const column = columns.shown[index];
    if (!this.canVote || (index >= 0 && !among.includes(column))) return false;
    this.#vote(index < 0 ? 'tie' : 'best', column?.id);
    return true;
  }

  /** Whether a vote is due. */
  get canVote() {
    return this.#isOpen && standing(this.#turn, this.#workspace.columns.shown).canVote;
  }

  /** Render again. */
  refresh() {
    const { columns, isSecret, settings } = this.#workspace;
    const turn = this.#turn;
    const { among, canVote, isLive } = standing(turn, columns.shown);
    const isOpen = this.#isOpen;
    const vote = turn?.vote ?? null;
    this.hidden = !isSecret && !vote && !settings.isBlind;
    if (this.hidden) return this.#showPlaces(null);
    for (const [button, isShown] of /** @type {[HTMLButtonElement, boolean][]} */ ([
      [this.#tie, isOpen && canVote], [this.#bad, isOpen && canVote], [this.#reveal, isSecret], [this.#back, isSecret && !isOpen],
      [this.#undo, !isSecret && !!vote], [this.#next, !isSecret && !!turn && settings.isBlind], [this.#all, !isSecret],
    ])) {
      button.hidden = !isShown;
      button.disabled = this.#isSending;
    }
    setText(this.#bad, among.length > 2 ? 'All bad' : 'Both bad');
    setText(this.#status, this.#words({ isOpen, isLive, canVote, vote }));
    this.#round.hidden = isSecret || !vote;
    this.#showPlaces(isOpen || vote ? { among, canVote, isOpen, vote } : null);
    if (!isSecret && vote) void this.#showScores();
  }

  // Internal

  /** The last turn of what is shown. */
  get #turn() {
    return this.#workspace.conversation.path.at(-1);
  }

  /** Whether the round that is shown is blind. */
  get #isOpen() {
    return !!this.#turn?.isBlind;
  }

  #follow() {
    this.#listening.abort();
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    for (const type of /** @type {const} */ (['path', 'turn'])) this.#workspace.conversation.on(type, () => this.refresh(), { signal });
    this.refresh();
  }

  /** @param {string} text @param {() => void} act @param {{key?: string, title?: string}} [more] */
  #button(text, act, { key = '', title = '' } = {}) {
    const button = h('button', { type: 'button', class: 'quiet', title: title || null, 'aria-keyshortcuts': key || null }, text, ...(key ? [h('kbd', { 'aria-hidden': 'true' }, key)] : []));
    button.addEventListener('click', act);
    return button;
  }

  /** @param {{isOpen: boolean, isLive: boolean, canVote: boolean, vote: Vote | null}} state */
  #words(state) {
    const { columns, isSecret, settings } = this.#workspace;
    const words = [this.#stateWords(state)];
    if (isSecret && !settings.isBlind) words.push('This round stays blind until a vote or “Reveal without voting”.');
    if (columns.isWaiting) words.push(`Your choice of models counts ${isSecret ? 'after this round' : 'for the next prompt'}.`);
    return words.length > 1 ? words.map(sentence).join(' ') : words[0];
  }

  /** @param {{isOpen: boolean, isLive: boolean, canVote: boolean, vote: Vote | null}} state */
  #stateWords({ isOpen, isLive, canVote, vote }) {
    const turn = this.#turn;
    const said = this.#said?.turn === turn ? this.#said?.words ?? '' : '';
    if (isOpen && canVote) return said || 'Which answer is best?';
    if (isOpen) return isLive ? 'Blind until the vote' : 'There are no two answers to compare.';
    if (this.#workspace.isSecret) return 'A blind round of this chat is open.';
    if (!vote) return said || 'Blind: your next prompt begins a round.';
    return [this.#verdict(vote), said].filter(Boolean).join(' ');
  }

  /** @param {Vote} vote */
  #verdict({ kind, best }) {
    if (kind === 'tie') return 'You called it a tie.';
    return kind === 'bad' ? 'You liked none.' : `You preferred ${this.#name(best ?? '')}.`;
  }

  /** @param {string} id The column's. */
  #name(id) {
    const { columns, isSecret } = this.#workspace;
    const column = columns.get(id);
    if (column) return this.#workspace.label(column, { isSecret });
    return this.#client.nameOf(this.#turn?.answer(id)?.model ?? id);
  }

  /** @param {Vote['kind']} kind @param {string | null} [best] */
  #vote(kind, best = null) {
    const { columns, conversation } = this.#workspace;
    const turn = this.#turn;
    const { among, canVote } = standing(turn, columns.shown);
    if (!turn || !canVote || this.#isSending) return;
    const hadFocus = this.#hasFocus();
    const vote = { kind, best };
    void this.#send(async () => {
      const former = await this.#store.give(conversation, turn, vote, among);
      const isOther = former && (former.kind !== kind || former.best !== best);
      conversation.reveal(turn, vote);
      this.#said = isOther ? { turn, words: `It replaces the vote of another window: ${this.#verdict(former)}` } : null;
      this.#tell({ conversation: conversation.id, turn: turn.id, vote });
      if (hadFocus) requestAnimationFrame(() => this.#next.focus());
    });
  }

  #revealNames() {
    const { conversation } = this.#workspace;
    const open = [...conversation.turns.values()].filter(({ isBlind }) => isBlind).at(-1);
    if (!open) return;
    this.#said = { turn: this.#turn ?? open, words: 'Revealed without a vote.' };
    conversation.reveal(open, open.vote);
    this.#tell({ conversation: conversation.id, turn: open.id, vote: open.vote });
    this.#next.focus();
  }

  #goToRound() {
    const { conversation } = this.#workspace;
    const open = [...conversation.turns.values()].filter(({ isBlind }) => isBlind).at(-1);
    if (open) conversation.show(open);
  }

  #takeBack() {
    const { conversation } = this.#workspace;
    const turn = this.#turn;
    if (!turn) return;
    void this.#send(async () => {
      await this.#store.takeBack(conversation, turn);
      this.#said = { turn, words: 'The vote was taken back.' };
      conversation.reveal(turn, null);
      this.#tell({ conversation: conversation.id, turn: turn.id, vote: null });
    });
  }

  #begin() {
    this.#workspace.columns.release();
    this.#workspace.conversation.begin();
    this.announce('prompt-begin');
  }

  /** @param {() => Promise<void>} act */
  async #send(act) {
    this.#isSending = true;
    this.refresh();
    await this.#try(act);
    this.#isSending = false;
    this.#changed();
  }

  /** @param {() => Promise<unknown>} act */
  async #try(act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      const turn = this.#turn;
      if (turn) this.#said = { turn, words: `This did not work: ${sentence(error.message)}` };
    }
  }

  /** What fails now is tried again at the next visit. */
  async #takeOver() {
    if (!this.#isTakingOver && this.#client.models.size > 0) { // whose names are in those votes
      this.#isTakingOver = true;
      await this.#store.takeOver().catch(() => {});
      this.#isTakingOver = false;
    }
    this.#changed();
  }

  /** @param {Told} told */
  #tell(told) {
    this.#channel.postMessage(told);
  }

  /** @param {Told} told From another window. */
  #hear({ conversation: id, turn: turnId, vote }) {
    const { conversation } = this.#workspace;
    const turn = conversation.id === id && id !== null ? conversation.turns.get(turnId) : null;
    if (turn) {
      const isNews = vote && (vote.kind !== turn.vote?.kind || vote.best !== turn.vote.best);
      this.#said = isNews ? { turn, words: 'That was in another window.' } : null;
      conversation.reveal(turn, vote);
    }
    this.#changed();
  }

  #changed() {
    this.#version += 1;
    this.refresh();
  }

  /** Show how often the models of this round have won so far. */
  async #showScores() {
    const key = this.#version;
    if (this.#shownVersion === key) return this.#showRound();
    this.#shownVersion = key;
    await this.#try(async () => {
      this.#tally = await this.#store.tally();
      this.#showRound();
    });
  }

  /** @type {Awaited<ReturnType<VoteStore['tally']>> | null} */
  #tally = null;

  #showRound() {
    const models = new Set(this.#turn?.answers.map(({ model }) => model));
    const scores = this.#tally?.scores.filter(({ model }) => models.has(model)) ?? [];
    this.#round.replaceChildren(...scores.map((score) =>
      h('li', {}, h('span', {}, scoreName(score, (id) => this.#client.nameOf(id))), ` ${score.wins} of ${score.rounds}`)));
  }

  #hasFocus() {
    return !!document.activeElement?.closest('vote-bar, .vote-place');
  }

  /** Show below each column what can be done with its answer, or what was. @param {{among: Column[], canVote: boolean, isOpen: boolean, vote: Vote | null} | null} state */
  #showPlaces(state) {
    for (const element of document.querySelectorAll('answer-column')) {
      if (!(element instanceof AnswerColumn)) continue;
      let place = this.#places.get(element);
      if (!place && !state) continue;
      if (!place) {
        place = new Place(() => this.#vote('best', element.column.id));
        this.#places.set(element, place);
        element.append(place.element);
      }
      place.show(state && this.#placeState(element.column, state));
    }
  }

  /** @param {Column} column @param {{among: Column[], canVote: boolean, isOpen: boolean, vote: Vote | null}} state @returns {PlaceState} */
  #placeState({ id }, { canVote, isOpen, vote }) {
    const answer = this.#turn?.answer(id);
    const index = this.#workspace.columns.shown.findIndex((column) => column.id === id);
    if (!isOpen) return { words: vote?.best === id ? '✓ Your vote' : '', button: '' };
    if (answer?.isLive || takesPart(answer)) return { button: letter(index), key: index + 1, isDisabled: !canVote || this.#isSending, words: '' };
    return { words: `${answer?.finishReason === 'cancelled' ? 'Stopped' : answer ? 'Failed' : 'Not asked'}: cannot win`, button: '' };
  }
}

/** @typedef {{words: string, button: string, key?: number, isDisabled?: boolean}} PlaceState */

/** What stands below one column. */
class Place {
  #words = h('span', {});
  #key = h('kbd', { 'aria-hidden': 'true' });
  #name = h('span', {});
  #button = h('button', { type: 'button', class: 'quiet' }, this.#name, this.#key);
  element = h('footer', { class: 'vote-place' });

  /** @param {() => void} vote */
  constructor(vote) {
    this.#button.addEventListener('click', vote);
  }

  /** @param {PlaceState | null} state */
  show(state) {
    const { words = '', button = '', key = 0, isDisabled = false } = state ?? {};
    this.element.hidden = !words && !button;
    setText(this.#words, words);
    const shown = button ? this.#button : this.#words;
    if (this.element.firstChild !== shown) this.element.replaceChildren(shown);
    this.#button.disabled = isDisabled;
    setText(this.#name, `${button} is best`);
    setText(this.#key, key <= 8 ? String(key) : '');
    this.#key.hidden = isDisabled;
    this.#button.setAttribute('aria-keyshortcuts', String(key));
  }
}

customElements.define('vote-bar', VoteBar);

/** @param {{client: SidestreamClient, workspace: Workspace, memory: Memory}} parts */
export function makeVoteBar({ client, workspace, memory }) {
  const isOn = () => client.conversations.state !== 'off';
  const api = new Votes(new URL('.', document.baseURI).href);
  const store = new VoteStore({ api, memory, isOn, models: () => [...client.models.values()] });
  return new VoteBar({ client, workspace, store });
}
