import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FIELDS, inForce, read } from '../../static/js/model/parameter-fields.js';
import { LABELS, held, offered } from '../../static/js/model/parameters.js';
import { actionsOf, isRunning } from '../../static/js/view/labels.js';
import { Endings } from '../../static/js/view/log-line.js';
import { facts, standing } from '../../static/js/view/model-facts.js';
import { model } from './fake_socket.js';

const NOW = 1_000_000;
const field = (name) => FIELDS.find((one) => one.name === name);
const own = (more = {}) => model('own', { runner: 'process', engine: 'llama.cpp', description: '', limits: {}, capabilities: {}, running: 0, waiting: 0, parameters: {}, config: null, ...more });
const elsewhere = (server = {}, more = {}) => own({ runner: 'remote', engine: 'Ollama', server: { name: 'box', address: 'http://box:1', ...server }, ...more });

test('what can be done with a server depends on whose it is and what it does', () => {
  const names = (one) => actionsOf(one).map(([, text]) => text).join();
  const loads = { capabilities: { load: true } };
  assert.deepEqual(['stopped', 'failed', 'loading', 'ready', 'stopping'].map((state) => names(own({ state }))),
    ['Start,Log', 'Start,Log', 'Stop,Log', 'Stop,Log', 'Log']);
  assert.deepEqual(['stopped', 'failed', 'loading', 'ready', 'stopping'].map((state) => names(elsewhere({}, { state, ...loads }))),
    ['Load', 'Try again', 'Unload', 'Unload', '']);
  assert.deepEqual(['stopped', 'failed', 'ready'].map((state) => names(elsewhere({}, { state }))), ['', 'Try again', ''],
    'without a load command the first prompt loads the model');
  assert.equal(names(elsewhere({ found: true }, loads)), '', 'it has to be used first');
  assert.deepEqual(actionsOf(own()).map(([act]) => act), ['model-stop', 'model-log']);
  assert.equal(names(own({ state: 'ready', outdated: true })), 'Stop,Restart,Log');
  assert.equal(names(own({ state: 'loading', outdated: true })), 'Stop,Log');
  assert.deepEqual([own(), own({ state: 'pulling' }), own({ state: 'failed' }), elsewhere()].map(isRunning), [true, true, false, false]);
});

test('each of several servers has a line: its state, what it writes, and where it is', () => {
  const replicas = [
    { number: 1, state: 'ready', address: 'http://box:8001', answers: 2, max_concurrent: 8 },
    { number: 2, state: 'ready', address: 'https://other/v1', place: 'gpu2', outdated: true },
    { number: 3, state: 'failed', error: { code: 'model_failed', message: 'no memory', hint: null } },
  ];
  assert.deepEqual(facts(own({ replicas }), NOW).filter(([name]) => name.startsWith('Replica')), [
    ['Replica 1', 'ready · 2 of 8 answers · box:8001'],
    ['Replica 2', 'ready · 0 answers · older settings · on gpu2 · other/v1'],
    ['Replica 3', 'failed · no memory'],
  ]);
});

test('every parameter has a standard name, help in plain words, and a slider only where a range is in use', () => {
  assert.deepEqual(FIELDS.map(({ name }) => name).sort(), Object.keys(LABELS).sort());
  for (const { help, label, max, min, name, slide } of FIELDS) {
    assert.ok(label && help, name);
    if (slide) assert.ok(slide[0] >= min && slide[1] <= max, name);
  }
  assert.deepEqual(['max_new_tokens', 'stop'].map((name) => LABELS[name]), ['Max tokens', 'Stop sequences']);
  assert.deepEqual(offered({ temperature: 1, toString: 2, details: true }), { temperature: 1 });
});

test('a wrong value is told in words that say what is expected', () => {
  const said = (name, text) => {
    try {
      return read(field(name), text);
    } catch (error) {
      assert.ok(error instanceof RangeError);
      return error.message;
    }
  };
  assert.equal(said('temperature', 'warm'), 'Expected a number from 0 to 5.');
  assert.equal(said('temperature', '5.1'), 'Expected a number from 0 to 5.');
  assert.equal(said('temperature', 'Infinity'), 'Expected a number from 0 to 5.');
  assert.equal(said('max_new_tokens', '-3'), 'Expected a number of at least 1.', 'the limit of the protocol says nothing');
  assert.equal(said('max_new_tokens', '1e12'), 'Expected a smaller number.');
  assert.equal(said('top_k', '2.5'), 'Expected a whole number.');
  assert.equal(said('reasoning', 'loud'), 'Expected off, low, medium, high, or a number.');
  assert.equal(said('stop', 'a\nb\nc\nd\ne'), 'At most 4 lines, and here are 5.');
});

test('an empty field says which value holds, and whose it is', () => {
  const one = own({ parameters: { temperature: 0.7, max_new_tokens: 1024 }, defaults: { top_k: 40, temperature: 1 }, config: { chosen: ['temperature'] } });
  const text = (name, models, common = {}) => inForce(name, common, models).text;
  assert.equal(text('temperature', [one]), '0.7, set by the model');
  assert.equal(text('max_new_tokens', [one]), '1024, the gateway’s setting');
  assert.equal(text('top_k', [one]), '40, the server’s default');
  assert.equal(text('min_p', [one]), 'the server’s default', 'which it does not tell');
  assert.equal(text('temperature', [one], { temperature: 0 }), '0, set for all columns');
  assert.equal(inForce('temperature', {}, [one]).value, 0.7);
  assert.equal(text('stop', [own({ parameters: { stop: ['a', '\n'] }, config: { chosen: ['stop'] } })]), 'a · \\n, set by the model');
  assert.equal(held('max_new_tokens', own({ parameters: { max_new_tokens: 9 } })).whose, 'the gateway’s setting', 'its section sets nothing');
  assert.equal(held('top_p', own({ parameters: { top_p: 0.5 }, config: undefined })).whose, 'set by the model', 'by an older server');
});

test('of several models it says what they share, or that they differ', () => {
  const warm = own({ parameters: { temperature: 0.7, stop: ['a'] }, config: { chosen: ['temperature', 'stop'] } });
  const cold = own({ parameters: { temperature: 0.2 }, config: { chosen: ['temperature'] }, defaults: { top_p: 0.9 } });
  const shared = own({ defaults: { temperature: 0.7 } });
  const text = (name, ...models) => inForce(name, {}, models).text;
  assert.equal(text('temperature', warm, warm), '0.7, set by the model');
  assert.equal(text('temperature', warm, shared), '0.7', 'the same, of different origin');
  assert.equal(text('temperature', warm, cold), '0.2 to 0.7, by model');
  assert.equal(inForce('temperature', {}, [warm, cold]).value, null);
  assert.equal(text('temperature', warm, own()), 'differs by model');
  assert.equal(text('top_p', warm, cold), 'differs by model');
  assert.equal(text('stop', warm, cold), 'differs by model');
  assert.equal(text('seed', warm, cold), 'the server’s default');
  assert.equal(text('seed'), 'the server’s default');
});

test('a card has what is known of a model, and nothing else', () => {
  assert.deepEqual(facts(own(), NOW), [['Id', 'own'], ['Runs', 'on this machine'], ['Engine', 'llama.cpp']]);
  const full = own({
    limits: { max_total_tokens: 8192, model_context: 131_072, max_concurrent: 4, max_input_tokens: null }, running: 2, waiting: 1,
    capabilities: { vision: false }, details: { parameters: '8B', quantization: 'Q4_K_M', family: 'llama' },
    config: { weights: 'hf:o/r/x.gguf', memory: 6_400_000_000 },
  });
  assert.deepEqual(facts(full, NOW).slice(1), [
    ['Weights', 'hf:o/r/x.gguf'], ['Runs', 'on this machine'], ['Engine', 'llama.cpp'], ['Parameters', '8B'], ['Quantization', 'Q4_K_M'],
    ['Family', 'llama'], ['Context', '8,192 tokens; the model could have 131,072'], ['At once', '4 answers'], ['Now', '2 running, 1 waiting'],
    ['Pictures', 'no'], ['Memory', '6.4 GB'],
  ]);
  const there = elsewhere({ model: 'x:8b', dialect: 'openai', flavour: 'vllm', seen: NOW / 1000 - 300 }, { limits: { model_context: 4096 }, config: { price_in: 0.5, price_out: 0 } });
  assert.deepEqual(facts(there, NOW).slice(1), [
    ['Called there', 'x:8b'], ['Server', 'box at http://box:1'], ['Engine', 'Ollama'], ['Dialect', 'OpenAI’s API, vllm'],
    ['Context', 'not known; at most 4,096 tokens'], ['Price', '$0.5 for a million tokens of prompt, $0 for a million tokens of answer'], ['Last seen', '5 min ago'],
  ]);
  const billed = facts(elsewhere({ dialect: 'ollama', flavour: 'ollama' }, { capabilities: { cost: true } }), NOW);
  assert.deepEqual(billed.slice(-2), [['Dialect', 'Ollama’s API'], ['Price', 'its answers cost money; how much is not known']]);
  const sets = own({ parameters: { temperature: 0.7, stop: ['\n'] }, config: { chosen: ['temperature', 'stop'] }, defaults: { top_p: 0.9 } });
  assert.deepEqual(standing(sets), [['Temperature', '0.7, set by the model'], ['Top-p', '0.9, the server’s default'], ['Stop sequences', '"\\n", set by the model']]);
});

test('what a server complains of while it is stopped is no error', () => {
  const endings = new Endings();
  const lines = [['stdout', 'Traceback'], ['sidestream', 'stopping'], ['stdout', 'Traceback (most recent call last):'], ['sidestream', 'stopped'], ['stdout', 'late'],
    ['sidestream', 'starting'], ['stdout', 'Traceback'], ['sidestream', 'failed: it ended'], ['stdout', 'Traceback']];
  assert.deepEqual(lines.map(([stream, text]) => endings.take({ stream, text })), [false, true, true, true, true, false, false, false, false]);
});
