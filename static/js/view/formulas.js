/**
 * Typeset the formulas of answers: the server turns their TeX into MathML, many at a time.
 *
 * Of the MathML only known elements and attributes come into the page. A formula that cannot be typeset
 * stays as its source, with the reason as its tooltip. The page loads this module with the first formula.
 */

import { SidestreamError } from '../client/protocol.js';
import { ask } from '../client/conversations.js';

/** @typedef {{mathml: string | null, error: string | null}} Typeset */

/** How many one request may have; `MAX_FORMULAS` in server/web/http/formulas.py. */
const MAX_AT_ONCE = 100;
/** Formulas that come together, as those of a stored chat, are asked for together. */
const WAIT_MS = 30;
/** After a failure all wait so many times longer, in case there were too many requests. */
const LONGER = 20;
const MAX_KNOWN = 500;
const MAX_ATTEMPTS = 3;

const ELEMENTS = new Set(('math maction menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace '
  + 'msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover').split(' '));
const ATTRIBUTES = new Set(('accent accentunder columnspan depth dir display displaystyle fence form height largeop linethickness lspace '
  + 'mathvariant maxsize minsize movablelimits notation rowspan rspace scriptlevel separator stretchy symmetric voffset width').split(' '));
const STYLES = new Set(['background-color', 'border', 'border-bottom', 'border-left', 'border-right', 'border-top', 'color', 'justify-items',
  'math-style', 'padding-left', 'padding-right', 'text-align', 'vertical-align', 'width']);

const SIGNS = /^(?:\$\$?|\\[[(])([\s\S]*?)(?:\$\$?|\\[\])])$/;

export class Formulas {
  /** By their source. @type {Map<string, Typeset>} */
  #known = new Map();
  /** @type {Set<HTMLElement>} */
  #waiting = new Set();
  #isDue = false;
  #failures = 0;

  /** Typeset the formula that is this element's text. @param {HTMLElement} element */
  add(element) {
    const source = element.textContent ?? '';
    element.classList.toggle('is-block', isBlock(source));
    const known = this.#known.get(source);
    if (known) return show(element, known);
    this.#waiting.add(element);
    if (this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => this.#typeset(), WAIT_MS * LONGER ** Math.min(this.#failures, MAX_ATTEMPTS - 1));
  }

  // Internal

  async #typeset() {
    const elements = new Map([...this.#waiting].map((element) => [element, element.textContent ?? '']));
    this.#waiting.clear();
    this.#isDue = false;
    const sources = [...new Set(elements.values())];
    try {
      for (let at = 0; at < sources.length; at += MAX_AT_ONCE) {
        const some = sources.slice(at, at + MAX_AT_ONCE);
        const formulas = some.map((source) => ({ tex: SIGNS.exec(source)?.[1] ?? source, block: isBlock(source) }));
        const found = /** @type {{formulas: Typeset[]}} */ (await ask('POST', new URL('formulas', document.baseURI).href, { formulas })).formulas;
        for (const [n, source] of some.entries()) this.#known.set(source, found[n]);
      }
      this.#failures = 0;
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.#failures += 1;
    }
    for (const [element, source] of elements) {
      const known = this.#known.get(source);
      if (known) show(element, known);
      else if (this.#failures < MAX_ATTEMPTS) this.add(element);
    }
    for (const source of this.#known.keys()) if (this.#known.size > MAX_KNOWN) this.#known.delete(source);
  }
}

/** Whether a formula has lines of its own. @param {string} source */
function isBlock(source) {
  return source.startsWith('$$') || source.startsWith('\\[');
}

/** @param {HTMLElement} element @param {Typeset} typeset */
function show(element, { mathml, error }) {
  // As XML: elements of HTML would have their styles refused, aloud.
  const math = mathml && new DOMParser().parseFromString(mathml, 'text/xml').querySelector('math');
  if (math) element.replaceChildren(cleaned(math));
  else element.title = `This formula cannot be typeset: ${error}`;
  element.classList.toggle('is-typeset', !!math);
}

/** Copy what is known of MathML. @param {Element} from @returns {Element} */
function cleaned(from) {
  const isKnown = ELEMENTS.has(from.localName);
  const element = document.createElementNS('http://www.w3.org/1998/Math/MathML', isKnown ? from.localName : 'mrow');
  for (const { name, value } of from.attributes) if (ATTRIBUTES.has(name)) element.setAttribute(name, value);
  // The content security policy takes styles from scripts, and not from attributes.
  for (const declaration of from.getAttribute('style')?.split(';') ?? []) {
    const [name, value = ''] = declaration.split(':').map((word) => word.trim());
    if (STYLES.has(name)) /** @type {MathMLElement} */ (element).style.setProperty(name, value);
  }
  for (const child of from.childNodes) {
    if (child instanceof Element) element.append(cleaned(child));
    else element.append(child.textContent ?? '');
  }
  return element;
}
