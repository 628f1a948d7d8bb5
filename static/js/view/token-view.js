/**
 * `<token-view>`: an answer token by token, tinted by the model's confidence in each.
 *
 * It replaces the answer's text, since Markdown has no tokens. A click on a token, or the arrow keys,
 * show the alternatives: left and right go by tokens, up and down by unsure ones. Tints are steps of
 * one hue and the last one is also underlined, so that no information depends on colour alone.
 *
 * Where the server told no probability there is nothing to look at: a sentence says so above the text.
 */

import { PageElement, h } from './element.js';
import { STEPS, UNSURE, choices, isTold, probability, step, summary, visible } from './confidence.js';

/** @import { Token } from '../client/protocol.js' */

const WEIGHED = 'a token to see what else the model weighed';

let count = 0;

export class TokenView extends PageElement {
  /** To be set before it is shown. @type {Token[]} */
  tokens = [];
  /** The index of the selected token, or -1. */
  #at = -1;
  #id = `tokens-${(count += 1)}`;
  #summary = h('p', { class: 'tokens-summary' });
  #head = h('div', { class: 'tokens-head' }, this.#summary);
  #text = h('div', { class: 'tokens', dir: 'auto' });
  #looked = h('div', { class: 'token-choices', role: 'status' });

  // Lifecycle

  /** @override */
  build() {
    const { tokens } = this;
    this.#summary.textContent = summary(tokens);
    this.append(this.#head, this.#text);
    if (!isTold(tokens)) return this.#text.append(tokens.map(({ text, special }) => (special ? '' : text)).join(''));
    this.#summary.title = 'The geometric mean of the tokens’ probabilities: if each had this one, the text would be as likely as it is';
    this.#head.append(legend());
    const keys = ['; ', h('kbd', {}, '↑'), ' ', h('kbd', {}, '↓'), ' go to unsure ones.'];
    this.append(h('p', { class: 'tokens-keys', id: `${this.#id}-keys` },
      ...(matchMedia('(pointer: coarse)').matches ? [`Tap ${WEIGHED}.`] : [`Click ${WEIGHED}`, ...keys])), this.#looked);
    for (const [name, value] of Object.entries({ role: 'listbox', tabindex: '0', 'aria-label': 'Tokens', 'aria-describedby': `${this.#id}-keys` })) this.#text.setAttribute(name, value);
    this.#text.append(...tokens.map((token, at) => this.#span(token, at)));
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#text.addEventListener('click', ({ target }) => {
      if (target instanceof HTMLElement && target.dataset.at) this.#look(Number(target.dataset.at));
    }, { signal });
    this.#text.addEventListener('keydown', (event) => this.#pressed(event), { signal });
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
    if (to >= 0 && to < this.tokens.length) this.#look(to);
  }

  /** Where a key leads, out of bounds if there is nothing that way; null if it leads nowhere. @param {string} key */
  #goal(key) {
    switch (key) {
      case 'ArrowRight': return this.#at + 1;
      case 'ArrowLeft': return Math.max(this.#at, 0) - 1;
      case 'Home': return 0;
      case 'End': return this.tokens.length - 1;
      case 'ArrowDown': return this.#unsure(1);
      case 'ArrowUp': return this.#unsure(-1);
      default: return null;
    }
  }

  /** The next one that way that was unsure; out of bounds if there is none. @param {1 | -1} way */
  #unsure(way) {
    let at = this.#at + way;
    while (at >= 0 && at < this.tokens.length && (step(this.tokens[at].logprob) ?? 0) < UNSURE) at += way;
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
    const token = this.tokens[at];
    const all = choices(token);
    this.#looked.replaceChildren(
      h('p', {}, h('q', {}, visible(token.text)), ` was ${probability(token.logprob)} likely here.`),
      all.length > 1
        ? h('ol', {}, ...all.map(row))
        : h('p', { class: 'tokens-keys' }, 'What else the model weighed is not known.'),
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
  const percents = STEPS.map((least) => `${least * 100} %`);
  const names = [...percents.map((least) => `from ${least}`), `below ${percents.at(-1)}`];
  return h('ul', { class: 'tokens-legend', 'aria-label': 'Tints' },
    ...names.map((name, at) => h('li', {}, h('i', { class: `sure-${at}`, 'aria-hidden': 'true' }, '\xa0\xa0\xa0'), name)));
}

customElements.define('token-view', TokenView);
