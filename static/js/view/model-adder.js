/**
 * `<model-adder>`: a dialog in which an operator adds a model by name, and removes what was added.
 *
 * A look-up comes first: for a repository it lists each quantization with its size and whether it fits
 * the machine, for an address the server that answers there. It downloads nothing. Typing another
 * name discards the result. The page loads this module on demand.
 */

import { Catalog } from '../client/catalog.js';
import { SidestreamError } from '../client/protocol.js';
import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { errorNotice } from './error-notice.js';

/** @import { AddedModel, Candidate, HubLook, ServerLook } from '../client/catalog.js' */

const HINT = 'A repository of the Hugging Face hub that has GGUF files, or the address of a model server.';
const GIGABYTE = 1e9;
/** An address with a scheme or a port; only servers ask for a key here. */
const ADDRESS = /:\/\/|:\d+/;
const HUB = /^(https?:\/\/)?(www\.)?(huggingface\.co|hf\.co)\b/;

export class ModelAdder extends PageElement {
  #catalog = new Catalog('');
  /** Aborts the current look-up. */
  #looking = new AbortController();
  /** The candidates by file name; '' for a server. @type {Map<string, Candidate | null>} */
  #choices = new Map();
  #name = h('input', { id: 'adder-name', placeholder: 'hf:OWNER/REPO or gpu-box:8000', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', required: true, maxlength: 500, 'aria-describedby': 'adder-hint' });
  #key = h('input', { id: 'adder-key', type: 'password', autocomplete: 'off', maxlength: 4096 });
  #keyField = h('div', { hidden: true }, h('label', { for: 'adder-key' }, 'Key, if the server asks for one'), this.#key);
  #look = h('button', { class: 'quiet' }, 'Look up');
  #form = h('form', {},
    h('label', { for: 'adder-name' }, 'Name or address'),
    h('div', { class: 'adder-name' }, this.#name, this.#look),
    h('p', { id: 'adder-hint', class: 'field-hint' }, HINT),
    this.#keyField);
  #state = h('p', { class: 'adder-state', role: 'status' });
  #problem = h('div', { class: 'adder-problem' });
  #found = h('fieldset', { class: 'adder-found', hidden: true });
  #add = h('button', { type: 'button', class: 'quiet adder-add', hidden: true });
  #added = h('ul', { class: 'adder-added' });
  #addedPart = h('section', { 'aria-labelledby': 'adder-added-title', hidden: true },
    h('h3', { id: 'adder-added-title' }, 'Added so far'), this.#added);
  #close = iconButton('close', 'Close');
  #dialog = h('dialog', { class: 'sheet', 'aria-labelledby': 'adder-title' },
    h('header', {}, h('h2', { id: 'adder-title' }, 'Add a model'), this.#close),
    this.#form, this.#state, this.#problem, this.#found, this.#add, this.#addedPart);

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
    this.#dialog.addEventListener('close', () => this.#forget(), { signal });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#lookUp();
    }, { signal });
    this.#name.addEventListener('input', () => {
      this.#forget();
      this.#keyField.hidden = !ADDRESS.test(this.#name.value) || HUB.test(this.#name.value.trim());
    }, { signal });
    this.#found.addEventListener('change', () => this.#chosen(), { signal });
    this.#add.addEventListener('click', () => void this.#addChosen(), { signal });
  }

  // Actions

  /** @param {string} base The service's address, ending with a slash. */
  set base(base) {
    this.#catalog = new Catalog(base);
  }

  open() {
    this.#dialog.showModal();
    this.#name.focus();
    void this.#try(() => this.#list());
  }

  // Internal

  /** Abort the look-up and discard its result. */
  #forget() {
    this.#looking.abort();
    this.#choices.clear();
    this.#found.hidden = this.#add.hidden = true;
    this.#problem.replaceChildren();
    setText(this.#state, '');
  }

  async #lookUp() {
    const wanted = this.#wanted();
    if (!wanted.name) return;
    this.#forget();
    const { signal } = (this.#looking = new AbortController());
    setText(this.#state, 'Looking it up …');
    await this.#try(async () => {
      const look = await this.#catalog.look(wanted, signal);
      if (look.hub) this.#showHub(look.hub);
      if (look.server) this.#showServer(look.server);
      this.#chosen();
    }, signal);
  }

  /** @param {HubLook} look */
  #showHub({ repo, candidates, chosen, slots, context_tokens: context, is_estimate_rough: isRough, memory_total_bytes: memory, disk_free_bytes: disk }) {
    this.#choices = new Map(candidates.map((one) => [one.file, one]));
    const kinds = candidates.map(({ quantization }) => quantization);
    const rows = candidates.map((one) => {
      const isOnly = one.quantization !== '' && kinds.indexOf(one.quantization) === kinds.lastIndexOf(one.quantization);
      const input = h('input', { type: 'radio', name: 'adder-file', value: one.file });
      input.checked = one.file === chosen;
      return h('label', { class: one.fits ? '' : 'is-too-large' }, input,
        h('span', { class: 'adder-quantization' }, isOnly ? one.quantization : one.file),
        h('span', {}, `${size(one.size_bytes)}${one.files > 1 ? ` in ${one.files} files` : ''}`),
        h('span', { class: 'adder-fit' }, one.fits ? `Fits: about ${size(one.memory_bytes)} of memory` : `Does not fit: ${one.problem}`));
    });
    this.#found.replaceChildren(h('legend', {}, repo), h('div', { class: 'adder-list' }, ...rows));
    const here = [memory && `${size(memory)} of memory`, disk && `${size(disk)} free on the disk`].filter(Boolean).join(' and ');
    const rough = isRough ? ' The model’s own figures could not be read: memory is a rough estimate.' : '';
    setText(this.#state, `${candidates.length === 1 ? 'One file' : `${candidates.length} files to choose from`}, for ${slots} answers of ${context.toLocaleString('en')} tokens at once.${here && ` This machine has ${here}.`}${rough}`);
    this.#found.hidden = false;
    this.#found.querySelector('label:has(:checked)')?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {ServerLook} look */
  #showServer({ name, address, kind, model_count: count, models }) {
    this.#choices = new Map([['', null]]);
    const more = count > models.length ? ' …' : '';
    setText(this.#state, `${kind || 'A model server'} answers at ${address} with ${count === 1 ? 'one model' : `${count} models`}: ${models.join(', ')}${more}. It is called ${name} here.`);
  }

  /** Show the button for the chosen candidate. */
  #chosen() {
    const candidate = this.#choices.get(this.#file());
    this.#add.hidden = candidate === undefined;
    setText(this.#add, candidate?.fits === false ? 'Add all the same' : 'Add');
  }

  async #addChosen() {
    const file = this.#file();
    const candidate = this.#choices.get(file);
    if (candidate === undefined || this.#add.disabled) return;
    this.#problem.replaceChildren();
    this.#add.disabled = true;
    await this.#try(async () => {
      const models = await this.#catalog.add({ ...this.#wanted(), ...(candidate && { file, force: !candidate.fits }) });
      const [first] = models;
      this.#name.value = this.#key.value = '';
      this.#forget();
      setText(this.#state, candidate ? `${first?.name} is in the list now. Its weights are fetched when it is first started.` : 'The server’s models are in the list now.');
      this.#name.focus();
      await this.#list();
    });
    this.#add.disabled = false;
  }

  async #list() {
    const added = await this.#catalog.list();
    this.#addedPart.hidden = added.length === 0;
    this.#added.replaceChildren(...added.map((model) => this.#row(model)));
  }

  /** @param {AddedModel} model */
  #row({ id, name, weights }) {
    const remove = h('button', { type: 'button', class: 'quiet', 'aria-label': `Remove ${name}` }, 'Remove');
    remove.addEventListener('click', () => void this.#try(async () => {
      remove.disabled = true;
      try {
        await this.#catalog.remove(id);
      } finally {
        remove.disabled = false;
      }
      this.#problem.replaceChildren();
      setText(this.#state, `${name} is removed. Its weights stay in the cache.`);
      this.#name.focus();
      await this.#list();
    }));
    return h('li', {}, h('div', {}, name, h('p', { class: 'field-hint' }, weights)), remove);
  }

  #file() {
    const checked = /** @type {HTMLInputElement | null} */ (this.#found.querySelector('input:checked'));
    return this.#found.hidden ? '' : checked?.value ?? '';
  }

  #wanted() {
    const key = this.#keyField.hidden ? '' : this.#key.value;
    return { name: this.#name.value.trim(), ...(key && { api_key: key }) };
  }

  /** Run `act` and show its error. @param {() => Promise<void>} act @param {AbortSignal} [signal] */
  async #try(act, signal) {
    try {
      await act();
    } catch (error) {
      if (signal?.aborted) return; // it was cancelled
      if (!(error instanceof SidestreamError)) throw error;
      setText(this.#state, '');
      this.#problem.replaceChildren(errorNotice(error, { isAlert: true }));
    }
  }
}

/** @param {number} bytes */
function size(bytes) {
  return bytes >= GIGABYTE ? `${(bytes / GIGABYTE).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`;
}

customElements.define('model-adder', ModelAdder);
