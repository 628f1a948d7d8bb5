/** The styles of what is loaded on demand. */

import { h } from './element.js';

/** By the sheet. @type {Record<string, Promise<unknown> | null>} */
const styles = {};

/** Load a sheet, once; rejects if it cannot be loaded, and tries again at the next call. */
export function laterStyles(sheet = 'later.css') {
  styles[sheet] ??= new Promise((resolve, reject) => {
    const page = document.querySelector('link[rel="stylesheet"]');
    const href = page?.getAttribute('href')?.replace('page.css', sheet) ?? '';
    const link = h('link', { rel: 'stylesheet', href });
    link.addEventListener('load', resolve);
    link.addEventListener('error', () => { link.remove(); styles[sheet] = null; reject(); });
    page?.after(link);
  });
  return styles[sheet];
}
