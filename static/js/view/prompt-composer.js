/**
 * `<prompt-composer>`: where the prompt is written, and how it will be asked.
 *
 * Enter sends, Shift-Enter makes a new line.
 * Pictures and files are chosen, pasted, or dropped anywhere on the page; sending waits until the
 * server has them. The draft is remembered until it is sent. What is sent while an answer is being written waits
 * above the field, and can be taken back from there.
 *
 * Events: `prompt-send` with `{text, attachments}`, `files-give` with `{files}`, `prompt-stop`, `queue-resume`, `queue-remove` with
 * `{index}`, `settings-set` with `{mode}`, `{isBlind}` or `{details}`, `parameters-open` with `{atSystem?}`.
 */

import { PageElement, h, iconButton, setText } from './element.js';
import { icon } from './icons.js';
import { askLabel } from './labels.js';
import { visits } from './storage.js';

/** @import { PromptScheduler, Settings } from '../model/prompt-scheduler.js' */
/** @import { AttachmentTray } from './attachment-tray.js' */

/** What file choosers offer; the server looks at the content. */
const FILES = 'image/png,image/jpeg,image/gif,image/webp,text/*,.md,.json,.csv,.log,.py,.js,.ts,.yaml,.toml,.xml';

/** `dragover` comes at least every 350 ms. */
const DRAG_MS = 600;

const MODES = { all: 'All at once', sequence: 'One after the other', together: 'Together when ready' };

export class PromptComposer extends PageElement {
  #isBusy = false;
  #obstacle = '';
  #fault = '';
  #note = '';
  /** What was written before a prompt was put in. */
  #draft = '';
  /** Files are on their way to a tray that is being loaded. */
  #isLoading = false;
  /** Send as soon as the server has the files. */
  #isAwaited = false;
  /** @type {AttachmentTray | null} */
  #tray = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #dropTimer;
  #input = h('textarea', {
    rows: 1,
    'aria-label': 'Prompt',
    enterkeyhint: 'send',
    'aria-describedby': 'composer-hint',
  });
  #sendText = h('span', {}, 'Send');
  #send = h('button', { type: 'submit', class: 'send' }, icon('send'), this.#sendText);
  #stop = h('button', { type: 'button', class: 'stop-all', hidden: true }, icon('stop'), h('span', {}, 'Stop all'));
  #file = h('input', { type: 'file', multiple: true, accept: FILES, hidden: true });
  #attach = iconButton('add', 'Add pictures and text files');
  #mode = h('select', { class: 'quiet', 'aria-label': 'How the models are asked' },
    ...Object.entries(MODES).map(([value, text]) => h('option', { value }, text)));
  #blind = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', title: 'Hide the names until you have voted' }, 'Blind');
  #details = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', title: 'Ask how sure the models are of each token' }, 'How sure');
  #parameters = h('button', { type: 'button', class: 'quiet' }, 'Parameters');
  #system = h('button', { type: 'button', class: 'quiet' });
  #hint = h('p', { class: 'hint', id: 'composer-hint' });
  #queue = h('ol', { class: 'queue', 'aria-label': 'Prompts that wait', hidden: true });
  #form = h('form', {}, this.#attach, this.#input, this.#stop, this.#send);

  /** @param {string} obstacle Why nothing can be sent; empty if it can. */
  set obstacle(obstacle) {
    this.#obstacle = obstacle;
    this.#render();
  }

  /** @param {Parameters<typeof askLabel>[0]} asked */
  set asked(asked) {
    this.#input.placeholder = askLabel(asked);
  }

  /** @param {string} fault What went wrong at last, shown until something is sent. */
  set fault(fault) {
    this.#fault = fault;
    this.#render();
  }

  /** @param {string} note What a choice that was made counts for, shown until something is sent. */
  set note(note) {
    this.#note = note;
    this.#render();
  }

  /** @param {boolean} isLoading Whether files are on their way to the tray. */
  set isLoading(isLoading) {
    this.#isLoading = isLoading;
    this.#trayChanged();
  }

  /** Where files are shown; null before there were any. */
  get tray() {
    return this.#tray;
  }

  set tray(tray) {
    this.#tray = tray;
    if (tray) this.#form.prepend(tray);
  }

  /** @param {Settings} settings */
  set settings({ mode, isBlind, details, parameters, system }) {
    this.#mode.value = mode;
    this.#blind.setAttribute('aria-pressed', String(isBlind));
    this.#details.setAttribute('aria-pressed', String(details));
    const count = Object.keys(parameters).length;
    setText(this.#parameters, count ? `Parameters (${count})` : 'Parameters');
    setText(this.#system, system ? 'System prompt ✓' : 'System prompt');
    this.#system.title = system;
  }

  // Lifecycle

  /** @override */
  build() {
    const draft = visits.get('draft');
    if (typeof draft === 'string') this.#input.value = draft;
    this.append(this.#queue, this.#form, h('div', { class: 'composer-foot' }, this.#mode, this.#blind, this.#details, this.#parameters, this.#system, this.#hint), this.#file);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#form.addEventListener('submit', (event) => this.#submit(event), { signal });
    this.#input.addEventListener('input', () => this.#edited(), { signal });
    this.#input.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    this.#stop.addEventListener('click', () => this.announce('prompt-stop'), { signal });
    this.#mode.addEventListener('change', () => this.announce('settings-set', { mode: this.#mode.value }), { signal });
    this.#blind.addEventListener('click', () =>
      this.announce('settings-set', { isBlind: this.#blind.getAttribute('aria-pressed') !== 'true' }), { signal });
    this.#details.addEventListener('click', () =>
      this.announce('settings-set', { details: this.#details.getAttribute('aria-pressed') !== 'true' }), { signal });
    this.#parameters.addEventListener('click', () => this.announce('parameters-open', {}), { signal });
    this.#system.addEventListener('click', () => this.announce('parameters-open', { atSystem: true }), { signal });
    this.#attach.addEventListener('click', () => this.#file.click(), { signal });
    this.#file.addEventListener('change', () => {
      this.#give(this.#file.files);
      this.#file.value = '';
    }, { signal });
    this.addEventListener('tray-change', () => this.#trayChanged(), { signal });
    document.addEventListener('paste', (event) => this.#pasted(event), { signal });
    for (const type of /** @type {const} */ (['dragover', 'drop'])) document.addEventListener(type, (event) => this.#dragged(event), { signal });
    window.addEventListener('resize', () => this.#fit(), { signal });
    this.#fit();
    this.#render();
  }

  // Actions

  /** @override */
  focus() {
    this.#input.focus();
  }

  /** A new chat begins: only what is written goes with it, and the files that belong to that. */
  beginChat() {
    this.note = '';
    this.#tray?.clear({ isAll: this.#input.value.trim() === '' });
    this.focus();
  }

  /** Put a prompt into the field; what was written there comes back once it is sent. @param {string} prompt */
  suggest(prompt) {
    this.#draft = this.#input.value;
    this.#input.value = prompt;
    this.#fit();
    this.#render();
  }

  /** Show what is going on. @param {PromptScheduler} scheduler */
  follow({ isBusy, isHeld, queue }) {
    this.#isBusy = isBusy;
    const go = h('button', { type: 'button', class: 'quiet' }, 'Go on');
    go.addEventListener('click', () => this.announce('queue-resume'));
    this.#queue.hidden = queue.length === 0;
    this.#queue.replaceChildren(...queue.map(({ text, attachments }, index) => {
      const remove = iconButton('close', 'Take this prompt back');
      remove.addEventListener('click', () => this.announce('queue-remove', { index }));
      const { length } = attachments;
      const files = length ? [h('small', {}, length === 1 ? '1 file' : `${length} files`)] : [];
      return h('li', {}, h('span', { dir: 'auto' }, text), ...files, remove);
    }), ...(isHeld ? [h('li', { class: 'held' }, h('span', {}, 'Stopped here.'), go)] : []));
    this.#render();
  }

  // Internal

  get #canSend() {
    return !this.#obstacle && !this.#tray?.hasFault && this.#hasDraft;
  }

  get #hasDraft() {
    return this.#input.value.trim() !== '' || this.#isGiving || !!this.#tray?.count;
  }

  get #isGiving() {
    return this.#isLoading || !!this.#tray?.isBusy;
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    if (!this.#canSend) return;
    this.#isAwaited = this.#isGiving;
    if (this.#isAwaited) return this.#render();
    const text = this.#input.value.trim();
    const attachments = this.#tray?.take() ?? [];
    this.#input.value = this.#draft;
    this.#draft = '';
    this.#fault = this.#note = '';
    this.#edited();
    this.announce('prompt-send', { text, attachments });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== 'Enter' || event.shiftKey) return;
    event.preventDefault();
    if (this.#canSend) this.#form.requestSubmit();
  }

  /** @param {Iterable<File> | null | undefined} files */
  #give(files) {
    this.announce('files-give', { files: [...files ?? []] });
    this.focus();
  }

  /** @param {ClipboardEvent} event */
  #pasted(event) {
    const { clipboardData, target } = event;
    const isElsewhere = target instanceof Element && target !== this.#input && target.closest('input, textarea, dialog');
    // Office programs add a picture of the text.
    const isText = clipboardData && ['text/plain', 'text/html'].every((type) => clipboardData.types.includes(type));
    if (isElsewhere || isText || !clipboardData?.files.length) return;
    event.preventDefault();
    this.#give(clipboardData.files);
  }

  /** Take files that are dropped; the browser would show them in place of the page. @param {DragEvent} event */
  #dragged(event) {
    const { dataTransfer, type } = event;
    if (!dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    clearTimeout(this.#dropTimer);
    if (document.querySelector('dialog[open]')) dataTransfer.dropEffect = 'none';
    else if (type === 'drop') this.#give(dataTransfer.files);
    else {
      if (!this.#tray && !this.#isLoading) this.announce('files-give', { files: [] }); // it has the styles
      this.dataset.drop = '';
      // Browsers do not agree on how they tell that the pointer left the page.
      this.#dropTimer = setTimeout(() => this.#endDrop(), DRAG_MS);
      return;
    }
    this.#endDrop();
  }

  #endDrop() {
    delete this.dataset.drop;
  }

  #trayChanged() {
    const isNow = this.#isAwaited && !this.#isGiving;
    if (isNow) this.#isAwaited = false;
    this.#render();
    if (isNow && this.#canSend) this.#form.requestSubmit();
  }

  #edited() {
    this.#isAwaited = false;
    visits.set('draft', this.#draft || this.#input.value);
    this.#fit();
    this.#render();
  }

  /** Make the field as high as its text; the style sheet sets the limit. */
  #fit() {
    this.#input.style.height = 'auto';
    this.#input.style.height = `${this.#input.scrollHeight}px`;
  }

  #render() {
    // While something is written, an empty field offers nothing but to stop.
    this.#send.hidden = this.#isBusy && !this.#hasDraft;
    setText(this.#sendText, this.#isBusy ? 'Queue' : 'Send');
    this.#stop.hidden = !this.#isBusy;
    this.#send.disabled = !this.#canSend || this.#isAwaited;
    const wait = this.#isAwaited ? 'Sent as soon as the files are there' : this.#tray?.hasFault ? 'Remove what was not added' : '';
    const keys = !matchMedia('(pointer: fine)').matches ? '' : this.#isBusy ? 'Esc stops all' : 'Press ? for help';
    setText(this.#hint, this.#fault || this.#obstacle || wait || this.#note || keys);
    this.#hint.classList.toggle('is-fault', this.#fault !== '' || (!this.#obstacle && !this.#isAwaited && !!this.#tray?.hasFault));
  }
}

customElements.define('prompt-composer', PromptComposer);
