/** How far the arrow keys go, left and right: on a page that is read from right to left, left goes on. @param {HTMLElement} element @returns {[-1 | 1, -1 | 1]} */
export function sideways(element) {
  return getComputedStyle(element).direction === 'rtl' ? [1, -1] : [-1, 1];
}
