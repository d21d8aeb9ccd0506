// The calls of `/api/v1` that the page makes, and what they answer.

import { type Answer, type CallOptions, call } from './http';

export type Labels = Record<string, string>;
/** Seconds, and a number as text. */
export type Point = [number, string];
/** Which side is open, lower and upper bound, count. */
export type Bucket = [number, string, string, string];

export interface Histogram {
  count: string;
  sum: string;
  buckets?: Bucket[];
}

export interface RangeSeries {
  metric: Labels;
  values?: Point[];
  histograms?: [number, Histogram][];
}

export interface InstantSeries {
  metric: Labels;
  value?: Point;
  histogram?: [number, Histogram];
}

export interface QueryStats {
  timings: Record<string, number>;
  samples: { totalQueryableSamples: number; peakSamples: number; samplesRead?: number };
}

export type QueryData = { stats?: QueryStats } & (
  | { resultType: 'matrix'; result: RangeSeries[] }
  | { resultType: 'vector'; result: InstantSeries[] }
  | { resultType: 'scalar'; result: Point }
  | { resultType: 'string'; result: Point }
);

export interface RangeAsked {
  start: number;
  end: number;
  step: number;
}

export function queryRange(query: string, asked: RangeAsked, options: CallOptions) {
  const { start, end, step } = asked;
  const params = { query, start, end, step, stats: 'all' };
  return call<QueryData>('api/v1/query_range', params, { method: 'POST', ...options });
}

export function queryInstant(query: string, time: number | undefined, options: CallOptions) {
  const params = { query, time, stats: 'all' };
  return call<QueryData>('api/v1/query', params, { method: 'POST', ...options });
}

export interface Exemplar {
  labels: Labels;
  value: string;
  timestamp: number;
}

export interface ExemplarSeries {
  seriesLabels: Labels;
  exemplars: Exemplar[];
}

export function queryExemplars(query: string, start: number, end: number, options: CallOptions) {
  return call<ExemplarSeries[]>('api/v1/query_exemplars', { query, start, end }, options);
}

export function explain(query: string, asked: RangeAsked | undefined, options: CallOptions) {
  return call<{ text: string }>('api/v1/explain', { query, ...asked }, options);
}

export function formatQuery(query: string): Promise<Answer<string>> {
  return call<string>('api/v1/format_query', { query }, { method: 'POST' });
}

export interface Target {
  discoveredLabels: Labels;
  labels: Labels;
  scrapePool: string;
  scrapeUrl: string;
  globalUrl: string;
  lastError: string;
  lastScrape: string;
  lastScrapeDuration: number;
  health: 'up' | 'down' | 'unknown';
  scrapeInterval: string;
  scrapeTimeout: string;
}

export interface Targets {
  activeTargets: Target[];
  droppedTargets?: { discoveredLabels: Labels; scrapePool?: string }[];
  droppedTargetCounts?: Record<string, number>;
}

export interface RelabelStep {
  rule: {
    action: string;
    regex: string;
    source_labels?: string[];
    target_label?: string;
    replacement?: string;
    separator?: string;
    modulus?: number;
  };
  output: Labels;
  keep: boolean;
}

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: 'firing' | 'pending' | 'inactive' | 'unknown';
  activeAt?: string;
  keepFiringSince?: string;
  value: string;
}

export interface Rule {
  name: string;
  query: string;
  type: 'alerting' | 'recording';
  health: string;
  lastError?: string;
  evaluationTime: number;
  lastEvaluation: string;
  labels?: Labels;
  annotations?: Labels;
  duration?: number;
  keepFiringFor?: number;
  state?: Alert['state'];
  alerts?: Alert[];
}

export interface RuleGroup {
  name: string;
  file: string;
  interval: number;
  limit?: number;
  evaluationTime: number;
  lastEvaluation: string;
  rules: Rule[];
}

export interface Count {
  name: string;
  value: number;
}

export interface TsdbStatus {
  headStats: {
    numSeries: number;
    numLabelPairs: number;
    chunkCount: number;
    minTime: number;
    maxTime: number;
  };
  seriesCountByMetricName: Count[];
  labelValueCountByLabelName: Count[];
  memoryInBytesByLabelName: Count[];
  seriesCountByLabelValuePair: Count[];
}

export interface Block {
  ulid: string;
  minTime: number;
  maxTime: number;
  stats: { numSamples: number; numSeries: number; numChunks: number; numTombstones?: number };
  compaction: { level: number; sources: string[] };
}

export interface RuntimeInfo {
  startTime: string;
  CWD: string;
  hostname: string;
  serverTime: string;
  reloadConfigSuccess: boolean;
  lastConfigTime: string;
  corruptionCount: number;
  goroutineCount: number;
  GOMAXPROCS: number;
  storageRetention: string;
}

export interface Notice {
  text: string;
  date: string;
  active: boolean;
}
