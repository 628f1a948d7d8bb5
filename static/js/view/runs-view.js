/**
 * `<runs-view>`: a dialog over the page with the runs, a form for a new one, and what is shown of one.
 *
 * It shows one screen at a time. Escape and the arrow at the top left go back to the screen before, from the
 * list they close the dialog; runs go on without it. The page loads this module and its styles on demand.
 */

import { SidestreamError } from '../client/protocol.js';
import { Runs } from '../client/runs.js';
import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { errorNotice } from './error-notice.js';
import { RunForm } from './run-form.js';
import { RunGrid } from './run-grid.js';
import { RunLeaderboard } from './run-leaderboard.js';
import { RunList } from './run-list.js';
import { RunPrompt } from './run-prompt.js';
import { RunResults } from './run-results.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { WireError } from '../client/protocol.js' */
/** @import { Run } from '../client/runs.js' */
/** @import { Workspace } from '../model/workspace.js' */

/**
 * @typedef {object} Host What a screen can ask of the dialog.
 * @property {Runs} api
 * @property {SidestreamClient} client
 * @property {Workspace} workspace
 * @property {(model: string) => string} nameOf
 * @property {(act: () => Promise<unknown>) => Promise<void>} attempt Show an error where all see it.
 * @property {(error: WireError) => void} fail
 * @property {(title: string) => void} name
 * @property {() => void} list
 * @property {() => void} begin
 * @property {(run: Run, prompt?: number) => void} open `prompt` is the one that has the focus.
 * @property {(run: Run, prompt: number) => void} ask
 * @property {(run: Run) => void} weigh
 * @property {() => void} rank
 */
/** @typedef {{element: HTMLElement, back: (() => void) | null, focus: () => void, keydown?: (event: KeyboardEvent) => void}} Screen */

export class RunsView extends PageElement {
  #back = iconButton('left', 'Back');
  #close = iconButton('close', 'Close');
  #title = h('h2', { id: 'runs-title' });
  #problem = h('div', {});
  #body = h('div', { class: 'runs-body' });
  #dialog = h('dialog', { class: 'sheet runs', 'aria-labelledby': 'runs-title' },
    h('header', {}, this.#back, this.#title, this.#close), this.#problem, this.#body);
  /** @type {Screen | null} */
  #screen = null;
  /** Ends what the shown screen does. */
  #shown = new AbortController();
  /** @type {Host} */
  #host;

  /** @param {{client: SidestreamClient, workspace: Workspace}} parts */
  constructor({ client, workspace }) {
    super();
    this.#host = {
      api: new Runs(new URL('.', document.baseURI).href),
      client,
      workspace,
      nameOf: (model) => client.models.get(model)?.name ?? model,
      attempt: (act) => this.#attempt(act),
      fail: (error) => this.#problem.replaceChildren(errorNotice(error, { isAlert: true })),
      name: (title) => setText(this.#title, title),
      list: () => this.#show((signal) => new RunList(this.#host, signal)),
      begin: () => this.#show((signal) => new RunForm(this.#host, signal)),
      open: (run, prompt) => this.#show((signal) => new RunGrid(this.#host, signal, run, prompt)),
      ask: (run, prompt) => this.#show((signal) => new RunPrompt(this.#host, signal, run, prompt)),
      weigh: (run) => this.#show((signal) => new RunResults(this.#host, signal, run)),
      rank: () => this.#show((signal) => new RunLeaderboard(this.#host, signal)),
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
    this.#dialog.addEventListener('close', () => {
      this.#shown.abort();
      this.remove();
    }, { signal });
  }

  // Actions

  open() {
    this.#dialog.showModal();
    this.#host.list();
  }

  // Internal

  /** @param {Event} event */
  #goBack(event) {
    if (!this.#screen?.back) return;
    event.preventDefault(); // the dialog stays
    this.#screen.back();
  }

  /** @param {(signal: AbortSignal) => Screen} make */
  #show(make) {
    this.#shown.abort();
    this.#shown = new AbortController();
    this.#problem.replaceChildren();
    this.#screen = make(this.#shown.signal);
    this.#back.hidden = !this.#screen.back;
    this.#body.replaceChildren(this.#screen.element);
    this.#screen.focus();
  }

  /** @param {() => Promise<unknown>} act */
  async #attempt(act) {
    const { signal } = this.#shown;
    try {
      await act();
      if (!signal.aborted) this.#problem.replaceChildren();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      if (!signal.aborted) this.#problem.replaceChildren(errorNotice(/** @type {any} */ (error), { isAlert: true }));
    }
  }
}

/** Show the runs over the page. @param {{client: SidestreamClient, workspace: Workspace}} parts */
export function openRuns(parts) {
  const view = new RunsView(parts);
  document.body.append(view);
  view.open();
}

customElements.define('runs-view', RunsView);
