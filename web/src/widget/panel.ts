/**
 * The button, and the panel that it opens.
 *
 * How it works: both are in a shadow tree, whose host has no style but ours. The panel is a dialog beside the page; in a
 * small window it covers the page, which cannot be reached then. The chat is loaded when the panel is opened first, and
 * stays when it is closed: an answer goes on.
 */

import { make } from "../text/dom.js";
import { widget as en } from "../words/en.js";
import { widget as zh } from "../words/zh.js";
import { Chat, type State } from "./chat.js";
import type { Options } from "./options.js";

/** The style sheet, put in when this is built. */
declare const WIDGET_STYLE: string;

const SMALL = "(max-width: 599.98px), (max-height: 479.98px)";
const SVG = "http://www.w3.org/2000/svg";
const TALK = "M4 5.5A1.5 1.5 0 0 1 5.5 4h9A1.5 1.5 0 0 1 16 5.5v7a1.5 1.5 0 0 1-1.5 1.5H9l-3.5 3v-3A1.5 1.5 0 0 1 4 12.5z";
const CLOSE = "m5 5 10 10M15 5 5 15";

export class Panel {
  #options: Options;
  #words: typeof en;
  #name: string;
  #host = document.createElement("div");
  #root = this.#host.attachShadow({ mode: "open" });
  #button: HTMLButtonElement;
  #panel: HTMLDialogElement;
  #note = make("div", { class: "note" });
  #place = make("div", { class: "place" }, this.#note);
  #chat: Chat | undefined;
  #token: (() => string | Promise<string>) | undefined;
  #small = matchMedia(SMALL);
  #opener: HTMLElement | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#words = options.language === "zh" ? zh : en;
    this.#name = options.title || this.#words.name;
    this.#button = make("button", { type: "button", class: "open", "aria-label": this.#name, title: this.#name, "aria-haspopup": "dialog", "aria-expanded": "false", "aria-controls": "panel" }, icon(TALK), icon(CLOSE));
    this.#button.hidden = !options.button;
    this.#panel = this.#makePanel();
    this.#dress();
    this.#listen();
    this.attach();
  }

  /** Put it into the page, also into one whose content was replaced. */
  attach(): void {
    if (this.#host.isConnected) return;
    document.body.append(this.#host);
    this.#again();
  }

  open(): void {
    this.attach();
    if (!this.#panel.open) {
      this.#opener = focused();
      this.#chat ??= this.#load();
      this.#show();
      this.#button.setAttribute("aria-expanded", "true");
    }
    this.#focus();
  }

  close(): void {
    if (!this.#panel.open) return;
    const within = this.#root.activeElement;
    this.#panel.close();
    // Who is elsewhere in the page stays there.
    if (within) (this.#opener?.isConnected ? this.#opener : this.#button).focus();
  }

  set token(token: (() => string | Promise<string>) | undefined) {
    this.#token = token;
    if (this.#chat) this.#chat.token = token;
  }

  #makePanel(): HTMLDialogElement {
    const close = make("button", { type: "button", "aria-label": this.#words.close, title: this.#words.close }, icon(CLOSE));
    close.addEventListener("click", () => this.close());
    const header = make("header", {}, make("h2", { id: "name" }, this.#name), close);
    return make("dialog", { id: "panel", "aria-labelledby": "name" }, header, this.#place);
  }

  #dress(): void {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(WIDGET_STYLE);
    this.#root.adoptedStyleSheets = [sheet];
    const { position, theme, language } = this.#options;
    const around = make("section", { class: "all", "aria-label": this.#name, lang: language === "zh" ? "zh-CN" : "en", "data-position": position, "data-theme": theme });
    around.append(this.#button, this.#panel);
    this.#root.append(around);
  }

  #listen(): void {
    this.#button.addEventListener("click", () => (this.#panel.open ? this.close() : this.open()));
    // The page around hears nothing of a key that was meant for the panel.
    this.#panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      this.close();
    });
    // A phone's way back closes it without any key.
    this.#panel.addEventListener("close", () => this.#button.setAttribute("aria-expanded", `${this.#panel.open}`));
    this.#small.addEventListener("change", () => this.#again());
    for (const name of ["resize", "scroll"]) visualViewport?.addEventListener(name, () => this.#fit());
  }

  #show(): void {
    if (this.#small.matches) this.#panel.showModal();
    else this.#panel.show();
    this.#fit();
  }

  /** The window has become small, or large, or it is another page. */
  #again(): void {
    if (!this.#panel.open) return;
    const within = this.#root.activeElement;
    this.#panel.close();
    this.#show();
    if (within) this.#focus();
  }

  /** In a small window the panel is where a keyboard on the screen leaves room. */
  #fit(): void {
    if (!visualViewport || visualViewport.scale > 1.01) return; // who looks closer has not called the keyboard
    const { height, offsetTop } = visualViewport;
    this.#panel.style.setProperty("--height", `${height}px`);
    this.#panel.style.setProperty("--top", `${offsetTop}px`);
  }

  #focus(): void {
    if (this.#panel.dataset["state"] !== "open") this.#panel.querySelector("button")?.focus();
    else this.#chat?.focus();
  }

  #load(): Chat {
    const chat = new Chat(this.#options, this.#name, { state: (state) => this.#tell(state), leave: () => this.close() });
    chat.token = this.#token;
    this.#tell("opening");
    this.#place.append(chat.element);
    return chat;
  }

  #tell(state: State): void {
    const moves = state !== this.#panel.dataset["state"] && this.#panel.contains(this.#root.activeElement);
    this.#panel.dataset["state"] = state;
    this.#note.replaceChildren(...(state === "open" ? [] : state === "opening" ? [this.#opening()] : this.#trouble(state)));
    if (moves) this.#focus();
  }

  #opening(): HTMLElement {
    return make("p", { role: "status" }, this.#words.opening);
  }

  #trouble(state: "silent" | "refused"): HTMLElement[] {
    const { service } = this.#options;
    const words = this.#words[state].replace("{service}", service.origin).replace("{page}", location.origin);
    const again = make("button", { type: "button", class: "again" }, this.#words.again);
    again.addEventListener("click", () => {
      this.#chat?.close();
      this.#chat = this.#load();
      this.#focus();
    });
    const own = make("a", { href: service.href, target: "_blank", rel: "noopener" }, this.#words.window);
    return [make("div", { role: "alert" }, make("p", {}, this.#words.failed), make("p", { class: "why" }, words)), again, own];
  }
}

function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Return what has the focus, also inside of the page's own shadow trees. */
function focused(): HTMLElement | undefined {
  let found = document.activeElement;
  while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
  return found instanceof HTMLElement && found !== document.body ? found : undefined;
}
