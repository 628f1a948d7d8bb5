/**
 * `<chat-list>`: the stored chats, pinned ones first, then by day; searched, chosen and changed.
 *
 * A click with Ctrl chooses a chat and does not open it, one with Shift all from the one that was chosen last.
 * The server gives the list page by page, as it is scrolled; a row is made when its chat comes. Up and
 * down go from row to row; Delete and F2 are for the one that has the focus.
 *
 * Events: `chat-open` with `{id, then}`, `chat-again` and `chat-prompts` with `{id}`, `chat-gone` with `{ids}` when some were
 * deleted; `menu-open` with `{items, button}`.
 */

import { SidestreamError } from '../client/protocol.js';
import { dayOf } from '../model/days.js';
import { ChatRow } from './chat-row.js';
import { ChatTags } from './chat-tags.js';
import { copyText } from './clipboard.js';
import { PageElement, arrange, h, iconButton, setText } from './element.js';
import { withCode } from './error-notice.js';
import { clearFound, showFound } from './found-place.js';
import { inSlices } from './frames.js';
import { errorText } from './labels.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Conversations, ImportResult, Summary } from '../client/conversations.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { ChatBoard } from './chat-board.js' */

/** @typedef {{api: Conversations, client: SidestreamClient, workspace: Workspace}} Parts */
/** @typedef {'json' | 'markdown' | 'html'} Form */
/** @typedef {{heading: HTMLElement, list: HTMLElement, element: HTMLElement}} Group */

const SEARCH_AFTER_MS = 200;
/** While a chat is answered elsewhere, nothing else tells when that is over. */
const LOOK_AGAIN_MS = 4000;
const MAX_PINNED = '200';
/** How many rows are made or changed in one step. */
const AT_ONCE = 8;
/** @type {[string, Form][]} */
const FORMS = [['JSON', 'json'], ['Markdown', 'markdown'], ['a page', 'html']];
const SOURCES = { sidestream: 'Sidestream', chatgpt: 'ChatGPT', open_webui: 'Open WebUI' };

export class ChatList extends PageElement {
  /** @type {Parts | null} */
  #parts = null;
  /** @type {Map<string, ChatRow>} */
  #rows = new Map();
  /** By heading. @type {Map<string, Group>} */
  #groups = new Map();
  /** @type {Summary[]} */
  #pinned = [];
  /** @type {Summary[]} */
  #shown = [];
  #next = '';
  /** What was looked for in what is shown. */
  #found = '';
  #tag = '';
  /** Ids, in the order in which they were chosen. @type {Set<string>} */
  #chosen = new Set();
  /** The row that the arrow keys are at. */
  #at = '';
  #requests = 0;
  #names = 0;
  /** The chats that look otherwise than others: the open one, and those that go on. */
  #marked = new Set();
  /** @type {WeakMap<Element, ChatRow>} */
  #byElement = new WeakMap();
  #isLoading = false;
  #isFailing = false;
  /** @type {IntersectionObserver | null} */
  #near = null;
  #search = h('input', { type: 'search', 'aria-label': 'Search chats', placeholder: 'Search', autocomplete: 'off', dir: 'auto' });
  #file = h('input', { type: 'file', accept: '.json,application/json', hidden: true, 'aria-label': 'File to import' });
  #import = h('button', { type: 'button', class: 'quiet', title: 'Exports of Sidestream, ChatGPT and Open WebUI, as JSON' }, 'Import');
  #filter = h('div', { class: 'chat-tags', role: 'group', 'aria-label': 'Tags', hidden: true });
  #count = h('span', { role: 'status' });
  #bar = h('div', { class: 'chat-bar', role: 'toolbar', 'aria-label': 'Chosen chats', hidden: true }, this.#count);
  #list = h('div', { class: 'chats' });
  #none = h('p', { class: 'chat-notice' });
  #more = h('button', { type: 'button', class: 'quiet', hidden: true }, 'More');
  #notice = h('p', { class: 'chat-notice', role: 'status' });
  #tags = new ChatTags();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  // Lifecycle

  /** @override */
  build() {
    this.#bar.append(...this.#acts().map(([button, act]) => {
      button.addEventListener('click', () => act(button));
      return button;
    }));
    this.append(h('div', { class: 'chat-head' }, this.#search, this.#import, this.#file), this.#filter, this.#notice, this.#bar, this.#list, this.#none, this.#more, this.#tags.element);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    this.#search.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#restart(), SEARCH_AFTER_MS);
    }, { signal });
    this.#more.addEventListener('click', () => this.#loadMore(), { signal });
    this.#import.addEventListener('click', () => this.#file.click(), { signal });
    this.#file.addEventListener('change', () => this.#importFile(), { signal });
    this.#list.addEventListener('click', (event) => this.#clicked(event), { signal });
    this.#list.addEventListener('focusin', ({ target }) => this.#reach(this.#rowOf(target)), { signal });
    this.#list.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    this.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.#chosen.size === 0) return;
      event.stopPropagation(); // it is not meant for the answers
      this.#choose([]);
    }, { signal });
    this.#near = new IntersectionObserver((seen) => seen.at(-1)?.isIntersecting && void this.#loadMore(), { root: this, rootMargin: '800px' });
    this.#near.observe(this.#more);
    signal.addEventListener('abort', () => {
      this.#near?.disconnect();
      clearTimeout(timer);
      clearTimeout(this.#timer);
    });
  }

  // Actions

  /** Begin to show what `workspace` has; once. @param {Parts} parts */
  use(parts) {
    if (this.#parts) return;
    this.#parts = parts;
    const { workspace } = parts;
    for (const type of /** @type {const} */ (['conversation', 'stored'])) workspace.on(type, () => this.#mark());
    workspace.scheduler.on('change', () => this.#mark());
    parts.client.on('models', () => {
      this.#names += 1;
      this.#render();
    });
  }

  /** Fetch the list again: its head, and what was changed in the rest. */
  async refresh() {
    await this.#load();
  }

  // Internal

  /** Show which chat is open and which go on, without touching the others. */
  #mark() {
    const { conversation, underWay } = /** @type {Parts} */ (this.#parts).workspace;
    const marked = new Set([conversation.id ?? '', ...underWay]);
    for (const id of new Set([...this.#marked, ...marked])) {
      const row = this.#rows.get(id);
      if (row) this.#show(row, row.summary);
    }
    this.#marked = marked;
  }

  /** @param {ChatRow} row @param {Summary} summary @param {Date} [now] @param {string} [day] */
  #show(row, summary, now = new Date(), day = now.toDateString()) {
    const { client, workspace: { conversation, underWay } } = /** @type {Parts} */ (this.#parts);
    const { id } = summary;
    row.show(summary, {
      now, day, names: this.#names, nameOf: client.nameOf.bind(client),
      isCurrent: id === conversation.id, isChosen: this.#chosen.has(id), isUnderWay: underWay.has(id),
    });
  }

  get #words() {
    return this.#search.value.trim();
  }

  /** What the bar does with those that are chosen. @returns {[HTMLElement, (button: HTMLElement) => void][]} */
  #acts() {
    const ids = () => [...this.#chosen];
    const named = (/** @type {string} */ text) => h('button', { type: 'button', class: 'quiet' }, text);
    return [
      [named('All'), () => this.#choose([...this.#rows.keys()])],
      [named('Tags'), () => void this.#editTags(ids())],
      [named('Export'), (button) => this.announce('menu-open', {
        button,
        items: FORMS.map(([name, form]) => [`As ${name}`, () => this.#export(ids(), form)]),
      })],
      [named('Delete'), () => this.#delete(ids())],
      [iconButton('close', 'Choose none'), () => {
        this.#choose([]);
        this.#rows.get(this.#at)?.open.focus();
      }],
    ];
  }

  /** Show the list from its beginning: something else is looked for. */
  #restart() {
    this.#choose([]);
    this.#shown = [];
    this.#next = '';
    clearFound();
    return this.#load();
  }

  /** Fetch the first page, and keep those that follow. */
  async #load() {
    const { api } = this.#parts ?? {};
    if (!api) return;
    this.#requests += 1;
    const request = this.#requests;
    await this.#fetch(async () => {
      const q = this.#words;
      const tag = this.#tag;
      const about = { ...(q && { q }), ...(tag && { tag }) };
      const [{ conversations, next }, pinned, { tags }] = await Promise.all([
        api.list({ ...about, ...(!q && { pinned: 'none' }) }),
        q ? null : api.list({ ...about, pinned: 'only', limit: MAX_PINNED }),
        api.tags(),
      ]);
      if (request !== this.#requests) return; // a newer request is under way
      this.#pinned = pinned?.conversations ?? [];
      this.#found = q;
      this.#join(conversations, next);
      this.#showTags(tags.map(({ name }) => name));
      this.#render();
      setText(this.#none, this.#rows.size > 0 ? '' : q || tag ? 'Nothing found.' : 'What you ask is kept here.');
    });
  }

  /** Put the first page before the rest that is there. @param {Summary[]} first @param {string | null} next */
  #join(first, next) {
    const last = first.at(-1);
    const fresh = new Set([...first, ...this.#pinned].map(({ id }) => id));
    const isOlder = (/** @type {Summary} */ { updated }) => last && updated < last.updated;
    const rest = next ? this.#shown.filter((one) => !fresh.has(one.id) && isOlder(one)) : [];
    this.#shown = [...first, ...rest];
    if (rest.length === 0) this.#next = next ?? '';
  }

  async #loadMore() {
    const { api } = this.#parts ?? {};
    if (!api || !this.#next || this.#isLoading) return;
    this.#isLoading = true;
    const request = this.#requests;
    await this.#fetch(async () => {
      const q = this.#words;
      const tag = this.#tag;
      const { conversations, next } = await api.list({ ...(q ? { q } : { pinned: 'none' }), ...(tag && { tag }), before: this.#next });
      if (request !== this.#requests) return;
      this.#shown = [...this.#shown, ...conversations];
      this.#next = next ?? '';
      await this.#append(conversations);
      if (request !== this.#requests) return;
      this.#more.hidden = !this.#next;
      // It tells only of changes, and may be as near as before.
      this.#near?.unobserve(this.#more);
      this.#near?.observe(this.#more);
    });
    this.#isLoading = false;
  }

  /** Show all that there is, in its order. */
  #render() {
    if (!this.#parts || this.hidden) return;
    const now = new Date();
    const day = now.toDateString();
    /** @type {Map<Group, Element[]>} */
    const groups = new Map();
    const all = [...this.#pinned, ...this.#shown];
    const known = new Set(all.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!known.has(id)) this.#rows.delete(id);
    for (const id of this.#chosen) if (!known.has(id)) this.#chosen.delete(id);
    all.forEach((one, index) => {
      const group = this.#group(index < this.#pinned.length ? 'Pinned' : this.#heading(one, now));
      const rows = groups.get(group) ?? [];
      groups.set(group, rows);
      rows.push(this.#row(one, now, day).element);
    });
    for (const [{ list }, rows] of groups) arrange(list, rows);
    arrange(this.#list, [...groups.keys()].map(({ element }) => element));
    this.#more.hidden = !this.#next;
    this.#showChosen();
    this.#reach(this.#rows.get(this.#at) ?? this.#rows.get(all[0]?.id));
    clearTimeout(this.#timer);
    if (all.some(({ answering }) => answering > 0)) this.#timer = setTimeout(() => void this.#load(), LOOK_AGAIN_MS);
  }

  /** Show more behind what is shown, a few at a time. @param {Summary[]} several */
  #append(several) {
    const now = new Date();
    const day = now.toDateString();
    const request = this.#requests;
    const left = [...several];
    return new Promise((resolve) => {
      inSlices(() => {
        const next = request === this.#requests ? left.splice(0, AT_ONCE) : []; // else the list is another now
        for (const one of next) {
          const { element, list } = this.#group(this.#heading(one, now));
          list.append(this.#row(one, now, day).element);
          if (!element.isConnected) this.#list.append(element);
        }
        if (next.length === 0) resolve(undefined);
        return next.length > 0;
      });
    });
  }

  /** @param {Summary} summary @param {Date} now */
  #heading({ updated }, now) {
    return this.#found ? 'Found' : dayOf(updated, now);
  }

  /** The row of a chat, which is made if need be. @param {Summary} summary @param {Date} now @param {string} day */
  #row(summary, now, day) {
    const row = this.#rows.get(summary.id) ?? new ChatRow(summary);
    this.#rows.set(summary.id, row);
    this.#byElement.set(row.element, row);
    this.#show(row, summary, now, day);
    return row;
  }

  #showChosen() {
    this.#bar.hidden = this.#chosen.size === 0;
    setText(this.#count, `${this.#chosen.size} chosen`);
    this.#list.classList.toggle('is-choosing', this.#chosen.size > 0);
  }

  /** @param {string} heading @returns {Group} */
  #group(heading) {
    let group = this.#groups.get(heading);
    if (!group) {
      const id = `chats-${this.#groups.size}`;
      const title = h('h2', { id }, heading);
      const list = h('ul', { 'aria-labelledby': id });
      group = { heading: title, list, element: h('section', {}, title, list) };
      this.#groups.set(heading, group);
    }
    return group;
  }

  // Rows

  /** @param {EventTarget | null} target */
  #rowOf(target) {
    const element = target instanceof Element ? target.closest('li') : null;
    return element ? this.#byElement.get(element) : undefined;
  }

  /** Let Tab come to this row only. @param {ChatRow | undefined} row */
  #reach(row) {
    if (!row) return;
    const former = this.#rows.get(this.#at);
    if (former && former !== row) former.isReachable = false;
    row.isReachable = true;
    this.#at = row.summary.id;
  }

  /** Those shown, from above. */
  get #order() {
    return [...this.#list.querySelectorAll('li')].flatMap((element) => this.#byElement.get(element) ?? []);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const { ctrlKey, metaKey, shiftKey, target } = event;
    const row = this.#rowOf(target);
    if (!row || !(target instanceof Element)) return;
    const { id } = row.summary;
    const isOnBox = target === row.check;
    if (isOnBox || ((ctrlKey || metaKey || shiftKey) && !row.more.contains(target))) {
      const from = shiftKey ? [...this.#chosen].at(-1) : undefined;
      const isWanted = isOnBox ? row.check.checked : shiftKey || !this.#chosen.has(id);
      this.#choose(isWanted ? [...this.#chosen, ...this.#between(from, id), id] : [...this.#chosen].filter((one) => one !== id));
      if (isOnBox) return;
      getSelection()?.removeAllRanges(); // Shift marks text, too
      row.open.focus();
    } else if (row.open.contains(target)) this.#openChat(row.summary);
    else if (row.more.contains(target)) this.announce('menu-open', { button: row.more, items: this.#items(row) });
  }

  /** The ids between two rows. @param {string | undefined} from @param {string} to */
  #between(from, to) {
    if (!from) return [];
    const ids = this.#order.map(({ summary }) => summary.id);
    const [first, last] = [ids.indexOf(from), ids.indexOf(to)].sort((a, b) => a - b);
    return first < 0 ? [] : ids.slice(first, last + 1);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const row = this.#rowOf(event.target);
    if (!row || event.target instanceof HTMLInputElement && event.target !== row.check) return;
    const order = this.#order;
    const at = order.indexOf(row);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: order.length - 1 }[event.key];
    if (to !== undefined) (order[to] ?? row).open.focus();
    else if (event.key === 'Delete') this.#delete(this.#chosen.has(row.summary.id) ? [...this.#chosen] : [row.summary.id]);
    else if (event.key === 'F2') this.#rename(row);
    else return;
    event.preventDefault();
  }

  /** Choose these and no others. @param {Iterable<string>} ids */
  #choose(ids) {
    const former = this.#chosen;
    this.#chosen = new Set(ids);
    this.#showChosen();
    // Ticking a thousand at once would hold up the page.
    const changed = [...new Set([...former, ...this.#chosen])].filter((id) => former.has(id) !== this.#chosen.has(id));
    inSlices(() => {
      for (const id of changed.splice(0, AT_ONCE)) {
        const row = this.#rows.get(id);
        if (row) row.isChosen = this.#chosen.has(id);
      }
      return changed.length > 0;
    });
  }

  /** @param {Summary} summary */
  #openChat({ id, found, found_in: place }) {
    const then = (/** @type {ChatBoard} */ board) => {
      if (place?.turn && this.#parts) showFound(this.#parts.workspace, board, { turn: place.turn, answer: place.answer, pieces: found });
    };
    clearFound();
    this.announce('chat-open', { id, then });
  }

  /** @param {ChatRow} row @returns {[string, () => void][]} */
  #items(row) {
    const { id, pinned } = row.summary;
    return [
      [pinned ? 'Unpin' : 'Pin', () => this.#change([id], { pinned: !pinned })],
      ['Rename', () => this.#rename(row)],
      ['Tags…', () => void this.#editTags([id])],
      ['Choose', () => this.#choose([...this.#chosen, id])],
      ['Copy the address', () => this.#copyAddress(id)],
      ['Figures…', () => this.announce('chat-figures', { id })],
      ['Run again and compare…', () => this.announce('chat-again', { id })],
      ...(document.querySelector('#runs') ? [/** @type {[string, () => void]} */ (['Ask these prompts of other models…', () => this.announce('chat-prompts', { id })])] : []),
      ...FORMS.map(([name, form]) => /** @type {[string, () => void]} */ ([`Export as ${name}`, () => this.#export([id], form)])),
      ['Delete', () => this.#delete([id])],
    ];
  }

  /** @param {string} id */
  async #copyAddress(id) {
    const isCopied = await copyText(new URL(`#chat=${id}`, document.baseURI).href);
    setText(this.#notice, isCopied ? 'The address is copied. It opens for whoever may see this chat.' : 'The browser does not let this page copy.');
  }

  /** @param {ChatRow} row */
  #rename(row) {
    const { summary } = row;
    const field = h('input', { 'aria-label': 'Title', maxlength: 300, dir: 'auto' });
    field.value = summary.title;
    let isDone = false;
    const finish = (/** @type {boolean} */ isWanted) => {
      if (isDone) return;
      isDone = true;
      field.replaceWith(row.open);
      row.open.focus();
      const title = field.value.trim();
      if (!isWanted || !title || title === summary.title) return;
      void this.#try(async () => {
        await this.#parts?.api.change(summary.id, { title });
        Object.assign(summary, { title, found_title: [] });
        this.#show(row, summary);
        this.#parts?.workspace.rename(summary.id, title);
      });
    };
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.isComposing) finish(true);
      if (event.key !== 'Escape') return;
      event.stopPropagation(); // it must not stop the answers
      finish(false);
    });
    field.addEventListener('blur', () => finish(true));
    row.open.replaceWith(field);
    field.focus();
    field.select();
  }

  // Several

  /** @param {string[]} ids @param {Parameters<Conversations['changeAll']>[1]} changes */
  #change(ids, changes) {
    return this.#try(async () => {
      await this.#parts?.api.changeAll(ids, changes);
      await this.#load();
    });
  }

  /** @param {string[]} ids */
  async #editTags(ids) {
    const rows = ids.flatMap((id) => this.#rows.get(id)?.summary ?? []);
    const known = [...this.#filter.querySelectorAll('button')].map(({ value }) => value);
    const changes = await this.#tags.ask(rows, known);
    if (changes) await this.#change(ids, changes);
    this.#rows.get(this.#at)?.open.focus();
  }

  /** @param {string[]} tags */
  #showTags(tags) {
    if (this.#tag && !tags.includes(this.#tag)) {
      this.#tag = '';
      void this.#restart();
    }
    this.#filter.hidden = tags.length === 0;
    const shown = [...this.#filter.querySelectorAll('button')];
    if (shown.map(({ value }) => value).join() !== tags.join()) {
      this.#filter.replaceChildren(...tags.map((tag) => {
        const button = h('button', { type: 'button', class: 'quiet', value: tag, dir: 'auto' }, `#${tag}`);
        button.addEventListener('click', () => {
          this.#tag = this.#tag === tag ? '' : tag;
          this.#showTags(tags);
          void this.#restart();
        });
        return button;
      }));
    }
    for (const button of this.#filter.querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.value === this.#tag));
  }

  /** @param {string[]} ids */
  #delete(ids) {
    const name = ids.length === 1 ? `“${this.#rows.get(ids[0])?.name ?? ''}”` : `${ids.length} chats`;
    return this.#try(async () => {
      await this.#parts?.api.changeAll(ids, { deleted: true });
      this.announce('chat-gone', { ids });
      this.#choose([]);
      await this.#load();
      this.#offerUndo(`Deleted ${name}. `, ids, false);
    });
  }

  /** @param {string} words @param {string[]} ids @param {boolean} deleted What undoing makes of them. */
  #offerUndo(words, ids, deleted) {
    const undo = h('button', { type: 'button', class: 'quiet' }, 'Undo');
    undo.addEventListener('click', () => this.#try(async () => {
      await this.#parts?.api.changeAll(ids, { deleted });
      if (deleted) this.announce('chat-gone', { ids });
      await this.#load();
      this.#rows.get(ids[0])?.open.focus();
    }));
    this.#notice.replaceChildren(words, undo);
    if (!deleted) undo.focus();
  }

  /** @param {string[]} ids @param {Form} form */
  #export(ids, form) {
    const { api } = this.#parts ?? {};
    if (!api) return;
    if (ids.length === 1) return h('a', { href: api.exportUrl(ids[0], form), download: true }).click();
    void this.#try(async () => {
      setText(this.#notice, `Exporting ${ids.length} chats…`);
      const url = URL.createObjectURL(await api.exportAll(ids, form));
      h('a', { href: url, download: form === 'json' ? 'chats.json' : 'chats.zip' }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      setText(this.#notice, '');
    });
  }

  #importFile() {
    const [file] = this.#file.files ?? [];
    this.#file.value = '';
    const { api } = this.#parts ?? {};
    if (!file || !api) return;
    void this.#try(async () => {
      setText(this.#notice, `Importing ${file.name}…`);
      const result = await api.import(file);
      this.#search.value = '';
      await this.#restart();
      if (result.imported === 1) this.announce('chat-open', { id: result.id });
      this.#offerUndo(importWords(result), result.ids.slice(0, 1000), true);
    });
  }

  /** Show what goes wrong, and no longer what was said before. @param {() => Promise<void>} act */
  #try(act) {
    setText(this.#notice, '');
    return this.#fetch(act);
  }

  /** Show what goes wrong until it works again; other words stay. @param {() => Promise<void>} act */
  async #fetch(act) {
    try {
      await act();
      if (this.#isFailing) setText(this.#notice, '');
      this.#isFailing = false;
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.#isFailing = true;
      this.#notice.replaceChildren(h('span', { class: 'is-wrong' }, ...withCode(errorText(error))));
    }
  }
}

/** @param {ImportResult} result */
function importWords({ imported, source, left_out: leftOut }) {
  const whose = source === 'sidestream' ? '' : ` of ${SOURCES[source]}`;
  const lacking = leftOut.length ? ` Left out: ${leftOut.map(({ words }) => words).join(', ')}.` : '';
  return `Imported ${imported === 1 ? 'a chat' : `${imported.toLocaleString('en')} chats`}${whose}.${lacking} `;
}

customElements.define('chat-list', ChatList);
