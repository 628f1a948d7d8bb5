/**
 * Between what is on the page and what the server keeps of it. No DOM.
 *
 * A conversation is made on the server with its first question. What streams the server writes by
 * itself; from here it is told where each answer belongs, how the columns stand, which branch is
 * shown, and the votes. Where conversations are not kept, everything works without.
 */

import { Answer } from './answer.js';
import { Conversation, Turn } from './conversation.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Conversations, Stored, StoredAnswer, StoredVote } from '../client/conversations.js' */
/** @import { RecordPlace } from '../client/protocol.js' */
/** @import { Columns } from './columns.js' */
/** @import { Vote } from './rounds.js' */

const SAVE_AFTER_MS = 400; // several changes at once are saved once

export class Keeper {
  #api;
  #client;
  #columns;
  /** What was told last, by conversation. @type {WeakMap<Conversation, string>} */
  #told = new WeakMap();
  /** @type {WeakMap<Conversation, Promise<void>>} */
  #making = new WeakMap();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {{api: Conversations, client: SidestreamClient, columns: Columns}} parts */
  constructor({ api, client, columns }) {
    this.#api = api;
    this.#client = client;
    this.#columns = columns;
  }

  /** Whether answers that are asked now are kept. */
  get isOn() {
    return this.#client.conversations.state !== 'off';
  }

  /**
   * Say where this turn's answers belong, having made sure that the server knows conversation and
   * columns. Rejects with a SidestreamError.
   *
   * @param {Conversation} conversation
   * @param {Turn} turn
   * @returns {Promise<RecordPlace>}
   */
  async place(conversation, turn) {
    const making = this.#making.get(conversation) ?? this.#tell(conversation);
    this.#making.set(conversation, making);
    await making.finally(() => this.#making.delete(conversation));
    let parent = conversation.parentOf(turn);
    while (parent && !parent.isKept) parent = conversation.parentOf(parent);
    const history = turn.history && parent?.answers.find(({ id }) => id === turn.history)?.keptId;
    return { conversation: conversation.id ?? '', turn: turn.id, parent: parent?.id ?? null, history: history || null };
  }

  /** Save soon how the conversation is shown. @param {Conversation} conversation */
  saveSoon(conversation) {
    clearTimeout(this.#timer);
    if (!conversation.id || !this.isOn) return;
    // What cannot be saved now is, with the next question.
    this.#timer = setTimeout(() => void this.#tell(conversation).catch(() => {}), SAVE_AFTER_MS);
  }

  /** @param {Conversation} conversation @param {Turn} turn @param {Vote} vote */
  async vote(conversation, turn, { kind, best, names }) {
    if (!conversation.id || !turn.isKept) return;
    const kept = (/** @type {string} */ column) => turn.answer(column)?.keptId ?? [];
    const among = Object.keys(names).flatMap(kept);
    const winners = best === null ? [] : [best].flatMap(kept);
    const verdict = kind === 'best' ? 'better' : kind;
    await this.#api.vote(conversation.id, turn.id, { verdict, winners, among, blind: true });
  }

  /** Fetch what an answer was written in. Rejects with a SidestreamError. @param {Conversation} conversation @param {Answer} answer */
  async learn({ id }, answer) {
    if (answer.hasTokens || id === null) return;
    const parts = await Promise.all(answer.keptIds.map((part) => this.#api.tokens(id, part)));
    answer.learn(parts.flatMap(({ tokens }) => tokens));
  }

  /** Fetch a conversation, and put the columns as they stood. Rejects with a SidestreamError. @param {string} id @returns {Promise<Conversation>} */
  async load(id) {
    const stored = await this.#api.get(id);
    const { columns, view: { hidden = [] } = {} } = stored;
    this.#columns.restore(columns.map((column) => ({ ...column, isHidden: hidden.includes(column.id) })));
    return this.read(stored);
  }

  /** @param {Stored} stored */
  read({ id, title, turns, answers, view: { leaf = null, blind = [], commons = {}, repeats = null } = {} }) {
    const conversation = new Conversation({ id, title, repeats });
    for (const { id: turnId, parent, text, history, vote } of turns) {
      const turn = new Turn({
        id: turnId, parent, prompt: text, history, isKept: true,
        common: commons[turnId] ?? null,
        isBlind: blind.includes(turnId) || vote?.blind,
        vote: vote && voted(vote, answers, (model) => this.#client.nameOf(model)),
      });
      conversation.turns.set(turnId, turn);
    }
    for (const answer of answers) this.#addAnswer(conversation, answer);
    const all = [...conversation.turns.values()].flatMap((turn) => turn.answers);
    const whole = (/** @type {string | null} */ part) => all.find(({ keptIds }) => part && keptIds.includes(part))?.id ?? null;
    for (const turn of conversation.turns.values()) Object.assign(turn, { history: whole(turn.history), common: whole(turn.common) });
    const end = conversation.turns.get(leaf ?? turns.at(-1)?.id ?? '');
    if (end) conversation.show(end);
    return conversation;
  }

  // Internal

  /** @param {Conversation} conversation @param {StoredAnswer} stored */
  #addAnswer(conversation, stored) {
    const turn = conversation.turns.get(stored.turn);
    if (!turn || stored.column === null) return;
    const before = stored.continues && turn.answers.find(({ keptId }) => keptId === stored.continues);
    const answer = before || new Answer({ id: stored.id, model: stored.model, parameters: stored.parameters });
    if (before) before.reopen();
    else conversation.addAnswer(turn, stored.column, answer);
    answer.keptAs(stored.id);
    answer.isDetailed = (stored.has_tokens || !stored.text) && (!before || before.isDetailed);
    const live = this.#client.generations.writing(stored.id);
    if (live) return answer.follow(live);
    const elsewhere = { code: 'elsewhere', message: 'This is being written for another window. Open the conversation again to see more.' };
    answer.restore(stored, stored.state === 'ended' ? stored.error : elsewhere);
  }

  /** @param {Conversation} conversation */
  async #tell(conversation) {
    const { all } = this.#columns;
    const turns = [...conversation.turns.values()];
    const outline = {
      columns: all.map(({ id, model, parameters, system }) => ({ id, model, parameters, system })),
      view: {
        leaf: conversation.leaf,
        ...(conversation.repeats && { repeats: conversation.repeats }),
        hidden: all.filter(({ isHidden }) => isHidden).map(({ id }) => id),
        blind: turns.filter(({ isBlind }) => isBlind).map(({ id }) => id),
        commons: Object.fromEntries(turns.flatMap(({ id, common, answers }) =>
          (common ? [[id, answers.find((answer) => answer.id === common)?.keptId ?? null]] : []))),
      },
    };
    const words = JSON.stringify(outline);
    if (this.#told.get(conversation) === words) return;
    if (conversation.id) await this.#api.change(conversation.id, outline);
    else conversation.id = (await this.#api.create(outline)).id;
    this.#told.set(conversation, words);
  }
}

/** @param {StoredVote} vote @param {StoredAnswer[]} answers @param {(model: string) => string} name @returns {Vote} */
function voted({ verdict, winners, among }, answers, name) {
  const candidates = answers.filter(({ id }) => among.includes(id));
  const names = Object.fromEntries(candidates.map(({ column, model }) => [column ?? '', name(model)]));
  const best = candidates.find(({ id }) => winners.includes(id))?.column ?? null;
  return { kind: verdict === 'better' ? 'best' : verdict, best, names };
}
