/**
 * `<token-view>`: an answer token by token, tinted by the model's confidence in each.
 *
 * It replaces the answer's text, since Markdown has no tokens. A click on a token, or the arrow keys,
 * show the alternatives: left and right go by tokens, up and down by unsure ones. Tints are steps of
 * one hue and the last one is also underlined, so that no information depends on colour alone.
 *
 * `tokens` sets all of them; `add` adds what came since.
 */

import { PageElement, h, setText } from './element.js';
import { STEPS, UNSURE, probability, choices, step, summary, visible } from './confidence.js';

/** @import { Token } from '../client/protocol.js' */

let count = 0;

export class TokenView extends PageElement {
  /** @type {Token[]} */
  #tokens = [];
  /** The index of the selected token, or -1. */
  #at = -1;
  #id = `tokens-${(count += 1)}`;
  #summary = h('p', { class: 'tokens-summary' });
  #text = h('div', {
    class: 'tokens', role: 'listbox', tabindex: 0, dir: 'auto', 'aria-label': 'Tokens', 'aria-describedby': `${this.#id}-keys`,
  });
  #looked = h('div', { class: 'token-choices', role: 'status' });

  /** @param {Token[]} tokens */
  set tokens(tokens) {
    this.#tokens = [];
    this.#at = -1;
    this.#text.replaceChildren();
    this.#looked.replaceChildren();
    this.add(tokens);
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(
      h('div', { class: 'tokens-head' }, this.#summary, legend()),
      this.#text,
      h('p', { class: 'tokens-keys', id: `${this.#id}-keys` },
        'Click a token to see what else the model weighed; ', h('kbd', {}, '↑'), ' ', h('kbd', {}, '↓'), ' go to unsure ones.'),
      this.#looked,
    );
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#text.addEventListener('click', ({ target }) => {
      if (target instanceof HTMLElement && target.dataset.at) this.#look(Number(target.dataset.at));
    }, { signal });
    this.#text.addEventListener('keydown', (event) => this.#pressed(event), { signal });
  }

  // Actions

  /** Add tokens that came since. @param {Token[]} tokens */
  add(tokens) {
    this.#text.append(...tokens.map((token, index) => this.#span(token, this.#tokens.length + index)));
    this.#tokens.push(...tokens);
    setText(this.#summary, summary(this.#tokens));
  }

  // Internal

  /** @param {Token} token @param {number} at */
  #span({ text, logprob, special }, at) {
    const words = special ? visible(text) : text;
    const span = h('span', { class: `token sure-${step(logprob) ?? 'unknown'}`, role: 'option', 'aria-selected': 'false', id: `${this.#id}-${at}`, 'data-at': at }, words);
    if (special || words.trim() === '') span.setAttribute('aria-label', visible(text));
    span.classList.toggle('is-special', special);
    span.classList.toggle('is-break', !special && text.includes('\n'));
    return span;
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const to = this.#goal(event.key);
    if (to === null || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (to >= 0 && to < this.#tokens.length) this.#look(to);
  }

  /** Where a key leads, out of bounds if there is nothing that way; null if it leads nowhere. @param {string} key */
  #goal(key) {
    switch (key) {
      case 'ArrowRight': return this.#at + 1;
      case 'ArrowLeft': return Math.max(this.#at, 0) - 1;
      case 'Home': return 0;
      case 'End': return this.#tokens.length - 1;
      case 'ArrowDown': return this.#unsure(1);
      case 'ArrowUp': return this.#unsure(-1);
      default: return null;
    }
  }

  /** The next one that way that was unsure; out of bounds if there is none. @param {1 | -1} way */
  #unsure(way) {
    let at = this.#at + way;
    while (at >= 0 && at < this.#tokens.length && (step(this.#tokens[at].logprob) ?? 0) < UNSURE) at += way;
    return at;
  }

  /** @param {number} at */
  #look(at) {
    this.#text.children[this.#at]?.setAttribute('aria-selected', 'false');
    this.#at = at;
    const span = this.#text.children[at];
    span.setAttribute('aria-selected', 'true');
    span.scrollIntoView({ block: 'nearest' });
    this.#text.setAttribute('aria-activedescendant', span.id);
    const token = this.#tokens[at];
    const all = choices(token);
    this.#looked.replaceChildren(
      h('p', {}, h('q', {}, visible(token.text)), ` was ${probability(token.logprob)} likely here.`),
      all.length > 1
        ? h('ol', {}, ...all.map(row))
        : h('p', { class: 'tokens-keys' }, 'What else the model weighed was not asked for.'),
    );
  }
}

/** @param {import('./confidence.js').Choice} choice */
function row({ text, logprob, isChosen }) {
  const bar = h('span', { class: 'choice-bar', 'aria-hidden': 'true' });
  bar.style.setProperty('--share', String(logprob === null ? 0 : Math.exp(logprob)));
  return h('li', { class: isChosen ? 'is-chosen' : null },
    h('code', {}, visible(text)), bar, h('span', { class: 'choice-chance' }, probability(logprob)),
    isChosen ? h('span', { class: 'choice-taken' }, 'taken') : '');
}

function legend() {
  const names = [`over ${STEPS[0] * 100} %`, ...STEPS.slice(1).map((least) => `over ${least * 100} %`), 'less'];
  return h('ul', { class: 'tokens-legend', 'aria-label': 'Tints' },
    ...names.map((name, at) => h('li', { class: `token sure-${at}` }, name)));
}

customElements.define('token-view', TokenView);
