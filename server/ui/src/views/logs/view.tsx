// Explore logs: a query, the volume of its lines, and the lines.

import { CounterClockwiseClockIcon, PlayIcon } from '@radix-ui/react-icons';
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from 'react';
import { message } from '../../api/http';
import { logLabels, logLabelValues } from '../../api/loki';
import { problemOf } from '../../editor/problem';
import { History } from '../../kit/history';
import { Empty, Failed, Loading } from '../../kit/states';
import { broadSelector, isMetricQuery, withNeedle } from '../../logql/query';
import { useKeys } from '../../shell/keys';
import { TimePicker } from '../../time/picker';
import { parseDuration, resolve } from '../../time/range';
import { RefreshSelect, useEvery } from '../../time/refresh';
import { remember } from '../../url/history';
import { readRange, useParams } from '../../url/state';
import { useQueryLimit } from '../metrics/limit';
import '../metrics/metrics.css';
import './logs.css';

const LogQLEditor = lazy(() => import('../../editor/logql'));
const LogPane = lazy(() => import('./pane'));
const LivePane = lazy(() => import('./live'));

export default function LogsView() {
  const [params, change] = useParams();
  const find = params.get('find');
  const { from, to } = useMemo(() => readRange(params), [params]);
  const interval = useMemo(() => resolve({ from, to }, Date.now()), [from, to]);
  // Who comes from an exemplar knows an id, and not which streams there are.
  const labels = useQuery({
    queryKey: ['log labels', interval],
    queryFn: ({ signal }) => logLabels(interval.start, interval.end, { signal }),
    enabled: find !== null,
    retry: false,
  });
  const known = labels.data?.data;
  useEffect(() => {
    if (find === null || !labels.data) return;
    const q = withNeedle(broadSelector(known ?? []), find);
    change({ q, find: undefined, near: undefined, hint: undefined }, 'replace');
  }, [find, labels.data, known, change]);
  if (find !== null && labels.error) return <Failed what={message(labels.error)} />;
  if (find !== null) return <Loading what="lines" />;
  return <Logs />;
}

function Logs() {
  const [params, change] = useParams();
  const query = params.get('q') ?? '';
  const range = useMemo(() => readRange(params), [params]);
  const direction = params.get('dir') === 'forward' ? 'forward' : 'backward';
  const live = params.get('live') === '1';
  const wrap = params.get('wrap') !== '0';
  const refresh = params.get('refresh') ?? '';
  const [draft, setDraft] = useState(query);
  useEffect(() => setDraft(query), [query]);
  const [again, setAgain] = useState(0);
  const [history, setHistory] = useState(false);
  const limitMs = useQueryLimit();

  const { from, to } = range;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each count asks for the time anew
  const interval = useMemo(() => resolve({ from, to }, Date.now()), [from, to, query, again]);
  const run = useCallback(() => {
    const wanted = draft.trim();
    remember('logql', wanted);
    if (wanted !== query) change({ q: wanted });
    else setAgain((n) => n + 1);
  }, [draft, query, change]);
  const take = useCallback((q: string) => change({ q }), [change]);
  useEvery(live ? undefined : parseDuration(refresh), () => setAgain((n) => n + 1));

  const metric = query !== '' && isMetricQuery(query);
  const toggleLive = () => change({ live: live ? undefined : '1' });
  const turn = () => change({ dir: direction === 'backward' ? 'forward' : undefined });
  useKeys('Logs', [
    {
      key: '/',
      does: 'Write the query',
      run: () => document.querySelector<HTMLElement>('.query-row .cm-content')?.focus(),
    },
    { key: 'r', does: 'Run again', run },
    { key: 'l', does: 'Live, or not', run: toggleLive },
    { key: 'o', does: 'Newest or oldest first', run: turn },
    { key: 'w', does: 'Wrap long lines', run: () => change({ wrap: wrap ? '0' : undefined }) },
    { key: 'h', does: 'History of queries', run: () => setHistory(true) },
  ]);

  return (
    <>
      <div className="page-head">
        <h1>Logs</h1>
        <TimePicker range={range} onChange={(next) => change({ ...next, live: undefined })} />
        <RefreshSelect
          every={refresh}
          onChange={(every) => change({ refresh: every }, 'replace')}
        />
      </div>
      <section className="queries" aria-label="Query">
        <LogQuery value={draft} onChange={setDraft} onRun={run} />
        <div className="toolbar">
          <button type="button" className="primary" onClick={run}>
            <PlayIcon /> Run
          </button>
          <button type="button" aria-pressed={live} disabled={metric} onClick={toggleLive}>
            Live
          </button>
          <button type="button" disabled={live || metric} onClick={turn}>
            {direction === 'backward' ? 'Newest first' : 'Oldest first'}
          </button>
          <label className="check">
            <input
              type="checkbox"
              checked={wrap}
              onChange={(e) => change({ wrap: e.target.checked ? undefined : '0' }, 'replace')}
            />
            Wrap
          </label>
          <button type="button" onClick={() => setHistory(true)}>
            <CounterClockwiseClockIcon /> History
          </button>
        </div>
      </section>
      {query === '' ? (
        <Start interval={interval} onTake={take} />
      ) : (
        <Suspense fallback={<Loading what="lines" />}>
          {live && !metric ? (
            <LivePane query={query} wrap={wrap} onQuery={take} />
          ) : (
            <LogPane
              query={query}
              interval={interval}
              direction={direction}
              wrap={wrap}
              again={again}
              limitMs={limitMs}
              onQuery={take}
              onRange={(next) => change({ ...next })}
            />
          )}
        </Suspense>
      )}
      <History language="logql" open={history} onOpenChange={setHistory} onChoose={take} />
    </>
  );
}

export function LogQuery(props: {
  value: string;
  onChange: (value: string) => void;
  onRun: () => void;
  problem?: string;
}) {
  const { value, onChange, onRun } = props;
  const problem = useMemo(
    () => (props.problem ? problemOf(props.problem) : undefined),
    [props.problem],
  );
  return (
    <div className="query-row alone">
      <Suspense
        fallback={
          <textarea
            className="editor-place mono"
            aria-label="Query of logs"
            rows={1}
            value={value}
            readOnly
          />
        }
      >
        <LogQLEditor
          value={value}
          label="Query of logs"
          problem={problem}
          onChange={onChange}
          onRun={onRun}
        />
      </Suspense>
    </div>
  );
}

/** What is shown before there is a query: the streams by one label. */
function Start(props: {
  interval: { start: number; end: number };
  onTake: (query: string) => void;
}) {
  const { interval, onTake } = props;
  const { start, end } = interval;
  const labels = useQuery({
    queryKey: ['log labels', interval],
    queryFn: ({ signal }) => logLabels(start, end, { signal }),
    retry: false,
  });
  const names = labels.data?.data ?? [];
  const usual = ['service_name', 'job', 'app', 'namespace', 'host'];
  const label = usual.find((one) => names.includes(one)) ?? names[0];
  const values = useQuery({
    queryKey: ['log values', label, interval],
    queryFn: () => logLabelValues(label ?? '', start, end),
    enabled: label !== undefined,
    retry: false,
  });
  if (labels.error) return <Failed what={message(labels.error)} />;
  if (!labels.data) return <Loading what="labels" />;
  if (!label) {
    return (
      <section className="panel">
        <Empty title="There are no logs in this time.">
          <p>
            Lines come in by Loki's push API (<code>/loki/api/v1/push</code>), by OTLP, or from
            files that <code>log_configs</code> in the configuration names.
          </p>
        </Empty>
      </section>
    );
  }
  return (
    <section className="panel" aria-label="Streams">
      <Empty title={`Write a query above, or begin with a ${label}.`}>
        <ul className="examples">
          {(values.data?.data ?? []).slice(0, 40).map((value) => (
            <li key={value}>
              <button
                type="button"
                className="quiet mono"
                onClick={() => onTake(`{${label}=${JSON.stringify(value)}}`)}
              >
                {value}
              </button>
            </li>
          ))}
        </ul>
      </Empty>
    </section>
  );
}
