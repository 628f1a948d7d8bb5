/**
 * `<prompt-composer>`: where the prompt is written.
 *
 * Enter sends, Shift-Enter makes a new line; while an input method is composing, Enter is its own.
 * The draft is remembered until it is sent. While an answer is being written the button stops all,
 * and Enter does nothing.
 *
 * Events: `prompt-send` with `{text}`, `prompt-stop`.
 */

import { PageElement, h, setText } from './element.js';
import { icon } from './icons.js';
import { recall, remember } from './storage.js';

export class PromptComposer extends PageElement {
  #isBusy = false;
  #obstacle = '';
  #fault = '';
  #input = h('textarea', {
    rows: 1,
    'aria-label': 'Prompt',
    placeholder: 'Ask every selected model',
    enterkeyhint: 'send',
    'aria-describedby': 'composer-hint',
  });
  #send = h('button', { type: 'submit', class: 'send' }, icon('send'), 'Send');
  #stop = h('button', { type: 'button', class: 'stop-all', hidden: true }, icon('stop'), 'Stop all');
  #hint = h('p', { class: 'hint', id: 'composer-hint' });
  #form = h('form', {}, this.#input, this.#send, this.#stop);

  /** @param {boolean} isBusy Whether an answer is being written. */
  set isBusy(isBusy) {
    this.#isBusy = isBusy;
    this.#render();
  }

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

  // Lifecycle

  /** @override */
  build() {
    const draft = recall('draft');
    if (typeof draft === 'string') this.#input.value = draft;
    this.append(this.#form, this.#hint);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#form.addEventListener('submit', (event) => this.#submit(event), { signal });
    this.#input.addEventListener('input', () => this.#edited(), { signal });
    this.#input.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    this.#stop.addEventListener('click', () => this.announce('prompt-stop'), { signal });
    window.addEventListener('resize', () => this.#fit(), { signal });
    this.#fit();
    this.#render();
  }

  // Actions

  /** @override */
  focus() {
    this.#input.focus();
  }

  // Internal

  get #canSend() {
    return !this.#isBusy && !this.#obstacle && this.#input.value.trim() !== '';
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
    remember('draft', this.#input.value);
    this.#fit();
    this.#render();
  }

  /** Make the field as high as its text; the style sheet sets the limit. */
  #fit() {
    this.#input.style.height = 'auto';
    this.#input.style.height = `${this.#input.scrollHeight}px`;
  }

  #render() {
    this.#send.hidden = this.#isBusy;
    this.#stop.hidden = !this.#isBusy;
    this.#send.disabled = !this.#canSend;
    const keys = this.#isBusy
      ? 'Esc stops all'
      : 'Enter to send · Shift + Enter for a new line';
    setText(this.#hint, this.#fault || this.#obstacle || keys);
  }
}

customElements.define('prompt-composer', PromptComposer);
