/**
 * The page put together: the client at one end, the elements at the other.
 *
 * Elements get properties and method calls from here and tell what the user wants by events; only
 * the columns speak to the client themselves.
 */

import { SidestreamClient } from './client/client.js';
import { SidestreamError } from './client/protocol.js';
import { ChatBoard } from './view/chat-board.js';
import { ConnectionStateView } from './view/connection-state.js';
import { pageFrames } from './view/frames.js';
import { ModelPicker } from './view/model-picker.js';
import { PromptComposer } from './view/prompt-composer.js';
import { SidePanel } from './view/side-panel.js';
import { offerSignOut, signInIfNeeded } from './view/sign-in.js';
import { sentence } from './view/words.js';

const socketUrl = new URL('ws', document.baseURI);
socketUrl.protocol = socketUrl.protocol.replace('http', 'ws');
const client = new SidestreamClient({ url: socketUrl.href });

const board = find(ChatBoard, 'chat-board');
const composer = find(PromptComposer, 'prompt-composer');
const connection = find(ConnectionStateView, 'connection-state');
const panel = find(SidePanel, 'side-panel');
const picker = find(ModelPicker, 'model-picker');

board.use({ client, frames: pageFrames() });

// From the client

client.on('connection', (state) => {
  connection.state = state;
  updateComposer();
  signInIfNeeded(state);
});
client.on('models', (models) => {
  picker.models = models;
  for (const model of models) board.update(model);
});
client.on('model', (model) => {
  picker.update(model);
  board.update(model);
});
client.on('fault', (error) => showFault(error));

// From the user

on('models-select', () => {
  board.show(picker.selected);
  updateComposer();
});
on('model-start', ({ id }) => tryWith(id, client.start(id)));
on('model-stop', ({ id }) => tryWith(id, client.stop(id)));
on('prompt-send', ({ text }) => board.ask(text));
on('prompt-stop', () => board.stopAll());
on('board-change', () => updateComposer());
on('column-fault', (error) => showFault(error));
on('connection-retry', () => client.connect());
find(HTMLButtonElement, '#new-chat').addEventListener('click', () => {
  board.clear();
  board.show(picker.selected);
  composer.focus();
});
document.addEventListener('keydown', ({ key, isComposing }) => {
  if (key !== 'Escape' || isComposing) return;
  if (panel.isOver) panel.close();
  else board.stopAll();
});

// A network that is back, or a page that is looked at again, need not wait for the next attempt.
window.addEventListener('online', () => reconnectNow());
window.addEventListener('pageshow', () => reconnectNow());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) reconnectNow();
});
// What is still being written is for nobody, once this page is gone.
window.addEventListener('pagehide', () => board.stopAll());

offerSignOut(document.querySelector('#sign-out'));
client.connect();
if (matchMedia('(pointer: fine)').matches) composer.focus(); // elsewhere it would raise a keyboard

function reconnectNow() {
  if (client.connection.name === 'waiting') client.connect();
}

/** @param {{message: string}} error */
function showFault({ message }) {
  composer.fault = sentence(message);
}

function updateComposer() {
  composer.isBusy = board.isBusy;
  if (client.connection.name !== 'connected') composer.obstacle = 'Waiting for the connection';
  else composer.obstacle = picker.selected.length === 0 ? 'Pick one or more models first' : '';
}

/** Show in the picker what a command for a model led to. @param {string} id @param {Promise<void>} command */
async function tryWith(id, command) {
  try {
    await command;
  } catch (error) {
    if (!(error instanceof SidestreamError)) throw error;
    picker.showProblem(id, error);
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
