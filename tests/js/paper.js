/**
 * A target for the Markdown parser without a page: a tree, and the operations on it.
 *
 * `html` formats it like CommonMark's examples, for comparison.
 */

import { Markdown } from '../../static/js/markdown/blocks.js';

export class Paper {
  root = { tag: '', attributes: {}, children: [] };
  open_ = [this.root];
  operations = 0;
  written = 0;
  takenBack = 0;

  get last() {
    return this.open_.at(-1);
  }

  open(tag, attributes = {}) {
    this.operations += 1;
    const node = { tag, attributes, children: [] };
    this.last.children.push(node);
    this.open_.push(node);
    return node;
  }

  close() {
    this.operations += 1;
    if (this.open_.length === 1) throw new Error('closed more than was open');
    this.open_.pop();
  }

  text(text) {
    this.operations += 1;
    this.written += text.length;
    const { children } = this.last;
    if (typeof children.at(-1) === 'string') children.push(children.pop() + text);
    else children.push(text);
  }

  mark() {
    const { children } = this.last;
    const last = children.at(-1);
    return { open: [...this.open_], count: children.length, length: typeof last === 'string' ? last.length : 0 };
  }

  rewind({ open, count, length }) {
    this.open_ = [...open];
    for (let n = 1; n < open.length; n += 1) open[n - 1].children.length = open[n - 1].children.indexOf(open[n]) + 1;
    const { children } = this.last;
    this.takenBack += children.length - count + 1;
    children.length = count;
    const last = children.at(-1);
    if (typeof last === 'string') children[count - 1] = last.slice(0, length);
  }

  loosen(list) {
    this.operations += 1;
    list.isLoose = true;
  }

  get html() {
    return this.root.children.map((child) => html(child, false)).join('');
  }

  /** The visible text. */
  get words() {
    const words = (node) => (typeof node === 'string' ? node : node.children.map(words).join(''));
    return words(this.root);
  }
}

/** Write these pieces. */
export function paper(pieces) {
  const sheet = new Paper();
  const markdown = new Markdown(sheet);
  for (const piece of pieces) markdown.append(piece);
  markdown.end();
  if (sheet.open_.length !== 1) throw new Error('something was left open');
  return sheet;
}

const BLOCKS = /^(?:p|h\d|pre|ul|ol|li|blockquote|table|thead|tbody|tr)$/;

function html(node, isTight) {
  if (typeof node === 'string') return escaped(node);
  const { tag, attributes, children } = node;
  const isListTight = tag === 'ul' || tag === 'ol' ? !node.isLoose : isTight && tag === 'li';
  const inner = children.map((child) => html(child, isListTight)).join('');
  if (tag === 'line' || tag === 'task') return inner;
  if (tag === 'hr') return '<hr />\n';
  if (tag === 'br') return '<br />\n';
  if (tag === 'pre') {
    const language = attributes.language ? ` class="language-${escaped(attributes.language)}"` : '';
    return `<pre><code${language}>${inner}</code></pre>\n`;
  }
  if (tag === 'p' && isTight) return `${inner}\n`;
  if (tag === 'a' || tag === 'span') {
    const title = attributes.title === undefined ? '' : ` title="${escaped(attributes.title)}"`;
    return `<a href="${escaped(attributes.to)}"${title}>${inner}</a>`;
  }
  const named = Object.entries(attributes).map(([name, value]) => ` ${name}="${value}"`).join('');
  return `<${tag}${named}>${inner}</${tag}>${BLOCKS.test(tag) ? '\n' : ''}`;
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Normalise insignificant white space, and decode addresses. */
export function normal(text) {
  return text.replace(/href="([^"]*)"/g, (_, to) => `href="${decoded(to)}"`)
    .replace(/\s*(<\/?(?:p|h\d|pre|ul|ol|li|blockquote|table|thead|tbody|tr|th|td|hr)\b[^>]*>)\s*/g, '$1')
    .replace(/<img src="([^"]*)" alt="([^"]*)"( title="[^"]*")? \/>/g, '<a href="$1"$3>$2</a>')
    .trim();
}

function decoded(address) {
  try {
    return escaped(decodeURIComponent(address).replaceAll('&quot;', '"').replaceAll('&amp;', '&'));
  } catch {
    return address;
  }
}
