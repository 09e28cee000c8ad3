/** After a reload: which questions never reached the service, and which did unheard of. */

import { troubleOf, type Api } from "./api.js";
import { joined, type Drafts } from "./drafts.js";

export interface Page {
  /** Whether the page knows a run. */
  here(runId: string): boolean;
  /** Show a question that this tab has sent, and read its answer: the tab has not heard that the run began. */
  rejoin(text: string, runId: string): void;
}

/**
 * Return what is to be in the box where questions were on their way when the page was left and the service does not have
 * them; undefined where there are none. Nothing is sent again by itself. Runs of this tab that the page does not know are rejoined.
 */
export async function recovered(drafts: Drafts, api: Api, place: string, page: Page): Promise<string | undefined> {
  const back: string[] = [];
  for (const { text, runId } of drafts.pending(place)) {
    const has = page.here(runId) || (await known(api, runId));
    if (has === undefined) continue;
    const mine = drafts.mine().includes(runId);
    drafts.arrived(place, runId);
    if (!has) back.push(text);
    else if (mine && !page.here(runId)) page.rejoin(text, runId);
  }
  return back.length ? drafts.returned(place, joined(back)) : undefined;
}

/** Return whether the service knows a run; undefined where it does not say. */
async function known(api: Api, runId: string): Promise<boolean | undefined> {
  try {
    await api.json("GET", `ai/runs/${runId}`);
    return true;
  } catch (error) {
    return troubleOf(error).kind === "gone" ? false : undefined;
  }
}
