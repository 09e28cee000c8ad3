/**
 * What was typed and not sent: for each conversation, also the new ones, and for each question that is edited.
 *
 * How it works: a draft is kept 300 ms after the last key, and when the page may be gone. What was sent is kept beside it until
 * the service has it: a reload in between gives it back to the box, and no question is lost. The
 * tab that sent it gets it back at once; another tab only after a minute, since the first one may be at it still.
 * Pictures are too large for what a browser keeps: they are there until the page is left.
 */

import { debounced, onHide } from "./page.js";
import type { Store } from "./store.js";
import type { Picture } from "./types.js";

const PAUSE = 300;
const LOST = 60_000;

/** A question on its way, with the run that it started. */
export interface Sent {
  text: string;
  runId: string;
  /** When, as epoch milliseconds. */
  at: number;
}

/** The place of a draft: a conversation's id, the home of one without, or this for a question that is edited. */
export const editOf = (messageId: string): string => `edit.${messageId}`;

/** What the names of homes begin with. */
export const NEW = "new";

export class Drafts {
  #store: Store;
  #session: Store;
  #changed = new Map<string, string>();
  #pictures = new Map<string, readonly Picture[]>();
  #keep = debounced(PAUSE, () => this.#flush());
  #unhide = onHide(() => this.#flush());

  /** With the store of the device, and that of the tab. */
  constructor(store: Store, session: Store) {
    this.#store = store;
    this.#session = session;
  }

  get(place: string): string {
    return this.#changed.get(place) ?? this.#store.get<string>(`draft.${place}`) ?? "";
  }

  pictures(place: string): readonly Picture[] {
    return this.#pictures.get(place) ?? [];
  }

  /** The box's text, at each key, and its pictures. */
  set(place: string, text: string, pictures: readonly Picture[] = []): void {
    this.#changed.set(place, text);
    this.#pictures.set(place, pictures);
    this.#keep.later();
  }

  /** A question is on its way, from the box or from elsewhere. It is kept until it has `arrived`. */
  sent(place: string, text: string, runId: string): void {
    this.#set(place, [...this.#others(place, runId), { text, runId, at: Date.now() }]);
    this.#session.set(`sent.${runId}`, true);
  }

  /** The service has the question, or nobody wants to send it any more. */
  arrived(place: string, runId: string): void {
    this.#set(place, this.#others(place, runId));
    this.#session.set(`sent.${runId}`, undefined);
  }

  /** A text is back, with its pictures: before whatever was typed since. Return what is to be in the box. */
  returned(place: string, text: string, pictures: readonly Picture[] = []): string {
    const whole = joined([text, this.get(place)]);
    this.#pictures.set(place, [...pictures, ...this.pictures(place)]);
    this.#changed.set(place, whole);
    this.#flush();
    return whole;
  }

  /** Return the questions that were on their way when the page was left. */
  pending(place: string): Sent[] {
    const lost = ({ runId, at }: Sent) => this.#session.get(`sent.${runId}`) || Math.abs(Date.now() - at) > LOST; // a clock may be set back
    return this.#all(place).filter(lost);
  }

  /** The box is empty: its text is on its way, or waits. */
  taken(place: string): void {
    this.#pictures.delete(place);
    this.#changed.set(place, "");
    this.#flush();
  }

  /** The conversation has got its id. */
  move(from: string, to: string): void {
    this.#flush();
    this.#pictures.set(to, this.pictures(from));
    this.#store.move(`draft.${from}`, `draft.${to}`);
    this.#store.move(`sent.${from}`, `sent.${to}`);
  }

  /** Give what one place has to another, before what is there; return whether a text was typed there. */
  join(from: string, to: string): boolean {
    const text = this.get(from);
    this.forget(from);
    if (text) this.returned(to, text);
    this.#set(to, [...this.#all(from), ...this.#all(to)]);
    this.#set(from, []);
    return text !== "";
  }

  /** Return the ids of the runs that this tab started, or the one that it was made of. */
  mine(): string[] {
    return this.#session.names("sent.");
  }

  /** It was another tab that started them. */
  disown(runIds: readonly string[]): void {
    for (const runId of runIds) this.#session.set(`sent.${runId}`, undefined);
  }

  forget(place: string): void {
    this.#pictures.delete(place);
    this.#changed.delete(place);
    this.#store.set(`draft.${place}`, undefined);
  }

  close(): void {
    this.#flush();
    this.#unhide();
  }

  #all = (place: string): Sent[] => this.#store.get<Sent[]>(`sent.${place}`) ?? [];

  #others = (place: string, runId: string): Sent[] => this.#all(place).filter((one) => one.runId !== runId);

  #set(place: string, sent: Sent[]): void {
    this.#store.set(`sent.${place}`, sent.length ? sent : undefined);
  }

  #flush(): void {
    this.#keep.drop();
    for (const [place, text] of this.#changed) this.#store.set(`draft.${place}`, text || undefined);
    this.#changed.clear();
  }
}

/** Join texts of which some may be empty. */
export const joined = (texts: readonly string[]): string => texts.filter((text) => text.trim()).join("\n\n");
