import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { SidestreamError } from '../../static/js/client/protocol.js';
import { Repeat } from '../../static/js/model/repeat.js';
import { Rerun } from '../../static/js/model/rerun.js';
import { connectedClient, delta, end, model } from './fake_socket.js';

const tick = () => new Promise((resolve) => setImmediate(resolve));

const clients = [];
after(() => clients.forEach((client) => client.close()));

const ENGINE = { engine: 'tgi', runner: 'docker', model_id: 'org/m', version: '3.3', revision: 'abc', image: 'sha256:1', weights: '' };

function answer(id, turn, more = {}) {
  return {
    id, turn, column: 'c1', model: 'small', state: 'ended', text: 'Yes.', parameters: { temperature: 0 }, continues: null,
    repeats: null, finish_reason: 'stop', error: null, usage: { prompt_tokens: 3, completion_tokens: 2 }, timings: null,
    has_tokens: false, engine: ENGINE, asked: [0], ...more,
  };
}

function stored(answers, more = {}) {
  return {
    id: 'c_1', title: 'Rivers', columns: [{ id: 'c1', model: 'small', parameters: {}, system: null, hidden_name: null }], view: {},
    turns: [
      { id: 't1', parent: null, history: null, text: 'One?', vote: null },
      { id: 't2', parent: 't1', history: null, text: 'Two?', vote: null },
      { id: 't3', parent: 't2', history: 'a1', text: 'Three?', vote: null },
    ],
    answers,
    messages: [{ role: 'user', content: 'One?' }],
    ...more,
  };
}

const said = (text, more = {}) => ({ id: 'n1', text, reason: 'stop', usage: null, timings: null, engine: null, error: null, ...more });
const outcome = (before, after) => {
  const repeat = new Repeat(answer('a1', 't1', before), stored([]));
  repeat.take(after);
  return repeat.outcome;
};

function setUp(original, conversations = {}) {
  const { client, socket } = connectedClient({}, { models: [model('small', { parameters: { temperature: 1, seed: 3 } })] });
  clients.push(client);
  const made = [];
  const api = {
    async create(outline) {
      made.push(outline);
      return { id: 'c_2' };
    },
    async get(id) {
      const found = { c_1: original, c_2: stored([], { id: 'c_2' }), ...conversations }[id];
      if (!found) throw new SidestreamError({ code: 'unknown_conversation', message: 'None.' });
      return found;
    },
  };
  const asked = () => socket.sent.filter(({ type }) => type === 'generate');
  let count = 0;
  const acknowledge = async () => {
    await tick();
    count += 1;
    socket.say({ type: 'result', id: socket.command('generate').id, result: { generations: [`g${count}`], answers: [`n${count}`] } });
    await tick();
  };
  const finish = async (text, more = {}) => {
    await acknowledge();
    socket.say(delta(`g${count}`, 1, text), end(`g${count}`, 1, more));
    await tick();
  };
  return { api, asked, client, finish, made, socket, acknowledge, parts: { api, client } };
}

test('a picture that a model did not take may be left out again', () => {
  const attachments = [{ type: 'image', attachment: 'p' }];
  const original = { ...stored([]), turns: [{ id: 't1', text: '', attachments }] };
  const repeat = new Repeat(answer('a1', 't1', { notices: [{ code: 'picture_left_out', message: 'One.' }] }), original);
  assert.equal(repeat.question(undefined).targets[0].lenient, true);
  assert.equal(repeat.prompt, 'Only what is attached');
});

test('what was left out when it was asked may be left out again', () => {
  const [target] = new Repeat(answer('a1', 't1', { notices: [{ code: 'parameter_left_out', message: 'min_p' }] }), stored([])).question(undefined).targets;
  assert.equal(target.lenient, true);
  assert.equal(new Repeat(answer('a1', 't1'), stored([])).question(undefined).targets[0].lenient, undefined);
});

test('the same is the same text; of what was cut off, as far as it had come', () => {
  assert.equal(outcome({}, said('Yes.')), 'same');
  assert.equal(outcome({}, said('Yes. And more.')), 'different');
  for (const reason of ['cancelled', 'interrupted', 'failed']) {
    assert.equal(outcome({ finish_reason: reason }, said('Yes. And more.')), 'same', reason);
  }
  assert.equal(outcome({ finish_reason: 'cancelled' }, said('Yes', { reason: 'length' })), 'same');
  assert.equal(outcome({ finish_reason: 'cancelled' }, said('Yes')), 'different', 'it ended by itself, and earlier');
  assert.equal(outcome({ finish_reason: 'length' }, said('Yes. And more.')), 'different');
});

test('what has not ended by itself has said nothing', () => {
  assert.equal(outcome({}, said('Yes.', { reason: 'cancelled' })), 'waiting');
  assert.equal(outcome({}, said('Yes.', { reason: 'interrupted' })), 'waiting');
  assert.equal(outcome({}, said('', { reason: 'failed', error: { code: 'engine_error', message: 'No.' } })), 'failed');
});

test('what cannot be compared is not asked', () => {
  const refused = (more) => new Repeat(answer('a1', 't1', more), stored([])).error?.message ?? null;
  assert.match(refused({ state: 'running', finish_reason: null }), /still being written/);
  assert.match(refused({ text: '', finish_reason: 'failed' }), /Nothing had been written/);
  assert.match(refused({ asked: [] }), /What was asked is not known/);
  const odd = { messages: [{ role: 'prompt', content: 'Once' }, { role: 'user', content: 'Why?' }] };
  assert.match(new Repeat(answer('a1', 't1', { asked: [0, 1] }), stored([], odd)).error.message, /not known/);
  assert.equal(refused({ text: '' }), null, 'a model may well say nothing');
});

test('an answer is asked with its own parameters and with nothing from the settings', () => {
  const before = answer('a1', 't1', { finish_reason: 'interrupted', has_tokens: true, parameters: { temperature: 0, max_new_tokens: 90 } });
  const now = model('small', { parameters: { temperature: 0.7, top_p: 0.9 } });
  assert.deepEqual(new Repeat(before, stored([])).question(now), {
    messages: [{ role: 'user', content: 'One?' }],
    targets: [{ model: 'small', parameters: { temperature: 0, top_p: null, max_new_tokens: 2 }, system: '', repeats: 'a1' }],
    fresh: true,
    details: true,
  });
  const raw = new Repeat(answer('a1', 't1'), stored([], { messages: [{ role: 'prompt', content: 'Once upon' }] }));
  assert.equal(raw.question(undefined).prompt, 'Once upon');
  assert.equal(raw.question(undefined).messages, undefined);
});

test('what has changed behind a model is told, where both are known', () => {
  const repeat = new Repeat(answer('a1', 't1'), stored([]));
  assert.deepEqual(repeat.changes, []);
  repeat.take(said('Yes.', { engine: { ...ENGINE, revision: 'def', version: '3.4' } }));
  assert.deepEqual(repeat.changes, [{ trait: 'revision', then: 'abc', now: 'def' }, { trait: 'version', then: '3.3', now: '3.4' }]);
});

test('all are asked one after the other, into a copy that has the same shape', async () => {
  const answers = [
    answer('a1', 't1'),
    answer('a2', 't1', { column: 'gone', finish_reason: 'cancelled' }),
    answer('a3', 't1', { column: 'gone', continues: 'a2' }),
    answer('a4', 't2', { model: 'away' }),
    answer('a5', 't3'),
  ];
  const { asked, finish, made, parts } = setUp(stored(answers));
  const rerun = await Rerun.load(parts, 'c_1');
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['waiting', 'waiting', 'waiting', 'impossible', 'waiting']);
  const done = rerun.run();
  for (let count = 0; count < 4; count += 1) await finish('Yes.');
  await done;
  assert.equal(rerun.fault, null);
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['same', 'same', 'same', 'impossible', 'same']);
  assert.equal(made[0].title, 'Again: Rivers');
  assert.deepEqual(made[0].view, { repeats: 'c_1' });
  assert.deepEqual(made[0].columns, [
    { id: 'c1', model: 'small', parameters: {}, system: null },
    { id: 'gone', model: 'small', parameters: {}, system: null },
  ]);
  const place = (turn, parent, history) => ({ conversation: 'c_2', turn, parent, history });
  // The second turn could not be asked; the third one stands below the first.
  assert.deepEqual(asked().map(({ record }) => record), [
    place('t1', null, null), place('t1', null, null), place('t1', null, null), place('t3', 't1', null),
  ]);
  assert.deepEqual(asked().map(({ targets }) => targets[0].continues), [undefined, undefined, 'n2', undefined]);
});

test('what goes on from something that could not be asked is not asked either', async () => {
  const answers = [answer('a1', 't1', { model: 'away' }), answer('a2', 't1', { continues: 'a1' })];
  const { asked, parts } = setUp(stored(answers));
  const rerun = await Rerun.load(parts, 'c_1');
  await rerun.run();
  assert.equal(asked().length, 0);
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['impossible', 'impossible']);
});

test('an error of one answer ends that one, any other the run, which can be gone on with', async () => {
  const { asked, finish, parts, socket } = setUp(stored([answer('a1', 't1'), answer('a2', 't2'), answer('a3', 't3')]));
  const rerun = await Rerun.load(parts, 'c_1');
  let done = rerun.run();
  await tick();
  socket.refuse('generate', { code: 'prompt_too_long', message: 'Too long.' });
  await tick();
  socket.refuse('generate', { code: 'rate_limited', message: 'Not so fast.' });
  await done;
  assert.equal(rerun.fault.code, 'rate_limited');
  assert.equal(rerun.isRunning, false);
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['failed', 'waiting', 'waiting']);
  done = rerun.run();
  await finish('Yes.');
  await finish('No.');
  await done;
  assert.equal(rerun.fault, null);
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['failed', 'same', 'different']);
  assert.equal(asked().length, 4);
});

test('a picture or file that cannot be asked with ends its answer only', async () => {
  const { asked, parts, socket } = setUp(stored(['a1', 'a2', 'a3', 'a4'].map((id) => answer(id, 't1'))));
  const rerun = await Rerun.load(parts, 'c_1');
  const done = rerun.run();
  for (const code of ['cannot_see', 'unknown_attachment', 'invalid_attachment']) {
    await tick();
    socket.refuse('generate', { code, message: 'No.' });
  }
  await tick();
  assert.equal(asked().length, 4);
  socket.say({ type: 'result', id: asked()[3].id, result: { generations: ['g1'], answers: ['n1'] } }, delta('g1', 1, 'Yes.'), end('g1', 1));
  await done;
  assert.equal(rerun.fault, null);
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['failed', 'failed', 'failed', 'same']);
});

test('a run that is stopped asks no more, whatever it is waiting for', async () => {
  const { acknowledge, asked, parts, socket } = setUp(stored([answer('a1', 't1'), answer('a2', 't2')]));
  const rerun = await Rerun.load(parts, 'c_1');
  const done = rerun.run();
  await tick();
  await rerun.stop();
  await acknowledge(); // what was under way to the server is stopped when it is known there
  assert.deepEqual(socket.command('cancel').generations, ['g1']);
  socket.answer('cancel', {});
  socket.say(end('g1', 0, { finish_reason: 'cancelled' }));
  await done;
  assert.equal(asked().length, 1);
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['waiting', 'waiting']);
});

test('what is stopped elsewhere, or contradicts what has become of the copy, stops the run too', async () => {
  const { acknowledge, asked, parts, socket } = setUp(stored([answer('a1', 't1'), answer('a2', 't2'), answer('a3', 't3')]));
  const rerun = await Rerun.load(parts, 'c_1');
  let done = rerun.run();
  await acknowledge();
  socket.say(end('g1', 0, { finish_reason: 'cancelled' }));
  await done;
  assert.equal(rerun.fault, null);
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['waiting', 'waiting', 'waiting']);
  done = rerun.run();
  await tick();
  socket.refuse('generate', { code: 'invalid_command', message: 'No such column.' });
  await done;
  assert.equal(rerun.fault.code, 'invalid_command');
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['failed', 'waiting', 'waiting']);
  assert.equal(asked().length, 2);
});

test('what was given without being kept is no place for others', async () => {
  const { asked, parts, socket, finish } = setUp(stored([answer('a1', 't1'), answer('a2', 't2'), answer('a5', 't3')]));
  const rerun = await Rerun.load(parts, 'c_1');
  const done = rerun.run();
  await tick();
  socket.say({ type: 'result', id: socket.command('generate').id, result: { generations: ['x1'] } }, delta('x1', 1, 'Yes.'), end('x1', 1));
  await tick();
  await finish('Yes.');
  await finish('Yes.');
  await done;
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['same', 'same', 'same']);
  assert.deepEqual(asked().map(({ record: { parent, history } }) => [parent, history]), [[null, null], [null, null], ['t2', null]]);
});

test('what goes on at the server is waited for, not asked again', async () => {
  const original = stored([answer('a1', 't1'), answer('a2', 't2')]);
  const copy = stored([
    answer('n1', 't1', { repeats: 'a1' }),
    answer('n2', 't1', { repeats: 'a1', finish_reason: 'cancelled', text: '' }),
    answer('n3', 't2', { repeats: 'a2', state: 'running', finish_reason: null }),
  ], { id: 'c_2', view: { repeats: 'c_1' } });
  const { asked, client, parts, socket } = setUp(original, { c_2: copy });
  const begun = client.generate({ targets: [{ model: 'small' }], prompt: 'Two?' });
  socket.answer('generate', { generations: ['g9'], answers: ['n3'] });
  await begun;
  const rerun = await Rerun.load(parts, 'c_2');
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['same', 'waiting'], 'what was whole stays');
  const done = rerun.run();
  socket.say(delta('g9', 1, 'No.'), end('g9', 1));
  await done;
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['same', 'different']);
  assert.equal(asked().length, 1);
});

test('what is asked in another window is left to it', async () => {
  const copy = stored([answer('n1', 't1', { repeats: 'a1', state: 'running', finish_reason: null })], { id: 'c_2', view: { repeats: 'c_1' } });
  const conversations = { c_2: copy };
  const { api, asked, client, finish } = setUp(stored([answer('a1', 't1'), answer('a2', 't2')]), conversations);
  const rerun = await Rerun.load({ api: { ...api, get: async (id) => (id === 'c_2' ? conversations.c_2 : api.get(id)) }, client }, 'c_2');
  await rerun.run();
  assert.equal(rerun.fault.code, 'elsewhere');
  assert.equal(asked().length, 0);
  conversations.c_2 = stored([answer('n1', 't1', { repeats: 'a1' })], { id: 'c_2' });
  const done = rerun.run();
  await tick();
  await finish('No.');
  await done;
  assert.equal(rerun.fault, null);
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['same', 'different']);
});

test('of more columns than a conversation may have, the last are asked without', async () => {
  const columns = Array.from({ length: 64 }, (_, at) => ({ id: `c${at}`, model: 'small', parameters: {}, system: null, hidden_name: null }));
  const { asked, finish, made, parts } = setUp(stored([answer('a1', 't1'), answer('a2', 't1', { column: 'gone' })], { columns }));
  const rerun = await Rerun.load(parts, 'c_1');
  const done = rerun.run();
  await finish('Yes.');
  await finish('Yes.');
  await done;
  assert.equal(made[0].columns.length, 64);
  assert.deepEqual(asked().map(({ targets }) => targets[0].column), ['c1', undefined]);
});

test('whatever an import calls its original, it is asked for only by what can be an id', async () => {
  for (const repeats of [{}, ['c_1'], '../models', 'a/b', '', 7]) {
    const odd = stored([answer('a1', 't1')], { id: 'c_2', view: { repeats } });
    const { api, client } = setUp(odd, { c_2: odd });
    const read = [];
    const rerun = await Rerun.load({ api: { ...api, get: (id) => (read.push(id), api.get(id)) }, client }, 'c_2');
    assert.equal(rerun.originalId, 'c_2');
    assert.deepEqual(read, ['c_2']);
  }
});

test('a copy is compared with its original, and by itself when that is gone', async () => {
  const original = stored([answer('a1', 't1'), answer('a2', 't2'), answer('a3', 't3')]);
  const copy = stored([
    answer('n0', 't1', { repeats: 'a1', finish_reason: 'cancelled', text: 'Y' }),
    answer('n1', 't1', { repeats: 'a1' }),
    answer('n2', 't2', { repeats: 'a2', state: 'running', finish_reason: null, text: '' }),
    answer('n3', 't3', { repeats: 'a3', text: 'No.', engine: { ...ENGINE, image: 'sha256:2' } }),
  ], { id: 'c_2', view: { repeats: 'c_1' } });
  const rerun = await Rerun.load(setUp(original, { c_2: copy }).parts, 'c_2');
  assert.equal(rerun.originalId, 'c_1');
  assert.equal(rerun.copyId, 'c_2');
  assert.deepEqual(rerun.repeats.map((repeat) => repeat.outcome), ['same', 'waiting', 'different']);
  assert.deepEqual(rerun.repeats[2].changes, [{ trait: 'image', then: 'sha256:1', now: 'sha256:2' }]);
  assert.equal(rerun.afresh().copyId, null);
  const alone = await Rerun.load(setUp(original, { c_1: undefined, c_2: copy }).parts, 'c_2');
  assert.equal(alone.copyId, null);
  assert.equal(alone.repeats.length, 4);
  await assert.rejects(Rerun.load(setUp(original).parts, 'c_9'), { code: 'unknown_conversation' });
});

test('thinking is compared apart, and calls with the answer', async () => {
  const call = (said) => [{ index: 0, id: '', name: 'look', arguments: said }];
  const original = stored([
    answer('a1', 't1', { reasoning: 'Hm.' }), answer('a2', 't2', { reasoning: 'Hm.' }),
    answer('a3', 't3', { text: '', tool_calls: call('{}') }), answer('a4', 't4', { text: '', tool_calls: call('{}') }),
  ]);
  const again = (id, turn, repeats, more) => answer(id, turn, { repeats, ...more });
  const copy = stored([
    again('n1', 't1', 'a1', { reasoning: 'Hm.' }), again('n2', 't2', 'a2', { reasoning: 'Well.' }),
    again('n3', 't3', 'a3', { text: '', tool_calls: call('{}') }), again('n4', 't4', 'a4', { text: '', tool_calls: call('{"at":1}') }),
  ], { id: 'c_2', view: { repeats: 'c_1' } });
  const { repeats } = await Rerun.load(setUp(original, { c_2: copy }).parts, 'c_2');
  assert.deepEqual(repeats.map(({ outcome }) => outcome), ['same', 'same', 'same', 'different']);
  assert.deepEqual(repeats.map(({ thoughts }) => thoughts?.map(({ text }) => text) ?? null), [['Hm.', 'Hm.'], ['Hm.', 'Well.'], null, null]);
  assert.deepEqual(repeats[3].answers.map(({ text }) => text), ['look({})', 'look({"at":1})']);
});
