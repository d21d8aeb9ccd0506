// Explore metrics: queries, and what they give as graph or table.

import {
  CounterClockwiseClockIcon,
  Link2Icon,
  ListBulletIcon,
  PlayIcon,
  PlusIcon,
} from '@radix-ui/react-icons';
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from 'react';
import { History } from '../../kit/history';
import { Progress } from '../../kit/progress';
import { copy } from '../../kit/save';
import { Empty, Loading } from '../../kit/states';
import { useKeys } from '../../shell/keys';
import { TimePicker } from '../../time/picker';
import { absolute, parseDuration, resolve, stepSeconds } from '../../time/range';
import { RefreshSelect, useEvery } from '../../time/refresh';
import { remember } from '../../url/history';
import { fromPrometheus, readRange, useParams } from '../../url/state';
import { Browser } from './browser';
import { useQueryLimit } from './limit';
import { QueryRow } from './query_row';
import { type Outcome, useRun } from './run';
import { ResultTable } from './table';
import './metrics.css';

const Graph = lazy(() => import('./graph'));

/** Points of a line where nothing else is asked for. */
const points = 300;

export default function MetricsView() {
  const [params, change] = useParams();
  const old = useMemo(() => fromPrometheus(params), [params]);
  useEffect(() => {
    if (!old) return;
    const gone = Object.fromEntries([...params.keys()].map((name) => [name, undefined]));
    const now = Object.fromEntries([...old.keys()].map((name) => [name, old.getAll(name)]));
    change({ ...gone, ...now }, 'replace');
  }, [old, params, change]);
  if (old) return <Loading what="query" />;
  return <Metrics />;
}

function Metrics() {
  const [params, change] = useParams();
  const queriesKey = JSON.stringify(params.getAll('q'));
  const queries = useMemo(() => JSON.parse(queriesKey) as string[], [queriesKey]);
  const range = useMemo(() => readRange(params), [params]);
  const tab = params.get('tab') === 'table' ? 'table' : 'graph';
  const step = params.get('step') ?? '';
  const refresh = params.get('refresh') ?? '';
  const exemplars = params.get('exemplars') !== '0';

  const [drafts, setDrafts] = useState<string[]>(() => (queries.length > 0 ? queries : ['']));
  useEffect(() => setDrafts(queries.length > 0 ? queries : ['']), [queries]);
  const [again, setAgain] = useState(0);
  const [history, setHistory] = useState(false);
  const [browser, setBrowser] = useState(false);
  const [copied, setCopied] = useState(false);
  const [shown, start, cancel, running] = useRun();
  const limitMs = useQueryLimit();

  const { from, to } = range;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each count asks again
  useEffect(() => {
    if (queries.length === 0) return;
    const interval = resolve({ from, to }, Date.now());
    const seconds = stepSeconds(step, interval, points);
    const whole = (ms: number) => Math.floor(ms / 1000 / seconds) * seconds;
    const asked = { start: whole(interval.start), end: whole(interval.end), step: seconds };
    start({
      queries,
      range: tab === 'graph' ? asked : undefined,
      end: interval.end / 1000,
      exemplars,
    });
  }, [queries, from, to, step, tab, exemplars, again, start]);

  const run = useCallback(() => {
    const wanted = drafts.map((query) => query.trim()).filter((query) => query !== '');
    for (const query of [...wanted].reverse()) remember('promql', query);
    if (JSON.stringify(wanted) !== queriesKey) change({ q: wanted });
    else setAgain((n) => n + 1);
  }, [drafts, queriesKey, change]);

  const everyMs = parseDuration(refresh);
  useEvery(everyMs, () => {
    if (!running) setAgain((n) => n + 1);
  });

  const focusEditor = () => {
    document.querySelector<HTMLElement>('.query-row .cm-content')?.focus();
  };
  const addQuery = () => setDrafts((all) => [...all, '']);
  useKeys('Metrics', [
    { key: '/', does: 'Write the query', run: focusEditor },
    { key: 'r', does: 'Run again', run },
    { key: 'n', does: 'Add a query', run: addQuery },
    {
      key: 'v',
      does: 'Graph or table',
      run: () => change({ tab: tab === 'graph' ? 'table' : 'graph' }),
    },
    {
      key: 's',
      does: 'Stack the lines',
      run: () => change({ stack: params.get('stack') ? undefined : '1' }),
    },
    {
      key: 'y',
      does: 'Logarithmic scale',
      run: () => change({ log: params.get('log') ? undefined : '1' }),
    },
    { key: 'h', does: 'History of queries', run: () => setHistory(true) },
    { key: 'b', does: 'Browse metrics', run: () => setBrowser(true) },
    { key: 'c', does: 'Cancel what runs', run: cancel },
  ]);

  const outcomeOf = (index: number): Outcome | undefined => {
    const query = drafts[index]?.trim();
    return shown?.outcomes.find((one) => one.query === query);
  };
  const replaceDraft = (index: number, query: string) =>
    setDrafts((all) => all.map((one, i) => (i === index ? query : one)));
  const takeQuery = (query: string) => {
    setDrafts((all) => {
      const free = all.findIndex((one) => one.trim() === '');
      return free < 0 ? [...all, query] : all.map((one, i) => (i === free ? query : one));
    });
  };

  return (
    <>
      <div className="page-head">
        <h1>Metrics</h1>
        <TimePicker range={range} onChange={(next) => change({ ...next })} />
        <RefreshSelect
          every={refresh}
          onChange={(every) => change({ refresh: every }, 'replace')}
        />
      </div>
      <section className="queries" aria-label="Queries">
        {drafts.map((query, index) => (
          <QueryRow
            key={index}
            index={index}
            query={query}
            outcome={outcomeOf(index)}
            asked={shown?.asked.range}
            only={drafts.length === 1}
            onChange={(next) => replaceDraft(index, next)}
            onRun={run}
            onRemove={() => {
              const rest = drafts.filter((_, i) => i !== index);
              setDrafts(rest);
              change({ q: rest.filter((one) => one.trim() !== '') });
            }}
          />
        ))}
        <div className="toolbar">
          {running ? (
            <button type="button" onClick={cancel}>
              Cancel
            </button>
          ) : (
            <button type="button" className="primary" onClick={run}>
              <PlayIcon /> Run
            </button>
          )}
          <button type="button" onClick={addQuery}>
            <PlusIcon /> Query
          </button>
          <button type="button" onClick={() => setBrowser(true)}>
            <ListBulletIcon /> Browse
          </button>
          <button type="button" onClick={() => setHistory(true)}>
            <CounterClockwiseClockIcon /> History
          </button>
          <button
            type="button"
            title="Copy a link to this, with the times as they are now"
            disabled={queries.length === 0}
            onClick={async () => {
              const { start, end } = resolve(range, Date.now());
              const link = new URL(window.location.href);
              for (const [name, value] of Object.entries(absolute(start, end)))
                link.searchParams.set(name, value);
              link.searchParams.delete('refresh');
              setCopied(await copy(link.href));
              setTimeout(() => setCopied(false), 2000);
            }}
          >
            <Link2Icon /> <span aria-live="polite">{copied ? 'Copied' : 'Share'}</span>
          </button>
          <div className="push">
            {running && <Progress began={running.began} limitMs={limitMs} onCancel={cancel} />}
          </div>
        </div>
      </section>

      {shown?.cancelled && (
        <p className="note warn" role="status">
          The query was cancelled{shown.outcomes.length > 0 ? '; what is shown is older' : ''}.
        </p>
      )}
      {shown?.outcomes.map((outcome) => (
        <Notes key={outcome.query} outcome={outcome} />
      ))}

      <section className="panel" aria-label="Results" aria-busy={running !== undefined}>
        <div className="panel-head">
          <div className="joined" role="tablist" aria-label="Show as">
            {(['graph', 'table'] as const).map((one) => (
              <button
                key={one}
                type="button"
                role="tab"
                aria-selected={tab === one}
                onClick={() => change({ tab: one })}
              >
                {one === 'graph' ? 'Graph' : 'Table'}
              </button>
            ))}
          </div>
          {tab === 'graph' && (
            <>
              <Toggle name="stack" title="Stacked" />
              <Toggle name="log" title="Log scale" />
              <label className="check">
                <input
                  type="checkbox"
                  checked={exemplars}
                  onChange={(e) => change({ exemplars: e.target.checked ? undefined : '0' })}
                />
                Exemplars
              </label>
              <StepField step={step} onChange={(next) => change({ step: next })} />
            </>
          )}
        </div>
        {queries.length === 0 ? (
          <Start onBrowse={() => setBrowser(true)} onTake={(query) => change({ q: [query] })} />
        ) : !shown ? (
          <Loading what="results" />
        ) : shown.asked.range ? (
          <Suspense fallback={<Loading what="graph" />}>
            <Graph
              run={shown}
              range={range}
              stack={params.get('stack') === '1'}
              log={params.get('log') === '1'}
              onRange={(next) => change({ ...next })}
            />
          </Suspense>
        ) : (
          <ResultTable run={shown} />
        )}
      </section>
      <History language="promql" open={history} onOpenChange={setHistory} onChoose={takeQuery} />
      <Browser open={browser} onOpenChange={setBrowser} onChoose={takeQuery} />
    </>
  );
}

function Toggle({ name, title }: { name: string; title: string }) {
  const [params, change] = useParams();
  return (
    <label className="check">
      <input
        type="checkbox"
        checked={params.get(name) === '1'}
        onChange={(e) => change({ [name]: e.target.checked ? '1' : undefined })}
      />
      {title}
    </label>
  );
}

function StepField({ step, onChange }: { step: string; onChange: (step: string) => void }) {
  const [text, setText] = useState(step);
  useEffect(() => setText(step), [step]);
  return (
    <form
      className="field push"
      onSubmit={(event) => {
        event.preventDefault();
        onChange(text.trim());
      }}
    >
      <label htmlFor="step">Step</label>
      <input
        id="step"
        type="text"
        className="step"
        placeholder="auto"
        title="Like 15s or 1m; empty: as fits the range"
        value={text}
        onChange={(e) => setText(e.target.value)}
        onBlur={() => text.trim() !== step && onChange(text.trim())}
      />
    </form>
  );
}

/** What the server notes about an answer, or why there is none. */
function Notes({ outcome }: { outcome: Outcome }) {
  const { error, answer } = outcome;
  return (
    <>
      {error && (
        <p className="note error" role="alert">
          {error.message}
        </p>
      )}
      {answer?.warnings.map((text) => (
        <p className="note warn" role="status" key={text}>
          Warning: {text}
        </p>
      ))}
      {answer?.infos.map((text) => (
        <p className="note" role="status" key={text}>
          Note: {text}
        </p>
      ))}
    </>
  );
}

/** What is shown before there is a query. */
function Start({ onBrowse, onTake }: { onBrowse: () => void; onTake: (query: string) => void }) {
  const examples = [
    ['up', 'which targets are scraped'],
    ['sum by (mode) (rate(node_cpu_seconds_total[5m]))', 'what the processors do'],
    ['process_resident_memory_bytes', 'memory of processes'],
    ['topk(10, count by (__name__) ({__name__=~".+"}))', 'metrics with most series'],
  ] as const;
  return (
    <Empty title="Write a query above, or begin with one of these.">
      <ul className="examples">
        {examples.map(([query, what]) => (
          <li key={query}>
            <button type="button" className="quiet" onClick={() => onTake(query)}>
              <span className="mono">{query}</span>
            </button>
            <span>{what}</span>
          </li>
        ))}
      </ul>
      <button type="button" onClick={onBrowse}>
        <ListBulletIcon /> Browse all metrics
      </button>
    </Empty>
  );
}
