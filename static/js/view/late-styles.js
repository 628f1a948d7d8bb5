/** The styles of what is loaded on demand. */

import { h } from './element.js';

/** @type {Promise<unknown> | null} */
let styles = null;

/** Load them, once; rejects if they cannot be loaded, and tries again at the next call. */
export function laterStyles() {
  styles ??= new Promise((resolve, reject) => {
    const page = document.querySelector('link[rel="stylesheet"]');
    const href = page?.getAttribute('href')?.replace('page.css', 'later.css') ?? '';
    const link = h('link', { rel: 'stylesheet', href });
    link.addEventListener('load', resolve);
    link.addEventListener('error', () => { link.remove(); styles = null; reject(); });
    page?.after(link);
  });
  return styles;
}
