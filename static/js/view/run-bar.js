/** What can be done with a run: pause, continue, cancel, extend, delete after a question, results, votes, judges and exports. */

import { runHash } from '../model/run-address.js';
import { copyText } from './clipboard.js';
import { h, setText } from './element.js';
import { RunShare, canShare, sharedWords } from './run-share.js';
import { RunExtension } from './run-extension.js';

/** @import { JudgeAct } from '../client/run-assessments.js' */
/** @import { Run, RunAct } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

/** @type {['csv' | 'jsonl' | 'html', string][]} */
const FORMS = [['csv', 'CSV'], ['jsonl', 'JSON Lines'], ['html', 'Report']];

const SHOWN_MS = 1500;

export class RunBar {
  #host;
  #signal;
  #changed;
  /** @type {Run | null} */
  #run = null;
  #vote = this.#button('Vote blind', () => this.#run && this.#host.vote(this.#run));
  #judges = this.#button('Judges', () => this.#run && this.#host.judge(this.#run));
  #extend = this.#button('Extend…', () => this.#beginExtending());
  #results = this.#button('Results', () => this.#run && this.#host.weigh(this.#run));
  #pause = this.#button('Pause', () => this.#act('pause'));
  #continue = this.#button('Continue', () => this.#act('continue'));
  #retry = this.#button('Ask failed again', () => this.#act('continue?failed=1'));
  #cancel = this.#button('Cancel', () => this.#act('cancel'));
  #copy = this.#button('Copy link', () => this.#copyLink());
  #delete = this.#button('Delete…', () => this.#ask());
  #share = this.#button('Share…', () => this.#beginSharing());
  #shared = h('span', { class: 'run-words', dir: 'auto' });
  /** @type {RunShare | null} */
  #sharing = null;
  #links = h('span', { class: 'run-exports' });
  #yes = this.#button('Delete it', () => this.#remove());
  #no = this.#button('Keep it', () => this.#endAsking());
  #asking = h('div', { class: 'run-acts', role: 'group', 'aria-label': 'Delete', hidden: true },
    h('span', {}, 'Delete this run with its answers?'), this.#yes, this.#no);
  #acts = h('div', { class: 'run-acts' }, this.#results, this.#vote, this.#judges, this.#pause, this.#continue, this.#retry, this.#extend, this.#cancel, this.#copy, this.#delete, this.#share, this.#shared, this.#links);
  /** @type {RunExtension | null} */
  #extension = null;
  element = h('div', {}, this.#acts, this.#asking);

  /** @param {Host} host @param {AbortSignal} signal @param {(run: Run) => void} changed */
  constructor(host, signal, changed) {
    this.#host = host;
    this.#signal = signal;
    this.#changed = changed;
  }

  // Actions

  /** @param {Run} run */
  show(run) {
    const hadFocus = this.#acts.contains(document.activeElement);
    if (this.#run?.id !== run.id) {
      this.#links.replaceChildren('Export: ', ...FORMS.flatMap(([form, words]) => [h('a', { href: this.#host.api.exportUrl(run.id, form), download: true }, words), ' ']));
    }
    this.#run = run;
    const isRunning = run.state === 'running';
    const failed = run.targets.reduce((sum, target) => sum + target.failed, 0);
    this.#vote.hidden = run.targets.length < 2 || run.answered < 2;
    this.#judges.hidden = run.answered === 0;
    this.#pause.hidden = !isRunning;
    this.#cancel.hidden = !isRunning && run.state !== 'paused';
    this.#continue.hidden = isRunning || run.answered === run.total;
    this.#retry.hidden = isRunning || failed === 0;
    setText(this.#retry, `Ask ${failed.toLocaleString('en')} failed again`);
    this.#share.hidden = !canShare(run);
    setText(this.#shared, sharedWords(run));
    this.#delete.hidden = !run.is_mine;
    if (!run.is_mine) for (const act of [this.#pause, this.#cancel, this.#continue, this.#retry, this.#extend]) act.hidden = true;
    const focused = document.activeElement;
    if (hadFocus && (focused === document.body || (focused instanceof HTMLElement && focused.hidden))) this.focus();
  }

  focus() {
    this.#results.focus();
  }

  // Internal

  /** @param {string} words @param {() => unknown} act */
  #button(words, act) {
    const button = h('button', { type: 'button', class: 'quiet' }, words);
    button.addEventListener('click', act);
    return button;
  }

  /** @param {RunAct} act */
  #act(act) {
    const run = this.#run;
    return run && this.#host.attempt(async () => this.#changed(await this.#host.api.act(run.id, act)));
  }

  #beginSharing() {
    if (!this.#run || this.#sharing) return this.#sharing?.focus();
    this.#sharing = new RunShare(this.#host, this.#run, (changed) => this.#endSharing(changed));
    this.element.append(this.#sharing.element);
    this.#sharing.focus();
  }

  /** @param {Run | null} changed */
  #endSharing(changed) {
    this.#sharing?.element.remove();
    this.#sharing = null;
    if (changed) this.#changed(changed);
    this.#share.focus();
  }

  async #copyLink() {
    if (!this.#run) return;
    const isCopied = await copyText(new URL(location.pathname + runHash(this.#run.id), location.href).href);
    setText(this.#copy, isCopied ? 'Copied' : 'Cannot be copied');
    setTimeout(() => setText(this.#copy, 'Copy link'), SHOWN_MS);
  }

  #beginExtending() {
    if (!this.#run || this.#extension) return this.#extension?.focus();
    this.#extension = new RunExtension(this.#host, this.#run, (changed) => this.#endExtending(changed));
    this.element.append(this.#extension.element);
    this.#extension.focus();
  }

  /** @param {Run | null} changed */
  #endExtending(changed) {
    this.#extension?.element.remove();
    this.#extension = null;
    if (this.#signal.aborted) return;
    this.#extend.focus();
    if (changed) this.#host.open(changed); // with other columns
  }

  #ask() {
    this.#asking.hidden = false;
    this.#no.focus();
  }

  #endAsking() {
    this.#asking.hidden = true;
    this.#delete.focus();
  }

  #remove() {
    const run = this.#run;
    return run && this.#host.attempt(async () => {
      const { api, assessments } = this.#host;
      const isRunning = run.state === 'running';
      const judges = run.judges.filter(({ state }) => state === 'running');
      /** @param {RunAct} ofRun @param {JudgeAct} ofJudge */
      const act = (ofRun, ofJudge) => Promise.all([
        ...(isRunning ? [api.act(run.id, ofRun)] : []),
        ...judges.map(({ id }) => assessments.actOnJudge(run.id, id, ofJudge)),
      ]);
      await act('cancel', 'pause?wait=0'); // it is over for now, whatever becomes of it
      if (this.#signal.aborted) return;
      this.#host.remove({
        id: run.id,
        name: run.name || run.set_name,
        send: () => api.delete(run.id),
        restore: () => act('continue', 'continue'),
      });
    });
  }
}
