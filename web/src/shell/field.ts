/** Fields of a form: a label, the control, and what is said below it. */

import { effect, signal } from "../signal.js";
import type { Key } from "../words/index.js";
import { make, worded } from "./dom.js";

export interface Option {
  readonly value: string;
  readonly text: string;
}

/** Return a control with its label above and a hint below it. */
export function field(control: HTMLElement, id: string, label: Key, hint?: Key): HTMLElement {
  control.id = id;
  const words = worded(make("label", { for: id }), label);
  if (!hint) return make("div", { class: "field" }, words, control);
  control.setAttribute("aria-describedby", `${id}-hint`);
  return make("div", { class: "field" }, words, control, worded(make("small", { id: `${id}-hint` }), hint));
}

/** Return a choice of one of several, which follows what is chosen elsewhere, and the language. */
export function choice(options: () => readonly Option[], value: () => string, take: (value: string) => void): HTMLSelectElement {
  const made = make("select", { autocomplete: "off" });
  effect(() => {
    made.replaceChildren(...options().map(({ value, text }) => make("option", { value }, text)));
    made.value = value();
  });
  made.addEventListener("change", () => take(made.value));
  return made;
}

/** Return a line or more of text; what is typed is taken at once, whatever becomes of the page. `left` is told when the reader is through with it. */
export function text(rows: number, value: () => string, take: (value: string) => void, left: () => void = () => {}): HTMLInputElement | HTMLTextAreaElement {
  const made = rows > 1 ? make("textarea", { rows: `${rows}`, dir: "auto" }) : make("input", { type: "text", autocapitalize: "none" });
  made.autocomplete = "off";
  made.spellcheck = false;
  effect(() => {
    const now = value();
    if (document.activeElement !== made) made.value = now;
  });
  made.addEventListener("input", () => take(made.value.trim()));
  made.addEventListener("change", left);
  return made;
}

/** Return a number or nothing between bounds; what is neither is said below, and what was there before holds. */
export function number(
  id: string, label: Key, hint: Key, wrong: () => string,
  { value, take, fits }: { value: () => number | undefined; take: (value: number | undefined) => void; fits: (value: number) => boolean },
): HTMLElement {
  const said = make("p", { class: "wrong", role: "alert" });
  const refused = signal(false);
  effect(() => void (said.textContent = refused.value ? wrong() : ""));
  let before = value();
  const number = (typed: string) => (typed === "" ? undefined : Number(typed.replace(",", ".")));
  const good = (given: number | undefined) => given === undefined || (Number.isFinite(given) && fits(given));
  const judge = (bad: boolean) => {
    refused.value = bad;
    control.setAttribute("aria-invalid", `${bad}`);
  };
  const control = text(
    1,
    () => `${value() ?? ""}`,
    (typed) => {
      const given = number(typed);
      if (good(given)) judge(false);
      take(good(given) ? given : before);
    },
    () => {
      judge(!good(number(control.value.trim())));
      before = value();
    },
  );
  // Half of a number may be one, too.
  control.addEventListener("focus", () => (before = value()));
  control.inputMode = "decimal";
  const made = field(control, id, label, hint);
  made.append(said);
  return made;
}
