/**
 * Share a run with the holders of other keys, who may then read it and vote: with nobody, with all, or with some by
 * their keys' names. Not there where the server has no keys, or the run is somebody else's.
 */

import { h, setText } from './element.js';
import { laterStyles } from './late-styles.js';

/** @import { Run } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const EVERYBODY = '*';
/** The owner of all runs where the server has no keys. */
const NO_KEY = 'local';

/** @param {Run} run */
export function canShare({ is_mine: isMine, owner }) {
  return isMine && owner !== NO_KEY;
}

/** @param {Run} run */
export function sharedWords({ shared_with: names, is_mine: isMine, owner_name: owner }) {
  if (!isMine) return `Shared by ${owner}`;
  if (names.includes(EVERYBODY)) return 'Shared with all keys';
  return names.length ? `Shared with ${names.join(', ')}` : '';
}

export class RunShare {
  #host;
  #run;
  #close;
  #nobody = h('input', { type: 'radio', name: 'run-share', value: 'nobody' });
  #everybody = h('input', { type: 'radio', name: 'run-share', value: 'all' });
  #some = h('input', { type: 'radio', name: 'run-share', value: 'some' });
  #names = h('input', { id: 'run-share-names', autocomplete: 'off', spellcheck: 'false', placeholder: 'anna, ben', 'aria-describedby': 'run-share-hint' });
  #share = h('button', { type: 'submit', class: 'quiet' }, 'Share');
  #cancel = h('button', { type: 'button', class: 'quiet' }, 'Cancel');
  #told = h('span', { role: 'status', class: 'run-words' });
  element = h('form', { class: 'run-share' },
    h('fieldset', {}, h('legend', {}, 'Who may read this run and vote on its answers'),
      h('label', {}, this.#nobody, ' Nobody else'),
      h('label', {}, this.#everybody, ' All keys'),
      h('label', {}, this.#some, ' Some keys'),
      h('div', { class: 'run-share-names' }, h('label', { for: 'run-share-names' }, 'Names of the keys'), this.#names,
        h('span', { id: 'run-share-hint', class: 'field-hint' }, 'Separated by commas. They cannot change, judge or delete it.'))),
    h('div', { class: 'run-acts' }, this.#share, this.#cancel, this.#told));

  /** @param {Host} host @param {Run} run @param {(changed: Run | null) => void} close */
  constructor(host, run, close) {
    this.#host = host;
    this.#run = run;
    this.#close = close;
    void laterStyles('run-board.css');
    const names = run.shared_with;
    const chosen = names.includes(EVERYBODY) ? this.#everybody : names.length ? this.#some : this.#nobody;
    chosen.checked = true;
    if (chosen === this.#some) this.#names.value = names.join(', ');
    this.#names.addEventListener('input', () => { this.#some.checked = true; });
    this.#cancel.addEventListener('click', () => this.#close(null));
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      event.stopPropagation(); // the dialog stays where it is
      this.#close(null);
    });
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
  }

  focus() {
    /** @type {HTMLElement} */ (this.element.querySelector('input:checked')).focus();
  }

  // Internal

  async #submit() {
    const names = this.#chosen();
    if (names === null) {
      setText(this.#told, 'Name one or more keys.');
      this.#names.focus();
      return;
    }
    await this.#host.attempt(async () => this.#close(await this.#host.api.share(this.#run.id, names)));
  }

  /** Null where names are missing. */
  #chosen() {
    if (this.#nobody.checked) return [];
    if (this.#everybody.checked) return [EVERYBODY];
    const names = this.#names.value.split(',').map((name) => name.trim()).filter(Boolean);
    return names.length ? names : null;
  }
}
