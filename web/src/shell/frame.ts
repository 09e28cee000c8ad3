/** The frame of the page: the side, the bar, what lies over the page, the language, the colours and the keys. */

import { effect } from "../signal.js";
import { language, preferred, say, TAGS } from "../words/index.js";
import { modelButton } from "./choose.js";
import type { Dialog } from "./dialog.js";
import { byId, make, worded } from "./dom.js";
import { around, leave, onShown } from "./embedded.js";
import { helpDialog } from "./help.js";
import { KeyForm } from "./key.js";
import { listen } from "./keys.js";
import { showNotices } from "./notices.js";
import type { Pane, Parts } from "./parts.js";
import { titled, titledHere } from "./row.js";
import { Settings } from "./settings.js";
import { Side } from "./side.js";

/** Open the frame around the pane. */
export function openFrame(parts: Parts, pane: Pane): void {
  dress(parts);
  const settings = once(() => new Settings(parts).dialog);
  const help = once(helpDialog);
  const key = new KeyForm(parts.data.keys, () => pane.focus());
  const side = new Side(parts, { settings, help, chosen: () => withKeyboard() && pane.focus() });
  const begin = () => {
    parts.place.go();
    pane.focus();
  };
  makeRoom();
  name();
  byId("skip", HTMLAnchorElement).addEventListener("click", (event) => {
    event.preventDefault(); // the address names a conversation
    pane.focus();
  });
  modelButton(parts, settings);
  showTitle(parts);
  showNotices(parts, () => key.show());
  onShown(() => comeBack(pane));
  byId("open-side", HTMLButtonElement).addEventListener("click", () => side.toggle());
  listen({
    search: () => side.search(),
    begin,
    side: () => side.toggle(),
    settings,
    help,
    write: () => pane.focus(),
    letters: () => parts.choices.get("letters") === "on",
    escapes: [() => pane.cancelEdit(), () => side.finder.end(), () => pane.stop(), leave],
  });
}

/** Say in `--kb` how much of the page a keyboard on the screen covers, where the browser makes no room for it by itself. */
function makeRoom(): void {
  const view = window.visualViewport;
  const root = document.documentElement;
  const fit = () => {
    if (!view || view.scale > 1.01) return; // who looks closer has not called the keyboard
    const covered = root.clientHeight - view.height - view.offsetTop;
    root.style.setProperty("--kb", `${Math.max(0, Math.round(covered))}px`);
  };
  for (const name of ["resize", "scroll"]) view?.addEventListener(name, fit);
}

/** Where nothing has the focus, it goes to what lies over the page, else to the box. */
function comeBack(pane: Pane): void {
  if (document.activeElement !== document.body || !withKeyboard()) return;
  const over = document.querySelector<HTMLElement>("dialog[open] :is(input, select, textarea, button)");
  if (over) over.focus();
  else pane.focus();
}

/** A keyboard on a screen covers what one wants to see. */
const withKeyboard = (): boolean => matchMedia("(pointer: fine)").matches;

/** Return what shows a dialog, which is made when that is called first. */
function once(create: () => Dialog): () => void {
  let dialog: Dialog | undefined;
  return () => (dialog ??= create()).show();
}

/** Let the page speak the language and have the colours that were chosen, or those of the page around, the browser and the system. */
function dress({ choices }: Parts): void {
  const root = document.documentElement;
  effect(() => {
    const chosen = choices.get("language") || around.language || preferred(navigator.languages);
    language.value = chosen;
    root.lang = TAGS[chosen];
  });
  effect(() => {
    const theme = choices.get("theme") || around.theme;
    if (theme) root.dataset["theme"] = theme;
    else delete root.dataset["theme"];
  });
  effect(() => void (root.dataset["html"] = choices.get("html")));
}

/** Give what is in the page from the beginning its words. */
function name(): void {
  worded(byId("skip", HTMLAnchorElement), "page.skip");
  for (const id of ["side", "drawer"]) worded(byId(id, HTMLElement), "page.conversations", "aria-label");
  worded(byId("open-side", HTMLButtonElement), "page.openSide", "aria-label");
}

/** The conversation's title is the page's heading and the tab's name; the tab says, too, when an answer is on its way. */
function showTitle(parts: Parts): void {
  const heading = byId("title", HTMLElement);
  let ready = false; // an answer ended while nobody looked
  let before: unknown;
  const show = () => {
    const { id, live, unkept } = parts.conversation.value;
    const view = parts.data.list.conversations.value.find((one) => one.id === id.value);
    const title = view ? titled(view) : unkept.value ? titledHere(parts.conversation.value) : say("page.untitled");
    if (before && !live.value && document.hidden) ready = true;
    before = live.value;
    heading.textContent = title;
    const tab = `${title} · stream-serve`;
    document.title = live.value ? say("page.answering", { title: tab }) : ready ? say("page.ready", { title: tab }) : tab;
  };
  effect(show);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !ready) return;
    ready = false;
    show();
  });
}

/** Say what is wrong with a page that could not be opened; nothing else of it works then. */
export function fail(error: unknown): void {
  byId("main", HTMLElement).replaceChildren(make("p", { class: "failure", role: "alert" }, `${String(error)}`));
}
