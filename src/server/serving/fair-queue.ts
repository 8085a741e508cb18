/**
 * A bounded queue that takes clients in turn: whoever asks much waits behind those who ask little.
 * Within a client the order is that of asking.
 */
export class FairQueue<Item> {
  /** Clients that have something waiting, the next one to be served first. */
  private readonly rows = new Map<string, Item[]>();
  private length = 0;

  constructor(readonly capacity: number) {}

  get size(): number {
    return this.length;
  }

  /** Adds an item; false, and nothing added, when the queue is full. */
  push(client: string, item: Item): boolean {
    if (this.length >= this.capacity) return false;
    const row = this.rows.get(client);
    if (row === undefined) this.rows.set(client, [item]);
    else row.push(item);
    this.length += 1;
    return true;
  }

  /** Takes the next item out. */
  shift(): Item | undefined {
    const [next] = this.rows;
    if (next === undefined) return undefined;
    const [client, row] = next;
    const item = row.shift();
    // The client goes to the end of the line.
    this.rows.delete(client);
    if (row.length > 0) this.rows.set(client, row);
    this.length -= 1;
    return item;
  }

  /** Takes an item out that nobody waits for any more; false when it is not there. */
  remove(client: string, item: Item): boolean {
    const row = this.rows.get(client);
    const index = row?.indexOf(item) ?? -1;
    if (row === undefined || index < 0) return false;
    row.splice(index, 1);
    if (row.length === 0) this.rows.delete(client);
    this.length -= 1;
    return true;
  }

  /** Takes everything out. */
  drain(): Item[] {
    const items: Item[] = [];
    for (let item = this.shift(); item !== undefined; item = this.shift()) items.push(item);
    return items;
  }
}
