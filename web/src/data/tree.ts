/**
 * The messages of a conversation: a tree, and the chosen way through it.
 *
 * How it works: the way ends at the leaf, and goes up from there as far as messages are here. At each fork the tree
 * remembers which way was taken last: who comes back to a branch finds it as it was left. Of a fork where nothing was
 * chosen the newest way is taken.
 */

export interface TreeNode {
  id: string;
  parentId: string | null;
}

/** Where a message stands among its siblings: the `at`-th, from 1 on, of all. */
export interface Place {
  readonly at: number;
  readonly of: number;
}

const ROOT = "";

export class Tree<N extends TreeNode> {
  #nodes = new Map<string, N>();
  #children = new Map<string, N[]>();
  #chosen = new Map<string, N>(); // for the id of a parent
  #leaf: N | undefined;

  get size(): number {
    return this.#nodes.size;
  }

  get(id: string | null | undefined): N | undefined {
    return id == null ? undefined : this.#nodes.get(id);
  }

  all(): IterableIterator<N> {
    return this.#nodes.values();
  }

  /** Add a node; `older` ones stand before the siblings that are here. */
  add(node: N, older = false): void {
    if (this.#nodes.has(node.id)) return;
    this.#nodes.set(node.id, node);
    const siblings = this.#siblings(node.parentId ?? ROOT);
    if (older) siblings.unshift(node);
    else siblings.push(node);
  }

  /** Take a node out, with all below it. The way then ends beside it, or above. */
  remove(node: N): void {
    for (const child of [...this.#siblings(node.id)]) this.remove(child);
    const parent = node.parentId ?? ROOT;
    const siblings = this.#siblings(parent);
    siblings.splice(siblings.indexOf(node), 1);
    this.#nodes.delete(node.id);
    if (this.#chosen.get(parent) === node) this.#chosen.delete(parent);
    if (this.#leaf !== node) return;
    const beside = siblings.at(-1) ?? this.get(node.parentId);
    this.#leaf = beside && this.#below(beside);
  }

  /** Give a node the id that the service has for it. */
  rename(node: N, id: string): void {
    const before = node.id;
    if (before === id) return;
    this.#nodes.delete(before);
    node.id = id;
    this.#nodes.set(id, node);
    const children = this.#siblings(before);
    for (const child of children) child.parentId = id;
    this.#children.delete(before);
    this.#children.set(id, [...children, ...this.#siblings(id)]);
    const chosen = this.#chosen.get(before);
    this.#chosen.delete(before);
    if (chosen) this.#chosen.set(id, chosen);
  }

  /** Take the way through a node, and from there as it was left. */
  choose(node: N): N {
    this.#leaf = this.#below(node);
    for (const one of this.path()) this.#chosen.set(one.parentId ?? ROOT, one);
    return this.#leaf;
  }

  /** Return the way, from the first message that is here to the leaf. */
  path(): N[] {
    if (!this.#leaf) return [];
    // Nothing was chosen yet, and more has come below.
    return this.pathTo(this.#below(this.#leaf));
  }

  pathTo(node: N): N[] {
    const way: N[] = [];
    for (let one: N | undefined = node; one; one = this.get(one.parentId)) way.push(one);
    return way.reverse();
  }

  place(node: N): Place {
    const siblings = this.#siblings(node.parentId ?? ROOT);
    return { at: siblings.indexOf(node) + 1, of: siblings.length };
  }

  /** Return the sibling before (-1) or after (1) a node. */
  beside(node: N, by: -1 | 1): N | undefined {
    const siblings = this.#siblings(node.parentId ?? ROOT);
    return siblings[siblings.indexOf(node) + by];
  }

  children(node: N): readonly N[] {
    return this.#siblings(node.id);
  }

  #below(node: N): N {
    for (let one = node; ; ) {
      const child: N | undefined = this.#chosen.get(one.id) ?? this.#children.get(one.id)?.at(-1);
      if (!child) return one;
      one = child;
    }
  }

  #siblings(parent: string): N[] {
    let all = this.#children.get(parent);
    if (!all) this.#children.set(parent, (all = []));
    return all;
  }
}
