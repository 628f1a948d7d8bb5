import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Answer } from '../../static/js/model/answer.js';
import { Columns } from '../../static/js/model/columns.js';
import { ConversationStore } from '../../static/js/model/conversation-store.js';
import { Conversation } from '../../static/js/model/conversation.js';
import { VoteStore, standing } from '../../static/js/model/vote-store.js';
import { Workspace } from '../../static/js/model/workspace.js';
import { scoreName } from '../../static/js/view/score-name.js';
import { connectedClient, model } from './fake_socket.js';

const MODELS = [{ id: 'small', name: 'Small' }, { id: 'org/large', name: 'Large' }, { id: 'odd', name: 'Odd · box' }];
const clients = [];
after(() => clients.forEach((client) => client.close()));

function memoryOf(saved = {}) {
  const values = new Map(Object.entries(saved));
  return { get: (key) => JSON.parse(JSON.stringify(values.get(key) ?? null)), set: (key, value) => values.set(key, value) };
}

/** A server that notes what it is asked for. */
function serverOf(listed = []) {
  const asked = [];
  const imported = new Map();
  return {
    asked,
    imported,
    give: async (...words) => {
      asked.push(words);
      return { ...words[2], replaced: { verdict: 'better', winners: ['s-b'], among: ['s-a', 's-b'] } };
    },
    takeBack: async (...words) => { asked.push(words); },
    list: async ({ before }) => (before ? { votes: listed.slice(2), next: null } : { votes: listed.slice(0, 2), next: '2' }),
    import: async (votes) => { for (const vote of votes) imported.set(vote.id, vote); },
    tally: async () => ({ votes: 7, scores: [] }),
    deleteAll: async () => ({ votes: 7 }),
    restore: async () => ({ votes: 7 }),
  };
}

function storeOf({ api = serverOf(), memory = memoryOf(), isOn = true } = {}) {
  return new VoteStore({ api, memory, isOn: () => isOn, models: () => MODELS });
}

function ended(reason, id) {
  const answer = new Answer({ id, model: 'small', keptIds: [`s-${id}`], text: 'x' });
  if (reason) answer.finish(reason);
  return answer;
}

/** A blind round whose columns `a`, `b`, … ended like this; null: still written. */
function round(...ends) {
  const conversation = new Conversation({ id: 'c' });
  const turn = conversation.add('Why?', { isBlind: true });
  turn.isStored = true;
  const columns = ends.map((end, index) => {
    const id = 'abcdefgh'[index];
    conversation.addAnswer(turn, id, ended(end, id));
    return { id, model: 'small', parameters: {}, system: null, isHidden: false };
  });
  return { columns, conversation, turn };
}

test('what failed or was stopped cannot win, and nothing is compared with nothing', () => {
  const of = (...ends) => {
    const { columns, turn } = round(...ends);
    const { among, canVote, isLive } = standing(turn, columns);
    return [among.map(({ id }) => id).join(''), canVote, isLive];
  };
  assert.deepEqual(of('stop', 'length'), ['ab', true, false]);
  assert.deepEqual(of('stop', 'cancelled', 'length', 'failed', 'interrupted'), ['ac', true, false]);
  assert.deepEqual(of('stop', 'failed'), ['a', false, false]);
  assert.deepEqual(of('stop', 'stop', null), ['ab', false, true], 'one is still written');
  assert.deepEqual(standing(undefined, []), { isLive: false, among: [], canVote: false });
});

test('a vote goes to the server with what was compared, and tells which vote it replaces', async () => {
  const api = serverOf();
  const { columns, conversation, turn } = round('stop', 'stop', 'failed');
  const { among } = standing(turn, columns);
  const former = await storeOf({ api }).give(conversation, turn, { kind: 'best', best: 'a' }, among);
  assert.deepEqual(api.asked, [['c', turn.id, { verdict: 'better', winners: ['s-a'], among: ['s-a', 's-b'], blind: true }]]);
  assert.deepEqual(former, { kind: 'best', best: 'b' });
  await storeOf({ api }).give(conversation, turn, { kind: 'tie', best: null }, among);
  assert.deepEqual(api.asked[1][2], { verdict: 'tie', winners: [], among: ['s-a', 's-b'], blind: true });
});

test('without a server that stores votes they stay in the browser, and are added up there', async () => {
  const memory = memoryOf();
  const store = storeOf({ memory, isOn: false });
  const votes = [['best', 'a'], ['best', 'a'], ['tie', null], ['bad', null]];
  const rounds = votes.map(() => round('stop', 'stop'));
  for (const [index, [kind, best]] of votes.entries()) {
    const { columns, conversation, turn } = rounds[index];
    columns[1].parameters = { temperature: 0.2 };
    await store.give(conversation, turn, { kind, best }, columns);
  }
  const scores = async () => (await store.tally()).scores.map(({ parameters, wins, ties, bad, rounds: count }) => [parameters, wins, ties, bad, count]);
  assert.deepEqual(await scores(), [[{}, 2, 1, 1, 4], [{ temperature: 0.2 }, 0, 1, 1, 4]]);
  await store.takeBack(rounds[0].conversation, rounds[0].turn);
  assert.deepEqual((await scores())[0], [{}, 1, 1, 1, 3]);
  assert.equal(await store.deleteAll(), 3);
  assert.deepEqual(await scores(), []);
  assert.equal(await store.restore(), 3);
  assert.equal(await store.restore(), 0);
  assert.equal((await store.tally()).votes, 3);
});

test('votes of earlier pages are given to the server once, without those that it has from a chat', async () => {
  const names = { x: 'Small', y: 'Large' };
  const old = [
    { kind: 'best', best: 'x', names }, { kind: 'best', best: 'x', names }, { kind: 'tie', best: null, names },
    { kind: 'bad', best: null, names: { x: 'Small (Temperature 0.2)', y: 'Gone' } }, null, 5,
  ];
  const listed = [
    { verdict: 'better', candidates: [{ model: 'org/large', won: false }, { model: 'small', won: true }] },
    { verdict: 'better', candidates: [{ model: 'org/large', won: true }, { model: 'small', won: false }] },
    { verdict: 'bad', candidates: [{ model: 'small' }, { model: 'Gone' }] },
  ];
  const [api, memory] = [serverOf(listed), memoryOf({ votes: old })];
  await storeOf({ api, memory, isOn: false }).takeOver();
  assert.equal(memory.get('votes').length, 6, 'not before the server takes them');
  const first = storeOf({ api, memory });
  const second = storeOf({ api, memory }); // another window at the same time
  await Promise.all([first.takeOver(), second.takeOver()]);
  assert.deepEqual([...api.imported.values()].map(({ verdict, candidates }) => [verdict, candidates]), [
    ['better', [{ model: 'small', won: true }, { model: 'org/large', won: false }]],
    ['tie', [{ model: 'small', won: false }, { model: 'org/large', won: false }]],
  ]);
  assert.deepEqual(memory.get('votes'), []);
  api.imported.clear();
  await first.takeOver();
  assert.equal(api.imported.size, 0);
});

test('what cannot be given to the server stays in the browser', async () => {
  const api = { ...serverOf(), import: () => Promise.reject(new Error('off')) };
  const memory = memoryOf({ votes: [{ kind: 'tie', best: null, names: { x: 'Small', y: 'Large' } }] });
  await assert.rejects(storeOf({ api, memory }).takeOver());
  assert.equal(memory.get('votes').length, 1);
});

test('a stored chat opens blind until it has a vote, and from then on for ever not', () => {
  const { client } = connectedClient();
  clients.push(client);
  const store = new ConversationStore({ api: {}, client, columns: new Columns() });
  const turn = (id, parent, vote = null) => ({ id, parent, text: '?', history: null, vote });
  const answers = [{ id: 'a_1', turn: 't2', column: 'a', model: 'small', text: 'x', state: 'ended', parameters: {} }];
  const read = (...turns) => store.read({ id: 'c', title: '', turns, answers, view: { blind: ['t1', 't2', 't3'] } });
  assert.ok(read(turn('t1', null), turn('t2', 't1')).isSecret);
  const better = { verdict: 'better', winners: ['a_1'], among: ['a_1'], blind: true };
  const voted = read(turn('t1', null), turn('t2', 't1', better));
  assert.ok(!voted.isSecret, 'not even the first turn of the round is');
  assert.deepEqual(voted.turns.get('t2').vote, { kind: 'best', best: 'a' });
  assert.ok(read(turn('t1', null, better), turn('t3', null)).isSecret, 'another round is open');
});

test('while a round is open its names are hidden on every turn, and a new chat does not tell its order', () => {
  const { client, socket } = connectedClient();
  clients.push(client);
  socket.say({ type: 'models', models: [model('a'), model('b'), model('c')] });
  const workspace = new Workspace({ client, api: {}, memory: memoryOf({ settings: { isBlind: true } }), tab: memoryOf() });
  const { columns, conversation } = workspace;
  columns.restore(['c', 'a', 'b'].map((id) => ({ id, model: id })));
  const labels = () => columns.shown.map((column) => workspace.label(column)).join(' ');
  const before = conversation.add('Named.');
  assert.ok(!labels().includes('Model'));
  const blind = conversation.add('Hidden.', { parent: null, isBlind: true });
  assert.equal(labels(), 'Model A Model B Model C');
  conversation.show(before);
  assert.equal(labels(), 'Model A Model B Model C', 'the order is that of the round');
  workspace.open(new Conversation());
  assert.equal(columns.shown.map(({ id }) => id).join(' '), 'a b c');
  workspace.open(conversation);
  conversation.reveal(blind, null);
  conversation.begin();
  assert.deepEqual(conversation.path, []);
  assert.ok(!labels().includes('Model'));
});

test('a score is named by the model and by what its columns had of their own', () => {
  const nameOf = (id) => MODELS.find((one) => one.id === id)?.name ?? id;
  const of = (parameters, system) => scoreName({ model: 'small', parameters, system, rounds: 1, wins: 0, ties: 0, bad: 0 }, nameOf);
  assert.deepEqual([of({}, null), of({ temperature: 0.2 }, null), of({}, 'Be brief.')],
    ['Small', 'Small (Temperature 0.2)', 'Small (system prompt “Be brief.”)']);
});

test('a stored answer has the parameters that were chosen; all of them where that is not known', () => {
  const { client } = connectedClient();
  clients.push(client);
  const store = new ConversationStore({ api: {}, client, columns: new Columns() });
  const stored = { turn: 't1', column: 'a', model: 'small', text: 'x', state: 'ended', parameters: { temperature: 0.5, seed: 977, max_new_tokens: 8192 } };
  const answers = [[], ['temperature', 'gone'], null].map((chosen, index) => ({ ...stored, id: `a_${index}`, chosen }));
  const turns = [{ id: 't1', parent: null, text: '?', history: null, vote: null }];
  const conversation = store.read({ id: 'c', title: '', turns, answers, view: {} });
  const shown = conversation.turns.get('t1').answers.map(({ parameters }) => parameters);
  assert.deepEqual(shown, [{}, { temperature: 0.5 }, stored.parameters]);
});
