/**
 * One connection for all tabs of an origin: a browser has six to a server, and every stream takes one.
 *
 * How it works: the tabs talk over a BroadcastChannel. A tab with a run says hello; while nobody answers, its run
 * has a connection of its own. As soon as two runs are there, they ride: each tab says which runs it wants and from
 * which event on, one tab leads, reads all of them by `GET /ai/live`, and tells their events to everybody. The leader
 * beats; when it is silent, or hidden while another tab is seen, another one takes its place and asks who wants
 * what. Every run has its own cursor, and every event says behind which one it comes, so nothing is lost or doubled
 * by any of this; a run that nobody carries, or that the leader cannot read, goes back to a connection of its own.
 * What is said of runs is true of streams. Web Locks would elect a leader, too, but pages of plain http have none.
 */

import { RequestError } from "./errors.js";
import type { Http } from "./http.js";
import { parser } from "./sse.js";
import { backoff, hidden, onWake, pause } from "./wake.js";

/** A run or a stream, as the line sees it. */
export interface Rider {
  /** The name of its events: a run's id, or `streams/` and the name of a stream. */
  readonly name: string;
  cursor(): number;
  /** There is company: ride. */
  board(): void;
  /** The line carries the run from its cursor on. */
  carried(): void;
  /** Take an event that comes behind another one. */
  take(behind: number, number: number, data: string): void;
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
  events?: [name: string, behind: number, number: number, data: string][];
};

const BEAT = 200; // milliseconds between two beats of the leader
const DEAD = 600; // of silence, after which it is replaced
const ASLEEP = 90_000; // the same where this tab is hidden: the clocks of hidden tabs go slowly
const SETTLE = 50; // for more wishes to come, before the connection is made anew
const MOST = 100; // runs that the service reads in one stream
const LONG = 4000; // characters of their names, after which no more are asked for: heads of requests have an end
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
  #wanted = new Map<string, { at: number; round: number }>(); // from which event on, and in which round last
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
    if (this.#riding.size) this.#tell({ want: [...this.#riding].map((rider) => [rider.name, rider.cursor()]) });
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
        for (const [name, { round }] of this.#wanted) if (round < this.#round - 1) this.#wanted.delete(name);
        if (!this.#wanted.size) return this.#resign(true);
      }
      this.#beat(call);
    } else if (!this.#riding.size) {
      this.#clock = void clearInterval(this.#clock);
    } else if (Math.abs(Date.now() - this.#heard) > (this.#shown === undefined ? BEAT * 2 : hidden() ? ASLEEP : this.#shown ? DEAD : 0)) {
      this.#leads = true;
      this.#beats = 0;
      this.#tick();
      void this.#lead();
    }
  }

  #resign(bye = false): void {
    if (!this.#leads) return;
    this.#leads = false;
    this.#wanted.clear();
    this.#open = [];
    this.#connection.abort();
    if (bye) this.#say({ bye: 1 });
  }

  #hear(word: Word): void {
    const { beat, want, open, events = [] } = word;
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
    if (want && this.#leads) for (const [name, after] of want) this.#carry(name, after);
    for (const rider of this.#riding) {
      if (open?.includes(rider.name)) rider.carried();
      for (const [name, ...event] of events) if (name === rider.name) rider.take(...event);
    }
  }

  /** Read a run for somebody who has its events up to a number. */
  #carry(name: string, after: number): void {
    const wanted = this.#wanted.get(name);
    if (wanted && wanted.at <= after) {
      wanted.round = this.#round;
      if (this.#open.includes(name)) this.#tell({ open: [name] });
      return;
    }
    this.#wanted.set(name, { at: after, round: this.#round });
    const connection = this.#connection;
    setTimeout(() => connection.abort(), SETTLE);
  }

  async #lead(): Promise<void> {
    let tries = 0;
    while (this.#leads) {
      const names: string[] = [];
      const cursors: number[] = [];
      let query = "";
      for (const [name, { at }] of this.#wanted) {
        if (names.length === MOST || query.length > LONG) break;
        query += `&${encodeURIComponent(name).replace(/^streams%2F|^/, (stream) => (stream ? "stream=" : "run="))}`;
        names.push(name);
        cursors.push(at);
      }
      const { signal } = (this.#connection = new AbortController());
      this.#open = [];
      if (!query) {
        await pause(10_000, signal);
        continue;
      }
      const take = parser();
      const lose = () => this.#tell({ events: names.map((name) => [name, 0, 0, ""]) });
      try {
        const headers = { "Last-Event-ID": cursors.join(".") };
        const read = await this.#http.stream(`/ai/live?${query}`, { headers }, signal, {
          open: () => this.#tell({ open: (this.#open = names) }),
          text: (text) => {
            const events: Word["events"] = [];
            for (const { id, event: name, data } of take(text)) {
              tries = 0;
              const place = names.indexOf(name);
              const behind = cursors[place]!;
              const number = Number(id.split(".")[place]);
              const wanted = this.#wanted.get(name);
              if (number) cursors[place] = number;
              else this.#wanted.delete(name);
              // Where somebody wants earlier ones, they are read anew.
              if (wanted && wanted.at >= behind) wanted.at = number;
              events.push([name, behind, number, data]);
            }
            this.#tell({ events });
          },
        });
        if (read) {
          for (const name of names) this.#wanted.delete(name);
          lose();
        }
      } catch (error) {
        if (!signal.aborted && (tries || error instanceof RequestError)) lose();
      }
      if (!signal.aborted) await pause(backoff(tries++), signal);
    }
  }
}
