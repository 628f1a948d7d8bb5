/**
 * `<machine-list>`: a dialog with the machines that model servers run on: what each has, what is on it, and what
 * is wrong.
 *
 * While it is open and the page is shown, it asks again every few seconds; what has not changed stays as it is, so
 * that focus and selection do. The page loads this module on demand, and the element leaves when it is closed.
 *
 * Events: `model-card` with `{id}`.
 */

import { ask } from '../client/asking.js';
import { SidestreamError } from '../client/protocol.js';
import { PageElement, h, iconButton, letClose } from './element.js';
import { errorNotice, withCode } from './error-notice.js';
import { MODEL_STATES, capital } from './labels.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { ModelState } from '../client/protocol.js' */

/** @typedef {{kind: string, id: string, used_by: string}} Gpu */
/** @typedef {{model: string, number: number, state: ModelState}} MachineServer */
/** @typedef {{name: string, kind: 'here' | 'docker' | 'swarm', address: string, role: string, is_leader: boolean, state: string, availability: string, version: string, cpus: number | null, memory_bytes: number | null, gpus: Gpu[], servers: MachineServer[], problems: string[]}} Machine */
/** @typedef {{machines: Machine[], problems: string[]}} Machines */

const PAUSE_MS = 3000;
const GIBIBYTE = 2 ** 30;
/** Of an id such as GPU-5ad8e0f2-…, as much as tells it from others. */
const MAX_ID = 12;

export class MachineList extends PageElement {
  /** @type {SidestreamClient | null} */
  client = null;
  url = '';
  #isOpen = new AbortController();
  #close = iconButton('close', 'Close');
  #problem = h('div', {});
  #problems = h('ul', { class: 'machine-problems', 'aria-label': 'What is wrong' });
  #machines = h('div', { class: 'machines' });
  #state = h('p', { class: 'machine-state', role: 'status' }, 'Looking …');
  #dialog = h('dialog', { class: 'sheet wide-sheet', 'aria-labelledby': 'machines-title' },
    h('header', {}, h('h2', { id: 'machines-title' }, 'Machines'), this.#close),
    this.#state, this.#problem, this.#problems, this.#machines);

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
    this.#dialog.addEventListener('close', () => {
      this.#isOpen.abort();
      this.remove();
    }, { signal });
    this.#machines.addEventListener('click', ({ target }) => {
      const id = /** @type {Element} */ (target).closest('button')?.dataset.model;
      if (id !== undefined) this.announce('model-card', { id });
    }, { signal });
  }

  // Actions

  /** Show the machines until it is closed. */
  async open() {
    this.#dialog.showModal();
    const { signal } = this.#isOpen;
    while (!signal.aborted) {
      if (!document.hidden) await this.#look(signal);
      await pause(PAUSE_MS, signal);
    }
  }

  // Internal

  /** @param {AbortSignal} signal */
  async #look(signal) {
    try {
      const seen = await ask('GET', this.url, { signal });
      this.#problem.replaceChildren();
      this.#show(seen);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof SidestreamError)) throw error;
      if (!this.#problem.hasChildNodes()) this.#problem.append(errorNotice(error, { isAlert: true }));
    }
  }

  /** @param {Machines} seen */
  #show({ machines, problems }) {
    const wrong = problems.length + machines.filter((one) => one.problems.length > 0).length;
    const count = machines.length === 1 ? 'One machine' : `${machines.length} machines`;
    const words = `${count}, ${wrong === 0 ? 'nothing is wrong' : `${wrong} ${wrong === 1 ? 'problem' : 'problems'}`}`;
    if (this.#state.textContent !== words) this.#state.textContent = words; // it is read aloud
    showList(this.#problems, problems.map((text) => h('li', {}, ...withCode(text))), JSON.stringify(problems));
    const known = new Map([...this.#machines.children].map((part) => [/** @type {HTMLElement} */ (part).dataset.words, part]));
    const parts = machines.map((machine, index) => {
      // A model's name may come later than the model.
      const names = machine.servers.map(({ model }) => this.client?.nameOf(model));
      const key = JSON.stringify([index, machine, names]);
      return known.get(key) ?? this.#part(machine, index, key);
    });
    if (parts.some((part, index) => part !== this.#machines.children[index]) || parts.length !== this.#machines.children.length) {
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.model;
      this.#machines.replaceChildren(...parts);
      if (focused !== undefined) /** @type {HTMLElement | null} */ (this.#machines.querySelector(`[data-model="${CSS.escape(focused)}"]`))?.focus();
    }
  }

  /** @param {Machine} machine @param {number} index @param {string} words */
  #part({ gpus, name, problems, servers, ...machine }, index, words) {
    const title = `machine-${index}`;
    return h('section', { class: problems.length > 0 ? 'machine is-wrong' : 'machine', 'aria-labelledby': title, 'data-words': words },
      h('h3', { id: title, dir: 'auto' }, name, machine.kind === 'here' ? h('span', { class: 'machine-kind' }, ' this machine') : ''),
      h('p', { class: 'machine-facts' }, facts(machine).join(' · ')),
      showList(h('ul', { class: 'machine-problems', 'aria-label': `What is wrong with ${name}` }), problems.map((text) => h('li', {}, ...withCode(text)))),
      showList(h('ul', { class: 'machine-servers', 'aria-label': `Model servers on ${name}` }), servers.map((one) => this.#server(one))),
      h('p', { class: 'machine-none', hidden: servers.length > 0 }, 'No model server'),
      showList(h('ul', { class: 'machine-gpus', 'aria-label': `GPUs of ${name}` }), gpus.map((gpu) => this.#gpu(gpu))));
  }

  /** @param {MachineServer} server */
  #server({ model, number, state }) {
    const name = this.client?.nameOf(model) ?? model;
    const known = this.client?.models.get(model);
    const label = number > 1 || (known?.replicas?.length ?? 0) > 1 ? `${name}, replica ${number}` : name;
    const shown = known
      ? h('button', { type: 'button', class: 'machine-model', 'data-model': model, 'aria-label': `About ${label}` }, label)
      : h('span', { class: 'machine-model' }, label);
    return h('li', { 'data-state': state }, shown, h('span', { class: 'machine-server-state' }, MODEL_STATES[state] ?? state));
  }

  /** @param {Gpu} gpu */
  #gpu({ id, kind, used_by: user }) {
    const short = id.length > MAX_ID ? `${id.slice(0, MAX_ID)}…` : id;
    const name = [kind, short.startsWith(kind) ? short.slice(kind.length).replace(/^-/, '') : short].filter(Boolean).join(' ');
    return h('li', { class: user ? 'is-used' : '', title: id || null }, h('span', { class: 'machine-gpu' }, name), h('span', { dir: 'auto' }, user ? this.client?.nameOf(user) ?? user : 'free'));
  }
}

/** Show the machines in a dialog. @param {SidestreamClient} client @param {string} url Where they are told. */
export function openMachineList(client, url) {
  const list = Object.assign(new MachineList(), { client, url });
  document.body.append(list);
  void list.open();
}

/** Say what a machine is and has, in a few words each. @param {Omit<Machine, 'name' | 'gpus' | 'servers' | 'problems'>} machine @returns {string[]} */
export function facts({ address, availability, cpus, is_leader: isLeader, memory_bytes: memory, role, state, version }) {
  const words = [
    role && capital(isLeader ? `${role} (leader)` : role), state, availability,
    version && `Docker ${version}`, address,
    cpus && `${cpus} ${cpus === 1 ? 'core' : 'cores'}`,
    memory && `${Math.round(memory / GIBIBYTE)} GB of memory`,
  ];
  return words.filter((word) => typeof word === 'string' && word !== '').map(String);
}

/** Give a list these items, and hide it if there are none. @param {HTMLElement} list @param {HTMLElement[]} items @param {string} [words] What they say: the same is left alone. */
function showList(list, items, words) {
  list.hidden = items.length === 0;
  if (words === undefined || list.dataset.words !== words) list.replaceChildren(...items);
  if (words !== undefined) list.dataset.words = words;
  return list;
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

customElements.define('machine-list', MachineList);
