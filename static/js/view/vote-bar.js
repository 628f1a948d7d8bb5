/**
 * `<vote-bar>`: the vote that ends a blind round, then what it revealed and the tally so far.
 *
 * Events: `vote` with `{kind, best}`; `scores-forget`.
 */

import { PageElement, h } from './element.js';
import { letter } from '../model/rounds.js';

/** @import { Workspace } from '../model/workspace.js' */

export class VoteBar extends PageElement {
  /** @type {Workspace | null} */
  workspace = null;
  #shown = '';

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('role', 'group');
    this.setAttribute('aria-label', 'Vote');
    this.hidden = true;
  }

  // Actions

  /** Take in that something changed. */
  refresh() {
    const { workspace } = this;
    const turn = workspace?.conversation.path.at(-1);
    this.hidden = !workspace || !turn?.isBlind || (workspace.isSecret && !workspace.canVote);
    if (!workspace || !turn || this.hidden) return;
    const shown = `${turn.id} ${workspace.isSecret} ${workspace.columns.shown.map(({ id }) => id)} ${workspace.scores.length}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.replaceChildren(...(workspace.isSecret ? this.#choices(workspace) : this.#result(workspace)));
  }

  // Internal

  /** @param {Workspace} workspace */
  #choices({ columns }) {
    const choice = (/** @type {string} */ text, /** @type {object} */ detail) => {
      const button = h('button', { type: 'button', class: 'quiet' }, text);
      button.addEventListener('click', () => this.announce('vote', detail));
      return button;
    };
    return [
      h('span', {}, 'Which answer is better?'),
      ...columns.shown.map(({ id }, index) => choice(letter(index), { kind: 'best', best: id })),
      choice('Tie', { kind: 'tie' }),
      choice(columns.shown.length > 2 ? 'All bad' : 'Both bad', { kind: 'bad' }),
    ];
  }

  /** @param {Workspace} workspace */
  #result({ conversation, scores }) {
    const vote = conversation.path.at(-1)?.vote;
    if (!vote) return [];
    const verdict = { best: `You preferred ${vote.names[vote.best ?? '']}.`, tie: 'You called it a tie.', bad: 'You liked none.' };
    const forget = h('button', { type: 'button', class: 'quiet' }, 'Reset');
    forget.addEventListener('click', () => this.announce('scores-forget'));
    return [
      h('span', { role: 'status' }, verdict[vote.kind]),
      h('ol', { class: 'scores', 'aria-label': 'Tally' }, ...scores.map(({ name, wins, rounds }) =>
        h('li', {}, h('span', {}, name), ` ${wins} of ${rounds}`))),
      forget,
    ];
  }
}

customElements.define('vote-bar', VoteBar);
