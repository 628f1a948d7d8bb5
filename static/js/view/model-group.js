/**
 * `<model-group>`: models that stand together in the picker, under the name of their server or of what they share.
 *
 * An error that all of them share is shown once, at the head.
 *
 * Events: `server-use` with `{server}`; `model-start` with `{id}`, to try again to reach it.
 */

import { PageElement, arrange, h, setText } from './element.js';
import { ModelRow } from './model-row.js';
import { errorNotice } from './error-notice.js';
import { commonError, lastSeen } from './servers.js';
import { capital } from './labels.js';

/** @import { ModelError } from '../client/protocol.js' */
/** @import { Group } from './servers.js' */

export class ModelGroup extends PageElement {
  /** @type {Group} */
  #group = { key: '', title: '', server: '', models: [] };
  /** @type {ModelError | null} Why the server could not be used or reached. */
  #refusal = null;
  #title = h('h3', {});
  #count = h('span', { class: 'group-count' });
  #found = h('span', { class: 'group-found' }, 'Found on this machine');
  #use = h('button', { type: 'button', class: 'quiet', title: 'Use this server’s models here, from now on', tabindex: -1 }, 'Use');
  #again = h('button', { type: 'button', class: 'model-action', tabindex: -1 }, 'Try again');
  #seen = h('p', { class: 'group-seen' });
  #problem = h('div', { class: 'model-problem' });
  #head = h('div', { role: 'row' }, h('div', { role: 'gridcell' },
    h('div', { class: 'group-head' }, h('div', {}, this.#found, this.#title), this.#count, this.#use, this.#again), this.#seen, this.#problem));

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('role', 'rowgroup');
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
  }

  // Actions

  /** Show these models. @param {Group} group @param {ModelRow[]} rows Those of the first of them. */
  show(group, rows) {
    this.#group = group;
    arrange(this, [this.#head, ...rows]);
    setText(this.#title, group.title);
    setText(this.#count, group.models.length.toLocaleString('en'));
    this.#head.hidden = group.title === '';
    this.dataset.key = group.key;
    this.setAttribute('aria-label', group.title || 'Models');
    this.refresh();
  }

  /** Render again: a model or the time has changed. */
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
    if (this.#problem.dataset.words !== words) this.#problem.replaceChildren(...(shown ? [errorNotice(shown)] : []));
    this.#problem.dataset.words = words;
    for (const row of this.children) if (row instanceof ModelRow) row.isExplained = error !== null;
  }

  /** Show why this server cannot be used or reached. @param {ModelError} error */
  refuse(error) {
    this.#refusal = error;
    this.refresh();
  }
}

customElements.define('model-group', ModelGroup);
