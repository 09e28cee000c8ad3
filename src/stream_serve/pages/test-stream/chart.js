// A small chart of the gaps between one text event and the next: a stall stands out as a tall bar.

/** @import { Summary } from "./meter.js" */

import { summary } from "./meter.js";
import { byId, present, put } from "./element.js";
import { duration, number, text } from "./text.js";

const BAR = 3; // CSS pixels a bar and its space need at least

export class GapChart {
  #canvas = byId("chart", HTMLCanvasElement);
  #caption = byId("gaps-summary");
  /** @type {number[]} */
  #gaps = [];

  constructor() {
    new ResizeObserver(() => this.#draw(summary(this.#gaps))).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show(this.#gaps));
  }

  /**
   * Draw these gaps and say in words what they are.
   * @param {number[]} gaps milliseconds, in order
   */
  show(gaps) {
    this.#gaps = gaps;
    const about = summary(gaps);
    this.#draw(about);
    if (about === null) {
      put(this.#caption, "");
      this.#canvas.setAttribute("aria-label", text("gapsNone"));
      return;
    }
    const words = { count: number(about.count), median: duration(about.median), p95: duration(about.p95), max: duration(about.max) };
    put(this.#caption, text("gapsSummary", words));
    this.#canvas.setAttribute("aria-label", text("gapsLabel", words));
  }

  /** @param {Summary | null} about */
  #draw(about) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (width === 0) return;
    const scale = devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    const pen = present(this.#canvas.getContext("2d"), "canvas to draw on");
    pen.scale(scale, scale);
    const style = getComputedStyle(this.#canvas);
    const base = height - 1;
    pen.fillStyle = style.getPropertyValue("--line");
    pen.fillRect(0, base, width, 1);
    if (about === null) return;

    const bars = tallest(this.#gaps, Math.floor(width / BAR));
    const step = Math.min(12, width / bars.length);
    const top = Math.max(about.max, 1);
    const stalled = Math.max(about.median * 4, 50);
    bars.forEach((gap, index) => {
      const tall = Math.max(1, (gap / top) * (base - 4));
      pen.fillStyle = style.getPropertyValue(gap > stalled ? "--warm" : "--accent-soft");
      pen.fillRect(index * step, base - tall, Math.max(1, step - 1), tall);
    });

    if (about.median < top * 0.12) return;
    const middle = base - (about.median / top) * (base - 4);
    pen.strokeStyle = style.getPropertyValue("--ink-soft");
    pen.setLineDash([3, 4]);
    pen.beginPath();
    pen.moveTo(0, Math.round(middle) + 0.5);
    pen.lineTo(width, Math.round(middle) + 0.5);
    pen.stroke();
  }
}

/**
 * As many bars as there is room for; where several gaps share one, the largest is the bar.
 * @param {number[]} gaps
 * @param {number} room
 * @returns {number[]}
 */
function tallest(gaps, room) {
  if (gaps.length <= room) return gaps;
  /** @type {number[]} */
  const bars = new Array(room).fill(0);
  gaps.forEach((gap, index) => {
    const bar = Math.floor((index * room) / gaps.length);
    bars[bar] = Math.max(bars[bar] ?? 0, gap);
  });
  return bars;
}
