import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Columns } from '../../static/js/model/columns.js';
import { Conversation } from '../../static/js/model/conversation.js';
import { PromptScheduler } from '../../static/js/model/prompt-scheduler.js';
import { connectedClient, delta, end, model } from './fake_socket.js';

const tick = () => new Promise((resolve) => setImmediate(resolve));

const clients = [];
after(() => clients.forEach((client) => client.close()));

function stage(settings = {}, models = ['small', 'large']) {
  const { client, socket } = connectedClient();
  clients.push(client);
  const columns = new Columns();
  for (const id of models) columns.add(id);
  const all = { mode: 'all', isBlind: false, parameters: {}, system: '', ...settings };
  const conversation = new Conversation();
  const scheduler = new PromptScheduler({ client, columns, conversation, settings: () => all, random: () => 0 });
  const asked = () => socket.sent.filter(({ type }) => type === 'generate');
  let count = 0;
  /** Acknowledge every question so far; return the generations' ids. */
  const acknowledge = async () => {
    const begun = [];
    for (const { id } of asked().slice(count)) {
      count += 1;
      begun.push(`g${count}`);
      socket.say({ type: 'result', id, result: { generations: [`g${count}`] } });
    }
    await tick();
    return begun;
  };
  const finish = async (id, text = 'Yes.') => {
    socket.say(delta(id, 1, text), end(id, 1));
    await tick();
  };
  return { client, socket, columns, conversation, scheduler, settings: all, asked, acknowledge, finish };
}

const targets = (commands) => commands.map((command) => command.targets[0].model);

test('every column is asked at once, with what is its own over what is common', () => {
  const { asked, columns, scheduler } = stage({ parameters: { seed: 1, temperature: 0.5 }, system: 'Be kind.' });
  columns.change('large', { parameters: { seed: 2 }, system: 'Be brief.' });
  scheduler.send('Hello');
  assert.deepEqual(asked().map((command) => command.targets[0]), [
    { model: 'small', parameters: { seed: 1, temperature: 0.5 }, system: 'Be kind.' },
    { model: 'large', parameters: { seed: 2, temperature: 0.5 }, system: 'Be brief.' },
  ]);
});

test('a hidden column is not asked', () => {
  const { asked, columns, scheduler } = stage();
  columns.change('small', { isHidden: true });
  scheduler.send('Hello');
  assert.deepEqual(targets(asked()), ['large']);
});

test('asked again is asked afresh, and only that', async () => {
  const { acknowledge, asked, conversation, scheduler, finish } = stage();
  scheduler.send('Hello');
  for (const id of await acknowledge()) await finish(id);
  scheduler.retry(conversation.path[0], 'small');
  assert.deepEqual(asked().map(({ fresh }) => fresh), [undefined, undefined, true]);
});

test('what a server refuses is left out when that is wanted, and stays so when it is asked again', async () => {
  const { acknowledge, asked, conversation, scheduler, finish, socket } = stage({ parameters: { min_p: 0.1 } }, ['small']);
  scheduler.send('Hello');
  const error = { code: 'invalid_parameters', message: '`min_p` is not taken', details: { parameter: 'min_p' } };
  socket.refuse('generate', error);
  await tick();
  const [turn] = conversation.path;
  assert.deepEqual(turn.answer('small').error, { ...error, hint: null });
  await acknowledge();
  scheduler.retry(turn, 'small', { isLenient: true });
  await finish((await acknowledge())[0]);
  scheduler.retry(turn, 'small');
  assert.deepEqual(asked().map((command) => command.targets[0].lenient), [undefined, true, true]);
  assert.deepEqual(asked()[1].targets[0].parameters, { min_p: 0.1 }, 'the server leaves it out and says so');
});

test('the oldest turns are left out when that is wanted, and in the turns after it', async () => {
  const { acknowledge, asked, conversation, scheduler, finish } = stage({}, ['small']);
  scheduler.send('Hello');
  await finish((await acknowledge())[0]);
  scheduler.retry(conversation.path[0], 'small', { isTrimmed: true });
  await finish((await acknowledge())[0]);
  scheduler.send('And now?');
  await acknowledge();
  assert.deepEqual(asked().map(({ trim }) => trim), [undefined, 'oldest_turns', 'oldest_turns']);
});

test('of an answer that is continued nothing is left out: its question would be', async () => {
  const { acknowledge, asked, conversation, scheduler, socket } = stage({}, ['small']);
  scheduler.send('Hello');
  const [turn] = conversation.path;
  socket.refuse('generate', { code: 'prompt_too_long', message: 'Too long.' });
  await tick();
  await acknowledge();
  scheduler.retry(turn, 'small', { isTrimmed: true });
  const [id] = await acknowledge();
  socket.say(delta(id, 1, 'Once upon'), end(id, 1, { finish_reason: 'length' }));
  await tick();
  scheduler.goOn(turn, 'small');
  assert.deepEqual(asked().map(({ trim }) => trim), [undefined, 'oldest_turns', undefined]);
  socket.refuse('generate', { code: 'prompt_too_long', message: 'Too long.' });
  await tick();
  const { error, text } = turn.answer('small');
  assert.deepEqual([error.code, text], ['prompt_too_long', 'Once upon']);
  await acknowledge();
  scheduler.retry(turn, 'small');
  assert.equal(asked()[3].trim, 'oldest_turns', 'asked again, it is asked as before');
});

test('one after the other: the next is asked when the one before has ended', async () => {
  const { acknowledge, asked, conversation, scheduler, finish } = stage({ mode: 'sequence' });
  scheduler.send('Hello');
  const [first] = await acknowledge();
  assert.deepEqual(targets(asked()), ['small']);
  assert.equal(conversation.path[0].answer('large').state, 'waiting');
  await finish(first);
  assert.deepEqual(targets(asked()), ['small', 'large']);
});

test('one after the other: who is stopped while waiting is passed over', async () => {
  const { acknowledge, asked, conversation, scheduler, finish } = stage({ mode: 'sequence' }, ['a', 'b', 'c']);
  scheduler.send('Hello');
  const [first] = await acknowledge();
  await scheduler.stop([conversation.path[0].answer('b')]);
  await finish(first);
  assert.deepEqual(targets(asked()), ['a', 'c']);
  assert.equal(conversation.path[0].answer('b').finishReason, 'cancelled');
});

test('together: all are asked at the moment when the last is ready or has failed', async () => {
  const { asked, client, scheduler, socket } = stage({ mode: 'together' }, ['small', 'slow', 'sick']);
  scheduler.send('Hello');
  await tick();
  assert.deepEqual(socket.sent.filter(({ type }) => type === 'start').map((command) => command.model), ['slow', 'sick']);
  socket.say({ type: 'model', model: model('slow', { state: 'loading' }) });
  socket.say({ type: 'model', model: model('sick', { state: 'failed' }) });
  await tick();
  assert.deepEqual(asked(), []);
  socket.say({ type: 'model', model: model('slow') });
  await tick();
  assert.deepEqual(targets(asked()), ['small', 'slow', 'sick']);
  assert.ok(client.models.get('slow'));
});

test('together: what its server loads when it is asked is not waited for', async () => {
  const { asked, scheduler, socket } = stage({ mode: 'together' }, ['small', 'lazy']);
  const server = { name: 'swap', address: 'http://127.0.0.1:9292' };
  socket.say({ type: 'model', model: model('lazy', { state: 'stopped', server, capabilities: { load: false } }) });
  scheduler.send('Hello');
  await tick();
  assert.deepEqual(targets(asked()), ['small', 'lazy']);
  assert.deepEqual(socket.sent.filter(({ type }) => type === 'start'), []);
});

test('together: a start that is refused holds up nobody, and stopping ends the wait', async () => {
  const { asked, scheduler, socket } = stage({ mode: 'together' }, ['small', 'gone']);
  scheduler.send('Hello');
  socket.refuse('start', { code: 'unknown_model', message: 'no' });
  await tick();
  assert.deepEqual(targets(asked()), ['small', 'gone']);
  const other = stage({ mode: 'together' }, ['small', 'slow']);
  other.scheduler.send('Hello');
  await other.scheduler.stop();
  await tick();
  assert.deepEqual(other.asked(), []);
  assert.equal(other.scheduler.isBusy, false);
});

test('prompts queue while an answer is written, and stand still after all was stopped', async () => {
  const { acknowledge, conversation, scheduler, finish, socket } = stage({}, ['small']);
  for (const prompt of ['One', 'Two', 'Three', 'Four']) scheduler.send(prompt);
  scheduler.unqueue(2);
  assert.deepEqual(scheduler.queue.map(({ text }) => text), ['Two', 'Three']);
  await finish((await acknowledge())[0]);
  assert.deepEqual(scheduler.queue.map(({ text }) => text), ['Three']);
  assert.equal(conversation.path.length, 2);
  const [second] = await acknowledge();
  void scheduler.stop();
  assert.deepEqual(socket.command('cancel').generations, [second]);
  await finish(second);
  assert.deepEqual([scheduler.isHeld, scheduler.queue.length, conversation.path.length], [true, 1, 2]);
  scheduler.resume();
  assert.deepEqual([scheduler.isHeld, scheduler.queue.length, conversation.path.length], [false, 0, 3]);
});

test('what is stopped before the server has named it is stopped then', async () => {
  const { acknowledge, scheduler, socket } = stage({}, ['small']);
  scheduler.send('Hello');
  void scheduler.stop();
  assert.equal(socket.sent.some(({ type }) => type === 'cancel'), false);
  await acknowledge();
  assert.deepEqual(socket.command('cancel').generations, ['g1']);
});

test('a refusal lands in its column, and can be tried again', async () => {
  const { asked, acknowledge, conversation, scheduler, finish, socket } = stage({}, ['small']);
  scheduler.send('Hello');
  socket.refuse('generate', { code: 'queue_full', message: 'Full.' });
  await tick();
  const [turn] = conversation.path;
  assert.equal(turn.answer('small').error.code, 'queue_full');
  scheduler.retry(turn, 'small');
  await acknowledge();
  assert.equal(asked().length, 2);
  assert.notEqual(asked()[0].request_id, asked()[1].request_id);
  await finish('g2');
  assert.equal(turn.answer('small').finishReason, 'stop');
});

test('an answer that was cut is gone on with in its place', async () => {
  const { asked, acknowledge, conversation, scheduler, socket } = stage({}, ['small']);
  scheduler.send('Hello');
  const [first] = await acknowledge();
  socket.say(delta(first, 1, 'Once upon'), end(first, 1, { finish_reason: 'length' }));
  await tick();
  const [turn] = conversation.path;
  scheduler.goOn(turn, 'small');
  const { messages } = asked()[1];
  assert.deepEqual(messages.slice(0, 2), [{ role: 'user', content: 'Hello' }, { role: 'assistant', content: 'Once upon' }]);
  const [second] = await acknowledge();
  socket.say(delta(second, 1, ' a time'), end(second, 1));
  await tick();
  assert.equal(turn.answer('small').text, 'Once upon a time');
  assert.equal(turn.slots.get('small').answers.length, 1);
});

test('a column that goes stops its answer, and only its own', async () => {
  const { acknowledge, columns, scheduler, socket } = stage();
  scheduler.send('Hello');
  await acknowledge();
  columns.remove('small');
  assert.deepEqual(socket.command('cancel').generations, ['g1']);
});

test('a blind round begins without history and in a new order; the next one after the vote', async () => {
  const { acknowledge, asked, columns, conversation, scheduler, finish } = stage({ isBlind: true });
  const answerAll = async () => { for (const id of await acknowledge()) await finish(id); };
  scheduler.send('One');
  await answerAll();
  assert.equal(columns.shown.map(({ id }) => id).join(' '), 'large small');
  scheduler.send('Two');
  await answerAll();
  assert.equal(asked().at(-1).messages.length, 3, 'the round goes on');
  scheduler.edit(conversation.path[0], 'One!');
  await answerAll();
  assert.ok(conversation.path[0].isBlind, 'a branch of the round is blind, too');
  conversation.reveal(conversation.path.at(-1), null);
  scheduler.edit(conversation.path[0], 'One?');
  await answerAll();
  assert.ok(!conversation.isSecret, 'what is known stays known');
  scheduler.send('Three');
  assert.equal(asked().at(-1).messages.length, 1, 'a new round');
  assert.deepEqual(conversation.path.map(({ prompt }) => prompt), ['Three']);
});

test('after a reload what was not asked yet is asked, by the same request', async () => {
  const before = stage({ mode: 'sequence' });
  before.scheduler.send('Hello');
  const [first] = await before.acknowledge();
  const kept = JSON.parse(JSON.stringify(before.conversation));
  const reloaded = stage({ mode: 'sequence' });
  const conversation = new Conversation(kept);
  const live = conversation.path[0].answer('small');
  reloaded.socket.say({ type: 'state', generation: first, state: 'running' });
  live.follow(reloaded.client.generations.get(first));
  reloaded.scheduler.use(conversation);
  await tick();
  assert.deepEqual(reloaded.asked(), [], 'the one before has not ended');
  reloaded.socket.say(end(first, 0));
  await tick();
  assert.deepEqual(targets(reloaded.asked()), ['large']);
  assert.equal(reloaded.asked()[0].request_id, `${kept.turns[0].slots.large.answers[0].id}.0`);
});
