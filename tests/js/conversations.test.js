import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load, NAMES, Player, Program } from './player.js';

test('there are recorded dialogues', () => {
  assert.ok(NAMES.length >= 12);
});

for (const name of NAMES) {
  test(`replay: ${name}`, { timeout: 20_000 }, async (t) => {
    const steps = load(name);
    const player = new Player();
    const program = new Program(await player.url(), steps);
    t.after(async () => {
      program.client.close();
      await player.close();
    });
    const expected = await player.play(steps, program);
    assert.deepEqual(await program.outcome(), expected);
  });
}
