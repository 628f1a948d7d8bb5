/**
 * `<prompt-composer>`: where the prompt is written, and how it will be asked.
 *
 * Enter sends, Shift-Enter makes a new line; while an input method is composing, Enter is its own.
 * The draft is remembered until it is sent. What is sent while an answer is being written waits
 * above the field, and can be taken back from there.
 *
 * Events: `prompt-send` with `{text}`, `prompt-stop`, `queue-resume`, `queue-remove` with
 * `{index}`, `settings-set` with `{mode}`, `{isBlind}` or `{details}`, `parameters-open`.
 */

import { PageElement, h, iconButton, setText } from './element.js';
import { icon } from './icons.js';
import { visits } from './storage.js';

/** @import { Director, Settings } from '../model/director.js' */

const MODES = { all: 'All at once', sequence: 'One after the other', together: 'Together when ready' };

export class PromptComposer extends PageElement {
  #isBusy = false;
  #obstacle = '';
  #fault = '';
  #input = h('textarea', {
    rows: 1,
    dir: 'auto',
    'aria-label': 'Prompt',
    placeholder: 'Ask every selected model',
    enterkeyhint: 'send',
    'aria-describedby': 'composer-hint',
  });
  #sendText = h('span', {}, 'Send');
  #send = h('button', { type: 'submit', class: 'send' }, icon('send'), this.#sendText);
  #stop = h('button', { type: 'button', class: 'stop-all', hidden: true }, icon('stop'), h('span', {}, 'Stop all'));
  #mode = h('select', { class: 'quiet', 'aria-label': 'How the models are asked' },
    ...Object.entries(MODES).map(([value, text]) => h('option', { value }, text)));
  #blind = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', title: 'Hide the names until you have voted' }, 'Blind');
  #details = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', title: 'Ask how sure the models are of each token' }, 'How sure');
  #parameters = h('button', { type: 'button', class: 'quiet' }, 'Parameters');
  #hint = h('p', { class: 'hint', id: 'composer-hint' });
  #queue = h('ol', { class: 'queue', 'aria-label': 'Prompts that wait', hidden: true });
  #form = h('form', {}, this.#input, this.#stop, this.#send);

  /** @param {string} obstacle Why nothing can be sent; empty if it can. */
  set obstacle(obstacle) {
    this.#obstacle = obstacle;
    this.#render();
  }

  /** @param {string} fault What went wrong at last, shown until something is sent. */
  set fault(fault) {
    this.#fault = fault;
    this.#render();
  }

  /** @param {Settings} settings */
  set settings({ mode, isBlind, details, parameters, system }) {
    this.#mode.value = mode;
    this.#blind.setAttribute('aria-pressed', String(isBlind));
    this.#details.setAttribute('aria-pressed', String(details));
    const count = Object.keys(parameters).length + (system ? 1 : 0);
    setText(this.#parameters, count ? `Parameters (${count})` : 'Parameters');
  }

  // Lifecycle

  /** @override */
  build() {
    const draft = visits.recall('draft');
    if (typeof draft === 'string') this.#input.value = draft;
    this.append(this.#queue, this.#form, h('div', { class: 'composer-foot' }, this.#mode, this.#blind, this.#details, this.#parameters, this.#hint));
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
    this.#parameters.addEventListener('click', () => this.announce('parameters-open'), { signal });
    window.addEventListener('resize', () => this.#fit(), { signal });
    this.#fit();
    this.#render();
  }

  // Actions

  /** @override */
  focus() {
    this.#input.focus();
  }

  /** Show what is going on. @param {Director} director */
  follow({ isBusy, isHeld, queue }) {
    this.#isBusy = isBusy;
    const go = h('button', { type: 'button', class: 'quiet' }, 'Go on');
    go.addEventListener('click', () => this.announce('queue-resume'));
    this.#queue.hidden = queue.length === 0;
    this.#queue.replaceChildren(...queue.map((text, index) => {
      const remove = iconButton('close', 'Take this prompt back');
      remove.addEventListener('click', () => this.announce('queue-remove', { index }));
      return h('li', {}, h('span', { dir: 'auto' }, text), remove);
    }), ...(isHeld ? [h('li', { class: 'held' }, h('span', {}, 'Stopped here.'), go)] : []));
    this.#render();
  }

  // Internal

  get #canSend() {
    return !this.#obstacle && this.#input.value.trim() !== '';
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    if (!this.#canSend) return;
    const text = this.#input.value.trim();
    this.#input.value = '';
    this.#fault = '';
    this.#edited();
    this.announce('prompt-send', { text });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (this.#canSend) this.#form.requestSubmit();
  }

  #edited() {
    visits.remember('draft', this.#input.value);
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
    this.#send.hidden = this.#isBusy && this.#input.value.trim() === '';
    setText(this.#sendText, this.#isBusy ? 'Queue' : 'Send');
    this.#stop.hidden = !this.#isBusy;
    this.#send.disabled = !this.#canSend;
    const keys = this.#isBusy ? 'Esc stops all' : '? lists the keys';
    setText(this.#hint, this.#fault || this.#obstacle || keys);
    this.#hint.classList.toggle('is-fault', this.#fault !== '');
  }
}

customElements.define('prompt-composer', PromptComposer);
