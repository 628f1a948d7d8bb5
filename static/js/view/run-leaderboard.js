/**
 * The leaderboard over all runs and chats: models by people's blind votes and by checks, judges apart, and what all
 * of it is made of. Models that cannot be told apart share their places.
 */

import { knownTags, leaderboard } from '../client/leaderboard.js';
import { counted, expectedWins, intervalWords, percent, placeWords, recordWords, standingWords, variantWords, voterWords, votesWords } from '../model/board-words.js';
import { h, setText } from './element.js';
import { intervalBar } from './interval-bar.js';
import { laterStyles } from './late-styles.js';

/** @import { BoardEntry, BoardPassed, BoardRank, Choice, JudgeBoard, Leaderboard, Over } from '../client/leaderboard.js' */
/** @import { Host } from './runs-view.js' */

const NONE = '–';
const HEADINGS = ['Model', 'Place', 'Expected wins', 'Votes', 'Passed', 'Runs'];
const JUDGED = ['Model', 'Place', 'Expected wins', 'Pairs'];

export class RunLeaderboard {
  #host;
  #signal;
  #base = new URL('.', document.baseURI).href;
  #over = h('select', { id: 'board-over' },
    h('option', { value: 'all' }, 'Runs and chats'), h('option', { value: 'runs' }, 'Runs'), h('option', { value: 'chats' }, 'Chats'));
  #set = h('select', { id: 'board-set' }, h('option', { value: '' }, 'All'));
  #tags = h('datalist', { id: 'board-tags' });
  #tag = h('input', { id: 'board-tag', list: 'board-tags', maxlength: 50, autocomplete: 'off', placeholder: 'Any' });
  #state = h('p', { class: 'field-hint', role: 'status' });
  #people = h('div', { class: 'summary-table', tabindex: 0, role: 'region', 'aria-label': 'Leaderboard' });
  #judges = h('div', {});
  #meaning = h('p', { class: 'field-hint', hidden: true }, 'Expected wins: how often it would be the better one of two, the other of average strength.');
  #sources = h('details', { class: 'board-sources', hidden: true });
  /** Counts the questions, so that a late answer to an earlier one is not shown. */
  #asked = 0;
  element = h('div', { class: 'run-page' },
    h('div', { class: 'fields' },
      h('div', {}, h('label', { for: 'board-over' }, 'What counts'), this.#over),
      h('div', {}, h('label', { for: 'board-set' }, 'Prompt set'), this.#set),
      h('div', {}, h('label', { for: 'board-tag' }, 'Tag'), this.#tag, this.#tags)),
    this.#state, this.#people, this.#judges, this.#meaning, this.#sources);

  /** @param {Host} host @param {AbortSignal} signal */
  constructor(host, signal) {
    this.#host = host;
    this.#signal = signal;
    host.name('Leaderboard');
    void laterStyles('run-board.css');
    this.#over.addEventListener('change', () => this.#changed(this.#over));
    this.#set.addEventListener('change', () => this.#changed(this.#set));
    this.#tag.addEventListener('change', () => this.#ask());
    void host.attempt(async () => {
      const [{ sets }, tags] = await Promise.all([host.api.sets(), knownTags(this.#base)]);
      this.#set.append(...sets.map(({ id, name }) => h('option', { value: id }, name)));
      this.#tags.append(...tags.map((value) => h('option', { value })));
    });
    this.#ask();
  }

  back = () => this.#host.list();

  focus() {
    this.#over.focus();
  }

  // Internal

  /** Chats ask no set. @param {HTMLElement} source */
  #changed(source) {
    if (source === this.#over && this.#over.value === 'chats') this.#set.value = '';
    if (source === this.#set && this.#set.value && this.#over.value === 'chats') this.#over.value = 'runs';
    this.#ask();
  }

  #ask() {
    this.#asked += 1;
    const asked = this.#asked;
    /** @type {Choice} */
    const choice = { over: /** @type {Over} */ (this.#over.value), set: this.#set.value, tag: this.#tag.value.trim() };
    this.#people.setAttribute('aria-busy', 'true');
    setText(this.#state, 'Adding up …');
    void this.#host.attempt(async () => {
      try {
        const board = await leaderboard(this.#base, choice);
        if (!this.#signal.aborted && asked === this.#asked) this.#show(board);
      } finally {
        if (asked === this.#asked) {
          this.#people.removeAttribute('aria-busy');
          if (this.#state.textContent === 'Adding up …') setText(this.#state, '');
        }
      }
    });
  }

  /** @param {Leaderboard} board */
  #show(board) {
    const { entries, judges } = board;
    const ranking = entries.flatMap(({ rank }) => rank ?? []);
    const standing = standingWords(ranking, this.#host.nameOf);
    setText(this.#state, entries.length ? [standing, votesWords(board)].filter(Boolean).join(' ') : 'There is nothing to compare yet: a run, or a blind vote on a chat.');
    this.#people.hidden = this.#meaning.hidden = entries.length === 0;
    const groups = grouped(entries, ({ rank }) => rank?.group ?? -1);
    this.#people.replaceChildren(table(HEADINGS, groups.map(([group, several]) => [groupWords(group), several.map((entry) => this.#row(entry))])));
    this.#judges.replaceChildren(...judges.map((judge) => this.#judged(judge)));
    this.#sources.hidden = entries.length === 0;
    this.#sources.replaceChildren(h('summary', {}, 'What it is made of'), ...this.#made(board));
  }

  /** @param {BoardEntry} entry */
  #row({ model, rank, passed, votes, runs, prompts }) {
    return [
      h('th', { scope: 'row', dir: 'auto' }, this.#host.nameOf(model)),
      h('td', {}, rank ? placeWords(rank) : NONE),
      strengthCell(rank),
      h('td', {}, votes ? counted(votes, 'vote') : NONE, ...(rank ? [h('span', { class: 'board-more' }, recordWords(rank))] : [])),
      passedCell(passed),
      h('td', {}, runs ? counted(runs, 'run') : NONE, ...(runs ? [h('span', { class: 'board-more' }, counted(prompts, 'prompt'))] : [])),
    ];
  }

  /** @param {JudgeBoard} judge */
  #judged({ model, judges, pairs, inconsistent, ranking }) {
    const name = this.#host.nameOf(model);
    const groups = grouped(ranking, ({ group }) => group);
    const rows = (/** @type {BoardRank[]} */ several) => several.map((rank) => [
      h('th', { scope: 'row', dir: 'auto' }, this.#host.nameOf(rank.model)), h('td', {}, placeWords(rank)), strengthCell(rank), h('td', {}, recordWords(rank))]);
    return h('section', {}, h('h3', {}, `By the judge ${name}`),
      h('p', { class: 'field-hint' }, `${counted(pairs, 'pair')} in ${counted(judges, 'judging', 'judgings')}, each in both orders; in ${inconsistent.toLocaleString('en')} it contradicted itself. Never mixed with people’s votes.`),
      h('div', { class: 'summary-table', tabindex: 0, role: 'region', 'aria-label': `By the judge ${name}` },
        table(JUDGED, groups.map(([group, several]) => [groupWords(group), rows(several)]))));
  }

  /** @param {Leaderboard} board */
  #made({ entries, runs, chats, chat_votes: blind, other_chat_votes: seen, voters, left_out: leftOut }) {
    const merged = entries.filter(({ variants_count: count }) => count > 1);
    const parts = [];
    if (leftOut) parts.push(h('p', {}, 'There is more than can be added up: the latest runs and votes are taken.'));
    if (runs.length) {
      parts.push(h('h3', {}, counted(runs.length, 'run')), h('ul', { class: 'board-runs' }, ...runs.map((run) => this.#run(run))));
    }
    if (blind + seen) {
      parts.push(h('h3', {}, 'Chats'), h('p', {}, `${counted(blind, 'blind vote')} of yours on ${counted(chats, 'chat')}${seen ? `, ${seen.toLocaleString('en')} not blind` : ''}.`));
    }
    if (voters.length) parts.push(h('h3', {}, 'Voters'), h('ul', {}, ...voters.map((voter) => h('li', {}, voterWords(voter)))));
    if (merged.length) {
      parts.push(h('h3', {}, 'Counted as one model'), h('ul', {}, ...merged.map(({ model, variants, variants_count: count }) => h('li', { dir: 'auto' },
        `${this.#host.nameOf(model)}: `, h('ul', {}, ...variants.map((variant) => h('li', { dir: 'auto' }, variantWords(variant))),
          ...(count > variants.length ? [h('li', {}, `and ${count - variants.length} more`)] : []))))));
    }
    return parts;
  }

  /** @param {Leaderboard['runs'][number]} run */
  #run({ id, name, set_name: set, is_mine: isMine, votes, other_votes: others, checked }) {
    const open = h('button', { type: 'button', class: 'quiet' }, h('span', { dir: 'auto' }, name || set || id));
    open.addEventListener('click', () => this.#host.attempt(async () => {
      const run = await this.#host.api.get(id);
      if (!this.#signal.aborted) this.#host.open(run);
    }));
    const words = [counted(votes, 'blind vote'), others ? `${others.toLocaleString('en')} not blind` : '', counted(checked, 'checked answer'), isMine ? '' : 'shared with you'];
    return h('li', {}, open, h('span', { class: 'run-words' }, words.filter(Boolean).join(' · ')));
  }
}

/** @param {BoardRank | null} rank */
function strengthCell(rank) {
  if (!rank) return h('td', {}, NONE);
  if (!rank.interval) return h('td', {}, 'Too few decided');
  const share = expectedWins(rank.strength);
  /** @type {[number, number]} */
  const interval = [expectedWins(rank.interval[0]), expectedWins(rank.interval[1])];
  return h('td', {}, intervalBar(share, interval, 0.5), h('span', { class: 'board-more' }, `${percent(share)}, ${intervalWords(interval)}`));
}

/** @param {BoardPassed | null} passed */
function passedCell(passed) {
  if (!passed) return h('td', {}, NONE);
  return h('td', {}, intervalBar(passed.share, passed.interval),
    h('span', { class: 'board-more' }, `${passed.passed.toLocaleString('en')} of ${passed.total.toLocaleString('en')}, ${intervalWords(passed.interval)}`));
}

/** @param {number} group */
function groupWords(group) {
  if (group < 0) return 'Without blind votes';
  return group ? 'Never compared with those above' : '';
}

/** @param {string[]} headings @param {[string, Element[][]][]} groups */
function table(headings, groups) {
  return h('table', {}, h('thead', {}, h('tr', {}, ...headings.map((name) => h('th', { scope: 'col' }, name)))),
    ...groups.map(([words, rows]) => h('tbody', {},
      ...(words ? [h('tr', {}, h('th', { scope: 'rowgroup', colspan: headings.length, class: 'board-group' }, words))] : []),
      ...rows.map((cells) => h('tr', {}, ...cells)))));
}

/** @template T @param {T[]} several In order of their groups. @param {(one: T) => number} groupOf @returns {[number, T[]][]} */
function grouped(several, groupOf) {
  /** @type {Map<number, T[]>} */
  const groups = new Map();
  for (const one of several) groups.set(groupOf(one), [...(groups.get(groupOf(one)) ?? []), one]);
  return [...groups];
}
