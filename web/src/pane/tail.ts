/**
 * What is new of a text that grows. Pure.
 *
 * How it works: a text that grew by pieces is a chain of them to the browser. Reading any part of it makes it whole first, so
 * who reads the end at each piece copies all of it each time. The piece that came last is known by itself.
 */

export class Tail {
  #taken = 0;
  #fresh = "";

  /** Take what a text has grown by, most often by its newest piece. */
  take(whole: string, newest: string): void {
    const more = whole.length - this.#taken;
    if (more <= 0) return;
    this.#fresh += more === newest.length ? newest : whole.slice(this.#taken);
    this.#taken = whole.length;
  }

  /** How much was taken in all. */
  get taken(): number {
    return this.#taken;
  }

  /** How much of it waits to be read. */
  get waiting(): number {
    return this.#fresh.length;
  }

  read(count = this.#fresh.length): string {
    const piece = this.#fresh.slice(0, count);
    this.#fresh = this.#fresh.slice(count);
    return piece;
  }
}
