// Tabs after the ARIA pattern: one stop for the Tab key, arrows choose, Home and End go to the ends.

import { around, byId, every, present } from "./element.js";

/**
 * @param {HTMLElement} list the element with role="tablist"
 * @param {(tab: HTMLElement) => void} chosen called after another panel was shown
 */
export function tabs(list, chosen) {
  const all = every(list, '[role="tab"]', HTMLElement);

  /** @param {HTMLElement} tab */
  const choose = (tab) => {
    for (const other of all) {
      const selected = other === tab;
      other.setAttribute("aria-selected", String(selected));
      other.tabIndex = selected ? 0 : -1;
      byId(present(other.getAttribute("aria-controls"), "aria-controls")).hidden = !selected;
    }
    chosen(tab);
  };

  list.addEventListener("click", (event) => {
    const tab = around(event, '[role="tab"]', HTMLElement);
    if (tab !== null) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const here = all.findIndex((tab) => tab === document.activeElement);
    /** @type {Record<string, number>} */
    const places = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1 };
    const to = places[event.key];
    if (to === undefined || here < 0) return;
    event.preventDefault();
    const tab = present(all[(to + all.length) % all.length], "tab");
    choose(tab);
    tab.focus();
  });
}
