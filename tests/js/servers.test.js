import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Columns } from '../../static/js/model/columns.js';
import { chips, commonError, grouped, lastSeen, serverTitle, traits } from '../../static/js/view/servers.js';
import { matches, modelState } from '../../static/js/view/labels.js';
import { model } from './fake_socket.js';

const NOW = 1_000_000;
const ollama = (id, more = {}, server = {}) => model(id, {
  engine: 'Ollama', runner: 'remote', limits: {}, server: { name: 'ollama', address: 'http://127.0.0.1:11434', ...server }, ...more,
});

test('models stand together by their servers: our own first, then what was found', () => {
  const models = [
    ollama('found', { engine: 'LM Studio' }, { name: 'lmstudio', address: 'http://127.0.0.1:1234', found: true }),
    ollama('a'),
    model('own'),
    ollama('lonely', { engine: 'vLLM' }, { name: '', address: 'https://gpu-box/v1' }),
    ollama('b'),
    ollama('other', { engine: 'TGI' }, { name: undefined, address: 'http://tgi:80' }),
  ];
  assert.deepEqual(grouped(models).map(({ title, server, models: own }) => [title, server, own.map(({ id }) => id).join()]), [
    ['Run by Sidestream', '', 'own'],
    ['LM Studio · 127.0.0.1:1234', 'lmstudio', 'found'],
    ['Ollama · 127.0.0.1:11434', '', 'a,b'],
    ['On other servers', '', 'lonely,other'],
  ]);
  assert.deepEqual(grouped([model('own')]).map(({ title }) => title), [''], 'alone they need no title');
  assert.deepEqual(grouped([]), []);
  assert.equal(serverTitle(models[3]), 'vLLM · gpu-box/v1');
  assert.equal(serverTitle(ollama('a', {}, { name: 'ollama-11435' })), 'ollama-11435 · Ollama · 127.0.0.1:11434');
  const unknown = { engine: 'the model server' };
  assert.equal(serverTitle(ollama('a', unknown, { name: 'mine', flavour: 'plain' })), 'mine · 127.0.0.1:11434');
});

test('among many, what is chosen and what runs stands by itself', () => {
  const models = [
    ollama('found', {}, { name: 'lmstudio', found: true }), ollama('a'), ollama('b'),
    model('idle', { state: 'stopped' }), model('runs'), model('picked', { state: 'failed' }),
  ];
  const groups = grouped(models, { chosen: new Set(['b', 'picked', 'found']), running: new Set(['runs', 'picked']) });
  assert.deepEqual(groups.map(({ key, title, models: own }) => [key, title.split(' · ')[0], own.map(({ id }) => id).join()]), [
    ['chosen', 'Chosen', 'b,picked'],
    ['running', 'Running here', 'runs'],
    ['idle', 'Here, not running', 'idle'],
    ['found lmstudio', 'lmstudio', 'found'],
    ['server ollama', 'Ollama', 'a'],
  ]);
});

test('a model is told from others by a few signs', () => {
  const signs = (details, limits = {}, server = {}) => chips(ollama('a', { details, limits }, server)).map(([text]) => text).join(' ');
  assert.equal(signs({ parameters: '8.03B', quantization: 'Q4_K_M' }, { max_total_tokens: 131_072 }), '8B Q4 128k ollama');
  assert.equal(signs({ parameters: '7.62B', quantization: 'IQ2_XS' }, { max_total_tokens: 4096, model_context: 32_768 }), '7.6B IQ2 4k ollama');
  assert.equal(signs({ parameters: '30.5B', quantization: 'bitsandbytes-nf4' }, { model_context: 2 ** 20 }), '30.5B nf4 1M ollama');
  assert.equal(signs({ parameters: '135M' }, { model_context: 200_000 }, { name: '' }), '135M 200k remote');
  assert.deepEqual(chips(model('own', { limits: {} })), []);
  assert.deepEqual(chips(ollama('a', { details: undefined })), [['ollama', 'chip-server']], 'of an older server');
});

test('a server that is used is no longer among what was found', () => {
  const before = ollama('a', {}, { found: true });
  const [{ key, server }] = grouped([before]);
  const [after] = grouped([ollama('a')]);
  assert.deepEqual([server, after.server], ['ollama', '']);
  assert.notEqual(key, after.key);
});

test('one cause that keeps all models of a server is told once', () => {
  const error = { code: 'engine_error', message: 'connection refused' };
  const [all] = grouped([ollama('a', { state: 'failed', error }), ollama('b', { state: 'failed', error: { ...error } })]);
  assert.equal(commonError(all)?.message, 'connection refused');
  const [some] = grouped([ollama('a', { state: 'failed', error }), ollama('b')]);
  assert.equal(commonError(some), null);
  const [one] = grouped([ollama('a', { state: 'failed', error })]);
  assert.equal(commonError(one), null, 'its row says it');
  const [own] = grouped([model('a', { state: 'failed', error }), model('b', { state: 'failed', error })]);
  assert.equal(commonError(own), null);
});

test('it is said when a server was last seen', () => {
  const seen = (seconds) => lastSeen(ollama('a', {}, { seen: NOW / 1000 - seconds }), NOW);
  assert.deepEqual([-5, 3, 61, 7200, 86_400, 400_000].map(seen),
    ['last seen just now', 'last seen just now', 'last seen 1 min ago', 'last seen 2 h ago', 'last seen 1 day ago', 'last seen 4 days ago']);
  assert.equal(lastSeen(ollama('a'), NOW), '');
  assert.equal(lastSeen(model('own'), NOW), '');
});

test('the context in force stands apart from the longest, and what is not told is unknown', () => {
  const said = (limits, more = {}, server = {}) => traits(ollama('a', { limits, ...more }, server)).join(' | ');
  assert.equal(said({ max_total_tokens: 4096, model_context: 32_768 }), 'context 4,096 of 32,768');
  assert.equal(said({ max_total_tokens: 4096, model_context: 4096 }), 'context 4,096');
  assert.equal(said({ max_total_tokens: 4096, model_context: null }), 'context 4,096');
  assert.equal(said({ max_total_tokens: null, model_context: 32_768 }), 'context unknown, at most 32,768');
  assert.equal(said({}, { details: { parameters: '8.2B', quantization: 'Q4_K_M' } }, { loaded: true }), '8.2B | Q4_K_M | loaded');
  assert.equal(said({}, {}, { loaded: false }), '');
  assert.deepEqual(traits(model('own', { limits: { max_total_tokens: 9 } })), ['context 9']);
});

test('a model that its server has not loaded has not failed', () => {
  assert.equal(modelState(ollama('a', { state: 'stopped' })), 'Not loaded');
  assert.equal(modelState(ollama('a', { state: 'failed' })), 'Not available');
  assert.equal(modelState(ollama('a')), 'Ready');
  assert.equal(modelState(model('own', { state: 'stopped' })), 'Not running');
});

test('of a model that was found is said what its server tells, and no more', () => {
  const found = (loaded) => modelState(ollama('a', { state: 'stopped' }, { found: true, loaded }));
  assert.equal(found(false), 'Not loaded');
  assert.equal(found(true), '');
  assert.equal(found(null), '');
});

test('a model is found by its server, its own name there, and what tells it from others', () => {
  const one = ollama('a', { details: { quantization: 'Q4_K_M' } }, { model: 'Qwen3:8B' });
  for (const words of [['11434'], ['qwen3', 'ollama'], ['q4_k'], []]) assert.ok(matches(one, words), words.join());
  assert.ok(!matches(one, ['vllm']));
});

test('what was found is not chosen by itself', () => {
  const columns = new Columns();
  columns.settle([ollama('found', {}, { found: true }), ollama('used'), model('own')], false);
  assert.deepEqual(columns.all.map(({ model: id }) => id), ['used', 'own']);
});
