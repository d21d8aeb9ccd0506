// Stands in for the package `lru-cache`, of which the editor's cache needs these few calls.

interface Entry<V> {
  value: V;
  at: number;
}

/** A map whose entries are forgotten after a while, and the oldest where there are many. */
export class LRUCache<K, V> {
  private readonly entries = new Map<K, Entry<V>>();
  private readonly ttl: number;
  private readonly max: number;

  constructor(options: { ttl?: number; max?: number }) {
    this.ttl = options.ttl ?? Number.POSITIVE_INFINITY;
    this.max = options.max ?? 10_000;
  }

  get(key: K): V | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    if (Date.now() - entry.at <= this.ttl) return entry.value;
    this.entries.delete(key);
    return undefined;
  }

  has(key: K): boolean {
    return this.get(key) !== undefined;
  }

  set(key: K, value: V): this {
    this.entries.delete(key);
    this.entries.set(key, { value, at: Date.now() });
    const [oldest] = this.entries.keys();
    if (this.entries.size > this.max && oldest !== undefined) this.entries.delete(oldest);
    return this;
  }

  delete(key: K): boolean {
    return this.entries.delete(key);
  }

  clear() {
    this.entries.clear();
  }
}
