/**
 * Load conversations from the server, and save what it does not know itself. No DOM.
 *
 * A conversation is created on the server with its first prompt. The server stores streaming text
 * itself; the page tells it where each answer belongs, the columns and the shown branch.
 * If the server stores no conversations, the page works without.
 */

import { Answer } from './answer.js';
import { Conversation, Turn } from './conversation.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Conversations, Stored, StoredAnswer, StoredTurn } from '../client/conversations.js' */
/** @import { Attachment, RecordPlace } from '../client/protocol.js' */
/** @import { Columns } from './columns.js' */

const SAVE_AFTER_MS = 400; // several changes at once are saved once

export class ConversationStore {
  #api;
  #client;
  #columns;
  /** What was saved last, by conversation. @type {WeakMap<Conversation, string>} */
  #saved = new WeakMap();
  /** @type {WeakMap<Conversation, Promise<void>>} */
  #saves = new WeakMap();
  /** @type {WeakMap<Conversation, ReturnType<typeof setTimeout>>} */
  #timers = new WeakMap();

  /** @param {{api: Conversations, client: SidestreamClient, columns: Columns}} parts */
  constructor({ api, client, columns }) {
    this.#api = api;
    this.#client = client;
    this.#columns = columns;
  }

  /** Whether new answers are stored. */
  get isOn() {
    return this.#client.conversations.state !== 'off';
  }

  /**
   * Return where this turn's answers belong, after making sure that the server has the conversation
   * and its columns. Rejects with a SidestreamError.
   *
   * @param {Conversation} conversation
   * @param {Turn} turn
   * @returns {Promise<RecordPlace>}
   */
  async place(conversation, turn) {
    const saving = this.#saves.get(conversation) ?? this.#save(conversation);
    this.#saves.set(conversation, saving);
    await saving.finally(() => this.#saves.delete(conversation));
    let parent = conversation.parentOf(turn);
    while (parent && !parent.isStored) parent = conversation.parentOf(parent);
    const history = turn.history && parent?.answers.find(({ id }) => id === turn.history)?.storedId;
    return { conversation: conversation.id ?? '', turn: turn.id, parent: parent?.id ?? null, history: history || null };
  }

  /** Save soon how the conversation is displayed. @param {Conversation} conversation */
  saveSoon(conversation) {
    clearTimeout(this.#timers.get(conversation));
    if (!conversation.id || !this.isOn) return;
    // If it fails now, the next prompt saves it.
    this.#timers.set(conversation, setTimeout(() => void this.#save(conversation).catch(() => {}), SAVE_AFTER_MS));
  }

  /** Fetch the tokens of an answer. Rejects with a SidestreamError. @param {Conversation} conversation @param {Answer} answer */
  async learn({ id }, answer) {
    if (answer.hasTokens || id === null) return;
    const parts = await Promise.all(answer.storedIds.map((part) => this.#api.tokens(id, part)));
    answer.learn(parts.flatMap(({ tokens }) => tokens));
  }

  /** Fetch a conversation. Rejects with a SidestreamError. @param {string} id @returns {Promise<Conversation>} */
  async load(id) {
    const stored = await this.#api.get(id);
    const { columns, view: { hidden = [] } = {} } = stored;
    const conversation = this.read(stored);
    conversation.columns = columns.map((column) => ({ ...column, isHidden: hidden.includes(column.id) }));
    return conversation;
  }

  /** @param {Stored} stored */
  read({ id, title, turns, answers, attachments: known = [], view: { leaf = null, blind = [], commons = {}, repeats = null } = {} }) {
    const conversation = new Conversation({ id, title, repeats });
    for (const { id: turnId, parent, text, history, vote, attachments = [] } of turns) {
      const turn = new Turn({
        id: turnId, parent, prompt: text, history, isKept: true,
        attachments: attachments.map((part) => attached(part, known)),
        common: commons[turnId] ?? null,
        isBlind: blind.includes(turnId),
        vote: vote && { kind: vote.verdict === 'better' ? 'best' : vote.verdict, best: answers.find(({ id: one }) => vote.winners.includes(one))?.column ?? null },
      });
      conversation.turns.set(turnId, turn);
    }
    // Given in another window, or kept by an earlier page.
    for (const { id: voted, vote } of conversation.turns.values()) {
      for (let turn = vote && conversation.turns.get(voted); turn; turn = conversation.parentOf(turn)) turn.isBlind = false;
    }
    for (const answer of answers) this.#addAnswer(conversation, answer);
    const all = [...conversation.turns.values()].flatMap((turn) => turn.answers);
    const whole = (/** @type {string | null} */ part) => all.find(({ storedIds }) => part && storedIds.includes(part))?.id ?? null;
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
    const before = stored.continues && turn.answers.find(({ storedId }) => storedId === stored.continues);
    // Asked again, a seed that was drawn would give the same answer.
    const parameters = Object.fromEntries(Object.entries(stored.parameters).filter(([name]) => stored.chosen?.includes(name) ?? true));
    const answer = before || new Answer({ id: stored.id, model: stored.model, parameters });
    if (before) before.reopen();
    else conversation.addAnswer(turn, stored.column, answer);
    answer.addStoredId(stored.id);
    answer.isDetailed = (stored.has_tokens || !stored.text) && (!before || before.isDetailed);
    const live = this.#client.generations.writing(stored.id);
    if (live) return answer.follow(live);
    const elsewhere = { code: 'elsewhere', message: 'This is being written for another window. Open the conversation again to see more.' };
    answer.restore(stored, stored.state === 'ended' ? stored.error : elsewhere);
  }

  /** @param {Conversation} conversation */
  async #save(conversation) {
    const all = conversation.columns ?? this.#columns.all;
    const turns = [...conversation.turns.values()];
    const outline = {
      columns: all.map(({ id, model, parameters, system }) => ({ id, model, parameters, system })),
      view: {
        leaf: conversation.leaf,
        ...(conversation.repeats && { repeats: conversation.repeats }),
        hidden: all.filter(({ isHidden }) => isHidden).map(({ id }) => id),
        blind: turns.filter(({ isBlind }) => isBlind).map(({ id }) => id),
        commons: Object.fromEntries(turns.flatMap(({ id, common, answers }) =>
          (common ? [[id, answers.find((answer) => answer.id === common)?.storedId ?? null]] : []))),
      },
    };
    const json = JSON.stringify(outline);
    if (this.#saved.get(conversation) === json) return;
    if (conversation.id) await this.#api.change(conversation.id, outline);
    else conversation.stored((await this.#api.create(outline)).id);
    this.#saved.set(conversation, json);
  }
}

/** @param {NonNullable<StoredTurn['attachments']>[number]} part @param {Attachment[]} known @returns {Attachment} */
function attached({ type, attachment: id, name }, known) {
  const kind = type === 'image' ? 'image' : 'text';
  const found = known.find((one) => one.id === id) ?? { id, kind, media_type: '', bytes: 0, name: 'Not kept' };
  return { ...found, ...(name && { name }) };
}
