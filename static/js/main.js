/**
 * Connect the parts of the page: the client, the workspace, and the elements.
 *
 * Properties and method calls go to the elements; events tell what the user wants.
 */

import { SidestreamClient } from './client/client.js';
import { Conversations } from './client/conversations.js';
import { SidestreamError } from './client/protocol.js';
import { Conversation } from './model/conversation.js';
import { Workspace } from './model/workspace.js';
import { ChatBoard } from './view/chat-board.js';
import { ChatAddress } from './view/chat-address.js';
import { columnItems } from './view/column-menu.js';
import { copyText } from './view/clipboard.js';
import { ConnectionStateView } from './view/connection-state.js';
import { pageFrames } from './view/frames.js';
import { laterStyles } from './view/late-styles.js';
import { lateTurns } from './view/late-turns.js';
import { connectShortcuts } from './view/shortcuts.js';
import { ModelPicker } from './view/model-picker.js';
import { PanelTabs } from './view/panel-tabs.js';
import { PopMenu } from './view/pop-menu.js';
import { PromptComposer } from './view/prompt-composer.js';
import { SidePanel } from './view/side-panel.js';
import { lookWhy, offerSignOut } from './view/sign-in.js';
import { tab, visits } from './view/storage.js';
import { connectTheme } from './view/theme.js';
import { h } from './view/element.js';
import { sentence } from './view/labels.js';

/** @import { Token } from './client/protocol.js' */
/** @import { Column } from './model/columns.js' */
/** @import { ModelCard } from './view/model-card.js' */
/** @import { VoteBar } from './view/vote-bar.js' */

/** Text is shown at most 30 times a second; a message per token would cost as much as showing it. */
const PACE_MS = 33;
const ALL_HIDDEN = 'All columns are hidden';

document.querySelector('#unstarted')?.remove();
const socketUrl = new URL('ws', document.baseURI);
socketUrl.protocol = socketUrl.protocol.replace('http', 'ws');
const { session, known } = tab.get('tab') ?? {};
const client = new SidestreamClient({ url: socketUrl.href, session, known, paceMs: PACE_MS });
client.connect(); // in parallel with the rest of this module
const api = new Conversations(new URL('.', document.baseURI).href);
const workspace = new Workspace({ client, api, memory: visits, tab });
const { columns, scheduler } = workspace;

const board = find(ChatBoard, 'chat-board');
const composer = find(PromptComposer, 'prompt-composer');
const connection = find(ConnectionStateView, 'connection-state');
const chats = find(HTMLElement, 'chat-list');
const menu = find(PopMenu, 'pop-menu');
const tabs = find(PanelTabs, 'panel-tabs');
const panel = find(SidePanel, 'side-panel');
const picker = find(ModelPicker, 'model-picker');
const acts = { board, workspace, openFigures, openParameters, openReplacer, openDifferences };
const reveal = find(HTMLButtonElement, '#reveal');
const revealAll = h('button', { type: 'button' }, 'Show them');
const allHidden = h('p', { class: 'all-hidden', role: 'status', hidden: true });
const whenIdle = window.requestIdleCallback ?? window.setTimeout; // Safari has no other

/** The id of the open chat when the list was loaded, '' if none, null without a list. @type {string | null} */
let listed = null;
let wasBusy = false;
/** Why there is no connection, if more is known. */
let obstacle = '';
/** @type {ModelCard | null} */
let card = null;
/** Null before there was a blind round. @type {VoteBar | null} */
let votes = null;
workspace.resume();
connectTheme(find(HTMLButtonElement, '#theme'));

// From the client

client.on('connection', (state) => {
  connection.state = state;
  if (state.name === 'connected') obstacle = '';
  updateComposer();
  lookWhy(state, client.server !== null).then((words) => {
    obstacle = words || obstacle;
    updateComposer();
  });
});
client.on('models', (models) => {
  picker.models = models;
  columnsChanged();
  for (const id of new Set(columns.all.map(({ model }) => model))) board.update(id);
  whenIdle(() => void lateTurns.load()); // the page can be used
});
client.on('model', (model) => {
  picker.update(model);
  board.update(model.id);
});
client.on('conversations', ({ state }) => {
  tabs.hidden = state === 'off';
  find(HTMLButtonElement, '[aria-controls=panel]').textContent = tabs.hidden ? 'Models' : 'Models and chats';
  if (state === 'off') return;
  listed = null;
  refreshChats();
  void loadVotes();
});
client.on('fault', showFault);

// From the workspace

columns.on('change', columnsChanged);
scheduler.on('change', () => {
  composer.follow(scheduler);
  nameAsked(); // a vote may be due
  if (wasBusy && !scheduler.isBusy) listed = null; // it is the newest now
  wasBusy = scheduler.isBusy;
  refreshChats();
});
workspace.on('conversation', () => {
  nameAsked();
  refreshChats();
  void loadVotes();
});
workspace.on('turns', nameAsked);
workspace.on('stored', refreshChats);
workspace.on('fault', showFault);
scheduler.on('fault', showFault);
workspace.on('settings', () => {
  composer.settings = workspace.settings;
  nameAsked();
  void loadVotes();
});
composer.settings = workspace.settings;
composer.follow(scheduler);
updateComposer();

// From the user

on('model-choose', ({ id, isChosen }) => columns.choose(id, isChosen));
on('model-restart', ({ id }) => tryWith(client.restart(id), (error) => showProblem(id, error)));
on('model-start', ({ id }) => tryWith(client.start(id), (error) => showProblem(id, error)));
on('model-stop', ({ id }) => tryWith(client.stop(id), (error) => showProblem(id, error)));
on('model-card', ({ id }) => openCard(id));
on('shortlists-open', openShortlists);
on('server-use', ({ server }) => tryWith(client.use(server), (error) => picker.showRefusal(server, error)));
on('model-log', ({ id }) => openLog(id));
on('prompt-send', ({ text, attachments }) => {
  const { leaf } = workspace.conversation;
  scheduler.send(text, attachments);
  if (workspace.conversation.leaf !== leaf) board.toNewest(); // it is not behind others
});
on('files-give', ({ files }) => openTray(files));
on('attached-show', ({ place, attachments }) => later(import('./view/attachment-tray.js'), ({ showAttached }) => showAttached(place, attachments)));
on('prompt-stop', () => scheduler.stop());
on('queue-resume', () => scheduler.resume());
on('queue-remove', ({ index }) => scheduler.unqueue(index));
on('settings-set', (changes) => {
  workspace.configure(changes);
  const isLate = changes.details && workspace.conversation.path.at(-1)?.answers
    .some(({ isDetailed, model }) => !isDetailed && client.models.get(model)?.capabilities?.logprobs);
  composer.note = isLate ? '“How sure” counts from the next prompt on. “Ask again” brings it for these answers.' : '';
});
on('parameters-open', ({ atSystem }) => openParameters(undefined, atSystem));
on('parameters-set', ({ column, parameters: own, system }) => {
  if (column === null) workspace.configure({ parameters: own, system });
  else workspace.configureColumn(column, own, system);
});
on('turn-edit', ({ turn, text }) => scheduler.edit(turn, text));
on('answer-retry', ({ turn, column, leave }) => scheduler.retry(turn, column, leave));
on('answer-go-on', ({ turn, column }) => scheduler.goOn(turn, column));
on('answer-learn', ({ answer }) => tryTo(() => workspace.learn(answer)));
on('answer-structure', ({ elements }) => {
  // Without the module it stays as it was written.
  import('./view/structure.js').then(({ showStructure }) => showStructure(elements), () => {});
});
on('answers-compare', ({ answers }) => openDifferences(answers));
on('answer-common', ({ turn, answer }) => workspace.conversation.setCommon(turn, answer));
on('answer-copy', async ({ text, button }) => {
  button.classList.toggle('is-done', await copyText(text));
  setTimeout(() => button.classList.remove('is-done'), 1500);
});
on('column-stop', ({ answers }) => scheduler.stop(answers));
on('menu-open', ({ items, button }) => menu.open(items, button));
on('column-menu', ({ column, button }) => menu.open(columnItems(acts, column), button));
on('column-alone', ({ column }) => { board.alone = column; });
on('column-move', ({ id, by, target }) => (target ? columns.moveTo(id, target) : columns.move(id, by)));
on('tab-show', refreshChats);
on('chat-new', newChat);
on('chat-open', ({ id, then }) => tryTo(async () => {
  await workspace.openStored(id);
  if (panel.isOver) panel.close();
  then?.(board);
}));
on('chat-again', ({ id }) => runAgain(id));
on('chat-prompts', ({ id }) => openRuns(id));
on('chat-figures', ({ id }) => openFigures(id));
on('chat-made', () => {
  listed = null;
  refreshChats();
});
on('chat-gone', ({ ids }) => workspace.drop(ids) && newChat());
on('prompt-begin', () => composer.focus());
on('connection-retry', () => client.connect());
reveal.addEventListener('click', () => columns.reveal());
revealAll.addEventListener('click', () => {
  columns.reveal();
  composer.focus(); // the button goes
});
board.append(allHidden);
find(HTMLButtonElement, '#new-chat').addEventListener('click', newChat);
find(HTMLButtonElement, '#shortcuts').addEventListener('click', openShortcuts);
void loadVotes();
board.use({ workspace, frames: pageFrames(), model: (id) => client.models.get(id), tokenView });
connectShortcuts({
  escape: () => {
    if (panel.isOver) panel.close();
    else if (board.alone !== null && !scheduler.isBusy) board.alone = null;
    else void scheduler.stop();
  },
  write: () => composer.focus(),
  go: (index) => board.go(index),
  vote: (index) => votes?.take(index) ?? false,
  turn: (by) => board.step(by),
  help: openShortcuts,
  newChat,
});

// When the network is back or the page is shown again, connect without waiting.
window.addEventListener('online', () => reconnectNow());
window.addEventListener('pageshow', () => reconnectNow());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) reconnectNow();
});
// Answers go on without this page; a reload returns to them.
window.addEventListener('pagehide', () => workspace.saveTab());

const address = new ChatAddress({ workspace, client, composer, fault: showFault, runs: (isAsked) => openRuns('', isAsked) });
address.begin();
if (visits.get('attached')?.length) openTray([]);
document.querySelector('#add-model')?.addEventListener('click', openAdder);
document.querySelector('#machines')?.addEventListener('click', openMachines);
document.querySelector('#runs')?.addEventListener('click', () => openRuns());
document.querySelector('#sign-out')?.addEventListener('click', () => workspace.forget());
offerSignOut(document.querySelector('#sign-out'));
if (matchMedia('(pointer: fine)').matches) composer.focus(); // elsewhere it would open the screen keyboard

function columnsChanged() {
  const hidden = columns.all.length - columns.shown.length;
  reveal.hidden = hidden === 0;
  reveal.textContent = hidden === 1 ? 'Show 1 hidden column' : `Show ${hidden} hidden columns`;
  allHidden.hidden = hidden === 0 || columns.shown.length > 0;
  allHidden.replaceChildren(...(allHidden.hidden ? [] : [ALL_HIDDEN, '. ', revealAll]));
  picker.choose({ all: columns.chosen, of: (model) => columns.chosen.filter((column) => column.model === model) });
  nameAsked();
}

/** Say who is asked next, and from which answer on. */
function nameAsked() {
  const { conversation: { path }, isSecret, settings } = workspace;
  const last = path.at(-1);
  const from = last?.common && columns.all.find(({ id }) => last.answer(id)?.id === last.common);
  composer.asked = {
    names: columns.asked.map((column) => workspace.label(column)),
    hidden: columns.chosen.length - columns.asked.length,
    from: from ? workspace.label(from) : '',
    votes: votes?.canVote && matchMedia('(pointer: fine)').matches ? columns.shown.length : 0,
    startsOver: settings.isBlind && !isSecret && path.length > 0,
  };
  updateComposer();
}

function newChat() {
  workspace.open(new Conversation());
  composer.beginChat();
}

function reconnectNow() {
  if (client.connection.name === 'waiting') client.connect();
}

/** Load the list if the open chat is new in it. */
function refreshChats() {
  const { conversation: { id } } = workspace;
  const isNews = listed === null || (id && id !== listed);
  if (isNews && !chats.hidden) showChats();
  listed = chats.hidden ? null : id ?? ''; // a hidden list is loaded when it is shown
}

function showChats() {
  return later(import('./view/chat-list.js'), ({ ChatList }) => {
    const list = find(ChatList, 'chat-list');
    list.use({ api, client, workspace });
    return list.refresh();
  });
}

// Rarely needed modules and their styles are loaded on demand.

/** Make the view of an answer's tokens; null if it cannot be loaded. @param {Token[]} tokens */
async function tokenView(tokens) {
  /** @type {HTMLElement | null} */
  let view = null;
  await later(import('./view/token-view.js'), ({ TokenView }) => { view = Object.assign(new TokenView(), { tokens }); });
  return view;
}

/** @param {{name: string, text: string}[]} answers */
function openDifferences(answers) {
  return later(import('./view/difference-view.js'), ({ DifferenceView }) => find(DifferenceView, 'difference-view').open(answers));
}

/** @param {string} id The model's. */
function openLog(id) {
  return later(import('./view/model-log.js'), ({ ModelLog }) => {
    const log = find(ModelLog, 'model-log');
    log.read = client.logs.bind(client);
    log.open(client.models.get(id) ?? { id, name: id });
  });
}

/** @param {string} [column] @param {boolean} [atSystem] */
function openParameters(column, atSystem) {
  return later(withSets(() => import('./view/parameter-form.js')), ({ ParameterForm }) => {
    const form = find(ParameterForm, 'parameter-form');
    Object.assign(form, { workspace, memory: visits });
    form.open(column, { atSystem });
  });
}

function openShortlists() {
  return later(withSets(() => import('./view/short-lists.js')), ({ ShortLists }) => {
    const lists = find(ShortLists, 'short-lists');
    lists.parts = { client, columns, memory: visits };
    lists.open();
  });
}

/** Load a module whose elements contain `<named-sets>`. @template T @param {() => Promise<T>} load */
async function withSets(load) {
  await import('./view/named-sets.js');
  return load();
}

/** @param {string} id The model's. */
function openCard(id) {
  return later(import('./view/model-card.js'), ({ ModelCard }) => {
    card = find(ModelCard, 'model-card');
    card.client = client;
    card.open(id);
  });
}

/** @param {Column} column */
function openReplacer(column) {
  return later(import('./view/model-replacer.js'), ({ ModelReplacer }) => {
    const replacer = find(ModelReplacer, 'model-replacer');
    replacer.client = client;
    replacer.open({ name: workspace.label(column), model: column.model }, (model) => columns.change(column.id, { model }));
  });
}

/** Load what blind rounds need, once there are any, or votes that earlier pages kept in the browser. */
async function loadVotes() {
  const isNeeded = workspace.settings.isBlind || visits.get('votes')?.length
    || [...workspace.conversation.turns.values()].some(({ isBlind, vote }) => isBlind || vote);
  if (!isNeeded || votes) return;
  await later(import('./view/vote-bar.js'), ({ makeVoteBar }) => {
    votes ??= makeVoteBar({ client, workspace, memory: visits });
    board.append(votes);
    nameAsked();
  });
}

function openShortcuts() {
  return later(import('./view/shortcut-list.js'), ({ ShortcutList }) => find(ShortcutList, 'shortcut-list').open());
}

/** @param {string} [chat] Whose prompts a run begins with. @param {() => boolean} [isAsked] Whether it still is, once their module is there. */
function openRuns(chat, isAsked = () => true) {
  if (panel.isOver) panel.close();
  return later(Promise.all([import('./view/runs-view.js'), laterStyles('runs.css')]), ([module]) => isAsked() && module.openRuns({ client, workspace, left: () => address.tell() }, chat));
}

function openAdder() {
  return later(import('./view/model-adder.js'), ({ ModelAdder }) => {
    const adder = find(ModelAdder, 'model-adder');
    adder.base = new URL('.', document.baseURI).href;
    adder.open();
  });
}

function openMachines() {
  return later(import('./view/machine-list.js'), ({ openMachineList }) => openMachineList(client, new URL('machines', document.baseURI).href));
}

/** Add files to the prompt. @param {File[]} files */
async function openTray(files) {
  composer.isLoading = true;
  await later(import('./view/attachment-tray.js'), ({ AttachmentTray }) => {
    composer.tray ??= new AttachmentTray({ client, columns, memory: visits });
    composer.tray.add(files);
  });
  composer.isLoading = false;
}

/** Show the figures of a chat. @param {string | null} [id] None: the open one. */
function openFigures(id = workspace.conversation.id) {
  return later(import('./view/summary-view.js'), ({ openSummary }) => openSummary({ client, workspace }, id));
}

/** Ask a stored conversation again. @param {string} id */
function runAgain(id) {
  return later(import('./view/rerun-view.js'), ({ RerunView }) => {
    const view = find(RerunView, 'rerun-view');
    view.parts = { api, client };
    return view.open(id);
  });
}

/** @template T @param {Promise<T>} loading @param {(module: T) => unknown} show */
function later(loading, show) {
  return tryTo(async () => {
    const [module] = await Promise.all([loading, laterStyles()]).catch(() => {
      throw new SidestreamError({ code: 'connection_closed', message: 'The server cannot be reached, or is another one now. Reload the page if it stays like this.' });
    });
    await show(module);
  });
}

/** @param {() => Promise<unknown>} act */
async function tryTo(act) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof SidestreamError)) throw error;
    showFault(error);
  }
}

/** @param {{message: string}} error */
function showFault({ message }) {
  composer.fault = sentence(message);
}

function updateComposer() {
  if (client.connection.name !== 'connected') composer.obstacle = obstacle || 'Waiting for the connection';
  else composer.obstacle = columns.asked.length > 0 ? '' : columns.chosen.length > 0 ? ALL_HIDDEN : 'Pick one or more models first';
}

/** Show what went wrong with a model. @param {string} id @param {SidestreamError} error */
function showProblem(id, error) {
  picker.showProblem(id, error);
  card?.showProblem(id, error);
}

/** Show the error of a command in the picker. @param {Promise<void>} command @param {(error: SidestreamError) => void} show */
async function tryWith(command, show) {
  try {
    await command;
  } catch (error) {
    if (!(error instanceof SidestreamError)) throw error;
    show(error);
  }
}

/** @param {string} type @param {(detail: any) => void} handle */
function on(type, handle) {
  document.addEventListener(type, (event) => handle(/** @type {CustomEvent} */ (event).detail));
}

/** @template {Element} T @param {new (...args: any[]) => T} kind @param {string} selector @returns {T} */
function find(kind, selector) {
  const element = document.querySelector(selector);
  if (!(element instanceof kind)) throw new Error(`${selector} is missing in the page`);
  return element;
}
