// The pauses between one attempt to connect and the next: they grow, and no two pages keep the same time.

const FIRST = 500; // milliseconds
const LONGEST = 10_000;
const JITTER = 0.2; // share of a pause that chance adds or takes

export class Pauses {
  #next = FIRST;
  /** @type {(() => void) | null} */
  #wake = null;

  /** It went well: begin again with the shortest. */
  reset() {
    this.#next = FIRST;
  }

  /** End the pause that is on, if there is one. */
  wake() {
    this.#wake?.();
  }

  /**
   * Wait for a while; no longer when the browser comes back online, at `wake`, and when the signal aborts.
   * @param {AbortSignal} [signal]
   */
  async wait(signal) {
    if (signal?.aborted) return;
    const pause = this.#next * (1 - JITTER + 2 * JITTER * Math.random());
    this.#next = Math.min(this.#next * 2, LONGEST);
    const { promise, done } = later();
    const timer = setTimeout(done, pause);
    this.#wake = done;
    window.addEventListener("online", done);
    signal?.addEventListener("abort", done);
    await promise;
    clearTimeout(timer);
    this.#wake = null;
    window.removeEventListener("online", done);
    signal?.removeEventListener("abort", done);
  }
}

function later() {
  let done = () => {};
  /** @type {Promise<void>} */
  const promise = new Promise((resolve) => (done = resolve));
  return { promise, done: () => done() };
}
