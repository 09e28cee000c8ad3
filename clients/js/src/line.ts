/**
 * One connection for all tabs of an origin: a browser has six to a server, and every stream takes one.
 *
 * How it works: the tabs talk over a BroadcastChannel. A tab with a run says hello; while nobody answers, its run
 * has a connection of its own. As soon as two runs are there, they ride: each tab says which runs it wants and from
 * which event on, one tab leads, reads all of them by `GET /ai/live`, and tells their events to everybody. The leader
 * beats; when it is silent, or hidden while another tab is seen, another one takes its place and asks who wants
 * what. Every run has its own cursor, so nothing is lost or doubled by any of this; a run that misses an event, or
 * that nobody carries, goes back to a connection of its own. Web Locks would elect a leader, too, but pages of plain
 * http have none.
 */

import { RequestError } from "./errors.js";
import type { Http } from "./http.js";
import { parser } from "./sse.js";
import { backoff, hidden, onWake, pause } from "./wake.js";

/** A run, as the line sees it. */
export interface Rider {
  readonly id: string;
  cursor(): number;
  /** There is company: ride. */
  board(): void;
  /** The line carries the run from its cursor on. */
  carried(): void;
  take(number: number, data: string): void;
  /** The line cannot carry it. */
  fall(): void;
}

type Word = {
  hello?: 1;
  beat?: number;
  shown?: boolean;
  call?: boolean;
  bye?: 1;
  want?: [string, number][];
  open?: string[];
  run?: string;
  number?: number | undefined;
  data?: string;
  lost?: 1;
};

const BEAT = 200; // milliseconds between two beats of the leader
const DEAD = 600; // of silence, after which it is replaced
const ASLEEP = 90_000; // the same where this tab is hidden: the clocks of hidden tabs go slowly
const SETTLE = 50; // for more wishes to come, before the connection is made anew
const MOST = 100; // runs that the service reads in one stream
const ROUND = 15; // beats between two calls for what is wanted; what nobody wants twice is read no more

export class Line {
  #http: Http;
  #channel: BroadcastChannel;
  #me = Math.random(); // its name
  #waiting = new Set<Rider>(); // runs with a connection of their own
  #riding = new Set<Rider>();
  #clock: ReturnType<typeof setInterval> | undefined;
  #heard = 0; // when the leader beat
  #shown: boolean | undefined; // whether it is seen; undefined: there is none that is known
  // Of the leader:
  #leads = false;
  #cursors = new Map<string, number>();
  #wanted = new Map<string, number>(); // in which round a run was wanted last
  #open: string[] = [];
  #beats = 0;
  #round = 0;
  #connection = new AbortController();

  constructor(http: Http, name: string) {
    this.#http = http;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    addEventListener("pagehide", () => this.#resign(true));
    onWake(() => (hidden() ? this.#leads && this.#beat() : this.#tick()));
  }

  /** Hold a run with a connection of its own, which is to ride when there is company. */
  wait(rider: Rider): void {
    this.#waiting.add(rider);
    if (this.#waiting.size + this.#riding.size > 1) this.#board();
    else this.#say({ hello: 1 });
  }

  /** Let a run go. */
  leave(rider: Rider): void {
    this.#waiting.delete(rider);
    this.#riding.delete(rider);
  }

  #board(): void {
    const all = [...this.#waiting];
    this.#waiting.clear();
    for (const rider of all) {
      this.#riding.add(rider);
      rider.board();
    }
    if (!all.length) return;
    if (!this.#clock) {
      if (this.#shown === undefined) this.#heard = Date.now();
      this.#clock = setInterval(() => this.#tick(), BEAT);
    }
    this.#want();
  }

  #want(): void {
    if (this.#riding.size) this.#tell({ want: [...this.#riding].map((rider) => [rider.id, rider.cursor()]) });
  }

  /** Say it to the other tabs. */
  #say(word: Word): void {
    this.#channel.postMessage(word);
  }

  /** Say it to all tabs. */
  #tell(word: Word): void {
    this.#say(word);
    this.#hear(word);
  }

  #beat(call = false): void {
    this.#say({ beat: this.#me, shown: !hidden(), call });
  }

  #tick(): void {
    if (this.#leads) {
      const call = this.#beats++ % ROUND === 0;
      if (call) {
        this.#round++;
        this.#want();
        for (const [run, last] of this.#wanted) if (last < this.#round - 1) this.#drop(run);
        if (!this.#wanted.size) return this.#resign(true);
      }
      this.#beat(call);
    } else if (!this.#riding.size) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    } else if (Date.now() - this.#heard > (this.#shown === undefined ? BEAT * 2 : hidden() ? ASLEEP : this.#shown ? DEAD : 0)) {
      this.#leads = true;
      this.#beats = 0;
      this.#tick();
      void this.#lead();
    }
  }

  #resign(bye = false): void {
    if (!this.#leads) return;
    this.#leads = false;
    this.#cursors.clear();
    this.#wanted.clear();
    this.#open = [];
    this.#connection.abort();
    if (bye) this.#say({ bye: 1 });
  }

  #drop(run: string): void {
    this.#cursors.delete(run);
    this.#wanted.delete(run);
  }

  #hear(word: Word): void {
    const { beat, want, open, run } = word;
    if (word.hello && this.#waiting.size + this.#riding.size) {
      this.#board();
      this.#want();
    }
    if (want && this.#waiting.size) this.#board();
    if (beat) {
      const shown = !hidden();
      // Two lead: the one that is seen stays, else the one whose name comes first.
      if (this.#leads && (shown === word.shown ? this.#me < beat : shown)) return this.#beat();
      this.#resign();
      this.#heard = Date.now();
      this.#shown = word.shown;
      if (word.call) this.#want();
    }
    if (word.bye) {
      this.#heard = 0;
      this.#shown = undefined;
    }
    if (want && this.#leads) for (const [id, after] of want) this.#carry(id, after);
    for (const rider of this.#riding) {
      if (open?.includes(rider.id)) rider.carried();
      if (run === rider.id) word.number === undefined ? rider.fall() : rider.take(word.number, word.data ?? "");
      if (word.lost) rider.fall();
    }
  }

  /** Read a run for somebody who has its events up to a number. */
  #carry(run: string, after: number): void {
    const at = this.#cursors.get(run);
    this.#wanted.set(run, this.#round);
    if (at !== undefined && at <= after) {
      if (this.#open.includes(run)) this.#tell({ open: [run] });
      return;
    }
    this.#cursors.set(run, after);
    const connection = this.#connection;
    setTimeout(() => connection.abort(), SETTLE);
  }

  async #lead(): Promise<void> {
    let tries = 0;
    while (this.#leads) {
      const runs = [...this.#cursors.keys()].slice(0, MOST);
      const { signal } = (this.#connection = new AbortController());
      this.#open = [];
      if (!runs.length) {
        await pause(10_000, signal);
        continue;
      }
      const take = parser();
      try {
        const query = runs.map((run) => `run=${encodeURIComponent(run)}`).join("&");
        const headers = { "Last-Event-ID": runs.map((run) => this.#cursors.get(run)).join(".") };
        const read = await this.#http.stream(`/ai/live?${query}`, { headers }, signal, {
          open: () => this.#tell({ open: (this.#open = runs) }),
          text: (text) => {
            for (const { id, event: run, data } of take(text)) {
              tries = 0;
              const number = id ? Number(id.split(".")[runs.indexOf(run)]) : undefined;
              if (number !== undefined && !/^{"type":"(end|error)"/.test(data)) this.#cursors.set(run, number);
              else this.#drop(run);
              this.#tell({ run, number, data });
            }
          },
        });
        if (read) {
          for (const run of runs) this.#drop(run);
          this.#tell({ lost: 1 });
        }
      } catch (error) {
        if (!signal.aborted && (tries || error instanceof RequestError)) this.#tell({ lost: 1 });
      }
      if (!signal.aborted) await pause(backoff(tries++), signal);
    }
  }
}
