/**
 * The state of the page: columns, settings, conversation, scheduler and store. No DOM.
 *
 * The user's choices are saved for all visits (`memory`); the open conversation is saved for the tab
 * (`tab`), so that a reload continues every answer where it was. A conversation that is left while it is
 * answered, or has prompts in its queue, goes on: it is kept until that is done, over a reload too.
 *
 * The columns are those of the open conversation. What is chosen in a new one is chosen for the next
 * one, too; what a stored one is opened with, or an address asks for, is not.
 */

import { Emitter } from '../client/emitter.js';
import { SidestreamError } from '../client/protocol.js';
import { Columns } from './columns.js';
import { Conversation } from './conversation.js';
import { PromptScheduler } from './prompt-scheduler.js';
import { ConversationStore } from './conversation-store.js';
import { describe, tidy } from './parameters.js';
import { letter } from './rounds.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Conversations } from '../client/conversations.js' */
/** @import { Model } from '../client/protocol.js' */
/** @import { Answer } from './answer.js' */
/** @import { Column } from './columns.js' */
/** @import { SavedConversation } from './conversation.js' */
/** @import { Settings } from './prompt-scheduler.js' */

/** @typedef {{get: (key: string) => any, set: (key: string, value: unknown) => void}} Memory */
/**
 * @typedef {object} TabState
 * @property {string | null} session
 * @property {Record<string, number>} known
 * @property {SavedConversation} conversation
 * @property {boolean} [isOpened]
 * @property {SavedConversation[]} [left] Without turns, if the server has them.
 */

const MODES = ['all', 'sequence', 'together'];

/** @extends {Emitter<{conversation: Conversation, stored: void, turns: void, settings: void, fault: Error}>} `stored`: the server has the open conversation now; `turns`: its turns or what is shown of them have changed. */
export class Workspace extends Emitter {
  columns = new Columns();
  conversation = new Conversation();
  /** @type {Settings} */
  settings = { mode: 'all', isBlind: false, details: false, parameters: {}, system: '' };
  #isForgotten = false;
  /** Whether the columns belong to the open conversation alone. */
  #isOpened = false;
  #isSwitching = false;
  /** Conversations that go on without being shown. @type {Set<Conversation>} */
  #left = new Set();
  /** Those that are to be fetched after a reload. @type {SavedConversation[]} */
  #unrecalled = [];
  /** @type {WeakSet<Conversation>} */
  #followed = new WeakSet();
  #client;
  #memory;
  #tab;

  /** @param {{client: SidestreamClient, api: Conversations, memory: Memory, tab: Memory}} parts */
  constructor({ client, api, memory, tab }) {
    super();
    this.#client = client;
    this.#memory = memory;
    this.#tab = tab;
    this.columns.restore(memory.get('columns'));
    this.columns.isHeld = () => !this.#isSwitching && this.isSecret;
    const { mode, isBlind, details, parameters, system } = memory.get('settings') ?? {};
    if (MODES.includes(mode)) this.settings.mode = mode;
    this.settings = { ...this.settings, isBlind: !!isBlind, details: !!details, parameters: { ...parameters }, system: String(system ?? '') };
    const { columns, conversation } = this;
    this.store = new ConversationStore({ api, client, columns });
    this.scheduler = new PromptScheduler({ client, columns, conversation, store: this.store, settings: () => this.settings });
    this.#follow();
    client.on('models', () => {
      this.#settle();
      void this.#recall();
    });
    columns.on('change', () => {
      if (this.#isSwitching) return;
      if (!this.#isOpened) memory.set('columns', columns.chosen);
      this.store.saveSoon(this.conversation);
    });
    this.scheduler.on('change', () => {
      for (const one of this.#left) if (!one.isUnderWay) this.#left.delete(one);
      this.saveTab();
    });
  }

  /** The ids of the conversations that are being answered, or will be. */
  get underWay() {
    return new Set([this.conversation, ...this.#left].flatMap(({ id, isUnderWay }) => (id && isUnderWay ? [id] : [])));
  }

  /** Whether the names are hidden now. */
  get isSecret() {
    return this.conversation.isSecret;
  }

  /** Whether a column's model is known not to be here: of an imported chat, or one that is gone since. @param {Column} column */
  isGone({ model }) {
    const { models } = this.#client;
    return models.size > 0 && !models.has(model);
  }

  /** The label of a column. @param {Column} column @param {{isSecret?: boolean}} [options] */
  label(column, { isSecret: hidden = this.isSecret } = {}) {
    if (hidden) return `Model ${letter(this.columns.shown.indexOf(column))}`;
    const name = this.#nameOf(column.model);
    const number = this.columns.number(column);
    return number ? `${name} (${describe(column.parameters) || number})` : name;
  }

  /** The name of a model, with its server if another model here has the same name. @param {string} id */
  #nameOf(id) {
    const name = this.#client.nameOf(id);
    const isAlone = this.columns.shown.every(({ model }) => model === id || this.#client.nameOf(model) !== name);
    const server = isAlone ? null : this.#client.models.get(id)?.server;
    return server ? `${name} · ${server.name || server.address}` : name;
  }

  /** The models that these settings apply to. @param {Column | null} column Null: for all columns. @returns {Model[]} */
  modelsOf(column) {
    const ids = new Set((column ? [column] : this.columns.shown).map(({ model }) => model));
    return [...ids].flatMap((id) => this.#client.models.get(id) ?? []);
  }

  // Actions

  /** @param {Partial<Settings>} changes */
  configure(changes) {
    this.settings = { ...this.settings, ...changes };
    this.settings.parameters = tidy(this.settings.parameters);
    this.#memory.set('settings', this.settings);
    this.emit('settings', undefined);
  }

  /** @param {string} id @param {Settings['parameters']} parameters @param {string} system Empty: the common one. */
  configureColumn(id, parameters, system) {
    this.columns.change(id, { parameters: tidy(parameters), system: system || null });
  }

  /** Open a conversation, with its columns if it has any; the former goes on. @param {Conversation} conversation */
  open(conversation) {
    const former = this.conversation;
    const { isSecret } = former;
    if (former !== conversation && former.isUnderWay) {
      former.columns = this.columns.all;
      this.#left.add(former);
    }
    this.#left.delete(conversation);
    this.conversation = conversation;
    this.scheduler.use(conversation); // first: the columns of the former stop none of its answers
    const wasOpened = this.#isOpened;
    this.#isOpened = conversation.columns !== null;
    if (this.#isOpened || wasOpened) this.#show(conversation.columns ?? this.#memory.get('columns'));
    conversation.columns = null;
    if (conversation.isEmpty) this.columns.release();
    // The order of a blind round would tell who is who.
    if (isSecret && conversation.isEmpty) this.columns.arrange(this.columns.all.map(({ id }) => id).sort());
    this.#follow();
    this.emit('conversation', conversation);
    this.saveTab();
  }

  /** Open a stored conversation. Rejects with a SidestreamError. @param {string} id */
  async openStored(id) {
    if (id === this.conversation.id) return;
    const left = [...this.#left].find((one) => one.id === id);
    this.open(left ?? await this.store.load(id));
  }

  /** Open a new conversation with these models, which are chosen for it alone. @param {string[]} models */
  compare(models) {
    const columns = new Columns();
    for (const model of models) columns.add(model);
    this.open(new Conversation({ columns: columns.all }));
  }

  /** Call a stored conversation by another title. @param {string} id @param {string} title */
  rename(id, title) {
    for (const one of [this.conversation, ...this.#left]) if (one.id === id) one.title = title;
    this.emit('stored', undefined);
  }

  /** Stop what is asked in conversations that were deleted; tell whether the open one is among them. @param {string[]} ids */
  drop(ids) {
    for (const one of [this.conversation, ...this.#left]) {
      if (!ids.includes(one.id ?? '')) continue;
      one.queue = [];
      void this.scheduler.stop(one.liveAnswers);
    }
    return ids.includes(this.conversation.id ?? '');
  }

  /** Fetch the tokens of an answer. Rejects with a SidestreamError. @param {Answer} answer */
  async learn(answer) {
    await this.store.learn(this.conversation, answer);
    if (!answer.hasTokens) throw new SidestreamError({ code: 'no_tokens', message: 'The tokens of this answer were not kept.' });
  }

  /** Erase the state of this tab, for the next user. */
  forget() {
    this.#isForgotten = true;
    this.#tab.set('tab', null);
    this.#memory.set('draft', '');
    this.#memory.set('attached', []);
  }

  /** Save the state of this tab. */
  saveTab() {
    if (this.#isForgotten) return;
    const { session, generations } = this.#client;
    const { conversation } = this;
    const kept = [...this.#left].filter(({ id, queue }) => queue.length > 0 || id === null);
    const here = new Set([conversation, ...kept.filter(({ id }) => id === null)].flatMap(({ liveAnswers }) => liveAnswers).map(({ generation }) => generation));
    // The text of live answers of other conversations is not saved: they resume from the beginning.
    const known = Object.fromEntries([...generations.values()]
      .filter((generation) => !generation.isLive || here.has(generation))
      .map(({ id, seq }) => [id, seq]));
    const left = kept.map((one) => {
      const { id, queue, isHeld, columns } = one;
      return id ? { id, queue, isHeld, columns } : one;
    });
    this.#tab.set('tab', { session, known, conversation: { ...conversation.toJSON(), columns: this.columns }, isOpened: this.#isOpened, left: [...left, ...this.#unrecalled] });
  }

  /** Restore the state of this tab, before the client connects. */
  resume() {
    const { conversation: saved, isOpened, left = [] } = /** @type {Partial<TabState>} */ (this.#tab.get('tab') ?? {});
    if (!saved) return;
    this.#unrecalled = left.filter(({ id }) => id);
    for (const one of left) if (!one.id) this.#goOn(this.#restored(one));
    const conversation = this.#restored(saved);
    this.open(conversation);
    this.#isOpened = isOpened ?? false;
  }

  // Internal

  #follow() {
    const { conversation } = this;
    if (this.#followed.has(conversation)) return;
    this.#followed.add(conversation);
    const changed = () => {
      this.store.saveSoon(conversation);
      if (conversation === this.conversation) this.emit('turns', undefined);
    };
    conversation.on('path', changed);
    conversation.on('turn', changed);
    conversation.on('stored', () => conversation === this.conversation && this.emit('stored', undefined));
  }

  /** @param {SavedConversation} saved */
  #restored(saved) {
    const conversation = new Conversation(saved);
    for (const answer of conversation.liveAnswers) {
      const generation = this.#client.generations.get(answer.generationId ?? '');
      if (generation) answer.follow(generation);
    }
    return conversation;
  }

  /** Fetch the conversations that were left with a queue before the page was loaded again. */
  async #recall() {
    const saved = this.#unrecalled;
    this.#unrecalled = [];
    for (const { id, queue = [], isHeld = false, columns = null } of saved) {
      try {
        const conversation = await this.store.load(id ?? '');
        this.#goOn(Object.assign(conversation, { queue, isHeld, columns: columns ?? conversation.columns }));
      } catch (error) {
        if (!(error instanceof SidestreamError)) throw error;
        this.emit('fault', error);
      }
    }
  }

  /** @param {Conversation} conversation */
  #goOn(conversation) {
    this.#left.add(conversation);
    this.scheduler.follow(conversation);
  }

  /** Show columns that are no choice of the user's. @param {unknown} columns */
  #show(columns) {
    this.#isSwitching = true;
    this.columns.restore(columns);
    this.#settle();
    this.#isSwitching = false;
  }

  /** Leave out models that are gone, but not of a conversation that has answers of theirs. */
  #settle() {
    const { models } = this.#client;
    if (!this.#isOpened && models.size > 0) this.columns.settle([...models.values()], this.#memory.get('columns') !== null);
  }
}
