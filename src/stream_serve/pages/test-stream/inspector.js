// The inspector: numbers, gaps, events, bytes and the request as a command.

/** @import { Meter } from "./meter.js" */
/** @import { Run, StreamRecord } from "./run.js" */
/** @import { Call } from "./service.js" */
/** @import { Bytes } from "./sse.js" */

import { GapChart } from "./chart.js";
import { copyButton } from "./copy.js";
import { curl } from "./curl.js";
import { byId, make, put, within } from "./element.js";
import { RawView } from "./raw.js";
import { EventTable } from "./table.js";
import { BASE, stopPath } from "./service.js";
import { tabs } from "./tabs.js";
import { duration, number, size, text } from "./text.js";

const CHART_EVERY = 150; // milliseconds: sorting and drawing need not happen every frame
const NONE = "—";

export class Inspector {
  #table = new EventTable();
  #raw = new RawView();
  #chart = new GapChart();
  #charted = 0;

  constructor() {
    tabs(within(document, '[role="tablist"]', HTMLElement), () => this.#raw.show());
    copyButton(byId("curl-copy", HTMLButtonElement), () => byId("curl").textContent);
    copyButton(byId("curl-stop-copy", HTMLButtonElement), () => byId("curl-stop").textContent);
  }

  reset() {
    this.#table.reset();
    this.#raw.reset();
    this.#chart.show([]);
    tile("tile-total", NONE);
  }

  /**
   * Take what one read brought; drawn by the next `show`.
   * @param {Bytes} bytes
   * @param {StreamRecord[]} records
   */
  add(bytes, records) {
    this.#raw.add(bytes);
    this.#table.add(records);
  }

  /**
   * Bring everything up to date.
   * @param {Run | null} run
   * @param {number} now
   * @param {boolean} atOnce leave nothing for a later frame
   * @returns {boolean} false when there is more to draw in a later frame
   */
  show(run, now, atOnce) {
    const drawn = this.#table.show(now, atOnce);
    this.#raw.show();
    if (run === null) return drawn;
    this.#raw.name = run.id ?? "stream";
    tiles(run.meter, now);
    if (atOnce || now - this.#charted >= CHART_EVERY) {
      this.#charted = now;
      this.#chart.show(run.meter.gaps);
    }
    return drawn;
  }

  /**
   * Everything that holds words of the page's language.
   * @param {Run | null} run
   */
  words(run) {
    this.#table.words();
    this.#raw.words();
    this.#chart.show(run?.meter.gaps ?? []);
    if (run !== null) tiles(run.meter, performance.now());
  }

  /**
   * The request as a command: the one that was sent, or the one that the form makes.
   * @param {Call} request
   * @param {Run | null} run
   */
  command(request, run) {
    put(byId("curl-note"), text(curlNote(run)));
    put(byId("curl"), curl(request, BASE));
    byId("curl-stop-part").hidden = run === null;
    byId("reading").hidden = !run?.resumed;
    if (run === null) return;
    const { Authorization } = request.headers;
    /** @type {Record<string, string>} */
    const headers = Authorization ? { Authorization } : {};
    put(byId("curl-stop"), curl({ path: stopPath(run.id), method: "POST", headers }, BASE));
  }
}

/** @param {Run | null} run */
function curlNote(run) {
  if (run === null) return "curlPreview";
  return run.resumed ? "curlFollowed" : "curlSent";
}

/**
 * @param {Meter} meter
 * @param {number} now
 */
function tiles(meter, now) {
  tile("tile-first-event", meter.firstEvent === null ? NONE : duration(meter.firstEvent));
  tile("tile-first-token", meter.firstToken === null ? NONE : duration(meter.firstToken));
  tile("tile-tokens", rate(meter.tokenRate), meter.tokenRate !== null && meter.tokenRateEstimated ? text("estimated") : "");
  tile("tile-characters", rate(meter.characterRate));
  tile("tile-total", duration(meter.elapsed(now)));
  tile("tile-events", number(meter.events), meter.comments > 0 ? text("comments", { count: number(meter.comments) }) : "");
  tile("tile-bytes", size(meter.bytes));
}

/** @param {number | null} value */
function rate(value) {
  return value === null ? NONE : number(value, value < 100 ? 1 : 0);
}

/**
 * @param {string} id
 * @param {string} value
 */
function tile(id, value, label = "") {
  const element = byId(id);
  if (element.dataset.value === value + label) return;
  element.dataset.value = value + label;
  element.textContent = value;
  if (label) element.append(make("small", "", label));
}
