/**
 * The box for the next question.
 *
 * How it works: it is a real text box, and the page does not write into it while a person types: only where a
 * conversation is opened, a question comes back, or something was sent. Input methods own their keys.
 */

import type { Conversation } from "../data/index.js";
import { picturesOf, plain, type Content, type Picture } from "../data/types.js";
import { arrange, composing, icon, make, round, worded } from "../shell/dom.js";
import type { Parts } from "../shell/parts.js";
import { effect, signal, untracked, type Signal } from "../signal.js";
import { language, say, type Key, type Values } from "../words/index.js";
import { contentOf, left, LONG, MOST_MEGAPIXELS, MOST_TEXT, read, type Attachment, type Refusal } from "./attachments.js";
import { Chips } from "./chips.js";
import { split } from "./quote.js";
import { blind, blindBefore, pictured } from "./sight.js";
import { Waiting } from "./waiting.js";
import { breaks, Buttons, text } from "./view.js";

/** A longer text is not measured for the height of the box. */
const MEASURED = 20_000;

export interface ComposerParts {
  /** Where it is seen that files can be dropped. */
  drop: HTMLElement;
}

export class Composer {
  readonly element: HTMLFormElement;
  #parts: Parts;
  #more: ComposerParts;
  #box = make("textarea", { id: "message", dir: "auto", autocomplete: "off", rows: "1" });
  #send = make("button", { type: "submit", class: "send", autocomplete: "off" });
  #buttons = new Buttons();
  #row = make("div", { class: "row-of" });
  #wrong = make("p", { class: "wrong", role: "alert" });
  #complaint: Signal<{ key: Key; values: Values | undefined } | undefined> = signal(undefined);
  #chips: Chips;
  #waiting: Waiting;
  #file = make("input", { type: "file", multiple: "", hidden: "" });
  #conversation: Conversation | undefined;
  #attachments: Signal<readonly Attachment[]> = signal([]);
  #reading: Promise<void> | undefined; // files that are to go along
  #waits = false; // for them, to be sent
  #composes = false;
  #back: string | undefined; // what comes back to the box when the input method is through

  constructor(parts: Parts, more: ComposerParts) {
    this.#parts = parts;
    this.#more = more;
    this.#chips = new Chips(this.#attachments, { insert: (words) => this.#insert(words), changed: () => this.#keep() });
    this.#waiting = new Waiting({ back: (content) => this.#takeBack(content) });
    worded(this.#box, "box.label", "aria-label");
    worded(this.#box, "box.hint", "placeholder");
    const attach = round("clip", "box.attach", () => this.#file.click());
    this.#row.append(attach, this.#wrong, this.#send);
    const frame = make("div", { class: "frame" }, this.#chips.element, this.#box, this.#row);
    const note = worded(make("p", { class: "note" }), "box.wrong");
    const unseen = make("p", { class: "note", role: "status" });
    this.element = make("form", { class: "composer" }, this.#waiting.element, unseen, frame, note, this.#file);
    this.#listen();
    effect(() => {
      this.#box.setAttribute("enterkeyhint", breaks(parts) ? "enter" : "send");
    });
    effect(() => {
      const model = blindBefore({ data: parts.data, conversation: parts.conversation.value });
      text(unseen, model ? say("box.blindBefore", { model: model.name }) : "");
    });
    effect(() => {
      const wrong = this.#complaint.value;
      text(this.#wrong, wrong ? say(wrong.key, wrong.values) : "");
    });
    effect(() => {
      void [language.value, parts.conversation.value.live.value, this.#attachments.value];
      untracked(() => this.#draw());
    });
  }

  /** Show the draft of a conversation, what waits in it, and what comes back; return what ends that. */
  open(conversation: Conversation): () => void {
    this.#conversation = conversation;
    this.#reading = undefined;
    this.#waits = false;
    this.#show(this.#parts.data.drafts.get(conversation.place));
    this.focusWithKeyboard();
    const leave = this.#waiting.open(conversation);
    const before = conversation.box.peek(); // came back while another one was open, and is in the draft
    const unwatch = effect(() => {
      const back = conversation.box.value;
      if (back && back !== before) untracked(() => this.#restore(back.text));
    });
    return () => {
      unwatch();
      leave();
    };
  }

  focus(): void {
    this.#box.focus({ preventScroll: true });
  }

  /** A keyboard on a screen covers what one wants to see. */
  focusWithKeyboard(): void {
    if (matchMedia("(pointer: fine)").matches) this.focus();
  }

  #listen(): void {
    const box = this.#box;
    this.element.addEventListener("submit", (event) => (event.preventDefault(), this.#press()));
    box.addEventListener("input", () => this.#input());
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("paste", (event) => this.#paste(event));
    box.addEventListener("compositionstart", () => (this.#composes = true));
    // The end of a word that an input method never tells of is at the latest where the box is left.
    for (const name of ["compositionend", "blur"]) box.addEventListener(name, () => this.#composed());
    this.#file.addEventListener("change", () => {
      this.#attach([...(this.#file.files ?? [])]);
      this.#file.value = "";
    });
    this.#drop();
  }

  /** Files can be dropped anywhere: beside the box, a browser would leave the page for them. */
  #drop(): void {
    const { drop } = this.#more;
    const files = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    document.addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      drop.toggleAttribute("data-drop", true);
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) drop.removeAttribute("data-drop"); // out of the window
    });
    document.addEventListener("drop", (event) => {
      drop.removeAttribute("data-drop");
      if (!files(event)) return;
      event.preventDefault();
      this.#attach([...event.dataTransfer!.files]);
    });
  }

  #key(event: KeyboardEvent): void {
    if (composing(event)) return;
    const { key, shiftKey, ctrlKey, metaKey, altKey } = event;
    const sends = key === "Enter" && (ctrlKey || metaKey || (!shiftKey && !altKey && !breaks(this.#parts)));
    if (!sends) return;
    event.preventDefault();
    this.#ask();
  }

  /** The button stops what is on its way, else it sends. */
  #press(): void {
    if (this.#conversation?.live.peek()) return void this.#conversation.stop();
    this.#ask();
    if (matchMedia("(pointer: coarse)").matches) this.#box.blur(); // the answer needs the room
  }

  #ask(): void {
    const conversation = this.#conversation;
    if (this.#reading) return void (this.#waits = true);
    const content = contentOf(this.#box.value, this.#attachments.peek());
    if (!conversation || !content.length) return;
    if (pictured(content) && !this.#sees()) return; // another model was chosen since
    this.#write("");
    this.#attachments.value = [];
    this.#complain();
    conversation.ask(content);
    this.#parts.data.drafts.taken(conversation.place);
  }

  #input(): void {
    this.#complain();
    this.#keep();
    this.#grow();
    this.#draw();
  }

  /** Files are kept with the words; what was pasted is in the box again after a reload. Pictures are kept until then. */
  #keep(): void {
    const attachments = this.#attachments.peek();
    const conversation = this.#conversation;
    const pictures = attachments.filter((one) => one.kind === "picture");
    if (conversation) this.#parts.data.drafts.set(conversation.place, plain(contentOf(this.#box.value, attachments)), pictures);
  }

  #show(draft: string): void {
    const { words, quotes } = split(draft);
    this.#write(words);
    this.#attachments.value = [...this.#pictures, ...quotes.map((quote) => ({ kind: "file" as const, ...quote }))];
    this.#complain();
  }

  /** Those of the draft. */
  get #pictures(): readonly Picture[] {
    return this.#conversation ? this.#parts.data.drafts.pictures(this.#conversation.place) : [];
  }

  #restore(words: string): void {
    const { value } = this.#box;
    // What is typed stands behind it, and goes on while the input method has it.
    if (this.#composes) this.#back = words.endsWith(value) ? words.slice(0, words.length - value.length) : `${words}\n\n`;
    else return this.#show(words);
    this.#attachments.value = [...this.#pictures, ...this.#attachments.peek().filter(({ kind }) => kind !== "picture")];
  }

  #composed(): void {
    this.#composes = false;
    const back = this.#back;
    this.#back = undefined;
    if (back === undefined) return;
    this.#show(back + this.#box.value);
    this.#keep();
  }

  /** A question that waited is to be changed: it is in the box again, before what was typed since. */
  #takeBack(content: Content): void {
    const { data } = this.#parts;
    if (this.#conversation) this.#show(data.drafts.returned(this.#conversation.place, plain(content), picturesOf(content)));
    this.focus();
  }

  #write(words: string): void {
    this.#box.value = words;
    this.#grow();
    this.#draw();
  }

  /** Insert where the caret is; so it can be undone. */
  #insert(words: string): void {
    this.focus();
    if (!document.execCommand?.("insertText", false, words)) this.#box.setRangeText(words, this.#box.selectionStart, this.#box.selectionEnd, "end");
    this.#input();
  }

  #paste(event: ClipboardEvent): void {
    const words = event.clipboardData?.getData("text/plain") ?? "";
    if (words.length > LONG) {
      event.preventDefault();
      this.#add({ kind: "pasted", text: words.replace(/\r\n?/g, "\n") });
    } else if (!words && event.clipboardData?.files.length) {
      // Office programs put a picture of the text beside it: the text is meant.
      event.preventDefault();
      this.#attach([...event.clipboardData.files]);
    }
  }

  /** Read files one after the other: they share what a question may have. What is sent meanwhile waits for them. */
  #attach(files: readonly File[]): void {
    const conversation = this.#conversation;
    this.#complain();
    const reading = (this.#reading ?? Promise.resolve()).then(async () => {
      for (const file of files) {
        if (file.type.startsWith("image/") && conversation === this.#conversation && !this.#sees()) continue;
        const taken = await read(file, left(this.#box.value, this.#attachments.peek()));
        if (conversation === this.#conversation) this.#take(file.name, taken);
        else if (conversation && typeof taken === "object") this.#addTo(conversation, taken);
      }
      if (reading !== this.#reading) return;
      this.#reading = undefined;
      if (this.#waits) this.#ask();
    });
    this.#reading = reading;
  }

  /** Put what was read into the box, or say why it cannot go along. */
  #take(name: string, taken: Attachment | Refusal): void {
    switch (taken) {
      case "large":
        return this.#complain("box.fileLarge", { name, size: `${MOST_TEXT / 1024} KB` });
      case "kind":
        return this.#complain("box.fileKind", { name });
      case "pixels":
        return this.#complain("box.picturePixels", { name, most: MOST_MEGAPIXELS });
      case "picture":
        return this.#complain("box.pictureLarge");
      default:
        return this.#add(taken);
    }
  }

  /** Say so if the model cannot see pictures. */
  #sees(): boolean {
    const conversation = this.#conversation;
    const model = conversation && blind({ data: this.#parts.data, conversation });
    if (model) this.#complain("box.blind", { model: model.name });
    return !model;
  }

  #add(attachment: Attachment): void {
    this.#attachments.value = [...this.#attachments.peek(), attachment];
    this.#keep();
  }

  /** Another conversation was opened while the file was read. */
  #addTo({ place }: Conversation, attachment: Attachment): void {
    const content = contentOf("", [attachment]);
    this.#parts.data.drafts.returned(place, plain(content), picturesOf(content));
  }

  /** Say what is wrong, or that nothing is. */
  #complain(key?: Key, values?: Values): void {
    this.#waits = false;
    this.#complaint.value = key && { key, values };
  }

  /** Only where the browser cannot do that by itself. */
  #grow(): void {
    if (globalThis.CSS?.supports?.("field-sizing", "content") !== false || this.#box.value.length > MEASURED) return;
    requestAnimationFrame(() => {
      this.#box.style.height = "auto";
      this.#box.style.height = `${this.#box.scrollHeight + 2}px`;
    });
  }

  /** Send and Stop are the same element: the focus stays. What is typed meanwhile can be sent too: it waits. */
  #draw(): void {
    const stops = this.#parts.conversation.peek().live.peek() !== undefined;
    const full = !!this.#box.value.trim() || this.#attachments.peek().length > 0;
    const key = stops ? "box.stop" : "box.send";
    const next = this.#buttons.round("send", "box.send", () => this.#ask());
    next.classList.add("later");
    this.#send.setAttribute("aria-label", say(key));
    this.#send.title = say(key);
    this.#send.dataset["does"] = stops ? "stop" : "send";
    this.#send.setAttribute("aria-disabled", String(!stops && !full));
    const children = [...this.#row.children].filter((one) => one !== next && one !== this.#send);
    arrange(this.#row, [...children, ...(stops && full ? [next] : []), this.#send]);
    if (!this.#send.firstChild) this.#send.append(icon("send"), icon("stop"));
  }
}
