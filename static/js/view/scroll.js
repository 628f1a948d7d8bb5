/**
 * Keep a scroller at its end while text is added there, for as long as the user leaves it there.
 *
 * Whether it sticks to the end is a fact that is kept, and not read off the layout: after a window
 * became lower or a column narrower, the end is out of sight although nobody left it. Only the
 * user changes the fact: any scrolling upwards leaves the end, scrolling into sight of it comes
 * back. A scroll event is the user's if the position is not the one last seen while all sizes are;
 * the browser's own corrections come with other sizes, or when the scroller came back to the page.
 */

const NEAR_END_PX = 48; // two lines: the end is in sight

export class StickyScroll {
  /** @type {HTMLElement} */
  #scroller;
  #sticks = true;
  #isPlaced = false;
  #top = 0;
  #sizes = '';

  /** @param {HTMLElement} scroller */
  constructor(scroller) {
    this.#scroller = scroller;
  }

  /** Heed the user and the layout until `signal` aborts. @param {AbortSignal} signal */
  connect(signal) {
    this.#isPlaced = false;
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { signal, passive: true });
    const observer = new ResizeObserver(() => this.settle());
    observer.observe(this.#scroller);
    signal.addEventListener('abort', () => observer.disconnect());
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#sticks = true;
    this.settle();
  }

  /** Be where it should be, after the text or the layout changed. */
  settle() {
    const { clientHeight, scrollHeight } = this.#scroller;
    if (clientHeight === 0) return; // not on the page now
    // With everything in sight there is nothing to scroll, and so no other way back to the end.
    if (scrollHeight <= clientHeight) this.#sticks = true;
    if (this.#sticks) this.#scroller.scrollTop = scrollHeight;
    else if (!this.#isPlaced) this.#scroller.scrollTop = this.#top; // it came back to the page
    this.#isPlaced = true;
    this.#top = this.#scroller.scrollTop;
    this.#sizes = this.#measure();
  }

  // Internal

  #measure() {
    const { clientWidth, clientHeight, scrollHeight } = this.#scroller;
    return `${clientWidth} ${clientHeight} ${scrollHeight}`;
  }

  #scrolled() {
    if (!this.#isPlaced || this.#measure() !== this.#sizes) return this.settle();
    const { clientHeight, scrollHeight, scrollTop } = this.#scroller;
    if (scrollTop === this.#top) return;
    const isUpwards = scrollTop < this.#top;
    this.#sticks = scrollHeight - scrollTop - clientHeight <= (isUpwards ? 1 : NEAR_END_PX);
    this.#top = scrollTop;
  }
}
