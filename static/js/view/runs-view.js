/**
 * `<runs-view>`: a dialog over the page with the runs, a form for a new one, and what is shown of one.
 *
 * It shows one screen at a time. Escape and the arrow at the top left go back to the screen before, from the
 * list they close the dialog; runs go on without it. The page loads this module and its styles on demand.
 *
 * Every screen has an address, such as `#run=ID&prompt=N` (run-address.js). Going deeper is a step of the browser's
 * history; what its buttons come to is shown, and the address of the page itself closes the dialog.
 */

import { SidestreamError } from '../client/protocol.js';
import { Conversations } from '../client/conversations.js';
import { Assessments } from '../client/run-assessments.js';
import { Runs } from '../client/runs.js';
import { Deletions } from '../model/deletions.js';
import { chatPrompts, counted, promptFile } from '../model/prompt-sets.js';
import { isStep, runHash, runPlace, setHash, shownHash } from '../model/run-address.js';
import { RunOrder } from '../model/run-order.js';
import { SeenBallots } from '../model/seen-ballots.js';
import { PageElement, h, iconButton, letClose } from './element.js';
import { errorNotice } from './error-notice.js';
import { errorText } from './labels.js';
import { RunForm } from './run-form.js';
import { RunGrid } from './run-grid.js';
import { RunJudges } from './run-judges.js';
import { RunLeaderboard } from './run-leaderboard.js';
import { RunList } from './run-list.js';
import { RunPrompt } from './run-prompt.js';
import { RunResults } from './run-results.js';
import { RunTitle } from './run-title.js';
import { RunVote } from './run-vote.js';
import { SetForm } from './set-form.js';
import { SetList } from './set-list.js';
import { visits } from './storage.js';
import { UndoNotice } from './undo-notice.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { WireError } from '../client/protocol.js' */
/** @import { PromptSet, Run } from '../client/runs.js' */
/** @import { Deletion } from '../model/deletions.js' */
/** @import { RunPlace } from '../model/run-address.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { Given } from './prompt-source.js' */

/**
 * @typedef {object} Host What a screen can ask of the dialog.
 * @property {Runs} api
 * @property {Assessments} assessments
 * @property {SidestreamClient} client
 * @property {Workspace} workspace
 * @property {SeenBallots} seen The ballots whose names are known here.
 * @property {(model: string) => string} nameOf
 * @property {(act: () => Promise<unknown>) => Promise<void>} attempt Show an error where all see it.
 * @property {(act: () => Promise<unknown>) => Promise<void>} read Like `attempt`, for what nobody asked for: it takes away only what an earlier one told.
 * @property {(error: WireError) => void} fail Say what stays true as long as the screen is shown.
 * @property {(words: string) => void} warn Say what is about no screen, until somebody has read it.
 * @property {() => void} gone Say that the run of the screen was deleted.
 * @property {(deletion: Deletion) => void} remove Delete what the screen shows, which can be undone for a while, and go back.
 * @property {(id: string) => boolean} isRemoved It is deleted, and not to be shown.
 * @property {(title: string, rename?: (name: string) => void) => void} name
 * @property {() => void} list
 * @property {(given?: Given) => void} begin `given`: what the prompts are at first.
 * @property {(run: Run, prompt?: number) => void} open `prompt` is the one that has the focus.
 * @property {(run: Run, prompt: number) => void} ask
 * @property {(run: Run) => void} weigh
 * @property {() => void} rank
 * @property {(focused?: string) => void} sets
 * @property {(set: PromptSet) => void} change
 * @property {(run: Run) => RunOrder} orderOf Which prompts of it are shown, as that was left.
 * @property {(run: Run, prompt: number) => void} moved The screen shows another prompt now.
 * @property {(run: Run) => void} vote
 * @property {(run: Run) => void} judge
 */
/** @typedef {{client: SidestreamClient, workspace: Workspace, left: () => void}} Parts `left`: the dialog is closed while the address is one of a run. */
/**
 * @typedef {{element: HTMLElement, back: (() => void) | null, focus: () => void, keydown?: (event: KeyboardEvent) => void, kept?: (id: string) => void}} Screen
 *   `kept`: what was deleted is to be shown again.
 */

/** It outlives the dialog. */
const seen = new SeenBallots(visits);
/** What nobody has read yet; it waits for the dialog. @type {string[]} */
const warnings = [];
/** What is deleted can be undone when the dialog is opened again. */
const deletions = new Deletions();
deletions.on('failed', ({ name, error }) => warn(`“${name}” was not deleted. ${errorText(error)}`));
addEventListener('pagehide', () => void deletions.flush());

export class RunsView extends PageElement {
  #back = iconButton('left', 'Back');
  #close = iconButton('close', 'Close');
  #title = new RunTitle();
  #problem = h('div', {});
  /** Why something could not be read in the background. */
  #unread = h('div', {});
  /** Why what was wished is not shown; a screen that goes on does not take it away. */
  #wrong = h('div', {});
  #warned = h('div', {});
  #body = h('div', { class: 'runs-body' });
  #dialog = h('dialog', { class: 'sheet runs', 'aria-labelledby': 'runs-title' },
    h('header', {}, this.#back, this.#title.element, this.#close), this.#warned, this.#wrong, this.#problem, this.#unread, this.#body);
  /** @type {Screen | null} */
  #screen = null;
  /** Ends what the shown screen does. */
  #shown = new AbortController();
  #left;
  /** @type {Map<string, RunOrder>} */
  #orders = new Map();
  /** The prompt that was looked at last, for the focus. @type {{id: string, prompt: number} | null} */
  #last = null;
  /** @type {UndoNotice | null} */
  #undone = null;
  /** @type {Host} */
  #host;

  /** @param {Parts} parts */
  constructor({ client, workspace, left }) {
    super();
    this.#left = left;
    this.#host = {
      api: new Runs(pageBase()),
      assessments: new Assessments(pageBase()),
      client,
      workspace,
      seen,
      nameOf: (model) => client.models.get(model)?.name ?? model,
      attempt: (act) => this.#attempt(act),
      read: (act) => this.#attempt(act, this.#unread),
      fail: (error) => tell(this.#wrong, error),
      warn,
      gone: () => this.#host.fail({ code: 'unknown_run', message: 'The run was deleted, or is no longer shared with you.' }),
      remove: (deletion) => this.#remove(deletion),
      isRemoved: (id) => deletions.has(id),
      name: (title, rename) => this.#title.show(title, rename),
      list: () => this.#show((signal) => new RunList(this.#host, signal), runHash(null)),
      begin: (given) => this.#show((signal) => new RunForm(this.#host, signal, given), shownHash(null, 'new')),
      open: (run, prompt) => this.#show((signal) => new RunGrid(this.#host, signal, run, prompt), runHash(run.id)),
      ask: (run, prompt) => {
        this.#last = { id: run.id, prompt };
        this.#show((signal) => new RunPrompt(this.#host, signal, run, prompt), runHash(run.id, prompt));
      },
      weigh: (run) => this.#show((signal) => new RunResults(this.#host, signal, run), shownHash(run.id, 'results')),
      vote: (run) => this.#show((signal) => new RunVote(this.#host, signal, run), shownHash(run.id, 'vote')),
      judge: (run) => this.#show((signal) => new RunJudges(this.#host, signal, run), shownHash(run.id, 'judges')),
      rank: () => this.#show((signal) => new RunLeaderboard(this.#host, signal), shownHash(null, 'leaderboard')),
      sets: (focused) => this.#show((signal) => new SetList(this.#host, signal, focused), shownHash(null, 'sets')),
      change: (set) => this.#show((signal) => new SetForm(this.#host, signal, set), setHash(set.id)),
      orderOf: ({ id }) => this.#orderOf(id),
      moved: ({ id }, prompt) => {
        this.#last = { id, prompt };
        tellAddress(runHash(id, prompt));
      },
    };
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
    this.#back.addEventListener('click', () => this.#screen?.back?.(), { signal });
    this.#dialog.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return this.#screen?.keydown?.(event);
      this.#goBack(event);
    }, { signal });
    this.#dialog.addEventListener('cancel', (event) => event.target === this.#dialog && this.#goBack(event), { signal });
    this.#undone = new UndoNotice(deletions, signal, { undo: () => void this.#undo(), lost: () => this.#screen?.focus() });
    this.#body.before(this.#undone.element);
    this.#dialog.addEventListener('close', () => {
      this.#shown.abort();
      this.remove();
      if (runPlace(location.hash)) this.#left();
    }, { signal });
    window.addEventListener('popstate', () => this.#follow(), { signal });
  }

  // Actions

  /** Show what the address asks for, else the list. */
  open() {
    this.#dialog.showModal();
    this.warn();
    if (runPlace(location.hash)) this.#follow();
    else this.#host.list();
  }

  /** Show the form for a run of a stored chat's prompts. @param {string} chat Its id. */
  async openWith(chat) {
    this.open();
    await this.#opening(async () => {
      const { signal } = this.#shown;
      const stored = await new Conversations(pageBase()).get(chat, { isFull: true });
      if (signal.aborted) return;
      const { prompts, left } = chatPrompts(stored);
      if (!prompts.length) throw new SidestreamError({ code: 'invalid_prompt_set', message: left ? 'This chat has only prompts with attachments, which are not kept in sets.' : 'This chat has no prompts.' });
      const note = [`The ${counted(prompts.length, 'prompt')} of “${stored.title || 'Untitled'}”.`, left ? `${counted(left, 'prompt')} with attachments ${left === 1 ? 'is' : 'are'} left out.` : ''].filter(Boolean).join(' ');
      const { lines, file } = promptFile(prompts);
      this.#host.begin(lines === null ? { file: new File([file], 'chat.jsonl'), note } : { lines, note });
    });
  }

  /** Show what nobody has read yet. */
  warn() {
    if (!warnings.length) return this.#warned.replaceChildren();
    const read = h('button', { type: 'button', class: 'quiet' }, 'I have read it');
    read.addEventListener('click', () => {
      warnings.length = 0;
      this.warn();
      this.#screen?.focus();
    });
    this.#warned.replaceChildren(h('div', { class: 'notice run-acts', role: 'alert' }, h('span', {}, warnings.join(' ')), read));
  }

  // Internal

  /** @param {Deletion} deletion */
  #remove(deletion) {
    deletions.begin(deletion);
    this.#screen?.back?.();
    this.#undone?.focus();
  }

  async #undo() {
    const { pending } = deletions;
    if (!pending) return;
    const undone = deletions.undo();
    this.#screen?.kept?.(pending.id); // whatever becomes of the rest
    try {
      await undone;
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      warn(`“${pending.name}” is kept, but what was under way did not go on. ${errorText(error)}`);
    }
  }

  /** @param {Event} event */
  #goBack(event) {
    if (!this.#screen?.back) return;
    event.preventDefault(); // the dialog stays
    this.#screen.back();
  }

  /** Show what the address asks for. */
  #follow() {
    const { hash } = location;
    const place = runPlace(hash);
    if (!place) {
      this.#shown.abort();
      this.#dialog.close();
      return this.remove(); // at once: the event would come when the address may be a run's again
    }
    const { id, set, show } = place;
    const isRead = id !== null || set !== null; // which takes a while
    if (isRead ? !this.#screen : !show) this.#show((signal) => new RunList(this.#host, signal), hash);
    if (id !== null) void this.#opening(() => this.#find(id, place, hash));
    else if (set !== null) void this.#opening(() => this.#findSet(set, hash));
    else if (show === 'leaderboard') this.#host.rank();
    else if (show === 'sets') this.#host.sets();
    else if (show === 'new') this.#host.begin();
  }

  /** Show a run, or something of it, unless the address is another one by then. @param {string} id @param {RunPlace} place @param {string} hash */
  async #find(id, { prompt, show }, hash) {
    const { signal } = this.#shown;
    if (deletions.has(id)) return this.#leave('run', id);
    const run = await this.#host.api.get(id);
    if (location.hash !== hash || signal.aborted) return;
    if (prompt !== null && prompt < run.prompts) return this.#host.ask(run, prompt);
    if (show === 'results') return this.#host.weigh(run);
    if (show === 'judges') return this.#host.judge(run);
    if (show === 'vote' && run.targets.length > 1) return this.#host.vote(run);
    this.#host.open(run, this.#last?.id === id ? this.#last.prompt : undefined);
    if (prompt !== null) tell(this.#wrong, { message: `This run has no prompt ${prompt + 1}: it has ${run.prompts}.` });
    if (show === 'vote') tell(this.#wrong, { message: 'This run has one model: there is nothing to vote between.' });
  }

  /** @param {string} id @param {string} hash */
  async #findSet(id, hash) {
    const { signal } = this.#shown;
    if (deletions.has(id)) return this.#leave('prompt set', id);
    const set = await this.#host.api.set(id, 0);
    if (location.hash === hash && !signal.aborted) this.#host.change(set);
  }

  /** Show a list in place of what is deleted; as long as that can be undone, it goes on being so. @param {'run' | 'prompt set'} kind @param {string} id */
  #leave(kind, id) {
    if (kind === 'run') this.#host.list();
    else this.#host.sets();
    if (deletions.pending?.id === id) this.#undone?.focus();
    else tell(this.#wrong, { message: goneWords(kind) });
  }

  /** Show why what is wished cannot be shown, over the screen that is there. @param {() => Promise<unknown>} act */
  async #opening(act) {
    const { signal } = this.#shown;
    try {
      await act();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      const gone = { unknown_run: 'run', unknown_prompt_set: 'prompt set' }[error.code];
      if (!signal.aborted) tell(this.#wrong, gone ? { message: goneWords(gone) } : error);
    }
  }

  /** @param {string} id */
  #orderOf(id) {
    const order = this.#orders.get(id) ?? new RunOrder();
    this.#orders.set(id, order);
    return order;
  }

  /** @param {(signal: AbortSignal) => Screen} make @param {string} [address] Else the one that it is. */
  #show(make, address = location.hash) {
    if (!this.isConnected) return; // a late reply
    tellAddress(address);
    this.#shown.abort();
    this.#shown = new AbortController();
    for (const place of [this.#problem, this.#unread, this.#wrong]) place.replaceChildren();
    this.#screen = make(this.#shown.signal);
    this.#back.hidden = !this.#screen.back;
    this.#body.replaceChildren(this.#screen.element);
    this.#screen.focus();
  }

  /** @param {() => Promise<unknown>} act @param {HTMLElement} place Where its error is told. */
  async #attempt(act, place = this.#problem) {
    const { signal } = this.#shown;
    try {
      await act();
      if (!signal.aborted) place.replaceChildren();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      if (!signal.aborted) tell(place, error);
    }
  }
}

/** @param {HTMLElement} place @param {{message: string}} error */
function tell(place, error) {
  place.replaceChildren(errorNotice(/** @type {any} */ (error), { isAlert: true }));
}

/** @param {string} kind */
function goneWords(kind) {
  return `The ${kind} of this address is not there: it was deleted, or is somebody else’s.`;
}

/** @param {string} words */
function warn(words) {
  warnings.push(words);
  const view = document.querySelector('runs-view');
  if (view instanceof RunsView) view.warn();
}

/** @param {string} address */
function tellAddress(address) {
  if (address === location.hash) return;
  history[isStep(location.hash, address) ? 'pushState' : 'replaceState'](null, '', location.pathname + location.search + address);
}

function pageBase() {
  return new URL('.', document.baseURI).href;
}

/** Show the runs over the page, or the form for one with a chat's prompts. @param {Parts} parts @param {string} [chat] Its id. */
export function openRuns(parts, chat) {
  if (document.querySelector('runs-view')) return; // it follows the address itself
  const view = new RunsView(parts);
  document.body.append(view);
  if (chat) void view.openWith(chat);
  else view.open();
}

customElements.define('runs-view', RunsView);
