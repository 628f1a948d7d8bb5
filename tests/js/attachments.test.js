import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Attachments } from '../../static/js/client/attachments.js';
import { SidestreamError } from '../../static/js/client/protocol.js';
import { Answer } from '../../static/js/model/answer.js';
import { Attaching, MAX_FILES, sightOf } from '../../static/js/model/attaching.js';
import { Columns } from '../../static/js/model/columns.js';
import { ConversationStore } from '../../static/js/model/conversation-store.js';
import { Conversation } from '../../static/js/model/conversation.js';
import { PromptScheduler } from '../../static/js/model/prompt-scheduler.js';
import { connectedClient, delta, end, model } from './fake_socket.js';

const PICTURE = { id: 'p', kind: 'image', media_type: 'image/png', name: 'a.png', bytes: 12, width: 3, height: 2 };
const FILE = { id: 'f', kind: 'text', media_type: 'text/plain', name: 'b.md', bytes: 3 };
const image = { type: 'image', attachment: 'p' };
const file = { type: 'file', attachment: 'f', name: 'b.md' };
const text = (words) => ({ type: 'text', text: words });

const clients = [];
after(() => clients.forEach((client) => client.close()));
const tick = () => new Promise((resolve) => setImmediate(resolve));

function memoryOf(saved = null) {
  const values = new Map([['attached', saved]]);
  return { get: (key) => values.get(key) ?? null, set: (key, value) => values.set(key, value) };
}

/** An API that answers when it is told to. */
function slow() {
  const puts = [];
  const put = ({ name }, { onProgress, signal }) => new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
    puts.push({ name, onProgress, resolve, reject });
  });
  return { puts, put, has: async () => true };
}

function stage(models = [model('m')]) {
  const { client, socket } = connectedClient({}, { models });
  clients.push(client);
  const columns = new Columns();
  for (const { id } of models) columns.add(id);
  const conversation = new Conversation();
  const settings = () => ({ mode: 'all', isBlind: false, parameters: {}, system: '' });
  const scheduler = new PromptScheduler({ client, columns, conversation, settings });
  const asked = () => socket.sent.filter(({ type }) => type === 'generate');
  const finish = async () => {
    const { id } = asked().at(-1);
    socket.say({ type: 'result', id, result: { generations: [`g${id}`] } }, delta(`g${id}`, 1, 'Yes.'), end(`g${id}`, 1));
    await tick();
  };
  return { asked, columns, conversation, finish, scheduler };
}

test('models are asked with parts where something is attached, and with text where not', () => {
  const conversation = new Conversation();
  const first = conversation.add('What?', { attachments: [PICTURE, FILE] });
  conversation.addAnswer(first, 'a', new Answer({ model: 'm', text: 'A cat.', finishReason: 'stop' }));
  const second = conversation.add('', { attachments: [PICTURE] });
  assert.deepEqual(conversation.messages(second, 'a').map(({ content }) => content), [[image, file, text('What?')], 'A cat.', [image]]);
  const saved = new Conversation(JSON.parse(JSON.stringify(conversation)));
  assert.deepEqual(saved.messages(saved.path[1], 'a'), conversation.messages(second, 'a'));
});

test('prompts that wait, branches and further answers keep what is attached', async () => {
  const { asked, conversation, finish, scheduler } = stage();
  scheduler.send('One', [PICTURE]);
  scheduler.send('Two', [FILE]);
  assert.deepEqual(scheduler.queue, [{ text: 'Two', attachments: [FILE] }]);
  await finish();
  await finish();
  assert.deepEqual(asked()[1].messages.at(-1).content, [file, text('Two')]);
  const [first] = conversation.path;
  scheduler.retry(first, 'm');
  await finish();
  assert.deepEqual(asked()[2].messages, asked()[0].messages);
  scheduler.edit(first, 'Three');
  assert.deepEqual(asked()[3].messages, [{ role: 'user', content: [image, text('Three')] }]);
});

test('only a model that is known not to see is asked to leave pictures out', async () => {
  const sees = (id, vision) => model(id, { capabilities: { vision } });
  const models = [sees('eyes', true), sees('blind', false), model('unknown')];
  for (const [attachment, expected] of [[FILE, [false, false, false]], [PICTURE, [false, true, false]]]) {
    const { asked, scheduler } = stage(models);
    scheduler.send('One', [attachment]);
    await tick();
    assert.deepEqual(asked().map(({ targets }) => targets[0].lenient ?? false), expected);
  }
});

test('it is said which models cannot see', () => {
  const named = (sees, ...names) => names.map((name) => ({ name, sees }));
  assert.equal(sightOf(named(true, 'A')), '');
  assert.equal(sightOf(named(false, 'B', 'A', 'B')), 'A and B cannot see pictures, and are asked without them.');
  assert.equal(sightOf([...named(false, 'A'), ...named(undefined, 'C')]),
    'A cannot see pictures, and is asked without them. Whether C can see pictures is not known.');
  assert.match(sightOf(named(false, 'A', 'B', 'C', 'D', 'E')), /^A, B, C, and 2 others cannot/);
});

test('files are put one after the other, and what the server has is remembered', async () => {
  const api = slow();
  const memory = memoryOf();
  const attaching = new Attaching({ api, memory });
  const told = [];
  attaching.on('told', ({ attachment, error }) => told.push(attachment?.id ?? error?.code));
  attaching.add([{ name: 'a.png', size: 12 }, { name: 'b.svg', size: 3 }, { name: 'c.md', size: 3 }]);
  await tick();
  assert.deepEqual(api.puts.map(({ name }) => name), ['a.png']);
  api.puts[0].onProgress(0.5);
  assert.deepEqual([attaching.all[0].fraction, attaching.isBusy], [0.5, true]);
  api.puts[0].resolve(PICTURE);
  await tick();
  api.puts[1].reject(new SidestreamError({ code: 'unsupported_attachment', message: 'An SVG.' }));
  await tick();
  assert.deepEqual([attaching.hasFault, attaching.hasPicture, attaching.isBusy], [true, true, true]);
  attaching.remove(attaching.all[1]);
  api.puts[2].resolve(FILE);
  await tick();
  assert.deepEqual(told, ['p', 'unsupported_attachment', 'f']);
  assert.deepEqual([attaching.hasFault, attaching.isBusy, memory.get('attached')], [false, false, [PICTURE, FILE]]);
  assert.deepEqual([attaching.take(), attaching.all, memory.get('attached')], [[PICTURE, FILE], [], []]);
});

test('what is removed while it is sent is not added, and the next one is sent', async () => {
  const api = slow();
  const attaching = new Attaching({ api, memory: memoryOf() });
  attaching.add([{ name: 'a.png', size: 12 }, { name: 'b.md', size: 3 }, { name: 'c.md', size: 3 }]);
  await tick();
  attaching.remove(attaching.all[0]);
  attaching.remove(attaching.all[1]);
  await tick();
  assert.deepEqual(api.puts.map(({ name }) => name), ['a.png', 'b.md']);
  api.puts[1].resolve(FILE);
  await tick();
  assert.deepEqual(attaching.take(), [FILE]);
});

test('an error that nobody foresaw is told at its file, and the next one is sent', async () => {
  const api = slow();
  const attaching = new Attaching({ api, memory: memoryOf() });
  attaching.add([{ name: 'a.png', size: 12 }, { name: 'b.md', size: 3 }]);
  await tick();
  api.puts[0].reject(new URIError('Malformed.'));
  await tick();
  api.puts[1].resolve(FILE);
  await tick();
  assert.deepEqual(attaching.all.map(({ error }) => error?.message), ['URIError: Malformed.', undefined]);
  assert.deepEqual([attaching.isBusy, attaching.take()], [false, [FILE]]);
});

test('a name is sent in whole characters, whatever it is made of', async (context) => {
  const asked = [];
  class Request extends EventTarget {
    status = 200;
    response = FILE;
    upload = new EventTarget();
    open(_method, url) {
      asked.push(new URL(url).searchParams.get('name'));
    }
    setRequestHeader() {}
    send() {
      this.dispatchEvent(new Event('loadend'));
    }
  }
  globalThis.XMLHttpRequest = Request;
  context.after(() => Reflect.deleteProperty(globalThis, 'XMLHttpRequest'));
  const api = new Attachments('http://here/');
  const emoji = '\u{1f600}';
  // By code units, the cut would go through the emoji.
  for (const name of ['b.md', `${emoji}${'x'.repeat(199)}`, emoji.repeat(201), `a${emoji[0]}b${emoji[1]}.md`]) {
    await api.put(Object.assign(new Blob(['x']), { name }));
  }
  assert.deepEqual(asked, ['b.md', `${emoji}${'x'.repeat(199)}`, emoji.repeat(200), 'a\ufffdb\ufffd.md']);
});

test('the same file is attached once, and no more than a prompt may have', async () => {
  const api = { put: async ({ name }) => ({ ...FILE, id: name.slice(0, 4) }), has: async () => true };
  const attaching = new Attaching({ api, memory: memoryOf() });
  const names = ['0000 again', ...Array.from({ length: MAX_FILES }, (_, at) => String(at).padStart(4, '0')), '9999'];
  attaching.add(names.map((name) => ({ name, size: 3 })));
  await tick();
  assert.equal(attaching.all.filter(({ attachment }) => attachment).length, MAX_FILES);
  assert.deepEqual(attaching.all.flatMap(({ error }) => error?.message ?? []), [`A prompt may have ${MAX_FILES} files.`]);
});

test('a draft of before names what the server no longer has', async () => {
  const api = { ...slow(), has: async (id) => id !== 'p' };
  const attaching = new Attaching({ api, memory: memoryOf([PICTURE, FILE, null, {}]) });
  assert.deepEqual(attaching.all.map(({ attachment }) => attachment.id), ['p', 'f']);
  await tick();
  assert.deepEqual(attaching.all.map(({ error }) => error?.code), ['unknown_attachment', undefined]);
  assert.deepEqual(attaching.take(), [FILE]);
});

test('a stored chat has its pictures and files, under the names they were given', () => {
  const { client } = connectedClient();
  clients.push(client);
  const store = new ConversationStore({ api: {}, client, columns: new Columns() });
  const turn = { id: 't', parent: null, text: 'What?', history: null, vote: null,
    attachments: [image, { ...file, name: 'mine.md' }, { type: 'image', attachment: 'gone' }] };
  const conversation = store.read({ id: 'c', title: '', turns: [turn], answers: [], view: {}, attachments: [PICTURE, FILE] });
  const [{ attachments }] = conversation.path;
  assert.deepEqual(attachments.map(({ kind, name, bytes }) => [kind, name, bytes]),
    [['image', 'a.png', 12], ['text', 'mine.md', 3], ['image', 'Not kept', 0]]);
});

test('a new chat goes on without files that were not taken, or without all', async () => {
  const api = slow();
  const attaching = new Attaching({ api, memory: memoryOf() });
  attaching.add([{ name: 'b.md', size: 3 }, { name: 'c.md', size: 3 }, { name: 'd.md', size: 3 }]);
  await tick();
  api.puts[0].resolve(FILE);
  await tick();
  api.puts[1].reject(new Error('no'));
  await tick();
  attaching.clear({ isAll: false });
  assert.deepEqual(attaching.all.map(({ name }) => name), [FILE.name, 'd.md'], 'what is on its way goes on');
  attaching.clear({ isAll: true });
  assert.deepEqual([attaching.all, attaching.isBusy], [[], false]);
});
