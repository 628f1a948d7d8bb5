import assert from 'node:assert/strict';
import { test } from 'node:test';

import { followRuns } from '../../static/js/client/run-following.js';
import { connectedClient, greet, makeClient } from './fake_socket.js';

const run = (id, more = {}) => ({ id, name: id, state: 'running', answered: 0, total: 4, targets: [], error: null, ...more });
const told = (id, more) => ({ type: 'run', run: run(id, more) });
const settle = () => new Promise((resolve) => setImmediate(resolve));
const followed = (socket) => socket.sent.filter(({ type }) => type === 'follow_runs').map(({ runs }) => runs ?? 'all');

/** Follow, and have the server agree. */
async function following(client, socket, ...runs) {
  const reading = followRuns(client, ...runs);
  socket.answer('follow_runs', {});
  await settle();
  return reading;
}

test('one command names what all readers want, and what is left when one goes', async () => {
  const { client, socket } = connectedClient();
  const one = await following(client, socket, ['r_1']);
  const two = await following(client, socket, ['r_2', 'r_1']);
  const all = await following(client, socket);
  assert.deepEqual(followed(socket), [['r_1'], ['r_1', 'r_2'], 'all']);
  const seen = { one: [], two: [], all: [] };
  for (const [name, reading] of Object.entries({ one, two, all })) reading.on('run', ({ id }) => seen[name].push(id));
  socket.say(told('r_1'), told('r_2'), told('r_3'));
  assert.deepEqual(seen, { one: ['r_1'], two: ['r_1', 'r_2'], all: ['r_1', 'r_2', 'r_3'] });
  all.close();
  two.close();
  one.close();
  assert.deepEqual(followed(socket).slice(3), [['r_1', 'r_2'], ['r_1'], []]);
  assert.equal(one.isOver, true);
  client.close();
});

test('for await gives the latest state of each run once, then that it was deleted, and ends', async () => {
  const { client, socket } = connectedClient();
  const reading = await following(client, socket, ['r_1']);
  socket.say(told('r_1'), told('r_1', { answered: 1 }), told('r_1', { answered: 3 }));
  const states = [];
  const over = (async () => { for await (const { state, answered } of reading) states.push([state, answered]); })();
  await settle();
  socket.say(told('r_1', { state: 'done', answered: 4 }));
  await settle();
  socket.say({ type: 'run_removed', run: 'r_1' }, told('r_1'));
  await over;
  assert.deepEqual(states, [['running', 3], ['done', 4], ['removed', 4]]);
  client.close();
});

test('a resumed session follows by itself, a new one is told what to follow', async () => {
  const { client, network, socket } = connectedClient();
  const reading = await following(client, socket, ['r_1', 'r_2']);
  const seen = [];
  reading.on('run', ({ id }) => seen.push(id));
  reading.on('removed', (id) => seen.push(`no ${id}`));
  socket.say(told('r_1'), told('r_2'));
  socket.breakOff();
  greet(await network.next(), { resumed: true });
  assert.deepEqual(followed(network.latest), []);
  network.latest.say(told('r_2'));
  network.latest.breakOff();
  greet(await network.next(), { session: 's_2' });
  assert.deepEqual(followed(network.latest), [['r_1', 'r_2']]);
  // One was deleted in between.
  network.latest.refuse('follow_runs', { code: 'unknown_run', message: 'there is no run', details: { runs: ['r_2'] } });
  await settle();
  assert.deepEqual(followed(network.latest), [['r_1', 'r_2'], ['r_1']]);
  assert.deepEqual(seen, ['r_1', 'r_2', 'r_2', 'no r_2']);
  assert.equal(reading.isOver, false);
  client.close();
  assert.equal(reading.error.code, 'connection_closed');
});

test('a command on its way when the connection breaks is sent once', async () => {
  const { client, network } = makeClient();
  client.connect();
  followRuns(client, ['r_1']);
  greet(network.latest);
  assert.deepEqual(followed(network.latest), [['r_1']]);
  network.latest.breakOff();
  greet(await network.next(), { session: 's_2' });
  assert.deepEqual(followed(network.latest), [['r_1']]);
  client.close();
});

test('who names an unknown run alone is refused, and the others go on', async () => {
  const { client, socket } = connectedClient();
  const good = await following(client, socket, ['r_1']);
  const bad = followRuns(client, ['r_no', 'r_1']);
  socket.refuse('follow_runs', { code: 'unknown_run', message: 'there is no run', details: { runs: ['r_no'] } });
  await settle();
  assert.equal(bad.error.code, 'unknown_run');
  await assert.rejects(async () => { for await (const one of bad) assert.fail(one); }, { code: 'unknown_run' });
  assert.deepEqual(followed(socket).at(-1), ['r_1']);
  const off = followRuns(client);
  socket.refuse('follow_runs', { code: 'storage_failed', message: 'the disk is full' });
  await settle();
  assert.equal(off.error.code, 'storage_failed');
  assert.deepEqual([good.isOver, good.error], [false, null]);
  client.close();
});

test('a reading ends with its signal, and a closed client is told at once', async () => {
  const { client, socket } = connectedClient();
  const ending = new AbortController();
  const reading = followRuns(client, null, { signal: ending.signal });
  socket.answer('follow_runs', {});
  ending.abort();
  assert.equal(reading.isOver, true);
  assert.deepEqual(followed(socket), ['all', []]);
  client.close();
  const late = followRuns(client, ['r_1']);
  await settle();
  assert.equal(late.error.code, 'connection_closed');
});

test('runs that an earlier page of the session followed are told no more', async () => {
  const { client, socket } = connectedClient({ session: 's_1' }, { resumed: true });
  assert.deepEqual(followed(socket), []);
  socket.say(told('r_1'), told('r_2'));
  assert.deepEqual(followed(socket), [[]]);
  socket.say(told('r_1'));
  const reading = await following(client, socket, ['r_1']);
  socket.say(told('r_1'));
  assert.deepEqual(followed(socket), [[], ['r_1']]);
  assert.equal(reading.isOver, false);
  client.close();
});
