/** The receipt of a stop that this page did not see: repeating the stop returns it, while the service keeps the run. */

import type { Receipt } from "../../../clients/js/src/index.js";
import { problemOf, step, type Problem } from "../turn/index.js";
import { troubleOf, type Api } from "./api.js";
import type { MessageNode } from "./node.js";

/** Have the turn of a stopped answer get its receipt; return why it cannot. */
export async function readReceipt(api: Api, { turn }: MessageNode): Promise<Problem | undefined> {
  const { runId, receipt: known } = turn!.peek();
  if (known) return undefined;
  try {
    const receipt = await api.json<Receipt>("POST", `ai/runs/${runId}/stop`);
    if (receipt.outcome === "unreachable") return problemOf({ code: "run_unreachable" }, Date.now());
    turn!.value = step(turn!.peek(), { type: "receipt", receipt }, Date.now());
    return undefined;
  } catch (error) {
    return troubleOf(error);
  }
}
