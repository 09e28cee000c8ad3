// The request form: its fields, the key for this tab, and which of the two buttons can be pressed.

import { byId, make, put } from "./element.js";
import { number, text } from "./text.js";

/**
 * What the form holds.
 * @typedef {{message: string, systemPrompt: string, model: string, thinking: boolean}} Fields
 */

const KEY_STORED_AS = "stream-serve.key";
const KEY_FORGOTTEN = "stream-serve.key.forgotten";

export class Form {
  #form = byId("form");
  #message = byId("message", HTMLTextAreaElement);
  #systemPrompt = byId("system-prompt", HTMLTextAreaElement);
  #model = byId("model", HTMLInputElement);
  #models = byId("models");
  #modelHint = byId("model-hint");
  /** @type {Wire.Model[]} */
  #offered = [];
  #thinking = byId("thinking-switch", HTMLInputElement);
  #error = byId("message-error");
  #key = byId("key", HTMLInputElement);
  #keyField = byId("key-field");
  #start = byId("start", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);

  /** @param {{send: () => void, stop: () => void, edited: () => void, keyed: () => void}} on */
  constructor(on) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      on.send();
    });
    this.#form.addEventListener("input", () => {
      if (this.#message.value.trim() !== "") this.#complain(false);
      on.edited();
    });
    this.#key.addEventListener("input", () => store(this.#key.value));
    this.#key.addEventListener("change", () => on.keyed());
    // The chat page says so to all tabs: one that was opened from it has a copy of its key.
    addEventListener("storage", ({ key }) => {
      if (key !== KEY_FORGOTTEN) return;
      this.#key.value = "";
      store("");
      on.keyed();
    });
    this.#stop.addEventListener("click", () => on.stop());
    // A key held down on "Start" must not go on to press "Stop", where the focus has moved to.
    this.#stop.addEventListener("keydown", (event) => {
      if (event.repeat && event.key === "Enter") event.preventDefault();
    });
    document.addEventListener("keydown", (event) => {
      if (event.isComposing || event.repeat) return;
      const inside = event.target instanceof Node && this.#form.contains(event.target);
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && inside) {
        event.preventDefault();
        on.send();
      } else if (event.key === "Escape") on.stop();
    });
    this.#key.value = stored();
    if (/mac|iphone|ipad/i.test(navigator.platform)) byId("start-key").textContent = "⌘ ↵";
  }

  /** @returns {Fields} */
  get fields() {
    return {
      message: this.#message.value,
      systemPrompt: this.#systemPrompt.value.trim(),
      model: this.#model.value.trim(),
      thinking: this.#thinking.checked,
    };
  }

  /**
   * Fill the form with what `fields` gave earlier.
   * @param {Partial<Fields>} fields
   */
  fill({ message, systemPrompt, model, thinking }) {
    this.#message.value = String(message ?? "");
    this.#systemPrompt.value = String(systemPrompt ?? "");
    this.#model.value = String(model ?? "");
    this.#thinking.checked = thinking === true;
  }

  get wantsKey() {
    return !this.#keyField.hidden;
  }

  /** The key, where the service wants one. */
  get key() {
    return this.wantsKey ? this.#key.value.trim() : "";
  }

  /** Whether there is a message to send; says so where there is none. */
  check() {
    const empty = this.#message.value.trim() === "";
    this.#complain(empty);
    if (empty) this.#message.focus();
    return !empty;
  }

  /** @param {boolean} focus whether to go there at once */
  wantKey(focus) {
    this.#keyField.hidden = false;
    if (focus) this.#key.focus();
  }

  /** @param {string} name */
  defaultModel(name) {
    this.#model.placeholder = name;
  }

  /**
   * Offer these models below the field, which takes other names, too.
   * @param {Wire.Model[]} models the default one first
   */
  offer(models) {
    this.#offered = models;
    const chosen = models.find((model) => model.default);
    if (chosen !== undefined) this.defaultModel(chosen.name);
    const options = models.map((model) => {
      const option = make("option", "", facts(model));
      option.value = model.name;
      return option;
    });
    this.#models.replaceChildren(...options);
    // The placeholder names the default one: a list of that alone offers nothing.
    const several = models.length > 1;
    if (several) this.#model.setAttribute("list", "models");
    else this.#model.removeAttribute("list");
    const hint = chosen === undefined ? "modelNeeded" : "modelHint";
    put(this.#modelHint, text(several ? hint : "optional", { count: number(models.length) }));
  }

  /**
   * Set the buttons; a focus that would be lost goes to the other one.
   * @param {boolean} running
   * @param {boolean} stopping
   */
  buttons(running, stopping) {
    const focused = document.activeElement;
    this.#start.disabled = running;
    this.#stop.disabled = !running;
    this.#stop.setAttribute("aria-disabled", String(!running || stopping)); // keeps the focus until the end
    if (focused === this.#start && running) this.#stop.focus({ preventScroll: true });
    if (focused === this.#stop && !running) this.#start.focus({ preventScroll: true });
  }

  words() {
    put(this.#error, text("messageNeeded"));
    this.offer(this.#offered);
  }

  /** @param {boolean} wrong */
  #complain(wrong) {
    this.#error.hidden = !wrong;
    put(this.#error, text("messageNeeded"));
    if (wrong) this.#message.setAttribute("aria-invalid", "true");
    else this.#message.removeAttribute("aria-invalid");
  }
}

/**
 * What is known of a model, in a few words.
 * @param {Wire.Model} model
 */
function facts(model) {
  const words = model.context === null ? [] : [text("modelContext", { tokens: number(model.context) })];
  if (model.default) words.unshift(text("modelDefault"));
  if (model.thinks) words.push(text("modelThinks"));
  if (model.sees) words.push(text("modelSees"));
  if (model.tools) words.push(text("modelTools"));
  return words.join(" · ");
}

/** This tab's key, or the one that the chat page keeps on this device. */
function stored() {
  try {
    return sessionStorage.getItem(KEY_STORED_AS) ?? localStorage.getItem(KEY_STORED_AS) ?? "";
  } catch {
    return "";
  }
}

/**
 * Keep the key of the field for this tab. An empty field is no key at all: the one of this device goes, too.
 * @param {string} key
 */
function store(key) {
  try {
    if (key) return sessionStorage.setItem(KEY_STORED_AS, key);
    sessionStorage.removeItem(KEY_STORED_AS);
    localStorage.removeItem(KEY_STORED_AS);
  } catch {
    // Storage is switched off: the key then lives in its field alone.
  }
}
