/**
 * Keep a scroller at its end while text is added, until the user scrolls up.
 *
 * Whether it sticks is stored and not derived from the layout: in a smaller window the end is out of
 * sight although the user has not scrolled. Only the user changes it: scrolling up leaves the end,
 * scrolling near the end returns to it. A scroll event comes from the user if the position differs
 * from the last one and all sizes are the same; the browser's own corrections come with other sizes,
 * or when the scroller has been put back into the page. What the reader opens or folds stays in sight.
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

  /** Listen to scrolling and resizing until `signal` aborts. @param {AbortSignal} signal */
  connect(signal) {
    this.#isPlaced = false;
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { signal, passive: true });
    for (const type of ['fold', 'toggle']) this.#scroller.addEventListener(type, () => this.#stay(), { signal, capture: true });
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

  /** The reader has opened or folded something: what is in sight stays there. */
  #stay() {
    const { clientHeight, scrollHeight, scrollTop } = this.#scroller;
    if (!this.#isPlaced) return;
    this.#sticks = scrollHeight - scrollTop - clientHeight <= NEAR_END_PX;
    this.#top = scrollTop;
    this.#sizes = this.#measure();
  }

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
