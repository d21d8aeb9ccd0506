// The entries of a query: a page at first, more as one scrolls, new ones as they come.

import { useCallback, useEffect, useRef, useState } from 'react';
import { isAbort, message } from '../../api/http';
import {
  categorized,
  compareNanos,
  type Direction,
  type Entry,
  entriesOf,
  type LogStats,
  logLabels,
  nanos,
  queryLogs,
  type RawStream,
  tailUrl,
} from '../../api/loki';
import type { Interval } from '../../time/range';

const pageSize = 1000;
/** Most entries that are kept while they come live. */
const mostLive = 5000;
/** How far back labels of streams are looked up. */
const labelsMs = 6 * 3_600_000;

export interface Loaded {
  entries: Entry[];
  loading: boolean;
  /** When what loads was asked for. */
  began: number;
  /** Whether there is no more in the range. */
  complete: boolean;
  error?: string | undefined;
  warnings: string[];
  stats?: LogStats | undefined;
}

const nothing: Loaded = { entries: [], loading: false, began: 0, complete: false, warnings: [] };

export interface EntriesAsked {
  query: string;
  interval: Interval;
  direction: Direction;
  /** Asks again when it changes. */
  again: number;
}

/** The next page begins where the last entry is: those of its nanosecond come twice and are left out. */
function nextRange(asked: EntriesAsked, last: Entry | undefined) {
  const start = nanos(asked.interval.start);
  const end = nanos(asked.interval.end);
  if (!last) return { start, end };
  if (asked.direction === 'forward') return { start: last.ns, end };
  return { start, end: String(BigInt(last.ns) + 1n) };
}

export function useEntries(asked: EntriesAsked | undefined) {
  const [loaded, setLoaded] = useState<Loaded>(nothing);
  const abort = useRef<AbortController>(undefined);
  const current = useRef(loaded);
  current.current = loaded;

  const load = useCallback(async (asked: EntriesAsked, before: Entry[]) => {
    abort.current?.abort();
    const mine = new AbortController();
    abort.current = mine;
    const began = Date.now();
    setLoaded((now) => ({ ...now, entries: before, loading: true, began, error: undefined }));
    let range = nextRange(asked, before.at(-1));
    const known = new Set(before.map((entry) => entry.key));
    try {
      for (;;) {
        const { query, direction } = asked;
        const { data, warnings } = await queryLogs(
          { query, ...range, limit: pageSize, direction },
          { signal: mine.signal },
        );
        const page = data.resultType === 'streams' ? entriesOf(data.result, direction) : [];
        const fresh = page.filter((entry) => !known.has(entry.key));
        const complete = page.length < pageSize;
        if (fresh.length === 0 && !complete) {
          // More entries of one nanosecond than a page holds: what is left of them is passed over.
          const last = BigInt(page.at(-1)?.ns ?? 0);
          range =
            direction === 'forward'
              ? { ...range, start: String(last + 1n) }
              : { ...range, end: String(last) };
          continue;
        }
        const entries = [...before, ...fresh];
        setLoaded({ entries, loading: false, began, complete, warnings, stats: data.stats });
        return;
      }
    } catch (error) {
      if (isAbort(error)) {
        if (abort.current === mine) setLoaded((now) => ({ ...now, loading: false }));
        return;
      }
      setLoaded((now) => ({ ...now, loading: false, complete: true, error: message(error) }));
    }
  }, []);

  useEffect(() => {
    if (!asked) {
      setLoaded(nothing);
      return;
    }
    void load(asked, []);
    return () => abort.current?.abort();
  }, [asked, load]);

  const more = useCallback(() => {
    const { loading, complete, entries } = current.current;
    if (asked && !loading && !complete) void load(asked, entries);
  }, [asked, load]);
  const cancel = useCallback(() => abort.current?.abort(), []);
  return { loaded, more, cancel };
}

export type LiveState = 'connecting' | 'live' | 'lost';

interface TailMessage {
  streams?: RawStream[];
  dropped_entries?: unknown[];
}

/** Entries as they come, newest first. */
export function useLive(query: string | undefined) {
  const [entries, setEntries] = useState<Entry[]>([]);
  const [state, setState] = useState<LiveState>('connecting');
  const [dropped, setDropped] = useState(0);
  const [paused, setPaused] = useState(false);
  const held = useRef<Entry[]>([]);
  const isPaused = useRef(false);
  isPaused.current = paused;

  useEffect(() => {
    if (!query) return;
    setEntries([]);
    setDropped(0);
    setState('connecting');
    let socket: WebSocket | undefined;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let closed = false;
    let since = nanos(Date.now() - 60_000);
    // Tails have no way to ask for labels and metadata apart.
    let known: Set<string> | undefined;
    const learn = async () => {
      const { data } = await logLabels(Date.now() - labelsMs, Date.now());
      known = new Set(data ?? []);
    };
    const connect = () => {
      if (closed) return;
      socket = new WebSocket(tailUrl(query, since));
      socket.onopen = () => setState('live');
      socket.onmessage = (event: MessageEvent<string>) => {
        const told = JSON.parse(event.data) as TailMessage;
        setDropped((n) => n + (told.dropped_entries?.length ?? 0));
        const fresh = entriesOf(told.streams ?? [], 'backward');
        const newest = fresh[0];
        if (!newest) return;
        since = String(BigInt(newest.ns) + 1n);
        const labels = known;
        const apart = labels ? fresh.map((entry) => categorized(entry, labels)) : fresh;
        held.current = [...apart, ...held.current].slice(0, mostLive);
      };
      socket.onclose = () => {
        if (closed) return;
        setState('lost');
        retry = setTimeout(connect, 2000);
      };
    };
    void learn().then(connect, connect);
    // Lines may come faster than they can be drawn.
    const timer = setInterval(() => {
      if (held.current.length === 0 || isPaused.current) return;
      const fresh = held.current;
      held.current = [];
      setEntries((now) => {
        const known = new Set(now.slice(0, 1000).map((entry) => entry.key));
        const merged = [...fresh.filter((entry) => !known.has(entry.key)), ...now];
        return merged.sort((a, b) => compareNanos(b.ns, a.ns)).slice(0, mostLive);
      });
    }, 200);
    return () => {
      closed = true;
      held.current = [];
      clearTimeout(retry);
      clearInterval(timer);
      socket?.close();
    };
  }, [query]);
  return { entries, state, dropped, paused, setPaused };
}
