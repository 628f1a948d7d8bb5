/**
 * Check the targets of links. No DOM.
 *
 * An address is parsed as the browser will parse it (`URL`), so that no hidden tab or entity makes it
 * differ from the checked one. Only listed schemes become links; a relative address has no meaning in
 * an answer.
 */

const SAFE = new Set(['http:', 'https:', 'mailto:']);
const MAX_NESTED = 32; // the specification asks for at least three
const MAX_LENGTH = 2000; // browsers and servers agree on about that much

/** What an address between angle brackets begins with to be a link. */
export const LEADS_OUT = /^(?:https?:\/{2}|mailto:)/i;

/** Return an address in its normal form, or '' if it is not one to offer. @param {string} address */
export function safeAddress(address) {
  try {
    const url = new URL(address);
    return SAFE.has(url.protocol) ? url.href : '';
  } catch {
    return ''; // what is no address is shown as text
  }
}

/** The named references people write; a table of all 2,000 would outweigh everything else. */
const NAMES = new Map(Object.entries({
  amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '©', reg: '®', trade: '™',
  hellip: '…', mdash: '—', ndash: '–', lsquo: '‘', rsquo: '’', ldquo: '“', rdquo: '”', laquo: '«',
  raquo: '»', bull: '•', middot: '·', times: '×', divide: '÷', deg: '°', plusmn: '±', le: '≤', ge: '≥',
  ne: '≠', rarr: '→', larr: '←', euro: '€', pound: '£', sect: '§', para: '¶', frac12: '½', auml: 'ä',
  ouml: 'ö', uuml: 'ü', szlig: 'ß', eacute: 'é', infin: '∞', asymp: '≈', check: '✓', uarr: '↑', darr: '↓',
  harr: '↔', rArr: '⇒', lArr: '⇐', hArr: '⇔', forall: '∀', exist: '∃', isin: '∈', sum: '∑', prod: '∏', radic: '√',
  part: '∂', nabla: '∇', int: '∫', minus: '−', sdot: '⋅', cap: '∩', cup: '∪', sub: '⊂', and: '∧', or: '∨', ensp: '\u2002',
  emsp: '\u2003', shy: '\u00ad', permil: '‰', prime: '′', dagger: '†', frac14: '¼', frac34: '¾', sup2: '²', sup3: '³', micro: 'µ',
  ...Object.fromEntries('alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigmaf sigma tau upsilon phi chi psi omega'
    .split(' ').flatMap((name, index) => [[name, String.fromCharCode(0x3b1 + index)],
      [name[0].toUpperCase() + name.slice(1), String.fromCharCode(0x391 + index)]])),
}));
export const REFERENCE = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z][a-zA-Z\d]{1,31}));/y;

/** Return what a reference stands for, or itself. @param {string} whole @param {string} [decimal] @param {string} [hex] @param {string} [name] */
export function character(whole, decimal, hex, name) {
  if (name) return NAMES.get(name) ?? whole;
  const code = hex ? parseInt(hex, 16) : Number(decimal);
  const isCharacter = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return isCharacter ? String.fromCodePoint(code) : '\ufffd';
}

const ESCAPE_OR_REFERENCE = new RegExp(`\\\\([!-/:-@[-\`{-~])|${REFERENCE.source}`, 'g');

/** Resolve escapes and references. @param {string} text */
export function plain(text) {
  return text.replace(ESCAPE_OR_REFERENCE, (whole, escaped, decimal, hex, name) =>
    escaped ?? character(whole, decimal, hex, name));
}

/**
 * Read `(address "title")`.
 *
 * @param {string} source @param {number} at The parenthesis.
 * @returns {{to: string, title?: string, end: number} | 'no' | 'more'} 'more' if it is not all there.
 */
export function destination(source, at) {
  const limit = Math.min(source.length, at + MAX_LENGTH);
  const missing = source.length > at + MAX_LENGTH ? 'no' : 'more';
  let end = space(source, at + 1, limit);
  let to = '';
  if (source[end] === '<') {
    const from = end + 1;
    for (end = from; end < limit && source[end] !== '>'; end += source[end] === '\\' ? 2 : 1) {
      if (source[end] === '<' || source[end] === '\n') return 'no';
    }
    if (end >= limit) return missing;
    to = source.slice(from, end);
    end += 1;
  } else {
    const from = end;
    end = word(source, from, limit);
    if (end < 0) return 'no';
    to = source.slice(from, end);
  }
  const afterAddress = end;
  end = space(source, end, limit);
  let title;
  const closer = { '"': '"', "'": "'", '(': ')' }[source[end] ?? ''];
  if (closer && end > afterAddress && end < limit) {
    const from = end + 1;
    for (end = from; end < limit && source[end] !== closer; end += source[end] === '\\' ? 2 : 1) {
      if (closer === ')' && source[end] === '(') return 'no';
    }
    title = source.slice(from, end);
    end = space(source, end + 1, limit);
  }
  if (end >= limit) return missing;
  if (source[end] !== ')') return 'no';
  return { to: plain(to), ...(title === undefined ? {} : { title: plain(title) }), end: end + 1 };
}

/** @param {string} source @param {number} at @param {number} limit */
function space(source, at, limit) {
  while (at < limit && /[ \t\n]/.test(source[at])) at += 1;
  return at;
}

/** Return where an address without angle brackets ends, -1 if it is none. @param {string} source @param {number} at @param {number} limit */
function word(source, at, limit) {
  let nested = 0;
  for (; at < limit && source[at] > ' ' && source[at] !== '\x7f'; at += 1) {
    if (source[at] === '\\' && /[!-/:-@[-`{-~]/.test(source[at + 1] ?? '')) at += 1;
    else if (source[at] === '(' && (nested += 1) > MAX_NESTED) return -1;
    else if (source[at] === ')' && (nested -= 1) < 0) break;
  }
  return nested > 0 && at < limit ? -1 : Math.min(at, limit);
}

/** Cut from an address in running text what belongs to the sentence. @param {string} address */
export function trimmedAddress(address) {
  let unopened = address.split(')').length - address.split('(').length;
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    if (last === ')' && unopened > 0) unopened -= 1;
    else if (last === ';') end = address.slice(0, end).search(/&[a-zA-Z\d]{1,31};$/) + 1 || end;
    else if (!'?!.,:*_~\'"'.includes(last)) break;
  }
  return address.slice(0, end);
}
