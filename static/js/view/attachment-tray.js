/**
 * `<attachment-tray>`: what is attached to the prompt that is being written, above its field.
 *
 * Each file is shown with its name and size, how much of it is sent, or why it is not taken; below
 * them it says which of the chosen models cannot see pictures.
 *
 * Event: `tray-change`.
 */

import { Attachments } from '../client/attachments.js';
import { Attaching, sightOf } from '../model/attaching.js';
import { fileLink, sizeLabel, thumbnail } from './attached-file.js';
import { PageElement, arrange, h, iconButton, setText } from './element.js';
import { withCode } from './error-notice.js';
import { icon } from './icons.js';
import { errorText } from './labels.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Given } from '../model/attaching.js' */
/** @import { Columns } from '../model/columns.js' */
/** @import { Memory } from '../model/workspace.js' */

export class AttachmentTray extends PageElement {
  #client;
  #columns;
  #attaching;
  /** @type {Map<Given, GivenFile>} */
  #files = new Map();
  #list = h('ul', { class: 'given', 'aria-label': 'Attached' });
  #sight = h('p', { class: 'sight', hidden: true });
  #status = h('p', { class: 'unseen', role: 'status' });

  /** @param {{client: SidestreamClient, columns: Columns, memory: Memory}} parts */
  constructor({ client, columns, memory }) {
    super();
    this.#client = client;
    this.#columns = columns;
    this.#attaching = new Attaching({ api: new Attachments(new URL('.', document.baseURI).href), memory });
  }

  /** How many files are shown. */
  get count() {
    return this.#attaching.all.length;
  }

  /** Whether a file is still on its way. */
  get isBusy() {
    return this.#attaching.isBusy;
  }

  /** Whether a file was not taken. */
  get hasFault() {
    return this.#attaching.hasFault;
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#list, this.#sight, this.#status);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#attaching.on('change', () => this.#render(), { signal });
    this.#attaching.on('told', (given) => setText(this.#status, outcome(given)), { signal });
    this.#client.on('model', () => this.#renderSight(), { signal });
    this.#client.on('models', () => this.#renderSight(), { signal });
    this.#columns.on('change', () => this.#renderSight(), { signal });
    this.#render();
  }

  // Actions

  /** @param {Iterable<File>} files */
  add(files) {
    this.#attaching.add(files);
  }

  /** Leave the files out of another chat. @param {{isAll: boolean}} options Or only those that were not taken. */
  clear({ isAll }) {
    this.#attaching.clear({ isAll });
  }

  /** Return what is attached, and begin anew. */
  take() {
    return this.#attaching.take();
  }

  // Internal

  #render() {
    const { all } = this.#attaching;
    for (const given of this.#files.keys()) if (!all.includes(given)) this.#files.delete(given);
    for (const given of all) {
      const file = this.#files.get(given) ?? new GivenFile(given, () => this.#remove(given));
      this.#files.set(given, file);
      file.render();
    }
    arrange(this.#list, all.map((given) => /** @type {GivenFile} */ (this.#files.get(given)).element));
    this.hidden = all.length === 0;
    this.#renderSight();
    this.announce('tray-change');
  }

  #renderSight() {
    const models = this.#columns.shown.map(({ model }) =>
      ({ name: this.#client.nameOf(model), sees: this.#client.models.get(model)?.capabilities.vision }));
    const text = this.#attaching.hasPicture ? sightOf(models) : '';
    this.#sight.hidden = !text;
    setText(this.#sight, text);
  }

  /** @param {Given} given */
  #remove(given) {
    const at = this.#attaching.all.indexOf(given);
    this.#attaching.remove(given);
    setText(this.#status, `${given.name} is removed.`);
    const next = this.#attaching.all[at] ?? this.#attaching.all.at(-1);
    if (next) this.#files.get(next)?.focus();
    else this.closest('form')?.querySelector('textarea')?.focus();
  }
}

/** One file in the tray. */
class GivenFile {
  #given;
  #face = h('span', { class: 'face' }, icon('common'));
  #name = h('span', { class: 'file-name', dir: 'auto' });
  #facts = h('span', { class: 'file-size' });
  #progress = h('progress', { max: 1 });
  #problem = h('p', { class: 'file-problem', hidden: true });
  #remove;

  /** @param {Given} given @param {() => void} remove */
  constructor(given, remove) {
    this.#given = given;
    this.#remove = iconButton('close', `Remove ${given.name}`);
    this.#remove.addEventListener('click', remove);
    this.#progress.setAttribute('aria-label', `Sending ${given.name}`);
    this.element = h('li', {}, this.#face,
      h('div', { class: 'file-words' }, this.#name, this.#facts, this.#progress, this.#problem), this.#remove);
  }

  focus() {
    this.#remove.focus();
  }

  render() {
    const { attachment, bytes, error, fraction, name } = this.#given;
    setText(this.#name, name);
    this.#name.title = name;
    setText(this.#facts, [attachment?.width ? `${attachment.width} × ${attachment.height}` : '', sizeLabel(bytes)].filter(Boolean).join(' · '));
    this.#progress.hidden = !!attachment || !!error;
    this.#progress.value = fraction;
    if (attachment?.kind === 'image' && !this.#face.querySelector('img')) this.#face.replaceChildren(thumbnail(attachment));
    this.element.classList.toggle('is-refused', !!error);
    this.#problem.hidden = !error;
    if (error && !this.#problem.hasChildNodes()) this.#problem.append(...withCode(errorText(error)), ' ', h('b', {}, 'Remove it, so that the prompt can be sent.'));
  }
}

/** Say what became of a file. @param {Given} given */
function outcome({ attachment, error, name }) {
  if (error || !attachment) return error ? `${name} is not added. ${errorText(error)}` : '';
  const { bytes, height, kind, width } = attachment;
  return kind === 'image'
    ? `Picture ${name} added, ${width} by ${height}, ${sizeLabel(bytes)}.`
    : `File ${name} added, ${sizeLabel(bytes)}.`;
}

/** The attachments of a prompt, in the chat. @param {Element} place @param {import('../client/protocol.js').Attachment[]} attachments */
export function showAttached(place, attachments) {
  place.replaceChildren(...attachments.map((one) => h('li', {}, one.kind === 'image' ? thumbnail(one) : fileLink(one))));
}

customElements.define('attachment-tray', AttachmentTray);
