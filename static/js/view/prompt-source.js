/**
 * Where the prompts of a new run come from: pasted lines, a file, which may be dropped here, or a kept set.
 *
 * What was given last counts, and the others are emptied. The first prompts are shown; of a file they are read by
 * the server, which tells all that is wrong with its line and column, and keeps nothing.
 */

import { SidestreamError } from '../client/protocol.js';
import { askedWords, checkWords, formOf, isExportedRun, lookWords, setWords, setsWith, withoutOutcomes } from '../model/prompt-sets.js';
import { promptLines } from '../model/run-table.js';
import { h, setText } from './element.js';
import { withCode } from './error-notice.js';

/** @import { FileForm, PromptSet } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

/** @typedef {{set?: string, lines?: string, file?: File, note?: string}} Given What the form begins with; `note`: what was left out. */

/** Fewer are found without a search. */
const FEW_SETS = 8;
const SHOWN = 5;
const HEAD_BYTES = 64;
/** Files that are offered first. */
export const FILES = '.csv,.tsv,.jsonl,.ndjson,.txt,.md,text/plain,text/csv';
/** @type {[FileForm, string][]} */
const FORMS = [['auto', 'As it looks'], ['lines', 'A prompt a line'], ['csv', 'A table'], ['jsonl', 'JSON Lines']];

/** What was written and is not yet asked: Escape does not lose it. */
let draft = '';

export class PromptSource {
  #host;
  #signal;
  #tell;
  /** @type {PromptSet[]} */
  #sets = [];
  /** Prompts came with the form: they are not what was written before, which is kept. */
  #isGiven;
  /** Another number for what was given later. */
  #given = 0;
  #text = h('textarea', { id: 'run-prompts', rows: 6, dir: 'auto', 'aria-describedby': 'run-prompts-hint run-problem', placeholder: 'Name a river.\nName a lighthouse.' });
  #count = h('span', { id: 'run-prompts-hint', class: 'field-hint', 'aria-live': 'polite' });
  #file = h('input', { id: 'run-file', type: 'file', accept: FILES, 'aria-describedby': 'run-file-hint run-problem' });
  #set = h('select', { id: 'run-set' });
  #search = h('input', { type: 'search', 'aria-label': 'Search kept sets', placeholder: 'Search', autocomplete: 'off', hidden: true });
  #note = h('p', { class: 'field-hint', hidden: true });
  #found = h('p', { class: 'field-hint' });
  #unchecked = h('p', { class: 'field-hint', hidden: true });
  #form = h('select', { id: 'run-file-form' }, ...FORMS.map(([form, words]) => h('option', { value: form }, words)));
  #forms = h('div', { class: 'run-file-form', hidden: true }, h('label', { for: 'run-file-form' }, 'Read the file as'), this.#form);
  #first = h('ol', { class: 'run-first', 'aria-label': 'First prompts' });
  #preview = h('div', { 'aria-live': 'polite', hidden: true }, this.#found, this.#unchecked, this.#first);
  element = h('div', { class: 'run-source' },
    h('div', {}, h('label', { for: 'run-prompts' }, 'Prompts, one a line'), this.#text, this.#count),
    h('div', { class: 'fields' },
      h('div', {}, h('label', { for: 'run-file' }, 'Or a file'), this.#file,
        h('span', { class: 'field-hint', id: 'run-file-hint' }, ...withCode('CSV, JSON Lines or a prompt a line; it can be dropped here. Column `checks` says what passes; `expected` is for them and for judges.'))),
      h('div', {}, h('label', { for: 'run-set' }, 'Or a kept set'), this.#search, this.#set)),
    this.#note, this.#forms, this.#preview);

  /** @param {Host} host @param {AbortSignal} signal @param {(error: SidestreamError | null) => void} tell Say what is wrong with the prompts, null: nothing is known to be. @param {Given} given */
  constructor(host, signal, tell, given) {
    this.#host = host;
    this.#signal = signal;
    this.#tell = tell;
    this.#isGiven = !!(given.lines ?? given.file ?? given.set);
    this.#text.addEventListener('input', () => {
      this.#isGiven = false;
      this.#changed(this.#text);
    });
    this.#file.addEventListener('change', () => this.#takeFile());
    this.#form.addEventListener('change', () => this.#changed(this.#file));
    this.#set.addEventListener('change', () => this.#changed(this.#set));
    this.#search.addEventListener('input', () => this.#list());
    this.#takeFiles();
    this.#list();
    this.#text.value = given.lines ?? (given.file || given.set ? '' : draft);
    this.#note.textContent = given.note ?? '';
    this.#note.hidden = !given.note;
    if (given.file) this.#give([given.file]);
    else this.#changed(this.#text);
    void host.attempt(() => this.#load(given.set));
  }

  focus() {
    (this.#text.value || !this.#set.value ? this.#text : this.#set).focus();
  }

  /** Whether nothing was given. */
  get isEmpty() {
    return !this.#set.value && !this.#file.files?.length && promptLines(this.#text.value).length === 0;
  }

  // Actions

  /** The set to ask, kept anew unless it is one already. Rejects with a SidestreamError. @param {string} name @returns {Promise<{id: string, isNew: boolean}>} */
  async keep(name) {
    this.#given += 1; // what is still read is told by this
    if (this.#set.value) return { id: this.#set.value, isNew: false };
    const [file] = this.#file.files ?? [];
    const { api } = this.#host;
    const { id } = file
      ? await api.keep(await promptsOf(file), { name: name || file.name.replace(/\.\w+$/, ''), form: this.#chosenForm })
      : await api.keep(promptLines(this.#text.value).join('\n'), { name, form: 'lines' });
    return { id, isNew: true };
  }

  /** It was asked. */
  forget() {
    if (!this.#isGiven) draft = '';
  }

  // Internal

  get #chosenForm() {
    return /** @type {FileForm} */ (this.#form.value);
  }

  /** @param {string} [chosen] */
  async #load(chosen) {
    this.#sets = (await this.#host.api.sets()).sets.filter(({ id }) => !this.#host.isRemoved(id));
    if (this.#signal.aborted) return;
    this.#search.hidden = this.#sets.length <= FEW_SETS;
    this.#list();
    if (!chosen) return;
    this.#set.value = chosen;
    if (this.#set.value) this.#changed(this.#set);
  }

  #list() {
    const { value } = this.#set;
    const found = setsWith(this.#sets, this.#search.value);
    const first = found.length ? 'Choose…' : this.#sets.length ? 'None has these words' : 'None is kept';
    this.#set.replaceChildren(h('option', { value: '' }, first),
      ...found.map(({ id, name, prompts }) => h('option', { value: id }, `${name} (${prompts.toLocaleString('en')})`)));
    this.#set.disabled = this.#sets.length === 0;
    this.#set.value = value;
    if (this.#set.selectedIndex < 0) this.#set.value = '';
    if (value && !this.#set.value) this.#changed(this.#set);
  }

  #takeFiles() {
    const over = (/** @type {boolean} */ isOver) => this.element.classList.toggle('is-over', isOver);
    this.element.addEventListener('dragover', (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      over(true);
    });
    this.element.addEventListener('dragleave', ({ relatedTarget }) => over(relatedTarget instanceof Node && this.element.contains(relatedTarget)));
    this.element.addEventListener('drop', (event) => {
      over(false);
      const files = [...(event.dataTransfer?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      event.stopPropagation();
      this.#give(files);
    });
  }

  /** @param {File[]} files The first counts. */
  #give([file]) {
    const data = new DataTransfer();
    data.items.add(file);
    this.#file.files = data.files;
    this.#takeFile();
  }

  /** Another file is what its name says. */
  #takeFile() {
    const [file] = this.#file.files ?? [];
    this.#form.value = file ? formOf(file.name) : 'auto';
    this.#changed(this.#file);
  }

  /** Prompts come from one place: what was given last. @param {HTMLElement} source */
  #changed(source) {
    this.#given += 1;
    if (source !== this.#text) this.#text.value = '';
    if (source !== this.#file) this.#file.value = '';
    if (source !== this.#set) this.#set.value = '';
    if (!this.#isGiven) draft = this.#text.value;
    const count = promptLines(this.#text.value).length;
    setText(this.#count, count ? `${count.toLocaleString('en')} ${count === 1 ? 'prompt' : 'prompts'}` : '');
    this.#tell(null);
    this.#forms.hidden = !this.#file.files?.length;
    this.#show('', []);
    void this.#look();
  }

  /** Show what the file or the set has in it. */
  async #look() {
    const given = this.#given;
    const [file] = this.#file.files ?? [];
    const set = this.#set.value;
    if (!file && !set) return;
    try {
      const found = file ? await this.#lookAt(file) : await this.#lookInto(set);
      if (given === this.#given && !this.#signal.aborted) this.#show(...found);
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      if (given === this.#given && !this.#signal.aborted) this.#tell(error);
    }
  }

  /** @param {File} file @returns {Promise<[string, string[], string]>} */
  async #lookAt(file) {
    const look = await this.#host.api.look(await promptsOf(file), { form: this.#chosenForm });
    return [lookWords(look), look.first, checkWords(look)];
  }

  /** @param {string} id @returns {Promise<[string, string[], string]>} */
  async #lookInto(id) {
    const set = await this.#host.api.set(id, SHOWN);
    const { checks, own_checks: own, expected } = set;
    return [setWords(set), set.items.map((item) => askedWords(set, item)), checkWords({ checks: checks.length + own, expected })];
  }

  /** @param {string} words @param {string[]} first @param {string} [unchecked] */
  #show(words, first, unchecked = '') {
    this.#preview.hidden = !words;
    setText(this.#found, words);
    this.#unchecked.hidden = !unchecked;
    this.#unchecked.replaceChildren(...withCode(unchecked));
    this.#first.replaceChildren(...first.map((text) => h('li', { dir: 'auto' }, text)));
  }
}

/** @param {File} file @returns {Promise<Blob>} */
async function promptsOf(file) {
  const isRun = isExportedRun(await file.slice(0, HEAD_BYTES).text());
  return isRun ? new Blob([withoutOutcomes(await file.text())]) : file;
}
