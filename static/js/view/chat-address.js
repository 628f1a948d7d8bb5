/**
 * The address and the title of the tab: `#chat=ID` is a stored chat, so that the browser's buttons go back
 * and forth, `#run=ID` a run, which a dialog shows, and `?models=a,b&prompt=…` a comparison that the reader may send.
 *
 * The title is the chat's, with the answers that ended while nobody looked: "(3 done)".
 */

import { Conversation } from '../model/conversation.js';
import { SidestreamError } from '../client/protocol.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Generation } from '../client/generation.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { PromptComposer } from './prompt-composer.js' */

const NAME = 'Sidestream';

export class ChatAddress {
  #workspace;
  #client;
  #composer;
  #fault;
  #runs;
  #shown;
  #done = 0;
  /** While what the address asks for is filled in, the address stays. */
  #isFilling = false;
  /** The chat got its address while that of a run was shown. */
  #isBehind = false;

  /** @param {{workspace: Workspace, client: SidestreamClient, composer: PromptComposer, fault: (error: {message: string}) => void, runs: (isAsked: () => boolean) => unknown}} parts `runs` opens their dialog, if that is still asked for when it can. */
  constructor({ workspace, client, composer, fault, runs }) {
    this.#workspace = workspace;
    this.#client = client;
    this.#composer = composer;
    this.#fault = fault;
    this.#runs = runs;
    this.#shown = workspace.conversation;
  }

  /** Show what the address asks for, and follow what is opened. */
  begin() {
    const asked = new URLSearchParams(location.search);
    const id = this.#asked;
    if (asked.has('prompt') || asked.has('models')) this.#fillIn(asked);
    else if (this.#isRun) this.#whenConnected(() => this.#openRuns());
    else if (id && id !== this.#workspace.conversation.id) this.#whenConnected(() => this.#go());
    else this.#follow();
    this.#workspace.on('conversation', () => this.#follow());
    this.#workspace.on('stored', () => this.#follow());
    this.#workspace.scheduler.on('change', () => this.#name());
    window.addEventListener('popstate', () => void this.#go());
    const watch = (/** @type {Generation} */ { ended }) => void ended.then(() => this.#count());
    for (const generation of this.#client.generations.values()) if (generation.isLive) watch(generation);
    this.#client.on('generation', watch);
    document.addEventListener('visibilitychange', () => {
      this.#done = 0;
      this.#name();
    });
  }

  /** Have the address say which chat is open, in place of what it says. */
  tell() {
    history.replaceState(null, '', this.#address);
  }

  // Internal

  /** Who has gone back by then wants no dialog. */
  #openRuns() {
    return this.#runs(() => this.#isRun);
  }

  get #isRun() {
    return /^#runs?\b/.test(location.hash);
  }

  get #address() {
    const { id } = this.#workspace.conversation;
    return location.pathname + (id ? `#chat=${id}` : '');
  }

  /** The id in the address. */
  get #asked() {
    return /^#chat=([\w-]{1,64})$/.exec(location.hash)?.[1] ?? null;
  }

  /** Have the address say what is shown. */
  #follow() {
    const { conversation } = this.#workspace;
    const isSame = conversation === this.#shown || this.#isFilling;
    this.#shown = conversation;
    this.#name();
    this.#isBehind = isSame && this.#isRun;
    if (this.#isRun || (conversation.id === this.#asked && (isSame || !location.search))) return;
    // One that is stored now is no other page to come back to.
    history[isSame ? 'replaceState' : 'pushState'](null, '', this.#address);
  }

  /** Show the chat that the address names. */
  async #go() {
    if (this.#isRun) return this.#openRuns();
    const id = this.#asked;
    if (id === this.#workspace.conversation.id) return;
    if (id === null && this.#isBehind) return this.tell();
    if (id === null) return this.#workspace.open(new Conversation());
    try {
      await this.#workspace.openStored(id);
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.#follow();
      this.#fault(error.code === 'unknown_conversation' ? { message: 'The chat of this address is not there: it was deleted, or is somebody else’s.' } : error);
    }
  }

  /** Fill in what the address asks for; sending it is the reader's. @param {URLSearchParams} asked */
  #fillIn(asked) {
    const models = asked.getAll('models').flatMap((names) => names.split(',')).map((name) => name.trim()).filter(Boolean);
    this.#workspace.open(new Conversation());
    this.#shown = this.#workspace.conversation;
    this.#composer.suggest(asked.get('prompt') ?? '');
    if (models.length > 0) this.#whenConnected(() => this.#choose(models));
  }

  /** @param {string[]} names Ids, or names. */
  #choose(names) {
    const all = [...this.#client.models.values()];
    const found = names.map((name) => (all.find(({ id }) => id === name) ?? all.find((model) => model.name === name))?.id ?? null);
    const known = found.filter((id) => id !== null);
    const unknown = names.filter((_, index) => found[index] === null);
    this.#isFilling = true;
    if (known.length > 0) this.#workspace.compare(known);
    this.#isFilling = false;
    if (unknown.length > 0) this.#fault({ message: `The address asks for ${unknown.join(', ')}, which ${unknown.length > 1 ? 'are' : 'is'} not here` });
  }

  /** @param {() => unknown} act */
  #whenConnected(act) {
    if (this.#client.models.size > 0) return void act();
    const off = this.#client.on('models', () => {
      off();
      act();
    });
  }

  #count() {
    if (!document.hidden) return;
    this.#done += 1;
    this.#name();
  }

  #name() {
    const { name } = this.#workspace.conversation;
    document.title = [this.#done ? `(${this.#done} done)` : '', name ? `${name} · ${NAME}` : NAME].filter(Boolean).join(' ');
  }
}
