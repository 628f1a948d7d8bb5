import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Highlighter } from '../../static/js/code/highlighter.js';
import { GRAMMARS, NAMES } from '../../static/js/code/languages.js';

/** "kind:text" of all that is told apart. */
function told(language, code) {
  const highlighter = new Highlighter(language);
  return code.split('\n').flatMap((line) => {
    const parts = highlighter.read(line);
    assert.equal(parts.map(([, text]) => text).join(''), line, language);
    return parts.filter(([kind]) => kind).map(([kind, text]) => `${kind}:${text}`);
  });
}

const CASES = [
  ['python', 'def f(x):  # why\n    return "a\\"b" + 1.5e3', ['keyword:def', 'name:f', 'comment:# why', 'keyword:return', 'string:"a\\"b"', 'number:1.5e3']],
  ['py', 'x = """one\ntwo # no\n"""; y = None', ['string:"""', 'string:one', 'string:two # no', 'string:"""', 'keyword:None']],
  ['js', 'const a = `x $b\n\\` c`; // d', ['keyword:const', 'string:`', 'string:x $b', 'string:\\` c', 'string:`', 'comment:// d']],
  ['ts', 'a = b / c / d; e = /x[/]\\/y/g', ['string:/x[/]\\/y/g']],
  ['java', '/* a\nb */ int x = \'c\';', ['comment:/*', 'comment: a', 'comment:b ', 'comment:*/', 'keyword:int', "string:'c'"]],
  ['rust', "fn f<'a>(x: &'a str) { println!(\"hi\") }", ['keyword:fn', 'keyword:str', 'name:println!', 'string:"hi"']],
  ['c++', '#include <vector>\nint x = 0xFF;', ['keyword:#include', 'keyword:int', 'number:0xFF']],
  ['sh', 'for f in *.txt; do cat "$f" -n; done # all\necho a#b', ['keyword:for', 'keyword:in', 'keyword:do', 'string:"$f"', 'key:-n', 'keyword:done', 'comment:# all', 'keyword:echo']],
  ['SQL', "SELECT name from t where x = 'it''s' -- c", ['keyword:SELECT', 'keyword:from', 'keyword:where', "string:'it''s'", 'comment:-- c']],
  ['html', '<a href="x">if</a><script>\nlet x = "<p>";</script><!-- y\n-->', ['name:<a', 'key:href', 'string:"x"', 'name:>', 'name:</a', 'name:>', 'name:<script', 'name:>', 'keyword:let', 'string:"<p>"', 'name:</script', 'name:>', 'comment:<!--', 'comment: y', 'comment:-->']],
  ['html', '<script></script><script> </script><b>', ['name:<script', 'name:>', 'name:</script', 'name:>', 'name:<script', 'name:>', 'name:</script', 'name:>', 'name:<b', 'name:>']],
  ['css', '.a:hover {\n  color: #fff; /* b */\n  margin: -1.5em auto;\n}', ['name:.a', 'name::hover', 'key:color', 'number:#fff', 'comment:/*', 'comment: b ', 'comment:*/', 'key:margin', 'number:-1.5em']],
  ['json', '{"a": ["b", -1, true]}', ['key:"a"', 'string:"b"', 'number:1', 'keyword:true']],
  ['yml', 'a b: 1 # c\n- name: "x: y"\n  url: http://a', ['key:a b', 'number:1', 'comment:# c', 'key:name', 'string:"x: y"', 'key:url']],
  ['toml', '[a.b]\nkey = "v" ; c', ['name:[a.b]', 'key:key', 'string:"v"', 'comment:; c']],
  ['diff', '--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z', ['comment:--- a', 'comment:+++ b', 'name:@@ -1 +1 @@', 'removed:-x', 'added:+y']],
  ['lua', '--[[ a\nb ]] local x', ['comment:--[[', 'comment: a', 'comment:b ', 'comment:]]', 'keyword:local']],
];

test('what each language writes is told apart, over lines too', () => {
  for (const [language, code, wanted] of CASES) assert.deepEqual(told(language, code), wanted, language);
});

test('a language that is not known stays as it is', () => {
  for (const language of ['', 'brainfuck', 'constructor', '__proto__', '<b>']) {
    assert.equal(new Highlighter(language).isKnown, false);
    assert.deepEqual(new Highlighter(language).read('if 1 "a"'), [['', 'if 1 "a"']]);
  }
});

test('each further name leads to one grammar, and no pattern has a group of its own', () => {
  const all = Object.values(NAMES).flatMap((names) => names.split(' '));
  assert.deepEqual(all.length, new Set([...all, ...Object.keys(GRAMMARS)]).size - Object.keys(GRAMMARS).length);
  for (const [language, { rules }] of Object.entries(GRAMMARS)) {
    assert.ok(new Highlighter(language).isKnown);
    for (const [, ...patterns] of rules) {
      for (const pattern of patterns.slice(0, 2)) assert.equal(new RegExp(`${pattern}|`, 'u').exec('').length, 1, pattern);
    }
  }
});

test('in every language no character is lost, whatever is written, and hostile lines take linear time', () => {
  const signs = ['"', "'", '`', '/*', '*/', '//', '#', '\\', '<', '<script>', '</script>', '<style>', '>', '{', '}', '(', '/', '[', ':', ': ', '@', '$', '${',
    '"""', "'''", '--', '--[[', ']]', '<!--', '-->', 'a', ' ', '0', '1e', '+', '-', '=', 'if', '𝒳', '́', '\t'];
  let state = 5;
  const random = (below) => Math.floor(((state = (state * 48271) % 2147483647) / 2147483647) * below);
  for (const language of Object.keys(GRAMMARS)) {
    for (const sign of signs) told(language, `${sign.repeat(Math.floor(999 / sign.length))}\n${sign}`);
    const lines = Array.from({ length: 60 }, () => Array.from({ length: random(30) }, () => signs[random(signs.length)]).join(''));
    told(language, lines.join('\n'));
  }
  assert.deepEqual(new Highlighter('js').read('"'.repeat(1001)), [['', '"'.repeat(1001)]], 'a long line is data');
});
