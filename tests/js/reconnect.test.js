import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connectedClient, delta, end, generating, greet, makeClient, welcome } from './fake_socket.js';

test('after a break it resumes at its cursors, and the text is whole', async () => {
  const { client, network, socket } = connectedClient();
  const [one, two] = await generating(client, socket, { g1: 'small', g2: 'large' });
  socket.say(delta('g1', 2, 'So far, '), delta('g2', 1, 'Done.'), end('g2', 1));
  socket.breakOff();
  assert.equal(client.connection.name, 'waiting');
  const again = await network.next();
  again.open();
  assert.deepEqual(again.sent[0], {
    id: again.sent[0].id, type: 'hello', session: 's_1', cursors: { g1: 2, g2: 1 },
    kinds: ['reasoning', 'tool_call'],
  });
  const infos = [
    { id: 'g1', model: 'small', state: 'running', seq: 5, finish_reason: null },
    { id: 'g2', model: 'large', state: 'running', seq: 1, finish_reason: 'stop' },
  ];
  again.answer('hello', welcome({ resumed: true, generations: infos }));
  again.say(delta('g1', 5, 'so good.'), end('g2', 1), end('g1', 5));
  assert.equal(one.text, 'So far, so good.');
  assert.equal(two.text, 'Done.');
  assert.equal(client.generations.get('g1'), one, 'the same object goes on');
  client.close();
});

test('text that is here already is not doubled, and an end comes once', async () => {
  const { client, socket } = connectedClient();
  const [generation] = await generating(client, socket, { g1: 'small' });
  let ends = 0;
  generation.on('end', () => { ends += 1; });
  socket.say(delta('g1', 3, 'once'), delta('g1', 3, 'once'), delta('g1', 2, 'on'));
  socket.say(end('g1', 3), end('g1', 3), delta('g1', 4, ' more'));
  assert.equal(generation.text, 'once');
  assert.equal(ends, 1);
  client.close();
});

test('what an old socket still says is not heard', async () => {
  const { client, network, socket } = connectedClient();
  const [generation] = await generating(client, socket, { g1: 'small' });
  socket.breakOff();
  greet(await network.next(), { resumed: true });
  socket.say(delta('g1', 1, 'from the grave'));
  assert.equal(generation.text, '');
  client.close();
});

test('a command whose answer was lost is sent again, with the same request id', async () => {
  const { client, network, socket } = connectedClient();
  const promise = client.generate({ targets: [{ model: 'small' }], prompt: 'Hello' });
  const first = socket.command('generate');
  socket.breakOff();
  const meanwhile = client.ping();
  const again = await network.next();
  greet(again, { resumed: true, generations: [{ id: 'g1', model: 'small', state: 'running', seq: 0, finish_reason: null }] });
  assert.deepEqual(again.sent.map(({ type }) => type), ['hello', 'generate', 'ping']);
  assert.deepEqual(again.command('generate'), first);
  again.answer('generate', { generations: ['g1'] });
  again.answer('ping', {});
  const [generation] = await promise;
  await meanwhile;
  again.say(delta('g1', 1, 'Hi'));
  assert.equal(generation.text, 'Hi');
  client.close();
});

test('a command that no socket outlives is given up, and the others go on', async () => {
  const { client, network } = connectedClient();
  const given = client.start('small');
  let last;
  given.catch((error) => { last = error; });
  let sockets = 1;
  while (!last) {
    const next = network.next();
    network.latest.breakOff();
    greet(await next, { resumed: true });
    sockets += 1;
    assert.ok(sockets < 20);
  }
  assert.deepEqual([last.code, sockets], ['connection_closed', 11]);
  const ping = client.ping();
  network.latest.answer('ping', {});
  await ping;
  client.close();
});

test('a command that cannot be written as JSON fails and is not kept', async () => {
  const { client, socket } = connectedClient();
  await assert.rejects(client.generate({ targets: [{ model: 'small' }], prompt: 'Hello', parameters: { seed: 1n } }), TypeError);
  const ping = client.ping();
  socket.answer('ping', {});
  await ping;
  client.close();
});

test('nothing is said on a new socket before hello is answered', async () => {
  const { client, network, socket } = connectedClient();
  socket.breakOff();
  const again = await network.next();
  again.open();
  const ping = client.ping();
  assert.deepEqual(again.sent.map(({ type }) => type), ['hello']);
  again.answer('hello', welcome({ resumed: true }));
  assert.deepEqual(again.sent.map(({ type }) => type), ['hello', 'ping']);
  again.answer('ping', {});
  await ping;
  client.close();
});

test('when the session is gone, live answers end as interrupted and keep their text', async () => {
  const { client, network, socket } = connectedClient();
  const [live, done] = await generating(client, socket, { g1: 'small', g2: 'large' });
  socket.say(delta('g1', 1, 'half'), delta('g2', 1, 'whole'), end('g2', 1));
  socket.breakOff(1001);
  greet(await network.next(), { session: 's_2', resumed: false });
  assert.deepEqual([live.finishReason, live.error.code, live.text], ['interrupted', 'session_lost', 'half']);
  assert.equal(done.finishReason, 'stop');
  // The new session gives the same ids anew.
  const [fresh] = await generating(client, network.latest, { g1: 'small' });
  network.latest.say(delta('g1', 1, 'new'));
  assert.equal(fresh.text, 'new');
  assert.equal(live.text, 'half');
  client.close();
});

test('waits double up to a limit, with jitter, and begin anew after a good connection', async () => {
  const { client, network } = makeClient({ minDelayMs: 4, maxDelayMs: 16, random: () => 1 });
  const waits = [];
  client.on('connection', (state) => {
    if (state.name === 'waiting') waits.push(state.delayMs);
  });
  client.connect();
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const next = network.next();
    network.latest.open(); // open is not yet good
    network.latest.breakOff();
    await next;
  }
  greet(network.latest);
  const next = network.next();
  network.latest.breakOff();
  await next;
  assert.deepEqual(waits, [4, 8, 16, 16, 4]);
  client.close();
});

test('jitter at its least halves the wait', async () => {
  const { client, network } = makeClient({ minDelayMs: 10, random: () => 0 });
  let waitMs = 0;
  client.on('connection', (state) => {
    if (state.name === 'waiting') waitMs = state.delayMs;
  });
  client.connect();
  network.latest.breakOff();
  assert.equal(waitMs, 2); // maxDelayMs of the fixture is 4
  client.close();
});

test('it gives up in the end, says so, and can be asked to try again', async () => {
  const { client, network } = makeClient({ maxAttempts: 2 });
  client.connect();
  const ping = client.ping();
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const next = network.next();
    network.latest.breakOff();
    await next;
  }
  network.latest.breakOff();
  assert.equal(client.connection.name, 'closed');
  await assert.rejects(ping, { code: 'connection_closed' });
  client.connect();
  greet(network.latest);
  assert.equal(client.connection.name, 'connected');
  client.close();
});

test('connect does not wait for the next attempt', () => {
  const { client, network, socket } = connectedClient({ minDelayMs: 60_000, maxDelayMs: 60_000 });
  socket.breakOff();
  assert.equal(network.sockets.length, 1);
  client.connect();
  assert.equal(network.sockets.length, 2);
  client.close();
});

test('a revoked key is final', () => {
  const { client, network, socket } = connectedClient();
  socket.breakOff(4401, 'the key was revoked');
  assert.deepEqual(client.connection, { name: 'closed', code: 4401, reason: 'the key was revoked' });
  assert.equal(network.sockets.length, 1);
});

test('a server of another protocol version is not spoken to', () => {
  const { client, network } = makeClient();
  client.connect();
  greet(network.latest, { protocol: 2 });
  assert.equal(client.connection.name, 'closed');
  assert.match(client.connection.reason, /version 2/);
});

test('hello that is refused is tried again later', async () => {
  const { client, network } = makeClient();
  client.connect();
  network.latest.open();
  const next = network.next();
  network.latest.refuse('hello', { code: 'session_limit', message: 'too many sessions' });
  assert.deepEqual([client.connection.name, client.connection.reason], ['waiting', 'too many sessions']);
  greet(await next);
  assert.equal(client.connection.name, 'connected');
  client.close();
});

test('an attempt that hangs, and a frame that is not JSON, lead to a new socket', async () => {
  const { client, network } = makeClient({ openTimeoutMs: 1 });
  client.connect();
  const hanging = network.latest;
  const second = await network.next();
  assert.equal(hanging.wasClosed, true);
  greet(second);
  const next = network.next();
  second.sayRaw('{"type":');
  assert.equal(second.wasClosed, true);
  greet(await next, { resumed: true });
  client.close();
});

test('a silent connection is asked for a sign of life and replaced when it gives none', async () => {
  const rhythm = { checkEveryMs: 1, silentAfterMs: 2, answerWithinMs: 4 };
  const { client, network, socket } = connectedClient({ rhythm });
  const again = await network.next();
  assert.equal(socket.sent.at(-1).type, 'ping');
  assert.equal(socket.wasClosed, true);
  greet(again, { resumed: true });
  client.close();
});
