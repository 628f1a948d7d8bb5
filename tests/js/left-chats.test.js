import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { SidestreamError } from '../../static/js/client/protocol.js';
import { Conversation } from '../../static/js/model/conversation.js';
import { dayOf, timeOf } from '../../static/js/model/days.js';
import { Workspace } from '../../static/js/model/workspace.js';
import { connectedClient, delta, end, model } from './fake_socket.js';

const MODELS = ['small', 'large', 'other'].map((id) => model(id));
const clients = [];
after(() => clients.forEach((client) => client.close()));

const tick = () => new Promise((resolve) => setImmediate(resolve));
const ids = ({ columns }) => columns.shown.map(({ id }) => id).join(' ');

function memoryOf(saved = {}) {
  const values = new Map(Object.entries(saved));
  return { get: (key) => JSON.parse(JSON.stringify(values.get(key) ?? null)), set: (key, value) => values.set(key, JSON.parse(JSON.stringify(value))) };
}

/** A server that stores what it is given. */
function archiveOf(stored = {}) {
  const saved = new Map(Object.entries(stored));
  /** @type {() => void} */
  let tell;
  return {
    saved,
    changed: new Promise((resolve) => { tell = resolve; }),
    create: async (outline) => {
      const id = `c_${saved.size + 1}`;
      saved.set(id, { id, title: '', turns: [], answers: [], ...outline });
      return { id };
    },
    change: async (id, changes) => {
      Object.assign(saved.get(id), changes);
      tell();
    },
    get: async (id) => {
      if (saved.has(id)) return JSON.parse(JSON.stringify(saved.get(id)));
      throw new SidestreamError({ code: 'unknown_conversation', message: 'there is none' });
    },
  };
}

function stage({ api = archiveOf(), memory = memoryOf(), tab = memoryOf(), models = MODELS, live = [] } = {}) {
  const { session, known } = tab.get('tab') ?? {};
  const { client, socket } = connectedClient({ session, known }, { models, conversations: { state: 'on' }, resumed: !!session, generations: live.map((id) => ({ id, model: 'small', answer: null })) });
  clients.push(client);
  const workspace = new Workspace({ client, api, memory, tab });
  workspace.resume();
  socket.say({ type: 'models', models });
  const asked = () => socket.sent.filter(({ type }) => type === 'generate');
  let count = 0;
  /** Acknowledge every question so far; return the generations' ids. */
  const acknowledge = async () => {
    for (let turns = 0; turns < 5; turns += 1) await tick();
    const begun = [];
    for (const { id } of asked().slice(count)) {
      count += 1;
      begun.push(`g${count}`);
      socket.say({ type: 'result', id, result: { generations: [`g${count}`], answers: [`a_${count}`] } });
    }
    await tick();
    return begun;
  };
  const finish = async (...generations) => {
    for (const id of generations) socket.say(delta(id, 1, 'Yes.'), end(id, 1));
    await tick();
  };
  return { api, asked, acknowledge, client, finish, memory, socket, tab, workspace };
}

const prompts = (commands) => commands.map(({ messages, targets }) => `${targets[0].model}: ${messages.at(-1).content}`);

test('what is chosen in a blind round that is left counts for the next chat, and not for the round', async () => {
  const { acknowledge, finish, memory, workspace } = stage();
  workspace.configure({ isBlind: true });
  workspace.scheduler.send('One');
  const round = workspace.conversation;
  const begun = await acknowledge();
  workspace.columns.choose('large', false);
  assert.deepEqual(workspace.columns.shown.map(({ id }) => id).sort(), ['large', 'small']);
  assert.deepEqual(memory.get('columns').map(({ id }) => id), ['small'], 'it is kept');
  workspace.open(new Conversation());
  assert.equal(ids(workspace), 'small');
  await finish(...begun);
  workspace.open(round);
  assert.deepEqual(workspace.columns.shown.map(({ id }) => id).sort(), ['large', 'small']);
  assert.deepEqual(round.turns.values().next().value.answers.map(({ finishReason }) => finishReason), ['stop', 'stop']);
});

test('answers and the queue of a chat that is left go on, with the columns that it had', async () => {
  const { acknowledge, asked, finish, socket, workspace } = stage();
  workspace.columns.choose('other', true);
  assert.equal(ids(workspace), 'small large other');
  workspace.columns.choose('small', false);
  workspace.columns.choose('large', false);
  const first = workspace.conversation;
  workspace.scheduler.send('One');
  const [one] = await acknowledge();
  workspace.scheduler.send('Two');
  workspace.open(new Conversation());
  assert.deepEqual([...workspace.underWay], ['c_1']);
  assert.deepEqual(workspace.scheduler.queue, []);
  workspace.columns.choose('small', true);
  workspace.columns.choose('other', false);
  assert.equal(socket.sent.filter(({ type }) => type === 'cancel').length, 0, 'its column is not gone');
  await finish(one);
  const [two] = await acknowledge();
  assert.deepEqual(prompts(asked()), ['other: One', 'other: Two']);
  assert.deepEqual(asked().map(({ record }) => record.conversation), ['c_1', 'c_1']);
  await finish(two);
  assert.deepEqual([...workspace.underWay], []);
  assert.deepEqual([...first.turns.values()].map((turn) => turn.answer('other').text), ['Yes.', 'Yes.']);
  assert.equal(ids(workspace), 'small');
});

test('asked one after the other, the rest of a chat that is left is asked in it', async () => {
  const { acknowledge, asked, finish, workspace } = stage({ memory: memoryOf({ settings: { mode: 'sequence' } }) });
  workspace.scheduler.send('One');
  const [one] = await acknowledge();
  workspace.open(new Conversation());
  workspace.scheduler.send('Another');
  await finish(one);
  await acknowledge();
  assert.deepEqual(asked().map(({ record, targets }) => `${record.conversation} ${targets[0].model}`), ['c_1 small', 'c_2 small', 'c_1 large']);
});

test('back in a chat that goes on, it is as it was left', async () => {
  const { acknowledge, api, finish, workspace } = stage();
  workspace.scheduler.send('One');
  const begun = await acknowledge();
  workspace.scheduler.send('Two');
  const first = workspace.conversation;
  workspace.open(new Conversation());
  await workspace.openStored('c_1');
  assert.equal(workspace.conversation, first, 'nothing is fetched');
  assert.deepEqual(workspace.scheduler.queue.map(({ text }) => text), ['Two']);
  assert.deepEqual([...api.saved.get('c_1').columns].map(({ id }) => id), ['small', 'large']);
  await finish(...begun);
  const again = await acknowledge();
  assert.equal(again.length, 2, 'the queue went on once');
});

test('a queue survives a reload, shown or not', async () => {
  const api = archiveOf();
  const tab = memoryOf();
  const { acknowledge, workspace } = stage({ api, tab });
  workspace.scheduler.send('One');
  await acknowledge();
  workspace.scheduler.send('Two');
  workspace.open(new Conversation());
  workspace.scheduler.send('Elsewhere');
  await acknowledge();
  workspace.scheduler.send('Elsewhere again');
  await tick();
  api.saved.get('c_1').turns = [{ id: 't', parent: null, history: null, text: 'One', vote: null }];

  const { asked, acknowledge: acknowledgeAgain, workspace: later } = stage({ api, tab, live: ['g3', 'g4'] });
  assert.deepEqual(later.scheduler.queue.map(({ text }) => text), ['Elsewhere again']);
  await acknowledgeAgain();
  // Its answers are the server's to tell, and this server tells of none: so it is the next one's turn.
  assert.deepEqual(prompts(asked()).filter((one) => one.endsWith('Two')), ['small: Two', 'large: Two']);
  assert.deepEqual([...later.underWay], ['c_2', 'c_1']);
});

test('a paused queue stays paused over a reload', async () => {
  const api = archiveOf();
  const tab = memoryOf();
  const { acknowledge, finish, workspace } = stage({ api, tab });
  workspace.scheduler.send('One');
  const begun = await acknowledge();
  workspace.scheduler.send('Two');
  await Promise.race([workspace.scheduler.stop(), tick()]);
  await finish(...begun);
  assert.ok(workspace.scheduler.isHeld);
  const { asked, acknowledge: acknowledgeAgain, workspace: later } = stage({ api, tab });
  assert.ok(later.scheduler.isHeld);
  later.scheduler.resume();
  await acknowledgeAgain();
  assert.equal(asked().length, 2);
});

test('a chat that is gone after a reload is told of, and nothing else is lost', async () => {
  const tab = memoryOf();
  const { acknowledge, workspace } = stage({ tab });
  workspace.scheduler.send('One');
  await acknowledge();
  workspace.scheduler.send('Two');
  workspace.open(new Conversation());
  const faults = [];
  const { client, socket } = connectedClient({}, { models: MODELS, conversations: { state: 'on' } });
  clients.push(client);
  const later = new Workspace({ client, api: archiveOf(), memory: memoryOf(), tab });
  later.on('fault', ({ message }) => faults.push(message));
  later.resume();
  socket.say({ type: 'models', models: MODELS });
  await tick();
  assert.deepEqual(faults, ['there is none']);
  later.saveTab();
  assert.deepEqual(tab.get('tab').left, []);
});

test('opening a chat does not change the models of the next one', async () => {
  const memory = memoryOf();
  const old = { id: 'c_9', title: 'Old', turns: [], answers: [], view: { hidden: ['b'] }, columns: ['gone', 'other'].map((name, at) => ({ id: 'ab'[at], model: name, parameters: {}, system: null })) };
  const { socket, tab, workspace } = stage({ memory, api: archiveOf({ c_9: old }) });
  workspace.columns.choose('large', false);
  workspace.columns.choose('other', true);
  assert.equal(ids(workspace), 'small other');
  await workspace.openStored('c_9');
  assert.deepEqual(workspace.columns.all.map(({ id, isHidden }) => `${id} ${isHidden}`), ['a false', 'b true'], 'a model that is not here has its column');
  workspace.columns.choose('small', true);
  socket.say({ type: 'models', models: MODELS });
  assert.equal(ids(workspace), 'a small');
  workspace.saveTab();
  const { workspace: later } = stage({ memory, tab });
  assert.equal(ids(later), 'a small', 'after a reload too');
  for (const one of [workspace, later]) {
    one.open(new Conversation());
    assert.equal(ids(one), 'small other');
  }
  workspace.compare(['large']);
  assert.equal(ids(workspace), 'large');
  workspace.open(new Conversation());
  assert.equal(ids(workspace), 'small other');
  assert.deepEqual(memory.get('columns').map(({ id }) => id), ['small', 'other']);
});

test('the columns of a chat that is opened are not saved with another', async () => {
  const of = (id, name) => ({ id, title: '', turns: [], answers: [], view: {}, columns: [{ id: name, model: name, parameters: {}, system: null }] });
  const { api, workspace } = stage({ api: archiveOf({ c_1: of('c_1', 'small'), c_2: of('c_2', 'large') }) });
  await workspace.openStored('c_1');
  await workspace.openStored('c_2');
  workspace.columns.choose('other', true);
  await api.changed;
  assert.deepEqual([...api.saved.values()].map(({ columns }) => columns.map(({ id }) => id).join(' ')), ['small', 'large other']);
});

test('what is asked in a chat that is deleted is stopped', async () => {
  const { acknowledge, socket, workspace } = stage();
  workspace.scheduler.send('One');
  await acknowledge();
  workspace.scheduler.send('Two');
  workspace.open(new Conversation());
  assert.equal(workspace.drop(['c_1']), false);
  assert.deepEqual(socket.command('cancel').generations, ['g1', 'g2']);
  workspace.scheduler.send('Three');
  await acknowledge();
  assert.ok(workspace.drop(['c_2']), 'the open one is among them');
});

test('a chat is filed under its day, by the calendar', () => {
  const now = new Date(2026, 2, 30, 0, 30); // the day after clocks changed in Europe
  const at = (...parts) => new Date(...parts).getTime() / 1000;
  const cases = [
    [at(2026, 2, 30, 0, 10), 'Today'],
    [at(2026, 2, 30, 23, 0), 'Today'], // a clock that is ahead
    [at(2026, 2, 29, 23, 50), 'Yesterday'],
    [at(2026, 2, 29, 0, 5), 'Yesterday'],
    [at(2026, 2, 28, 23, 50), 'Last 7 days'],
    [at(2026, 2, 23, 0, 5), 'Last 7 days'],
    [at(2026, 2, 22, 23, 55), 'March 2026'],
    [at(2025, 11, 31, 23, 55), 'December 2025'],
    [0, new Date(0).getFullYear() === 1970 ? 'January 1970' : 'December 1969'],
  ];
  for (const [time, day] of cases) assert.equal(dayOf(time, now), day, String(new Date(time * 1000)));
  assert.equal(timeOf(at(2026, 2, 24), now), 'Tue');
  assert.equal(timeOf(at(2025, 6, 12), now), 'Jul 12');
});
