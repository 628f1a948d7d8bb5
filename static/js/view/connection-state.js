/**
 * `<connection-state>`: whether the page is connected, and the time until the next attempt.
 *
 * Events: `connection-retry` when the user asks for an attempt now.
 */

import { PageElement, h, setText } from './element.js';

/** @import { ConnectionState } from '../client/connection.js' */

const COUNTDOWN_EVERY_MS = 250;

export class ConnectionStateView extends PageElement {
  /** @type {ConnectionState} */
  #state = { name: 'connecting' };
  #text = h('span', { role: 'status' });
  #countdown = h('span', {}); // outside the status, so that seconds are not read aloud
  #retry = h('button', { type: 'button', class: 'quiet', hidden: true });

  /** @param {ConnectionState} state */
  set state(state) {
    this.#state = state;
    this.#render();
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#text, this.#countdown, this.#retry);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#retry.addEventListener('click', () => this.announce('connection-retry'), { signal });
    const timer = setInterval(() => this.#renderCountdown(), COUNTDOWN_EVERY_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
    this.#render();
  }

  // Internal

  #render() {
    const { name } = this.#state;
    this.dataset.state = name;
    this.title = 'reason' in this.#state ? this.#state.reason : '';
    const words = { connecting: 'Connecting', connected: 'Connected', waiting: 'Reconnecting', closed: 'Disconnected' };
    setText(this.#text, words[name]);
    this.#retry.hidden = name === 'connecting' || name === 'connected';
    setText(this.#retry, name === 'closed' ? 'Reconnect' : 'Try now');
    this.#renderCountdown();
  }

  #renderCountdown() {
    if (this.#state.name !== 'waiting') return setText(this.#countdown, '');
    const seconds = Math.max(0, Math.ceil((this.#state.retryAtMs - Date.now()) / 1000));
    setText(this.#countdown, `in ${seconds} s`);
  }
}

customElements.define('connection-state', ConnectionStateView);
