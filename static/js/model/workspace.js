/**
 * All that the page is about: columns, settings, the conversation, who directs it. No DOM.
 *
 * What the user chose is remembered for every visit (`memory`); what is going on in this tab is
 * remembered for the tab (`tab`), so that a reload goes on with every answer where it was.
 */

import { Emitter } from '../client/emitter.js';
import { SidestreamError } from '../client/protocol.js';
import { Columns } from './columns.js';
import { Conversation } from './conversation.js';
import { Director } from './director.js';
import { Keeper } from './keeper.js';
import { describe, tidy } from './parameters.js';
import { isSecret, letter, tally } from './rounds.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Conversations } from '../client/conversations.js' */
/** @import { Answer } from './answer.js' */
/** @import { Column } from './columns.js' */
/** @import { KeptConversation } from './conversation.js' */
/** @import { Settings } from './director.js' */
/** @import { Vote } from './rounds.js' */

/** @typedef {{recall: (key: string) => any, remember: (key: string, value: unknown) => void}} Memory */
/** @typedef {{session: string | null, known: Record<string, number>, conversation: KeptConversation}} TabState */

const MAX_VOTES = 1000;
const MODES = ['all', 'sequence', 'together'];

/** @extends {Emitter<{conversation: Conversation, settings: void, fault: Error}>} */
export class Workspace extends Emitter {
  columns = new Columns();
  conversation = new Conversation();
  /** @type {Settings} */
  settings = { mode: 'all', isBlind: false, details: false, parameters: {}, system: '' };
  /** @type {Vote[]} */
  #votes;
  #isForgotten = false;
  #client;
  #memory;
  #tab;

  /** @param {{client: SidestreamClient, api: Conversations, memory: Memory, tab: Memory}} parts */
  constructor({ client, api, memory, tab }) {
    super();
    this.#client = client;
    this.#memory = memory;
    this.#tab = tab;
    this.columns.restore(memory.recall('columns'));
    const { mode, isBlind, details, parameters, system } = memory.recall('settings') ?? {};
    if (MODES.includes(mode)) this.settings.mode = mode;
    this.settings = { ...this.settings, isBlind: !!isBlind, details: !!details, parameters: { ...parameters }, system: String(system ?? '') };
    const votes = memory.recall('votes');
    this.#votes = Array.isArray(votes) ? votes.filter((vote) => vote?.names) : [];
    const { columns, conversation } = this;
    this.keeper = new Keeper({ api, client, columns });
    this.director = new Director({ client, columns, conversation, keeper: this.keeper, settings: () => this.settings });
    this.#follow();
    client.on('models', (models) => columns.settle(models, memory.recall('columns') !== null));
    columns.on('change', () => {
      memory.remember('columns', columns);
      this.keeper.saveSoon(this.conversation);
    });
    this.director.on('change', () => this.keep());
  }

  /** Whether the names are hidden now. */
  get isSecret() {
    return isSecret(this.conversation.path);
  }

  /** Whether a vote can be given now. */
  get canVote() {
    const answers = this.columns.shown.map(({ id }) => this.conversation.path.at(-1)?.answer(id));
    return this.isSecret && answers.length > 1 && answers.every((answer) => answer && !answer.isLive);
  }

  get scores() {
    return tally(this.#votes);
  }

  /** What a column is called. @param {Column} column @param {{isSecret?: boolean}} [options] */
  label(column, { isSecret: hidden = this.isSecret } = {}) {
    if (hidden) return `Model ${letter(this.columns.shown.indexOf(column))}`;
    const name = this.#nameOf(column.model);
    const number = this.columns.number(column);
    return number ? `${name} (${describe(column.parameters) || number})` : name;
  }

  /** What a model is called, with its server where another one here is called so too. @param {string} id */
  #nameOf(id) {
    const name = this.#client.nameOf(id);
    const isAlone = this.columns.shown.every(({ model }) => model === id || this.#client.nameOf(model) !== name);
    const server = isAlone ? null : this.#client.models.get(id)?.server;
    return server ? `${name} · ${server.name || server.address}` : name;
  }

  /** The one model that these settings are for, if they are for one. @param {Column | null} column Null: for all columns. */
  modelOf(column) {
    const ids = new Set((column ? [column] : this.columns.shown).map(({ model }) => model));
    return ids.size === 1 ? this.#client.models.get([...ids][0]) : undefined;
  }

  // Actions

  /** @param {Partial<Settings>} changes */
  configure(changes) {
    this.settings = { ...this.settings, ...changes };
    this.settings.parameters = tidy(this.settings.parameters);
    this.#memory.remember('settings', this.settings);
    this.emit('settings', undefined);
  }

  /** @param {string} id @param {Settings['parameters']} parameters @param {string} system Empty: the common one. */
  configureColumn(id, parameters, system) {
    this.columns.change(id, { parameters: tidy(parameters), system: system || null });
  }

  /** Turn to a conversation; what is live in the former goes on. @param {Conversation} conversation */
  open(conversation) {
    this.conversation = conversation;
    this.#follow();
    this.director.use(conversation);
    this.emit('conversation', conversation);
    this.keep();
  }

  /** Open one that the server keeps. Rejects with a SidestreamError. @param {string} id */
  async openKept(id) {
    this.open(await this.keeper.load(id));
  }

  /** Have what an answer was written in. Rejects with a SidestreamError. @param {Answer} answer */
  async learn(answer) {
    await this.keeper.learn(this.conversation, answer);
    if (!answer.hasTokens) throw new SidestreamError({ code: 'no_tokens', message: 'The tokens of this answer were not kept.' });
  }

  /** End the blind round. @param {Vote['kind']} kind @param {string | null} best The column, for a `best`. */
  vote(kind, best = null) {
    const turn = this.conversation.path.at(-1);
    if (!turn || !this.canVote) return;
    const names = Object.fromEntries(this.columns.shown.map((column) => [column.id, this.label(column, { isSecret: false })]));
    const vote = { kind, best, names };
    this.#votes = [...this.#votes, vote].slice(-MAX_VOTES);
    this.#memory.remember('votes', this.#votes);
    this.conversation.setVote(turn, vote);
    this.keep();
    void this.keeper.vote(this.conversation, turn, vote).catch((error) => this.emit('fault', error));
  }

  forgetScores() {
    this.#votes = [];
    this.#memory.remember('votes', []);
    this.emit('settings', undefined);
  }

  /** Leave nothing of this tab behind for who comes next. */
  forget() {
    this.#isForgotten = true;
    this.#tab.remember('tab', null);
    this.#memory.remember('draft', '');
  }

  /** Remember for this tab what is going on. */
  keep() {
    if (this.#isForgotten) return;
    const { session, generations } = this.#client;
    const here = new Set(this.conversation.liveAnswers.map(({ generation }) => generation));
    // What is live but not shown here has its text nowhere: it is asked for from its beginning.
    const known = Object.fromEntries([...generations.values()]
      .filter((generation) => !generation.isLive || here.has(generation))
      .map(({ id, seq }) => [id, seq]));
    this.#tab.remember('tab', { session, known, conversation: this.conversation });
  }

  /** Go on with what was going on in this tab, before the client connects. */
  resume() {
    const { conversation: kept } = /** @type {Partial<TabState>} */ (this.#tab.recall('tab') ?? {});
    if (!kept) return;
    const conversation = new Conversation(kept);
    for (const answer of conversation.liveAnswers) {
      const generation = this.#client.generations.get(answer.generationId ?? '');
      if (generation) answer.follow(generation);
    }
    this.open(conversation);
  }

  // Internal

  #follow() {
    const { conversation } = this;
    const save = () => this.keeper.saveSoon(conversation);
    conversation.on('path', save);
    conversation.on('turn', save);
  }
}
