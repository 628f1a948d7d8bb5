/**
 * What is told apart in code, by language: data for `highlighter.js`. No DOM.
 *
 * A rule is a kind and a pattern within a line; with a third part it goes on, over lines, up to what
 * that part matches; with a fourth it is in between in that grammar. `word` is a keyword if it is
 * among the grammar's words, and a name before a parenthesis. The first rule that matches counts.
 * No pattern can take more than linear time on what a model writes.
 */

/** @typedef {[kind: string, pattern: string, end?: string, grammar?: string]} Rule */
/** @typedef {{rules: Rule[], words?: string, ignoresCase?: boolean}} Grammar */

const NUMBER = /** @type {Rule} */ (['number', String.raw`\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)[a-zA-Z%]{0,3}`]);
const WORD = /** @type {Rule} */ (['word', String.raw`[\p{L}_$][\p{L}\d_$]*`]);
const DOUBLE = /** @type {Rule} */ (['string', String.raw`"(?:[^"\\]|\\.)*"?`]);
const SINGLE = /** @type {Rule} */ (['string', String.raw`'(?:[^'\\]|\\.)*'?`]);
const QUOTED = [DOUBLE, SINGLE];
const CHARACTER = /** @type {Rule} */ (['string', String.raw`'(?:[^'\\]|\\[^']{1,10})'`]);
const BACKQUOTED = /** @type {Rule} */ (['string', '`', '`']);
const SLASHES = /** @type {Rule} */ (['comment', String.raw`\/\/.*`]);
const BETWEEN = /** @type {Rule} */ (['comment', String.raw`\/\*`, String.raw`\*\/`]);
const HASH = /** @type {Rule} */ (['comment', String.raw`(?<=^|\s)#.*`]);
const DECORATOR = /** @type {Rule} */ (['name', String.raw`@[\w.]+`]);
const VARIABLE = /** @type {Rule} */ (['name', String.raw`\$(?:\w+|\{[^}]*\}?|[@#?*!$-])`]);

const BASE = 'break case const continue default do else enum for if return static switch while true false null ';
const CLASSES = `${BASE}abstract catch class extends finally import interface new private protected public super this throw throws try void package `;
const TYPES = 'bool boolean byte char double float int long short string unsigned signed ';

/** @param {string} words @param {...Rule} rules @returns {Grammar} */
const likeC = (words, ...rules) => ({ words, rules: [SLASHES, BETWEEN, ...rules, DOUBLE, NUMBER, WORD] });
/** @param {string} words @param {...Rule} rules @returns {Grammar} */
const likeShell = (words, ...rules) => ({ words, rules: [HASH, ...rules, NUMBER, WORD] });

/** @type {Record<string, Grammar>} By their names; further names are below. */
export const GRAMMARS = {
  javascript: likeC(`${CLASSES}async await constructor debugger declare delete export from function get implements in instanceof keyof let of readonly satisfies set type typeof undefined var with yield any never number string boolean unknown`,
    SINGLE, BACKQUOTED, DECORATOR, ['string', String.raw`(?<=(?:^|[=(,:;!&|?{}[\]]|return)\s{0,9})\/(?![*\/])(?:[^\/\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+\/[a-z]*`]),
  python: likeShell('and as assert async await break case class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return try while with yield True False None self',
    ['string', '[a-zA-Z]{0,2}"""', '"""'], ['string', "[a-zA-Z]{0,2}'''", "'''"], ...QUOTED, DECORATOR),
  java: likeC(`${CLASSES + TYPES}final implements instanceof native record sealed permits synchronized transient var volatile yield`, ['string', '"""', '"""'], CHARACTER, DECORATOR),
  kotlin: likeC(`${CLASSES}as companion constructor data fun in init inline internal is lateinit object open override suspend typealias val var when where sealed`, ['string', '"""', '"""'], CHARACTER, DECORATOR),
  csharp: likeC(`${CLASSES + TYPES}as async await base checked decimal delegate event explicit fixed foreach get goto implicit in init internal is lock namespace object operator out override params partial readonly record ref sealed set sizeof struct typeof using value var virtual when where yield`, CHARACTER),
  c: likeC(`${CLASSES + TYPES}auto concept constexpr consteval decltype delete explicit extern friend goto inline mutable namespace noexcept nullptr operator override register requires sizeof size_t std struct template typedef typename union using virtual volatile NULL`,
    CHARACTER, ['keyword', String.raw`^\s*#\s*\w+`]),
  go: likeC(`${BASE + TYPES}any chan defer error fallthrough func go goto import interface iota make map nil package range rune select struct type uint var`, CHARACTER, BACKQUOTED),
  rust: likeC('as async await bool box break char const continue crate dyn else enum extern f32 f64 false fn for i8 i16 i32 i64 i128 if impl in isize let loop match mod move mut pub ref return self Self static str String struct super trait true type u8 u16 u32 u64 u128 union unsafe use usize where while',
    CHARACTER, ['name', String.raw`\b\w+!|#!?\[[^\]]*\]`]),
  swift: likeC(`${CLASSES}actor any as async await associatedtype defer deinit extension fallthrough fileprivate final func guard in init inout internal is lazy let mutating nil open operator override protocol repeat rethrows self Self some struct subscript typealias unowned var weak where`, ['string', '"""', '"""'], DECORATOR),
  php: likeC(`${CLASSES}and array as echo elseif endforeach endif fn foreach function global implements include instanceof match namespace or print require require_once trait use var yield`, SINGLE, HASH, VARIABLE, ['keyword', String.raw`<\?(?:php|=)?|\?>`]),
  ruby: likeShell('alias and begin break case class def defined do else elsif end ensure false for if in include module next nil not or private puts raise redo require rescue retry return self super then true undef unless until when while yield', ...QUOTED, ['string', String.raw`(?<![\w:]):\w+`], ['name', String.raw`@{1,2}\w+`]),
  bash: likeShell('alias break case cd continue do done echo elif else esac eval exit export fi for function if in local read return set shift sudo then trap until unset while',
    VARIABLE, ['string', String.raw`"(?:[^"\\]|\\.)*"`], ['string', "'[^']*'"], ['key', String.raw`(?<=\s)--?[a-zA-Z][\w-]*`]),
  powershell: likeShell('begin break catch continue do else elseif end exit filter finally for foreach function if in param process return switch throw try until while', VARIABLE, ...QUOTED, ['key', String.raw`(?<=\s)-[a-zA-Z]\w*`]),
  sql: {
    ignoresCase: true,
    words: 'add all alter and any as asc begin between by case cast check column commit constraint create cross database default delete desc distinct drop else end except exists foreign from full group having if in index inner insert intersect into is join key left like limit not null offset on or order outer over partition primary references replace returning right rollback select set table then transaction truncate union unique update using values view when where with bigint boolean char date decimal float int integer numeric serial text timestamp varchar true false',
    rules: [['comment', '--.*'], BETWEEN, ['string', "'(?:[^']|'')*'?"], ['name', '"[^"]*"|`[^`]*`'], NUMBER, WORD],
  },
  lua: { words: 'and break do else elseif end false for function goto if in local nil not or repeat return then true until while', rules: [['comment', String.raw`--\[\[`, String.raw`\]\]`], ['comment', '--.*'], ['string', String.raw`\[\[`, String.raw`\]\]`], ...QUOTED, NUMBER, WORD] },
  r: likeShell('break else for function if in next repeat return while TRUE FALSE NULL NA NaN Inf library', ...QUOTED),
  html: {
    rules: [['comment', '<!--', '-->'], ['keyword', '<![^>]*>|<[?][^>]*>'],
      ['', String.raw`(?<=<script\b[^>]{0,300}>)(?!\s*<\/script)`, String.raw`(?=<\/script)`, 'javascript'],
      ['', String.raw`(?<=<style\b[^>]{0,300}>)(?!\s*<\/style)`, String.raw`(?=<\/style)`, 'css'],
      ['name', String.raw`<\/?[a-zA-Z][\w:.-]*`, String.raw`\/?>`, 'attributes'], ['number', String.raw`&#?\w{1,32};`]],
  },
  attributes: { rules: [['string', `"[^"]*"?|'[^']*'?`], ['key', '[@:#\\w.-]+']] },
  css: {
    rules: [BETWEEN, ['comment', String.raw`(?<=^|\s)\/\/.*`], ['keyword', String.raw`@[\w-]+|!important`], ...QUOTED,
      ['key', String.raw`(?<=(?:^|[{;])\s{0,40})[\w$-]+(?=\s*:\s)|--[\w-]+`], ['number', String.raw`(?<=:.*)#[\da-fA-F]{3,8}\b|(?<![\w-])-?(?:\d+(?:\.\d+)?|\.\d+)(?:%|[a-z]{1,5})?`],
      ['name', String.raw`[.#][a-zA-Z_-][\w-]*|:{1,2}[a-z-]+(?=\s?[{,:.(])|[\w-]+(?=\()`]],
  },
  json: { words: 'true false null', rules: [SLASHES, ['key', String.raw`"(?:[^"\\]|\\.)*"(?=\s*:)`], DOUBLE, NUMBER, WORD] },
  yaml: { words: 'true false null yes no on off', rules: [HASH, ['key', String.raw`(?<=^[\s-]{0,80})[\w"'.\/$][^:#]{0,80}(?=:(?:\s|$))`], ...QUOTED, ['name', String.raw`(?<=\s)[&*!][\w!-]+`], NUMBER, WORD] },
  toml: { words: 'true false on off', rules: [['comment', String.raw`(?<=^|\s)[#;].*`], ['name', String.raw`^\s*\[.*`], ['key', String.raw`(?<=^\s{0,80})[\w."-]+(?=\s*[=:])`], ['string', '"""', '"""'], ...QUOTED, NUMBER, WORD] },
  diff: { rules: [['comment', String.raw`^(?:diff|index|---|\+\+\+)(?: .*|$)`], ['name', '^@@.*'], ['added', String.raw`^\+.*`], ['removed', '^-.*']] },
  dockerfile: likeShell('', ['keyword', String.raw`^\s*(?:FROM|RUN|CMD|LABEL|EXPOSE|ENV|ADD|COPY|ENTRYPOINT|VOLUME|USER|WORKDIR|ARG|ONBUILD|HEALTHCHECK|SHELL)\b|\bAS\b`], ...QUOTED, VARIABLE),
  make: likeShell('ifeq ifneq ifdef ifndef else endif include define endef export', ['name', String.raw`^[\w./%-]+(?=\s*:(?!=))|\$\([^)]*\)|\$[@<^*]`], ...QUOTED),
  markdown: { rules: [['keyword', String.raw`^#{1,6}\s.*`], ['comment', '<!--', '-->'], ['string', '^\\s*(?:`{3}|~{3}).*|`[^`]+`'], ['name', String.raw`\*\*[^*]+\*\*|\[[^\]]*\](?=\()`], ['key', String.raw`^\s*(?:[-*+]|\d{1,9}[.)])(?=\s)|^\s*>`]] },
};

/** Further names, by the grammar that they use. */
export const NAMES = {
  javascript: 'js jsx ts tsx mjs cjs typescript node dart',
  python: 'py python3 pycon ipython gdscript starlark',
  java: 'groovy scala gradle',
  kotlin: 'kt kts',
  csharp: 'cs c# dotnet',
  c: 'h cc cpp c++ hpp cxx cuda objc objective-c arduino ino glsl hlsl',
  go: 'golang',
  rust: 'rs',
  ruby: 'rb elixir crystal',
  bash: 'sh shell zsh console terminal shell-session fish nginx',
  powershell: 'ps1 ps pwsh',
  sql: 'mysql postgresql postgres psql sqlite plsql tsql',
  html: 'htm xml svg xhtml vue svelte jinja jinja2 django handlebars mathml rss',
  css: 'scss sass less',
  json: 'json5 jsonc jsonl ndjson',
  yaml: 'yml',
  toml: 'ini cfg conf properties env dotenv editorconfig',
  diff: 'patch',
  dockerfile: 'docker containerfile',
  make: 'makefile mk cmake',
  markdown: 'md mdx',
};
