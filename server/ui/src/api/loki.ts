// The calls of `/loki/api/v1` that the page makes, and entries as it works with them.

import { type CallOptions, call, root } from './http';
import type { Labels, RangeSeries } from './prometheus';

/** Asks for labels of streams, structured metadata and parsed labels apart. */
const apart = { 'X-Loki-Response-Encoding-Flags': 'categorize-labels' };

interface Categories {
  structuredMetadata?: Labels;
  parsed?: Labels;
}

type RawValue = [string, string] | [string, string, Categories];

export interface RawStream {
  stream: Labels;
  values: RawValue[];
}

export interface Entry {
  /** Nanoseconds since the epoch, as text: they are more than a number holds. */
  ns: string;
  line: string;
  labels: Labels;
  metadata: Labels;
  parsed: Labels;
  /** The same for the same entry, however often it comes. */
  key: string;
}

export type Direction = 'backward' | 'forward';

export interface LogStats {
  summary?: { totalLinesProcessed?: number; totalBytesProcessed?: number; execTime?: number };
}

export type LogData = { stats?: LogStats } & (
  | { resultType: 'streams'; result: RawStream[] }
  | { resultType: 'matrix'; result: RangeSeries[] }
);

/** A time in nanoseconds, from milliseconds. */
export const nanos = (ms: number) => `${Math.round(ms)}000000`;
export const millis = (ns: string) => Number(BigInt(ns) / 1000n) / 1000;

export interface LogsAsked {
  query: string;
  /** Nanoseconds; the end is not part of it. */
  start: string;
  end: string;
  limit: number;
  direction: Direction;
}

export function queryLogs(asked: LogsAsked, options: CallOptions) {
  return call<LogData>('loki/api/v1/query_range', { ...asked }, { headers: apart, ...options });
}

export function queryLogMetric(
  query: string,
  range: { start: number; end: number; step: number },
  options: CallOptions,
) {
  const { start, end, step } = range;
  return call<LogData>('loki/api/v1/query_range', { query, start, end, step }, options);
}

export function logLabels(start: number, end: number, options: CallOptions = {}) {
  const range = { start: nanos(start), end: nanos(end) };
  return call<string[] | undefined>('loki/api/v1/labels', range, options);
}

export function logLabelValues(name: string, start: number, end: number, query?: string) {
  const params = { start: nanos(start), end: nanos(end), query };
  return call<string[] | undefined>(`loki/api/v1/label/${encodeURIComponent(name)}/values`, params);
}

/** Whether the parser takes a query; it throws what the parser says. */
export function checkLogQuery(query: string, options: CallOptions) {
  return call<string>('loki/api/v1/format_query', { query }, options);
}

/** Puts the entries of streams into one row, in order of time. */
export function entriesOf(streams: readonly RawStream[], direction: Direction): Entry[] {
  const entries: Entry[] = [];
  for (const { stream, values } of streams) {
    const name = JSON.stringify(stream);
    for (const [ns, line, categories] of values) {
      entries.push({
        ns,
        line,
        labels: stream,
        metadata: categories?.structuredMetadata ?? {},
        parsed: categories?.parsed ?? {},
        key: `${ns} ${name} ${line}`,
      });
    }
  }
  const sign = direction === 'backward' ? -1 : 1;
  return entries.sort((a, b) => sign * compareNanos(a.ns, b.ns));
}

export function compareNanos(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

/** Tells labels of streams from the others, where an answer has them in one: those are known. */
export function categorized(entry: Entry, known: ReadonlySet<string>): Entry {
  const all = Object.entries(entry.labels);
  return {
    ...entry,
    labels: Object.fromEntries(all.filter(([name]) => known.has(name))),
    metadata: Object.fromEntries(all.filter(([name]) => !known.has(name))),
  };
}

/** What severity an entry has, as the server found or a label says. */
export function levelOf(entry: Entry): string {
  const { metadata, labels, parsed } = entry;
  const found =
    metadata.detected_level ?? parsed.level ?? metadata.level ?? labels.level ?? parsed.severity;
  return levelName(found ?? 'unknown');
}

/** One name for each severity. */
export function levelName(text: string): string {
  const lower = text.toLowerCase();
  if (/^(crit|fatal|emerg|alert|panic)/.test(lower)) return 'critical';
  if (/^err/.test(lower)) return 'error';
  if (/^warn/.test(lower)) return 'warn';
  if (/^(info|notice)/.test(lower)) return 'info';
  if (/^debug/.test(lower)) return 'debug';
  if (/^trace/.test(lower)) return 'trace';
  return 'unknown';
}

/** The most severe first. */
export const levels = ['critical', 'error', 'warn', 'info', 'debug', 'trace', 'unknown'] as const;

/** Where entries come live. */
export function tailUrl(query: string, startNs: string): string {
  const url = new URL('loki/api/v1/tail', root);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = new URLSearchParams({ query, start: startNs, limit: '200' }).toString();
  return url.href;
}
