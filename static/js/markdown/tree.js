/**
 * The open containers (quotes, lists, items), and the leaf that takes the text.
 *
 * A list is tight until an empty line comes between two of its items or between two blocks of one;
 * then it becomes loose in place.
 */

/** @import { CodeLeaf, TextLeaf } from './leaves.js' */
/** @import { Cursor, Marker } from './lines.js' */
/** @import { Sink } from './run.js' */
/** @import { TableLeaf } from './table.js' */

/** @typedef {{kind: 'quote'}} Quote */
/** @typedef {{kind: 'list', type: string, element: unknown}} List */
/** @typedef {{kind: 'item', offset: number, isEmpty: boolean}} ListItem */

export class Tree {
  /** @type {TextLeaf | CodeLeaf | TableLeaf | null} */
  leaf = null;
  /** Whether the line before was empty. */
  wasBlank = false;
  #sink;
  /** Before the last leaf. @type {unknown} */
  #mark = null;
  /** @type {(Quote | List | ListItem)[]} */
  #open = [];

  /** @param {Sink} sink */
  constructor(sink) {
    this.#sink = sink;
  }

  get depth() {
    return this.#open.length;
  }

  /** Go over the markers of the containers that go on; return how many do. @param {Cursor} cursor */
  match(cursor) {
    let matched = 0;
    for (const container of this.#open) {
      const { indent } = cursor;
      if (container.kind === 'quote') {
        if (indent > 3 || cursor.next !== '>') break;
        cursor.skip(indent);
        cursor.take(1);
        cursor.skip(1);
      } else if (container.kind === 'item') {
        if (cursor.isBlank ? container.isEmpty : indent < container.offset) break;
        cursor.skip(container.offset);
      }
      matched += 1;
    }
    return matched;
  }

  /** Say whether text would be the first in an item. @param {number} matched @param {(Marker | 'quote')[]} starts */
  isItemBegun(matched, starts) {
    const last = starts.at(-1);
    if (last) return last !== 'quote';
    const container = this.#open[matched - 1];
    return container?.kind === 'item' && container.isEmpty;
  }

  /** Take an empty line. @param {number} matched */
  blank(matched) {
    this.closeTo(matched);
    this.wasBlank = this.#open.at(-1)?.kind !== 'quote';
  }

  /** Close all but the first `matched` containers, and open these. @param {number} matched @param {(Marker | 'quote')[]} starts */
  start(matched, starts) {
    this.closeTo(matched);
    for (const one of starts) {
      if (one === 'quote') {
        this.#prepare();
        this.#sink.open('blockquote');
        this.#open.push({ kind: 'quote' });
      } else {
        this.#startItem(one);
      }
    }
  }

  /** Add a leaf, or an element without text. @param {string} tag @param {() => TextLeaf | CodeLeaf | TableLeaf | null} make */
  begin(tag, make) {
    this.closeLeaf();
    if (!tag) return;
    this.#prepare();
    this.#mark = this.#sink.mark();
    const isOwn = tag === 'pre' || tag === 'table'; // made by the leaf itself
    if (!isOwn) this.#sink.open(tag);
    this.leaf = make();
    if (!this.leaf) this.#sink.close();
  }

  lineEnd() {
    this.leaf?.lineEnd();
    if (this.leaf?.kind === 'heading') this.closeLeaf();
  }

  closeLeaf() {
    this.leaf?.end();
    this.leaf = null;
  }

  /** Take back the leaf, with all that it has written. */
  takeBack() {
    this.#sink.rewind(this.#mark);
    this.leaf = null;
  }

  /** @param {number} depth */
  closeTo(depth) {
    this.closeLeaf();
    for (; this.#open.length > depth; this.#open.pop()) this.#sink.close();
  }

  // Internal

  /** @param {Marker} marker */
  #startItem({ type, number, offset }) {
    let list = this.#open.at(-1);
    if (list?.kind === 'list' && list.type === type) {
      if (this.wasBlank) this.#sink.loosen(list.element);
      this.wasBlank = false;
    } else {
      this.#prepare();
      const element = this.#sink.open(number === null ? 'ul' : 'ol', number === null || number === 1 ? {} : { start: number });
      list = { kind: 'list', type, element };
      this.#open.push(list);
    }
    this.#sink.open('li');
    this.#open.push({ kind: 'item', offset, isEmpty: true });
  }

  /** Make room for a block: leave a list that has no more items; see whether an item is loose. */
  #prepare() {
    if (this.#open.at(-1)?.kind === 'list') {
      this.#open.pop();
      this.#sink.close();
    }
    const item = this.#open.at(-1);
    if (item?.kind === 'item') {
      const list = this.#open.at(-2);
      if (!item.isEmpty && this.wasBlank && list?.kind === 'list') this.#sink.loosen(list.element);
      item.isEmpty = false;
    }
    this.wasBlank = false;
  }
}
