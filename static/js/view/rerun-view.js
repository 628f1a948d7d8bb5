/**
 * `<rerun-view>`: a dialog that asks a stored conversation again and compares the answers.
 *
 * A run goes on when the dialog is closed, and is shown again when it is opened. Only one runs at a
 * time, since requests in one batch can change each other's tokens. A row has the prompt, the model,
 * the figures then and now, and whether the answers are the same. The page loads this module on
 * demand.
 *
 * Events: `answers-compare` with `{answers}`, `chat-open` with `{id}`, `chat-made`.
 */

import { Rerun } from '../model/rerun.js';
import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { about, duration, errorText, rate, sentence, tokens } from './labels.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Conversations, StoredEngine } from '../client/conversations.js' */
/** @import { Timings, Usage } from '../client/protocol.js' */
/** @import { Outcome, Repeat } from '../model/repeat.js' */

/** @type {Record<Outcome, string>} */
const OUTCOMES = {
  waiting: 'To be asked',
  impossible: 'Not possible',
  running: 'Writing',
  same: 'The same',
  different: 'Different',
  failed: 'Failed',
};
/** What may have changed behind a model. @type {Record<keyof StoredEngine, string>} */
const TRAITS = {
  model_id: 'Another model', weights: 'Other weights', revision: 'Another revision', engine: 'Another engine', version: 'Another version of the engine', image: 'Another image', runner: 'Run elsewhere',
};
/** @type {Outcome[]} */
const SUMMED = ['same', 'different', 'failed', 'impossible', 'waiting'];
const MAX_PROMPT = 300; // the style sheet shows the first lines
const SIDE_BY_SIDE = 'Where nothing is said to have changed, it may lie in what else the engine was asked then: engines compute in batches, which can tip a token.';
const MAX_TRAIT = 24; // readers need to know that a digest differs, not the digest

export class RerunView extends PageElement {
  /** @type {{api: Conversations, client: SidestreamClient} | null} */
  parts = null;
  /** @type {Rerun | null} */
  #rerun = null;
  /** Runs that have not ended. @type {Set<Rerun>} */
  #begun = new Set();
  #shown = new AbortController();
  /** @type {Map<Repeat, HTMLTableRowElement>} */
  #rows = new Map();
  #title = h('h2', { id: 'rerun-title' });
  #close = iconButton('close', 'Close');
  #summary = h('p', { class: 'compared-summary', role: 'status' });
  #problem = h('p', { class: 'notice', role: 'alert', hidden: true });
  #advice = h('p', { class: 'field-hint', hidden: true }, SIDE_BY_SIDE);
  #body = h('tbody');
  #run = h('button', { type: 'button', class: 'quiet' });
  #stop = h('button', { type: 'button', class: 'quiet' }, 'Stop');
  #afresh = h('button', { type: 'button', class: 'quiet' }, 'Run all again');
  #open = h('button', { type: 'button', class: 'quiet' }, 'Open as a chat');
  #dialog = h('dialog', { class: 'sheet wide-sheet rerun', 'aria-labelledby': 'rerun-title' },
    h('header', {}, this.#title, this.#summary, this.#close),
    this.#problem,
    h('div', { class: 'repeats', tabindex: 0, role: 'region', 'aria-labelledby': 'rerun-title' },
      h('table', {},
        h('thead', {}, h('tr', {}, ...['Prompt', 'Model', 'Then', 'Now', 'Outcome'].map((name) => h('th', { scope: 'col' }, name)))),
        this.#body)),
    this.#advice,
    h('div', { class: 'sheet-actions' }, this.#run, this.#stop, this.#open, this.#afresh));

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    const on = (/** @type {HTMLElement} */ element, /** @type {() => void} */ act) => element.addEventListener('click', act, { signal });
    letClose(this.#dialog, this.#close, signal);
    on(this.#run, () => void this.#begin());
    on(this.#stop, () => void this.#rerun?.stop());
    on(this.#afresh, () => this.#rerun && this.#show(this.#rerun.afresh()));
    on(this.#open, () => {
      this.#dialog.close();
      this.announce('chat-open', { id: this.#rerun?.copyId });
    });
  }

  // Actions

  /** Show a stored conversation with its current run, if there is one. Rejects with a SidestreamError. @param {string} id */
  async open(id) {
    if (!this.parts) return;
    const underWay = [...this.#begun].find(({ copyId, originalId }) => [copyId, originalId].includes(id));
    this.#show(underWay ?? await Rerun.load(this.parts, id));
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  // Internal

  async #begin() {
    const rerun = this.#rerun;
    const [other] = this.#begun;
    if (!rerun || rerun.isRunning) return;
    if (other) return this.#tell(`“${other.title}” is being run again. Begin when that has ended.`);
    this.#begun.add(rerun);
    try {
      await rerun.run();
    } finally {
      this.#begun.delete(rerun);
    }
  }

  /** @param {Rerun} rerun */
  #show(rerun) {
    this.#shown.abort();
    this.#shown = new AbortController();
    const { signal } = this.#shown;
    this.#rerun = rerun;
    rerun.on('change', () => this.#renderAll(rerun), { signal });
    rerun.on('copy', () => this.announce('chat-made'), { signal });
    rerun.on('repeat', (repeat) => {
      this.#render(rerun, repeat);
      setText(this.#summary, summary(rerun));
    }, { signal });
    setText(this.#title, `Run again: ${rerun.title}`);
    this.#rows = new Map(rerun.repeats.map((repeat) => [repeat, h('tr')]));
    this.#body.replaceChildren(...this.#rows.values());
    this.#renderAll(rerun);
  }

  /** @param {Rerun} rerun */
  #renderAll(rerun) {
    const { copyId, fault, isRunning, isStopping, isWaiting, repeats } = rerun;
    for (const repeat of this.#rows.keys()) this.#render(rerun, repeat);
    setText(this.#run, copyId ? 'Go on' : 'Run again');
    this.#run.hidden = isRunning || !isWaiting;
    this.#stop.hidden = !isRunning;
    this.#stop.disabled = isStopping;
    this.#open.hidden = !copyId;
    this.#afresh.hidden = !copyId || isRunning;
    this.#advice.hidden = isRunning || !repeats.some(({ changes, outcome }) => outcome === 'different' && changes.length === 0);
    this.#tell(fault ? errorText(fault) : '');
    setText(this.#summary, summary(rerun));
  }

  /** @param {string} problem Empty: there is none. */
  #tell(problem) {
    this.#problem.hidden = !problem;
    setText(this.#problem, problem);
  }

  /** @param {Rerun} rerun @param {Repeat} repeat */
  #render(rerun, repeat) {
    const { after, before, outcome, prompt } = repeat;
    const row = this.#rows.get(repeat);
    const cells = [prompt.slice(0, MAX_PROMPT), rerun.name(before.model), metricsOf(before), after ? metricsOf(after) : '–'];
    const told = remarks(repeat);
    const words = [...cells, outcome, ...told].join('\n');
    if (!row || row.dataset.words === words) return; // somebody may have the focus in it
    row.dataset.words = words;
    row.classList.toggle('is-running', outcome === 'running');
    row.replaceChildren(
      ...cells.map((text) => h('td', {}, h('div', { dir: 'auto' }, text))),
      h('td', {}, ...this.#outcome(repeat), ...told.map((line) => h('p', { class: 'field-hint' }, line))),
    );
  }

  /** @param {Repeat} repeat */
  #outcome({ answers, outcome, thoughts }) {
    if (!answers) return [h('span', { class: 'outcome' }, OUTCOMES[outcome])];
    const button = (/** @type {string} */ words, /** @type {string} */ name, /** @type {typeof answers} */ both) => {
      const compare = h('button', { type: 'button', class: name }, words);
      compare.addEventListener('click', () => this.announce('answers-compare', { answers: both }));
      return compare;
    };
    const isSame = thoughts?.[0].text === thoughts?.[1].text;
    return [
      button(OUTCOMES[outcome], `quiet is-${outcome}`, answers),
      ...(thoughts ? [button(isSame ? 'Thinking the same' : 'Thinking different', 'thoughts-compare', thoughts)] : []),
    ];
  }
}

/** @param {{usage: Usage | null, timings: Timings | null}} answer */
function metricsOf({ usage, timings }) {
  const { total_ms: total, tokens_per_second: speed } = timings ?? {};
  const [count, pace] = [usage && tokens(usage.completion_tokens), speed != null && rate(speed)].map((one) => one && about(one, usage?.estimated));
  return [count, total != null && duration(total), pace].filter(Boolean).join(' · ');
}

/** Say why there is no outcome, and what may be the reason for one. @param {Repeat} repeat */
function remarks({ changes, error }) {
  const lines = changes.map(({ trait, then, now }) => {
    const values = then && now && Math.max(then.length, now.length) <= MAX_TRAIT ? `: ${then} → ${now}` : '';
    return `${TRAITS[trait]}${values}`;
  });
  return [...(error ? [sentence(error.message)] : []), ...lines];
}

/** @param {Rerun} rerun */
function summary({ isConnected, isRunning, isStopping, repeats }) {
  const count = (/** @type {Outcome} */ outcome) => repeats.filter((repeat) => repeat.outcome === outcome).length;
  const done = count('same') + count('different') + count('failed');
  if (isRunning && !isConnected) return 'Waiting for the connection.';
  if (isStopping) return 'Stopping.';
  if (isRunning) return `${done} of ${repeats.length - count('impossible')} answered.`;
  const parts = SUMMED.flatMap((outcome) => (count(outcome) > 0 ? [`${count(outcome)} ${OUTCOMES[outcome].toLowerCase()}`] : []));
  return parts.length > 0 ? `${parts.join(', ')}.` : 'There are no answers in this chat.';
}

customElements.define('rerun-view', RerunView);
