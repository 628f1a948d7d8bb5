/** What a model calls: a card for each call, with its name and its arguments. */

import { copyButton } from './clipboard.js';
import { h, setText } from './element.js';

/** @import { ToolCall } from '../client/protocol.js' */

export class ToolCalls {
  element = h('div', { class: 'tool-calls', hidden: true });

  /** Show these; they only grow, in number and in length. @param {ToolCall[]} calls */
  show(calls) {
    this.element.hidden = calls.length === 0;
    calls.forEach((call, index) => write(this.element.children[index] ?? this.#add(), call));
  }

  // Internal

  #add() {
    const head = h('div', { class: 'code-head' }, h('span', { class: 'tool-name' }), copyButton('Copy arguments'));
    const card = h('section', { class: 'code tool-call', role: 'group', dir: 'ltr' }, head, h('pre', { tabindex: 0 }, h('code')));
    this.element.append(card);
    return card;
  }
}

/** @param {Element} card @param {ToolCall} call */
function write(card, { arguments: said, name }) {
  const [words, pre] = [card.querySelector('.tool-name'), card.querySelector('pre')];
  if (!words || !pre) return;
  setText(words, name || 'Tool');
  card.setAttribute('aria-label', `Tool call: ${name}`);
  pre.hidden = !/\S/.test(said);
  const code = pre.firstElementChild;
  if (code && card.getAttribute('data-source') !== said) code.textContent = said;
  card.setAttribute('data-source', said);
}
