/**
 * The page put together: the client at one end, the elements at the other, the workspace between.
 *
 * Elements get properties and method calls from here and tell what the user wants by events.
 */

import { SidestreamClient } from './client/client.js';
import { Conversations } from './client/conversations.js';
import { SidestreamError } from './client/protocol.js';
import { Conversation } from './model/conversation.js';
import { Workspace } from './model/workspace.js';
import { ChatBoard } from './view/chat-board.js';
import { ChatList } from './view/chat-list.js';
import { columnItems } from './view/column-menu.js';
import { copyText } from './view/clipboard.js';
import { ConnectionStateView } from './view/connection-state.js';
import { pageFrames } from './view/frames.js';
import { connectKeys } from './view/keys.js';
import { ModelPicker } from './view/model-picker.js';
import { PanelTabs } from './view/panel-tabs.js';
import { PopMenu } from './view/pop-menu.js';
import { PromptComposer } from './view/prompt-composer.js';
import { SidePanel } from './view/side-panel.js';
import { offerSignOut, signInIfNeeded } from './view/sign-in.js';
import { tab, visits } from './view/storage.js';
import { connectTheme } from './view/theme.js';
import { sentence } from './view/words.js';

/** Text is shown thirty times a second at most; a message for each token would cost as much as showing it. */
const PACE_MS = 33;

const socketUrl = new URL('ws', document.baseURI);
socketUrl.protocol = socketUrl.protocol.replace('http', 'ws');
const { session, known } = tab.recall('tab') ?? {};
const client = new SidestreamClient({ url: socketUrl.href, session, known, paceMs: PACE_MS });
client.connect(); // it takes its time, in which the page is put together
const api = new Conversations(new URL('.', document.baseURI).href);
const workspace = new Workspace({ client, api, memory: visits, tab });
const { columns, director } = workspace;

const board = find(ChatBoard, 'chat-board');
const composer = find(PromptComposer, 'prompt-composer');
const connection = find(ConnectionStateView, 'connection-state');
const chats = find(ChatList, 'chat-list');
const menu = find(PopMenu, 'pop-menu');
const tabs = find(PanelTabs, 'panel-tabs');
const panel = find(SidePanel, 'side-panel');
const picker = find(ModelPicker, 'model-picker');
const acts = { client, workspace, openMenu: menu.open.bind(menu), openParameters, openDifferences };
const reveal = find(HTMLButtonElement, '#reveal');

/** The open chat that is in the list, '' if none, null before there is a list. @type {string | null} */
let listed = null;
let wasBusy = false;
chats.api = api;
workspace.resume();
board.use({ workspace, frames: pageFrames(), model: (id) => client.models.get(id) });
connectTheme(find(HTMLButtonElement, '#theme'));

// From the client

client.on('connection', (state) => {
  connection.state = state;
  updateComposer();
  signInIfNeeded(state);
});
client.on('models', (models) => {
  picker.models = models;
  columnsChanged();
  for (const id of new Set(columns.all.map(({ model }) => model))) board.update(id);
});
client.on('model', (model) => {
  picker.update(model);
  board.update(model.id);
});
client.on('conversations', ({ state }) => {
  tabs.hidden = state === 'off';
  if (state === 'off') return;
  listed = null;
  refreshChats();
});
client.on('fault', showFault);

// From the workspace

columns.on('change', columnsChanged);
director.on('change', () => {
  composer.follow(director);
  if (wasBusy && !director.isBusy) listed = null; // it has become the newest
  wasBusy = director.isBusy;
  refreshChats();
});
workspace.on('conversation', refreshChats);
workspace.on('fault', showFault);
director.on('fault', showFault);
workspace.on('settings', () => { composer.settings = workspace.settings; });
composer.settings = workspace.settings;
composer.follow(director);
updateComposer();

// From the user

on('model-choose', ({ id, isChosen }) => columns.choose(id, isChosen));
on('model-start', ({ id }) => tryWith(client.start(id), (error) => picker.showProblem(id, error)));
on('model-stop', ({ id }) => tryWith(client.stop(id), (error) => picker.showProblem(id, error)));
on('server-use', ({ server }) => tryWith(client.use(server), (error) => picker.showRefusal(server, error)));
on('model-log', ({ id }) => openLog(id));
on('prompt-send', ({ text }) => director.send(text));
on('prompt-stop', () => director.stop());
on('queue-resume', () => director.resume());
on('queue-remove', ({ index }) => director.unqueue(index));
on('settings-set', (changes) => workspace.configure(changes));
on('parameters-open', () => openParameters());
on('parameters-set', ({ column, parameters: own, system }) => {
  if (column === null) workspace.configure({ parameters: own, system });
  else workspace.configureColumn(column, own, system);
});
on('turn-edit', ({ turn, text }) => director.edit(turn, text));
on('answer-retry', ({ turn, column, isLenient }) => director.retry(turn, column, isLenient));
on('answer-go-on', ({ turn, column }) => director.goOn(turn, column));
on('answer-learn', ({ answer }) => tryTo(() => workspace.learn(answer)));
on('answers-compare', ({ answers }) => openDifferences(answers));
on('answer-common', ({ turn, answer }) => workspace.conversation.setCommon(turn, answer));
on('answer-copy', async ({ text, button }) => {
  button.classList.toggle('is-done', await copyText(text));
  setTimeout(() => button.classList.remove('is-done'), 1500);
});
on('column-stop', ({ id }) => {
  const answer = workspace.conversation.path.at(-1)?.answer(id);
  if (answer) void director.stop([answer]);
});
on('menu-open', ({ items, button }) => menu.open(items, button));
on('column-menu', ({ column, button }) => menu.open(columnItems(acts, column, button), button));
on('column-move', ({ id, by, target }) => (target ? columns.moveTo(id, target) : columns.move(id, by)));
on('tab-show', refreshChats);
on('chat-open', ({ id }) => tryTo(() => workspace.openKept(id)));
on('chat-again', ({ id }) => runAgain(id));
on('chat-made', () => {
  listed = null;
  refreshChats();
});
on('chat-gone', ({ id }) => workspace.conversation.id === id && newChat());
on('vote', ({ kind, best }) => workspace.vote(kind, best));
on('scores-forget', () => workspace.forgetScores());
on('connection-retry', () => client.connect());
reveal.addEventListener('click', () => columns.reveal());
find(HTMLButtonElement, '#new-chat').addEventListener('click', newChat);
find(HTMLButtonElement, '#shortcuts').addEventListener('click', openShortcuts);
connectKeys({
  escape: () => (panel.isOver ? panel.close() : void director.stop()),
  write: () => composer.focus(),
  go: (index) => board.go(index),
  help: openShortcuts,
  newChat,
});

// A network that is back, or a page that is looked at again, need not wait for the next attempt.
window.addEventListener('online', () => reconnectNow());
window.addEventListener('pageshow', () => reconnectNow());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) reconnectNow();
});
// What is being written goes on without this page; a reload comes back to it.
window.addEventListener('pagehide', () => workspace.keep());

document.querySelector('#sign-out')?.addEventListener('click', () => workspace.forget());
offerSignOut(document.querySelector('#sign-out'));
if (matchMedia('(pointer: fine)').matches) composer.focus(); // elsewhere it would raise a keyboard

function columnsChanged() {
  const hidden = columns.all.length - columns.shown.length;
  reveal.hidden = hidden === 0;
  reveal.textContent = hidden === 1 ? 'Show 1 hidden column' : `Show ${hidden} hidden columns`;
  picker.choose(columns);
  updateComposer();
}

function newChat() {
  void director.stop();
  workspace.open(new Conversation());
  composer.focus();
}

function reconnectNow() {
  if (client.connection.name === 'waiting') client.connect();
}

/** Show which chat is open, and one that has just been begun. */
function refreshChats() {
  const { conversation: { id } } = workspace;
  chats.current = id;
  const isNews = listed === null || (id && id !== listed);
  if (isNews && !chats.hidden) void chats.refresh();
  listed = chats.hidden ? null : id ?? ''; // hidden, it is fetched when it is looked at
}

// What few need, and not at first, comes when it is asked for.

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

/** @param {string} [column] */
function openParameters(column) {
  return later(import('./view/parameter-form.js'), ({ ParameterForm }) => {
    const form = find(ParameterForm, 'parameter-form');
    form.workspace = workspace;
    form.open(column);
  });
}

function openShortcuts() {
  return later(import('./view/shortcut-list.js'), ({ ShortcutList }) => find(ShortcutList, 'shortcut-list').open());
}

/** Show what a kept conversation is like when it is asked again. @param {string} id */
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
    const module = await loading.catch(() => {
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
  if (client.connection.name !== 'connected') composer.obstacle = 'Waiting for the connection';
  else composer.obstacle = columns.shown.length === 0 ? 'Pick one or more models first' : '';
}

/** Show in the picker what a command led to. @param {Promise<void>} command @param {(error: SidestreamError) => void} show */
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
