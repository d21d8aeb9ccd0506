// The metrics that the flows look at: the same shapes at each run, up to now.
//
// They are sent as OTLP, which has all that the page shows: gauges, counters with exemplars,
// and native histograms.

import { createHash } from 'node:crypto';

export const minutes = 50;
/** Seconds between samples. */
export const step = 5;
export const machines = 200;

interface Attribute {
  key: string;
  value: { stringValue: string };
}

const attributes = (labels: Record<string, string>): Attribute[] =>
  Object.entries(labels).map(([key, stringValue]) => ({ key, value: { stringValue } }));

const nanos = (ms: number) => `${Math.round(ms)}000000`;

/** The id of a trace, as 32 digits: the same for the same number. */
export const traceId = (n: number) =>
  createHash('sha256').update(`trace ${n}`).digest('hex').slice(0, 32);

/** Sends metrics of the last minutes; answers with the time of the first. */
export async function seedMetrics(url: string): Promise<number> {
  const end = Math.floor(Date.now() / 1000 / step) * step * 1000;
  const start = end - minutes * 60_000;
  const batch = 40 * step * 1000;
  for (let from = start; from <= end; from += batch) {
    const times: number[] = [];
    for (let t = from; t < from + batch && t <= end; t += step * 1000) times.push(t);
    await send(url, times, start);
  }
  return start;
}

/** Orders taken after so many seconds: more at times, never fewer. */
const taken = (age: number) => age + 250 * Math.sin(age / 300);

/** How often each bucket was counted after so many seconds. */
function checkouts(age: number): number[] {
  const counts: number[] = new Array(16).fill(0);
  for (let second = 0; second <= age; second += step) {
    const center = 7 + 3 * Math.sin(second / 420);
    for (let bucket = 0; bucket < counts.length; bucket += 1) {
      const n = Math.round(20 * Math.exp(-((bucket - center) ** 2) / 5));
      counts[bucket] = (counts[bucket] ?? 0) + n;
    }
  }
  return counts;
}

async function send(url: string, times: readonly number[], start: number) {
  const machine = (n: number) => ({
    name: 'fleet_load',
    description: 'Load of the machines.',
    gauge: {
      // One machine is silent for a while, which is a gap.
      dataPoints: times
        .filter((t) => n !== 3 || t - start < 15 * 60_000 || t - start > 30 * 60_000)
        .map((t) => ({
          timeUnixNano: nanos(t),
          asDouble: 2 + n / 40 + Math.sin(t / 240_000 + n) + Math.sin(t / 31_000 + n * 7) / 5,
          attributes: attributes({
            machine: `m${String(n).padStart(3, '0')}`,
            zone: 'abc'[n % 3] ?? '',
          }),
        })),
    },
  });
  const orders = (shop: string, factor: number) => ({
    name: 'orders',
    description: 'Orders that were taken.',
    sum: {
      aggregationTemporality: 2,
      isMonotonic: true,
      dataPoints: times.map((t, at) => ({
        startTimeUnixNano: nanos(start - 1000),
        timeUnixNano: nanos(t),
        asDouble: Math.floor(factor * taken((t - start) / 1000)),
        attributes: attributes({ shop }),
        exemplars:
          at === 20
            ? [
                {
                  timeUnixNano: nanos(t),
                  asDouble: factor,
                  traceId: traceId(Math.round((t - start) / 1000)),
                  spanId: traceId(Math.round((t - start) / 1000)).slice(16),
                },
              ]
            : [],
      })),
    },
  });
  const checkout = {
    name: 'checkout.duration',
    unit: 's',
    description: 'How long a checkout takes.',
    exponentialHistogram: {
      aggregationTemporality: 2,
      dataPoints: times.map((t) => {
        const counts = checkouts((t - start) / 1000);
        return {
          startTimeUnixNano: nanos(start - 1000),
          timeUnixNano: nanos(t),
          count: String(counts.reduce((a, b) => a + b, 0)),
          sum: counts.reduce((sum, n, bucket) => sum + n * 2 ** ((bucket - 10) / 2), 0),
          scale: 1,
          zeroCount: '0',
          positive: { offset: -10, bucketCounts: counts.map(String) },
          attributes: attributes({ shop: 'north' }),
        };
      }),
    },
  };
  const body = {
    resourceMetrics: [
      {
        resource: { attributes: attributes({ 'service.name': 'shop' }) },
        scopeMetrics: [
          {
            metrics: [
              ...Array.from({ length: machines }, (_, n) => machine(n)),
              orders('north', 3),
              orders('south', 1.5),
              checkout,
            ],
          },
        ],
      },
    ],
  };
  const answer = await fetch(`${url}api/v1/otlp/v1/metrics`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`metrics were refused: ${answer.status} ${await answer.text()}`);
}

type Line = [ms: number, text: string, metadata?: Record<string, string>];

/** Sends lines of one stream; those of one millisecond keep their order. */
export async function pushLines(url: string, stream: Record<string, string>, lines: Line[]) {
  const values = lines.map(([ms, text, metadata], n) => {
    const time = `${Math.round(ms)}${String(n % 1_000_000).padStart(6, '0')}`;
    return metadata ? [time, text, metadata] : [time, text];
  });
  const answer = await fetch(`${url}loki/api/v1/push`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ streams: [{ stream, values }] }),
  });
  if (!answer.ok) throw new Error(`lines were refused: ${answer.status} ${await answer.text()}`);
}

/** Lines of the minutes that the metrics are of: a shop, the payment behind it, and one with many. */
export async function seedLogs(url: string, start: number) {
  const severity = ['info', 'info', 'info', 'info', 'debug', 'warn', 'info', 'error'];
  const pods: Line[][] = [[], [], []];
  const payment: Line[] = [];
  for (let n = 0; n < 1500; n += 1) {
    const ms = start + n * 2000;
    const level = severity[n % severity.length] ?? 'info';
    // Each second of the metrics has a trace, so exemplars have lines.
    const trace_id = traceId(Math.round((ms - start) / 1000));
    const status = level === 'error' ? 502 : 200;
    const text = JSON.stringify({
      level,
      msg: `order ${n} ${level === 'error' ? 'failed' : 'taken'} in checkout`,
      status,
      took_ms: 20 + ((n * 37) % 400),
      customer: { id: 1000 + (n % 90), country: ['de', 'fr', 'it'][n % 3] },
      trace_id,
    });
    pods[n % 3]?.push([ms, text]);
    payment.push([
      ms + 500,
      `level=${level} msg="charged" order=${n} trace_id=${trace_id}`,
      { span_id: trace_id.slice(16) },
    ]);
  }
  for (const [n, lines] of pods.entries()) {
    await pushLines(url, { service_name: 'shop', pod: `pod-${n}` }, lines);
  }
  await pushLines(url, { service_name: 'payment', pod: 'pod-9' }, payment);
  const many = Array.from({ length: 10_000 }, (_, n): Line => {
    return [
      start + n * 250,
      `line ${n} of many, with some words so that it is about as long as usual`,
    ];
  });
  await pushLines(url, { service_name: 'many' }, many);
}

/** Rules with an alert that fires and one that does not. */
export const rules = `
groups:
  - name: shop
    interval: 1s
    rules:
      - record: shop:orders:rate5m
        expr: sum by (shop) (rate(orders_total[5m]))
      - alert: FleetIsLoaded
        expr: max(fleet_load) > 1
        labels: {severity: page}
        annotations:
          summary: 'A machine has a load of {{ $value }}'
      - alert: NobodyOrders
        expr: sum(rate(orders_total[5m])) < 0
        for: 5m
        labels: {severity: page}
`;

/** Rules over logs, with an alert that fires. */
export const logRules = `
groups:
  - name: failures
    interval: 2s
    rules:
      - record: shop:failures:count5m
        expr: sum by (pod) (count_over_time({service_name="shop"} |= "failed" [5m]))
      - alert: OrdersFail
        expr: sum(count_over_time({service_name="shop"} |= "failed" [2h])) > 10
        labels: {severity: ticket}
        annotations:
          summary: '{{ $value }} orders failed'
`;

/** Files that are followed: one as it should be, and one that is not what its name says. */
export const followed = {
  'web.log': Array.from({ length: 40 }, (_, n) => `GET /items/${n} 200 in ${n % 7} ms\n`).join(''),
  'old.web.log.gz': 'not compressed at all\n',
};

/**
 * Scrapes itself, and a target that is not there; one more is dropped by a rule. Follows
 * files, of which one cannot be read.
 */
export const config = (port: number, folder: string) => `
global: {scrape_interval: 5s, evaluation_interval: 1s}
rule_files: [rules.yml]
log_rule_files: [log_rules.yml]
storage: {exemplars: {max_exemplars: 10000}}
scrape_configs:
  - job_name: kymo
    static_configs:
      - targets: ['127.0.0.1:${port}']
        labels: {role: monitoring}
  - job_name: absent
    static_configs:
      - targets: ['127.0.0.1:1']
  - job_name: chosen
    relabel_configs:
      - {source_labels: [wanted], regex: 'no', action: drop}
      - {source_labels: [wanted], target_label: kept_because}
    static_configs:
      - {targets: ['127.0.0.1:${port}'], labels: {wanted: 'yes'}}
      - {targets: ['127.0.0.1:2'], labels: {wanted: 'no'}}
log_configs:
  - job_name: web
    relabel_configs:
      - {source_labels: [wanted], regex: 'no', action: drop}
    static_configs:
      - labels: {job: web, tier: front, __path__: '${folder}/*web.log*'}
      - labels: {job: debug, wanted: 'no', __path__: '${folder}/debug.log'}
`;

/** The time of the first sample, in milliseconds. */
export const seedFrom = () => Number(process.env.KYMO_SEEDED_FROM);
