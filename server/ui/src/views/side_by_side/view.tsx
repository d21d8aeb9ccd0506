// A metric and logs on one time axis: what happened, and what was said of it.

import { PlayIcon } from '@radix-ui/react-icons';
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from 'react';
import { Empty, Failed, Loading } from '../../kit/states';
import { useKeys } from '../../shell/keys';
import { useSettings } from '../../shell/settings';
import { formatTime } from '../../time/format';
import { TimePicker } from '../../time/picker';
import { resolve, stepSeconds } from '../../time/range';
import { remember } from '../../url/history';
import { readRange, useParams } from '../../url/state';
import { LogQuery } from '../logs/view';
import { useQueryLimit } from '../metrics/limit';
import { useRun } from '../metrics/run';
import '../metrics/metrics.css';
import '../logs/logs.css';

const PromQLEditor = lazy(() => import('../../editor/promql'));
const LogPane = lazy(() => import('../logs/pane'));
const Graph = lazy(() => import('../metrics/graph'));

/** Charts with this key show their pointers together. */
const sync = 'side by side';

export default function SideBySideView() {
  const [params, change] = useParams();
  const metric = params.get('m') ?? '';
  const logs = params.get('l') ?? '';
  const range = useMemo(() => readRange(params), [params]);
  const near = params.get('near');
  const { zone } = useSettings();
  const [metricDraft, setMetricDraft] = useState(metric);
  const [logsDraft, setLogsDraft] = useState(logs);
  useEffect(() => setMetricDraft(metric), [metric]);
  useEffect(() => setLogsDraft(logs), [logs]);
  const [again, setAgain] = useState(0);
  const [shown, start] = useRun();
  const limitMs = useQueryLimit();

  const { from, to } = range;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each count asks for the time anew
  const interval = useMemo(() => {
    const { start, end } = resolve({ from, to }, Date.now());
    // Both halves begin and end at the same times.
    const ms = stepSeconds('', { start, end }, 300) * 1000;
    return { start: Math.floor(start / ms) * ms, end: Math.floor(end / ms) * ms };
  }, [from, to, again]);
  useEffect(() => {
    if (metric === '') return;
    start({
      queries: [metric],
      range: {
        start: interval.start / 1000,
        end: interval.end / 1000,
        step: stepSeconds('', interval, 300),
      },
      end: interval.end / 1000,
      exemplars: true,
    });
  }, [metric, interval, start]);
  const run = useCallback(() => {
    remember('promql', metricDraft.trim());
    remember('logql', logsDraft.trim());
    change({ m: metricDraft.trim(), l: logsDraft.trim() });
    setAgain((n) => n + 1);
  }, [metricDraft, logsDraft, change]);
  useKeys('Side by side', [
    {
      key: '/',
      does: 'Write the queries',
      run: () => document.querySelector<HTMLElement>('.editor .cm-content')?.focus(),
    },
    { key: 'r', does: 'Run again', run },
  ]);
  const error = shown?.outcomes[0]?.error;
  return (
    <>
      <div className="page-head">
        <h1>Side by side</h1>
        <TimePicker range={range} onChange={(next) => change({ ...next, near: undefined })} />
      </div>
      <div className="side-queries">
        <section aria-label="Metric">
          <h2>Metric</h2>
          <Suspense fallback={<Loading what="editor" />}>
            <PromQLEditor
              value={metricDraft}
              label="Query of metrics"
              onChange={setMetricDraft}
              onRun={run}
            />
          </Suspense>
        </section>
        <section aria-label="Logs">
          <h2>Logs</h2>
          <LogQuery value={logsDraft} onChange={setLogsDraft} onRun={run} />
        </section>
      </div>
      <div className="toolbar">
        <button type="button" className="primary" onClick={run}>
          <PlayIcon /> Run
        </button>
        {near && (
          <button type="button" onClick={() => change({ near: undefined })}>
            Lines before {formatTime(Number(near), zone)}: show all
          </button>
        )}
      </div>
      {error && <Failed what={error.message} />}
      <section className="panel" aria-label="Graph of the metric">
        {metric === '' ? (
          <Empty title="A query of metrics is drawn here." />
        ) : !shown ? (
          <Loading what="graph" />
        ) : (
          <Suspense fallback={<Loading what="graph" />}>
            <Graph
              run={shown}
              range={range}
              stack={false}
              log={false}
              sync={sync}
              height={220}
              onRange={(next) => change({ ...next, near: undefined })}
              onPick={(ms) => change({ near: String(Math.round(ms)) })}
            />
          </Suspense>
        )}
      </section>
      {logs === '' ? (
        <section className="panel">
          <Empty title="The lines of a query of logs are shown here, on the same time axis." />
        </section>
      ) : (
        <Suspense fallback={<Loading what="lines" />}>
          <LogPane
            query={logs}
            interval={interval}
            direction="backward"
            wrap
            again={again}
            limitMs={limitMs}
            sync={sync}
            near={near ? Number(near) : undefined}
            onQuery={(l) => change({ l })}
            onRange={(next) => change({ ...next, near: undefined })}
          />
        </Suspense>
      )}
    </>
  );
}
