import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connectedClient, delta, end, generating, makeClient, model, welcome } from './fake_socket.js';

test('it says hello first and knows the models from the answer', () => {
  const { client, network } = makeClient();
  client.connect();
  const socket = network.latest;
  assert.deepEqual(socket.sent, []);
  socket.open();
  assert.deepEqual(socket.sent, [{ id: 1, type: 'hello', kinds: ['reasoning', 'tool_call'] }]);
  assert.equal(client.connection.name, 'connecting');
  socket.answer('hello', welcome());
  assert.equal(client.connection.name, 'connected');
  assert.deepEqual([...client.models.keys()], ['small', 'large']);
  assert.equal(client.session, 's_1');
  client.close();
});

test('a command made before the connection stands is sent after hello', async () => {
  const { client, network } = makeClient();
  client.connect();
  const ping = client.ping();
  network.latest.open();
  assert.deepEqual(network.latest.sent.map(({ type }) => type), ['hello']);
  network.latest.answer('hello', welcome());
  network.latest.answer('ping', {});
  await ping;
  client.close();
});

test('a list of models replaces what was known, and those who show them are told', () => {
  const { client, socket } = connectedClient();
  const seen = [];
  client.on('models', (models) => seen.push(models.map(({ id }) => id)));
  socket.say({ type: 'models', models: [model('new'), model('small')] });
  assert.deepEqual([...client.models.keys()], ['new', 'small']);
  assert.deepEqual(seen, [['new', 'small']]);
  client.close();
});

test('answers that overtake each other reach the command they belong to', async () => {
  const { client, socket } = connectedClient();
  const first = client.start('small');
  const second = client.start('large');
  const [a, b] = socket.sent.slice(-2);
  socket.say({ type: 'result', id: b.id, result: { model: model('large', { state: 'loading' }) } });
  await second;
  assert.equal(client.models.get('large').state, 'loading');
  assert.equal(client.models.get('small').state, 'ready');
  socket.say({ type: 'error', id: a.id, error: { code: 'unknown_model', message: 'no such model' } });
  await assert.rejects(first, { name: 'SidestreamError', code: 'unknown_model', message: 'no such model' });
  client.close();
});

test('generations come in the order of the targets and grow by joined deltas', async () => {
  const { client, socket } = connectedClient();
  const [one, two] = await generating(client, socket, { g1: 'small', g2: 'large' });
  assert.deepEqual([one.model, two.model], ['small', 'large']);
  socket.say(delta('g1', 1, 'Art'), { type: 'state', generation: 'g2', state: 'queued', position: 2 });
  socket.say(delta('g1', 3, 'ificial intel'), end('g1', 3));
  assert.equal(one.text, 'Artificial intel');
  assert.equal(one.seq, 3);
  assert.equal(one.isLive, false);
  assert.equal(one.finishReason, 'stop');
  assert.equal(one.timings.tokens_per_second, 40);
  assert.deepEqual([two.state, two.position, two.isLive], ['queued', 2, true]);
  client.close();
});

test('deltas in the same frame as the answer to generate are not lost', async () => {
  const { client, socket } = connectedClient();
  const promise = client.generate({ targets: [{ model: 'small' }], prompt: 'Hello' });
  const { id } = socket.command('generate');
  socket.say(
    delta('g1', 1, 'before '),
    { type: 'result', id, result: { generations: ['g1'] } },
    delta('g1', 2, 'after'),
  );
  const [generation] = await promise;
  assert.equal(generation.text, 'before after');
  assert.equal(generation.model, 'small');
  client.close();
});

test('each generate has a request id of its own', async () => {
  const { client, socket } = connectedClient();
  await generating(client, socket, { g1: 'small' });
  const first = socket.command('generate').request_id;
  await generating(client, socket, { g2: 'small' });
  assert.match(first, /^[0-9a-f]{32}$/);
  assert.notEqual(socket.command('generate').request_id, first);
  client.close();
});

test('cancel names the live generations, or none for all', async () => {
  const { client, socket } = connectedClient();
  const [one, two] = await generating(client, socket, { g1: 'small', g2: 'large' });
  socket.say(end('g1', 0));
  const some = client.cancel([one, two]);
  assert.deepEqual(socket.command('cancel').generations, ['g2']);
  socket.answer('cancel', { cancelled: ['g2'] });
  await some;
  const all = client.cancel();
  assert.equal('generations' in socket.command('cancel'), false);
  socket.answer('cancel', { cancelled: [] });
  await all;
  const before = socket.sent.length;
  await client.cancel([one]);
  assert.equal(socket.sent.length, before, 'what has ended is not worth a command');
  client.close();
});

test('the latest model event wins, and models told of later are added', () => {
  const { client, socket } = connectedClient();
  const seen = [];
  client.on('model', ({ id, state }) => seen.push(`${id} ${state}`));
  socket.say({ type: 'model', model: model('small', { state: 'loading' }) },
    { type: 'model', model: model('small', { state: 'ready' }) },
    { type: 'model', model: model('new', { state: 'stopped' }) });
  assert.deepEqual(seen, ['small loading', 'small ready', 'new stopped']);
  assert.equal(client.models.get('small').state, 'ready');
  assert.equal(client.models.get('new').state, 'stopped');
  client.close();
});

test('an answer in the same frame does not undo the event after it', async () => {
  const { client, socket } = connectedClient();
  const start = client.start('small');
  const { id } = socket.command('start');
  socket.say({ type: 'result', id, result: { model: model('small', { state: 'starting' }) } },
    { type: 'model', model: model('small', { state: 'loading' }) });
  await start;
  assert.equal(client.models.get('small').state, 'loading');
  client.close();
});

test('unknown events, unknown fields and answers to nothing are ignored', async () => {
  const { client, socket } = connectedClient();
  const [generation] = await generating(client, socket, { g1: 'small' });
  socket.say({ type: 'applause', volume: 11 }, { type: 'result', id: 999, result: {} });
  socket.say({ ...delta('g1', 1, 'text'), colour: 'green' });
  assert.equal(generation.text, 'text');
  assert.equal(client.connection.name, 'connected');
  client.close();
});

test('an error that belongs to no command is told apart', () => {
  const { client, socket } = connectedClient();
  const faults = [];
  client.on('fault', (error) => faults.push(error.code));
  socket.say({ type: 'error', error: { code: 'invalid_command', message: 'what?' } });
  assert.deepEqual(faults, ['invalid_command']);
  client.close();
});

test('closing rejects what is unanswered and ends what is live', async () => {
  const { client, socket } = connectedClient();
  const [generation] = await generating(client, socket, { g1: 'small' });
  socket.say(delta('g1', 1, 'kept'));
  const ping = client.ping();
  client.close();
  await assert.rejects(ping, { code: 'connection_closed' });
  assert.equal((await generation.ended).finishReason, 'interrupted');
  assert.equal(generation.text, 'kept');
  assert.equal(socket.wasClosed, true);
  await assert.rejects(client.ping(), { code: 'connection_closed' });
});

test('a listener that throws keeps neither the others nor the client from going on', async (t) => {
  const { client, socket } = connectedClient();
  const [generation] = await generating(client, socket, { g1: 'small' });
  const uncaught = new Promise((resolve) => {
    globalThis.reportError = resolve;
    t.after(() => delete globalThis.reportError);
  });
  const heard = [];
  generation.on('delta', () => { throw new Error('a careless listener'); });
  generation.on('delta', ({ text }) => heard.push(text));
  socket.say(delta('g1', 1, 'on'), end('g1', 1));
  assert.deepEqual(heard, ['on']);
  assert.equal(generation.finishReason, 'stop');
  assert.equal((await uncaught).message, 'a careless listener');
  client.close();
});
