/**
 * `<model-group>`: the models of one server in the picker, under its name.
 *
 * When one cause keeps all of them it stands at the head, once. Of very many only the first are shown
 * until somebody wants all: a server may list thousands.
 *
 * Events: `server-use` with `{server}`; `model-start` with `{id}`, to look again whether it is there;
 * `group-change` when more rows are to be shown.
 */

import { PageElement, arrange, h, setText } from './element.js';
import { ModelRow } from './model-row.js';
import { notice } from './notice.js';
import { commonError, lastSeen } from './servers.js';
import { capital } from './words.js';

/** @import { ModelError } from '../client/protocol.js' */
/** @import { Group } from './servers.js' */

/** More than are read, and few enough to be made while one waits. */
const MAX_ROWS = 100;

export class ModelGroup extends PageElement {
  /** @type {Group} */
  #group = { key: '', title: '', server: '', models: [] };
  #isWhole = false;
  /** @type {ModelError | null} What became of a wish to use it, or to look again. */
  #refusal = null;
  #title = h('h3', {});
  #found = h('span', { class: 'group-found' }, 'Found on this machine');
  #use = h('button', { type: 'button', class: 'quiet', title: 'Use this server’s models here, from now on' }, 'Use');
  #again = h('button', { type: 'button', class: 'model-action' }, 'Try again');
  #seen = h('p', { class: 'group-seen' });
  #problem = h('div', { class: 'model-problem' });
  #head = h('div', { class: 'group-head' }, h('div', {}, this.#found, this.#title), this.#use, this.#again);
  #list = h('div', { class: 'picker-list', role: 'list' });
  #more = h('button', { type: 'button', class: 'model-action group-more' });

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#head, this.#seen, this.#problem, this.#list, this.#more);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#use.addEventListener('click', () => {
      this.#refusal = null;
      this.announce('server-use', { server: this.#group.server });
    }, { signal });
    this.#again.addEventListener('click', () => {
      this.#refusal = null;
      this.announce('model-start', { id: this.#group.models[0]?.id });
    }, { signal });
    this.#more.addEventListener('click', () => {
      this.#isWhole = true;
      this.announce('group-change');
    }, { signal });
  }

  // Actions

  /** Show these models. @param {Group} group @param {(id: string) => ModelRow} row Its row, made if need be. */
  show(group, row) {
    this.#group = group;
    const { models, title } = group;
    const shown = this.#isWhole ? models : models.slice(0, MAX_ROWS);
    const rows = shown.map(({ id }) => row(id));
    arrange(this.#list, rows);
    this.#more.hidden = shown.length === models.length;
    setText(this.#more, `Show all ${models.length.toLocaleString('en')}`);
    setText(this.#title, title);
    this.#head.hidden = title === '';
    this.#list.setAttribute('aria-label', title || 'Models');
    this.refresh();
  }

  /** Take in what has changed of its models, or of the time. */
  refresh() {
    const { models, server, title } = this.#group;
    const error = commonError(this.#group);
    this.classList.toggle('is-away', error !== null);
    this.#found.hidden = this.#use.hidden = server === '';
    this.#use.setAttribute('aria-label', `Use ${title}`);
    this.#again.hidden = error === null || server !== '';
    this.#again.setAttribute('aria-label', `Try again: ${title}`);
    setText(this.#seen, error ? capital(lastSeen(models[0], Date.now())) : '');
    const shown = server || error ? this.#refusal ?? error : null;
    const words = shown ? `${shown.message} ${shown.hint ?? ''}` : '';
    if (this.#problem.dataset.words !== words) this.#problem.replaceChildren(...(shown ? [notice(shown)] : []));
    this.#problem.dataset.words = words;
    for (const row of this.#list.children) if (row instanceof ModelRow) row.isExplained = error !== null;
  }

  /** Say why this server cannot be used, or looked for. @param {ModelError} error */
  refuse(error) {
    this.#refusal = error;
    this.refresh();
  }
}

customElements.define('model-group', ModelGroup);
