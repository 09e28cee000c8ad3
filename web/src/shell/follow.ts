/** The conversation that is open follows the address, and the address follows a conversation that gets its id. */

import { newId } from "../data/ids.js";
import type { Conversation, Data } from "../data/index.js";
import { effect, signal, untracked, type Signal } from "../signal.js";
import type { Place, Where } from "./place.js";

export function follow(data: Data, place: Place): Signal<Conversation> {
  // Those that began here. Where nothing is stored they have no id, and would not be found again; of others it is enough.
  const { begun } = data;
  const ids = new Map<string, string>();
  const at = ({ conversation, begun: name = "" }: Where) => begun.peek().get(name) ?? data.open(ids.get(name) ?? conversation);
  const open = signal(at(place.where.peek()));
  effect(() => {
    const where = place.where.value;
    untracked(() => {
      if (where.conversation === undefined || open.value.id.value !== where.conversation) open.value = at(where);
    });
  });
  effect(() => {
    if (!data.closed.value) return;
    begun.value = new Map();
    ids.clear();
    untracked(() => (open.value = at(place.where.value)));
  });
  effect(() => {
    const one = open.value;
    if (one.id.value || !one.steps.value.length) return;
    untracked(() => {
      if ([...begun.peek().values()].includes(one)) return;
      const name = newId();
      begun.value = new Map([...begun.peek(), [name, one]]);
      place.begin(name);
      keepId(name, one);
    });
  });
  const keepId = (name: string, one: Conversation) => {
    const leave = effect(() => {
      const id = one.id.value;
      if (id === undefined) return;
      ids.set(name, id);
      begun.value = new Map([...begun.peek()].filter(([other]) => other !== name));
      queueMicrotask(() => leave());
    });
  };
  effect(() => {
    const id = open.value.id.value;
    untracked(() => {
      if (id !== undefined && place.where.value.conversation === undefined) place.become(id);
    });
  });
  return open;
}
