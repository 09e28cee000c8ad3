/** After a reload: which questions never reached the service. */

import { troubleOf, type Api } from "./api.js";
import { joined, type Drafts } from "./drafts.js";

/**
 * Return what is to be in the box where questions were on their way when the page was left and the service does not have
 * them; undefined where there are none. Nothing is sent again by itself. `here` says whether the page knows a run.
 */
export async function recovered(drafts: Drafts, api: Api, place: string, here: (runId: string) => boolean): Promise<string | undefined> {
  const back: string[] = [];
  for (const { text, runId } of drafts.pending(place)) {
    const has = here(runId) || (await known(api, runId));
    if (has === undefined) continue;
    drafts.arrived(place, runId);
    if (!has) back.push(text);
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
