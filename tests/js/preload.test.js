import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** All modules that `path` needs, itself among them. */
function closure(path, found = new Set()) {
  if (found.has(path)) return found;
  found.add(path);
  for (const [, to] of readFileSync(path, 'utf8').matchAll(/^(?:import|export) .*?from '(.+)';$/gm)) {
    closure(resolve(dirname(path), to), found);
  }
  return found;
}

test('the page names every module it needs, so that none waits for another to be read', () => {
  const main = resolve(root, 'static/js/main.js');
  const needed = [...closure(main)].filter((path) => path !== main)
    .map((path) => relative(resolve(root, 'static/js'), path).replace('.js', '')).sort();
  const template = readFileSync(resolve(root, 'templates/index.html'), 'utf8');
  const list = template.match(/for module in \[([^\]]*)\]/)[1];
  assert.deepEqual([...list.matchAll(/"(.+?)"/g)].map(([, name]) => name).sort(), needed);
});
