/**
 * What is attached to the prompt that is being written. No DOM.
 *
 * Files are put one after the other, so that many neither hold up the answers nor run into limits.
 * What the server has is remembered with the draft.
 */

import { Emitter } from '../client/emitter.js';
import { SidestreamError } from '../client/protocol.js';

/** @import { Attachment } from '../client/protocol.js' */
/** @import { Attachments } from '../client/attachments.js' */
/** @import { Memory } from './workspace.js' */

/**
 * A file that was given.
 *
 * @typedef {object} Given
 * @property {string} name
 * @property {number} bytes
 * @property {number} fraction How much of it is sent.
 * @property {Attachment | null} attachment What the server says that it is.
 * @property {SidestreamError | null} error Why it is not taken.
 * @property {AbortController} unwanted
 */

/** How many files a prompt may have. */
export const MAX_FILES = 50;

/** @extends {Emitter<{change: void, told: Given}>} `told`: the server has said what a file is, or why it is not taken. */
export class Attaching extends Emitter {
  /** @type {Given[]} */
  all = [];
  #api;
  #memory;
  #work = Promise.resolve();

  /** @param {{api: Pick<Attachments, 'put' | 'has'>, memory: Memory}} parts */
  constructor({ api, memory }) {
    super();
    this.#api = api;
    this.#memory = memory;
    const saved = memory.get('attached');
    if (Array.isArray(saved)) this.all = saved.filter((one) => one?.id).map(restored);
    for (const one of this.all) void this.#check(one);
  }

  /** Whether a file is still on its way. */
  get isBusy() {
    return this.all.some(({ attachment, error }) => !attachment && !error);
  }

  /** Whether a file was not taken. */
  get hasFault() {
    return this.all.some(({ error }) => error);
  }

  get hasPicture() {
    return this.all.some(({ attachment }) => attachment?.kind === 'image');
  }

  // Actions

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      /** @type {Given} */
      const given = { name: file.name, bytes: file.size, fraction: 0, attachment: null, error: null, unwanted: new AbortController() };
      this.all = [...this.all, given];
      this.#work = this.#work.then(() => this.#put(given, file));
    }
    this.#changed();
  }

  /** @param {Given} given */
  remove(given) {
    given.unwanted.abort();
    this.all = this.all.filter((one) => one !== given);
    this.#changed();
  }

  /** Leave the files out of another chat. @param {{isAll: boolean}} options Or only those that were not taken. */
  clear({ isAll }) {
    for (const given of this.all) if (isAll || given.error) this.remove(given);
  }

  /** Return what is attached, for a prompt that is sent; nothing is attached to the next one. */
  take() {
    const taken = this.all.flatMap(({ attachment }) => attachment ?? []);
    this.all = [];
    this.#changed();
    return taken;
  }

  // Internal

  /** @param {Given} given @param {File} file */
  async #put(given, file) {
    const { signal } = given.unwanted;
    if (signal.aborted) return;
    try {
      const at = this.all.indexOf(given);
      if (at >= MAX_FILES) throw new SidestreamError({ code: 'too_many', message: `A prompt may have ${MAX_FILES} files.` });
      const onProgress = (/** @type {number} */ fraction) => {
        given.fraction = fraction;
        this.emit('change', undefined);
      };
      const attachment = await this.#api.put(file, { onProgress, signal });
      const isTwice = this.all.some((one) => one.attachment?.id === attachment.id);
      if (isTwice) return this.remove(given);
      given.attachment = attachment;
      given.name = attachment.name;
    } catch (error) {
      if (signal.aborted) return;
      // Whatever it is, the files after this one are put.
      given.error = error instanceof SidestreamError ? error : new SidestreamError({ code: 'unreadable', message: String(error) });
    }
    this.#changed();
    this.emit('told', given);
  }

  /** Say so if the server has dropped it meanwhile. @param {Given} given */
  async #check(given) {
    if (!given.attachment || await this.#api.has(given.attachment.id)) return;
    given.attachment = null;
    given.error = new SidestreamError({ code: 'unknown_attachment', message: 'The server no longer has it. Add it again.' });
    this.#changed();
  }

  #changed() {
    this.#memory.set('attached', this.all.flatMap(({ attachment }) => attachment ?? []));
    this.emit('change', undefined);
  }
}

/** @param {Attachment} attachment @returns {Given} */
function restored(attachment) {
  return { name: attachment.name, bytes: attachment.bytes, fraction: 1, attachment, error: null, unwanted: new AbortController() };
}

/** Say which models cannot see pictures, and what that means. @param {{name: string, sees: boolean | undefined}[]} models */
export function sightOf(models) {
  const named = (/** @type {boolean | undefined} */ wanted) =>
    [...new Set(models.filter(({ sees }) => sees === wanted).map(({ name }) => name))].sort();
  const list = (/** @type {string[]} */ names) =>
    new Intl.ListFormat('en').format(names.length > 4 ? [...names.slice(0, 3), `${names.length - 3} others`] : names);
  const [blind, unknown] = [named(false), named(undefined)];
  const isOne = blind.length === 1;
  return [
    blind.length ? `${list(blind)} cannot see pictures, and ${isOne ? 'is' : 'are'} asked without them.` : '',
    unknown.length ? `Whether ${list(unknown)} can see pictures is not known.` : '',
  ].filter(Boolean).join(' ');
}
