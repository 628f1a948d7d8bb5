/**
 * The turns of one column: a place for each, with a line that names the prompt, and the answers.
 *
 * The places are there at once; their answers are made a few at a time, the latest first, so that a
 * chat of hundreds of turns can be read and scrolled while it is still being shown. What is in sight
 * is made at once.
 */

import { h, setText } from './element.js';
import { inSlices } from './frames.js';
import { turnLabel } from './labels.js';

/** @import { Turn } from '../model/conversation.js' */
/** @import { AnswerTurn } from './answer-turn.js' */
/** @import { PlainTurn } from './late-turns.js' */

/** @typedef {{place: HTMLElement, name: HTMLElement, end: HTMLElement, view: AnswerTurn | PlainTurn | null}} Place `end` is in sight when the end of the answer is. */

export class ColumnTurns {
  element = h('div', { class: 'turns' });
  #make;
  /** By the turn's id, other branches included. @type {Map<string, Place>} */
  #known = new Map();
  /** @type {Turn[]} */
  #path = [];
  #isMaking = false;

  /** @param {(turn: Turn) => AnswerTurn | PlainTurn} make */
  constructor(make) {
    this.#make = make;
  }

  /** Show these turns, from the first to the last. @param {Turn[]} path */
  show(path) {
    const { children } = this.element;
    this.#path = path;
    const places = path.map((turn, index) => {
      const { name, place } = this.#of(turn);
      setText(name, turnLabel(turn, index));
      return place;
    });
    const same = places.findIndex((place, index) => place !== children[index]);
    const kept = same < 0 ? places.length : same;
    while (children.length > kept) this.element.lastElementChild?.remove();
    this.element.append(...places.slice(kept));
    this.#makeAll();
  }

  /** Make the answers of all turns anew: they can be shown better now. */
  renew() {
    const made = this.#path.filter((turn) => this.view(turn));
    for (const known of this.#known.values()) {
      known.view?.remove();
      known.view = null;
    }
    const last = made.pop();
    if (last) this.reach(last);
    this.#makeAll();
  }

  /** Make the answer of this turn and of the next one now. @param {Turn} turn @returns {HTMLElement} Its place. */
  reach(turn) {
    const next = this.#path[this.#path.indexOf(turn) + 1];
    for (const one of next ? [turn, next] : [turn]) this.#view(one);
    return this.#of(turn).place;
  }

  /** The turn that has this place. @param {Element | null} place */
  at(place) {
    return this.#path.find(({ id }) => this.#known.get(id)?.place === place) ?? null;
  }

  /** The view of a turn that is shown; null if it is not made yet. @param {Turn | null} turn */
  view(turn) {
    return this.#known.get(turn?.id ?? '')?.view ?? null;
  }

  /** Those that are made and shown. */
  get views() {
    return this.#path.flatMap((turn) => this.view(turn) ?? []);
  }

  /** Is in sight when the end of this turn's answer is. @param {Turn} turn */
  end(turn) {
    return this.#of(turn).end;
  }

  // Internal

  #makeAll() {
    if (this.#isMaking) return;
    this.#isMaking = true;
    inSlices(() => (this.#isMaking = this.#makeNext()));
  }

  /** @param {Turn} turn @returns {Place} */
  #of(turn) {
    let known = this.#known.get(turn.id);
    if (!known) {
      const name = h('h3', { class: 'turn-name', dir: 'auto' });
      const end = h('i', { class: 'end', 'aria-hidden': 'true' });
      known = { name, end, place: h('section', { class: 'turn' }, name, end), view: null };
      this.#known.set(turn.id, known);
    }
    return known;
  }

  /** @param {Turn} turn */
  #view(turn) {
    const known = this.#of(turn);
    if (known.view) return;
    known.view = this.#make(turn);
    known.end.before(known.view);
  }

  #makeNext() {
    const left = this.element.isConnected ? this.#path.filter((turn) => !this.view(turn)) : [];
    const latest = left.pop();
    if (latest) this.#view(latest);
    return left.length > 0;
  }
}
