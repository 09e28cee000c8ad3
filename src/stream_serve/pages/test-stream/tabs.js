// Tabs after the ARIA pattern: one stop for the Tab key, arrows choose, Home and End go to the ends.

import { byId } from "./element.js";

/**
 * @param {HTMLElement} list the element with role="tablist"
 * @param {(tab: HTMLElement) => void} chosen called after another panel was shown
 */
export function tabs(list, chosen) {
  const all = [...list.querySelectorAll('[role="tab"]')];

  const choose = (tab) => {
    for (const other of all) {
      const selected = other === tab;
      other.setAttribute("aria-selected", String(selected));
      other.tabIndex = selected ? 0 : -1;
      byId(other.getAttribute("aria-controls")).hidden = !selected;
    }
    chosen(tab);
  };

  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab !== null) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const here = all.indexOf(document.activeElement);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || here < 0) return;
    event.preventDefault();
    const tab = all[(to + all.length) % all.length];
    choose(tab);
    tab.focus();
  });
}
