/**
 * One kept prompt set: its name and tags, its prompts as text, its versions, and what can be done with it.
 *
 * A set of single lines is written as lines, every other one as JSON Lines. Saved prompts are a new version; runs keep
 * the one that they have asked. What is wrong is told with its line and column, and the text stays.
 */

import { SidestreamError } from '../client/protocol.js';
import { counted, formOf, plainLines, tagsIn } from '../model/prompt-sets.js';
import { h, setText } from './element.js';
import { letAgain } from './let-again.js';
import { FILES } from './prompt-source.js';
import { problemList } from './run-problems.js';

/** @import { FileForm, PromptSet } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

/** More is changed in a program of one's own. */
const MOST_PROMPTS = 5000;
const MOST_CHARS = 1_000_000;

/** What was changed and is not yet saved, by set: Escape does not lose it. @type {Map<string, {version: string, name: string, tags: string, text: string | null}>} */
const drafts = new Map();

export class SetForm {
  #host;
  #signal;
  #set;
  /** The version whose prompts are shown. */
  #shown = '';
  /** As it was read. */
  #before = '';
  /** @type {FileForm} */
  #form = 'lines';
  #name = h('input', { id: 'set-name', maxlength: 300, required: true, autocomplete: 'off', dir: 'auto' });
  #tags = h('input', { id: 'set-tags', autocomplete: 'off', dir: 'auto', 'aria-describedby': 'set-tags-hint' });
  #version = h('select', { id: 'set-version' });
  #text = h('textarea', { id: 'set-text', rows: 14, spellcheck: 'false', dir: 'auto', disabled: true, 'aria-describedby': 'set-text-hint run-problem' });
  #hint = h('span', { id: 'set-text-hint', class: 'field-hint' });
  #file = h('input', { id: 'set-file', type: 'file', accept: FILES });
  #problem = h('div', { id: 'run-problem', role: 'alert' });
  #told = h('span', { class: 'run-words', role: 'status' });
  #save = h('button', { type: 'submit', class: 'quiet' }, 'Save');
  #links = h('span', { class: 'run-exports' });
  #delete = button('Delete…', () => this.#ask());
  #no = button('Keep it', () => this.#endAsking());
  #asking = h('div', { class: 'run-acts', role: 'group', 'aria-label': 'Delete', hidden: true },
    h('span', {}, 'Delete this set? Runs keep the prompts that they have asked.'), button('Delete it', () => this.#remove()), this.#no);
  element = h('form', { class: 'run-page run-form' },
    h('div', { class: 'run-acts' }, button('New run with it', () => this.#host.begin({ set: this.#set.id })), this.#delete, this.#links),
    this.#asking,
    h('div', { class: 'fields' },
      h('div', {}, h('label', { for: 'set-name' }, 'Name'), this.#name),
      h('div', {}, h('label', { for: 'set-tags' }, 'Tags'), this.#tags, h('span', { class: 'field-hint', id: 'set-tags-hint' }, 'With commas between them.')),
      h('div', {}, h('label', { for: 'set-version' }, 'Version'), this.#version)),
    h('div', {}, h('label', { for: 'set-text' }, 'Prompts'), this.#text, this.#hint),
    h('div', {}, h('label', { for: 'set-file' }, 'Or take the prompts of a file'), this.#file),
    this.#problem, h('div', { class: 'run-acts' }, this.#save, this.#told));

  /** @param {Host} host @param {AbortSignal} signal @param {PromptSet} set */
  constructor(host, signal, set) {
    this.#host = host;
    this.#signal = signal;
    this.#set = set;
    const draft = drafts.get(set.id);
    this.#name.value = draft?.name ?? set.name;
    this.#tags.value = draft?.tags ?? set.tags.join(', ');
    host.name(set.name);
    this.#version.addEventListener('change', () => void host.attempt(() => this.#read()));
    this.#file.addEventListener('change', () => this.#tell(null));
    this.element.addEventListener('input', ({ target }) => {
      setText(this.#told, '');
      if (target === this.#name || target === this.#tags || target === this.#text) this.#keep();
    });
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    void host.attempt(() => this.#load());
  }

  back = () => this.#host.sets(this.#set.id);

  focus() {
    this.#name.focus();
  }

  // Internal

  /** Keep what is changed until it is saved. */
  #keep() {
    const before = drafts.get(this.#set.id);
    const { version, text } = this.#text.disabled ? before ?? { version: this.#shown, text: null } : { version: this.#shown, text: this.#text.value };
    drafts.set(this.#set.id, { version, name: this.#name.value, tags: this.#tags.value, text });
  }

  /** Show what was changed in the version that is shown, and not saved. */
  #takeDraft() {
    const draft = drafts.get(this.#set.id);
    if (!draft) return;
    if (draft.version === this.#shown && draft.text !== null && !this.#text.disabled) this.#text.value = draft.text;
    setText(this.#told, 'Not saved yet');
  }

  /** Read the versions, and the present one. */
  async #load() {
    const { versions } = await this.#host.api.versions(this.#set.id);
    if (this.#signal.aborted) return;
    this.#version.replaceChildren(...versions.map(({ version, prompts, created }, index) =>
      h('option', { value: version }, `${index ? new Date(created * 1000).toLocaleString() : 'The present one'} (${counted(prompts, 'prompt')})`)));
    this.#version.disabled = versions.length < 2;
    await this.#read();
  }

  /** Show the prompts of the version that is chosen. */
  async #read() {
    const { api } = this.#host;
    const { id } = this.#set;
    const version = this.#version.value;
    const links = /** @type {['csv' | 'jsonl', string][]} */ ([['csv', 'CSV'], ['jsonl', 'JSON Lines']]);
    this.#links.replaceChildren('Download: ', ...links.flatMap(([form, words]) => [h('a', { href: api.setUrl(id, form, version), download: true }, words), ' ']));
    const isPresent = version === this.#set.version;
    const text = isPresent && this.#set.prompts > MOST_PROMPTS ? null : await this.#textOf(version);
    if (this.#signal.aborted || version !== this.#version.value) return;
    this.#text.disabled = text === null;
    this.#text.value = text ?? '';
    this.#shown = version;
    this.#before = isPresent ? this.#text.value : '';
    this.#takeDraft();
    setText(this.#hint, text === null ? 'These are too many to be changed here: download them, and take the changed file.'
      : this.#form === 'lines' ? 'One a line.' : 'JSON Lines: an object a line; the first says what is common to all.');
    this.#tell(null);
  }

  /** @param {string} version @returns {Promise<string | null>} */
  async #textOf(version) {
    const { api } = this.#host;
    if (version === this.#set.version) {
      const lines = plainLines(await api.set(this.#set.id, MOST_PROMPTS));
      this.#form = lines === null ? 'jsonl' : 'lines';
      if (lines !== null) return lines.length > MOST_CHARS ? null : lines;
    }
    this.#form = 'jsonl';
    const text = await api.lines(this.#set.id, version);
    return text.length > MOST_CHARS ? null : text;
  }

  async #submit() {
    const [file] = this.#file.files ?? [];
    this.#tell(null);
    this.#save.disabled = true;
    try {
      const { api } = this.#host;
      const { id } = this.#set;
      if (file) this.#set = await api.replace(id, file, { form: formOf(file.name) });
      else if (!this.#text.disabled && this.#text.value !== this.#before) this.#set = await api.replace(id, this.#text.value, { form: this.#form });
      this.#set = await api.change(id, { name: this.#name.value.trim(), tags: tagsIn(this.#tags.value) });
      drafts.delete(id);
      if (this.#signal.aborted) return;
      this.#host.name(this.#set.name);
      this.#file.value = '';
      setText(this.#told, 'Saved');
      await this.#load();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.#tell(error);
    } finally {
      letAgain(this.#save);
    }
  }

  #ask() {
    this.#asking.hidden = false;
    this.#no.focus();
  }

  #endAsking() {
    this.#asking.hidden = true;
    this.#delete.focus();
  }

  #remove() {
    const { id, name } = this.#set;
    const { api } = this.#host;
    this.#host.remove({ id, name, send: () => api.forget(id) });
  }

  /** @param {SidestreamError | null} error */
  #tell(error) {
    this.#problem.replaceChildren(...(error ? [problemList(error)] : []));
  }
}

/** @param {string} words @param {() => unknown} act */
function button(words, act) {
  const made = h('button', { type: 'button', class: 'quiet' }, words);
  made.addEventListener('click', act);
  return made;
}
