/** What a reader should know of the page as a whole, in a line above the conversation. */

import { effect } from "../signal.js";
import { say, type Key } from "../words/index.js";
import { arrange, byId, icon, make, plainButton, round, tell, worded } from "./dom.js";
import type { Parts } from "./parts.js";
import { titled } from "./row.js";

interface Notice {
  key: Key;
  warns: boolean;
  /** What can be done. */
  act?: { key: Key; act: () => void };
  /** Whether it goes away when the reader has read it. */
  closes?: boolean;
}

/** Show what there is to know, and nothing else. */
export function showNotices({ data }: Parts, wantKey: () => void): void {
  const place = byId("notices", HTMLElement);
  const closed = new Set<Key>();
  const made = new Map<Key, HTMLElement>();
  const draw = () => {
    const notices = present(data, wantKey).filter(({ key }) => !closed.has(key));
    const elements = notices.map((notice) => {
      const element = made.get(notice.key) ?? notify(notice, () => (closed.add(notice.key), draw()));
      made.set(notice.key, element);
      return element;
    });
    for (const key of made.keys()) if (!notices.some((one) => one.key === key)) made.delete(key);
    arrange(place, elements);
  };
  effect(draw);
}

function present(data: Parts["data"], wantKey: () => void): Notice[] {
  const notices: Notice[] = [];
  const away = data.storage.value === "away";
  const kind = data.problem.value?.kind;
  const listed = data.list.problem.value?.kind;
  const again = { key: "page.tryAgain", act: () => void data.start() } as const;
  const { keys } = data;
  if (keys.wanted.value === "host") notices.push({ key: "key.ofHost", warns: true, act: { key: "page.tryAgain", act: () => keys.again() } });
  else if (keys.wanted.value) notices.push({ key: "key.title", warns: true, act: { key: "key.give", act: wantKey } });
  if (kind === "offline") notices.push({ key: "notice.offline", warns: true, act: again });
  else if (kind) notices.push({ key: `problem.${kind}`, warns: true, act: again });
  // Such as a title that was not stored; what keeps the whole list away is said once.
  if (listed && listed !== kind && listed !== "key" && !away) notices.push({ key: `problem.${listed}`, warns: true, act: { key: "page.tryAgain", act: () => void data.reload() } });
  if (away) notices.push({ key: "notice.storageAway", warns: true, act: again });
  if (data.unkept.value) notices.push({ key: "notice.unkept", warns: true, closes: true });
  if (data.info.value?.demo) notices.push({ key: "notice.demo", warns: false, closes: true });
  return notices;
}

function notify({ key, warns, act, closes }: Notice, close: () => void): HTMLElement {
  const words = worded(make("span"), key);
  const more = [...(act ? [plainButton(act.key, act.act)] : []), ...(closes ? [round("close", "notice.close", close)] : [])];
  return make("p", { class: warns ? "notice warns" : "notice", role: warns ? "alert" : "note" }, ...(warns ? [icon("warn")] : []), words, ...more);
}

/** Show which conversations were deleted, each with the way back; `leave` takes the focus from one that goes. */
export function showDeleted({ data }: Parts, place: HTMLElement, leave: (id: string) => void): void {
  const made = new Map<string, HTMLElement>();
  effect(() => {
    const elements = data.list.deleted.value.map(({ conversation }) => {
      const { id } = conversation;
      const named = { title: titled(conversation) };
      const undo = () => {
        data.list.undo(id);
        tell(say("side.restored", named));
      };
      const element = made.get(id) ?? toast(undo);
      element.firstElementChild!.textContent = say("side.deleted", named);
      made.set(id, element);
      return element;
    });
    for (const [id, element] of made) {
      if (elements.includes(element)) continue;
      made.delete(id);
      // The list has to have it again.
      if (element.contains(document.activeElement)) queueMicrotask(() => leave(id));
    }
    arrange(place, elements);
  });
}

const toast = (undo: () => void): HTMLElement =>
  make("p", { class: "toast", role: "status" }, make("span", { dir: "auto" }), plainButton("page.undo", undo));
