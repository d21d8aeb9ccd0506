// Where the series come from: top metrics, labels, pairs; and within a metric, its labels.

import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { call, message } from '../../api/http';
import { type Labels, queryInstant, type TsdbStatus } from '../../api/prometheus';
import { bytes, count } from '../../chart/values';
import { Bars, Facts } from '../../kit/facts';
import { SeriesName } from '../../kit/labels';
import { PageHead, Shown, useCall } from '../../kit/page';
import { Empty, Failed, Loading } from '../../kit/states';
import { useSettings } from '../../shell/settings';
import { formatTime } from '../../time/format';
import { Link } from '../../url/router';
import { metricsHref, useParams } from '../../url/state';
import { labelUses, nameIn, narrowed, quoted } from './labels';

/** Most series that are looked at to tell the labels of a selection. */
const most = 5000;

export default function CardinalityView() {
  const [params, change] = useParams();
  const limit = params.get('limit') ?? '10';
  const selector = params.get('match') ?? '';
  return (
    <>
      <PageHead title="Cardinality">
        <form
          className="field"
          onSubmit={(event) => {
            event.preventDefault();
            change({ match: String(new FormData(event.currentTarget).get('match') ?? '') });
          }}
        >
          <input
            key={selector}
            type="search"
            name="match"
            className="mono selector"
            aria-label="Look into a selector"
            placeholder='Look into: {job="node"}'
            defaultValue={selector}
          />
          <button type="submit">Look</button>
        </form>
        <label className="field">
          Top
          <select value={limit} onChange={(e) => change({ limit: e.target.value }, 'replace')}>
            {['10', '25', '50', '100'].map((n) => (
              <option key={n}>{n}</option>
            ))}
          </select>
        </label>
      </PageHead>
      {selector ? (
        <Within selector={selector} limit={Number(limit)} onLook={(match) => change({ match })} />
      ) : (
        <Whole limit={limit} onLook={(match) => change({ match })} />
      )}
    </>
  );
}

function Whole({ limit, onLook }: { limit: string; onLook: (selector: string) => void }) {
  const { zone } = useSettings();
  const status = useCall<TsdbStatus>('api/v1/status/tsdb', { limit }, 60_000);
  return (
    <Shown of={status} what="cardinality">
      {({ headStats, ...lists }) => (
        <>
          <section className="panel padded" aria-label="Head">
            <h2>In memory</h2>
            <Facts
              of={[
                ['Series', count(headStats.numSeries)],
                ['Pairs of label and value', count(headStats.numLabelPairs)],
                ['Chunks', count(headStats.chunkCount)],
                [
                  'Samples from',
                  headStats.minTime > headStats.maxTime
                    ? 'none yet'
                    : `${formatTime(headStats.minTime, zone)} to ${formatTime(headStats.maxTime, zone)}`,
                ],
              ]}
            />
          </section>
          <div className="columns">
            <Top title="Metrics with most series">
              <Bars
                of={lists.seriesCountByMetricName}
                show={count}
                onChoose={(name) => onLook(`{__name__=${quoted(name)}}`)}
              />
            </Top>
            <Top title="Pairs with most series">
              <Bars
                of={lists.seriesCountByLabelValuePair}
                show={count}
                onChoose={(pair) => {
                  const at = pair.indexOf('=');
                  onLook(`{${nameIn(pair.slice(0, at))}=${quoted(pair.slice(at + 1))}}`);
                }}
              />
            </Top>
            <Top title="Labels with most values">
              <Bars
                of={lists.labelValueCountByLabelName}
                show={count}
                onChoose={(name) => onLook(`{${nameIn(name)}!=""}`)}
              />
            </Top>
            <Top title="Labels by memory of their values">
              <Bars
                of={lists.memoryInBytesByLabelName}
                show={bytes}
                onChoose={(name) => onLook(`{${nameIn(name)}!=""}`)}
              />
            </Top>
          </div>
        </>
      )}
    </Shown>
  );
}

function Top({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section className="panel padded" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Within(props: { selector: string; limit: number; onLook: (selector: string) => void }) {
  const { selector, limit, onLook } = props;
  const total = useQuery({
    queryKey: ['cardinality', selector],
    queryFn: ({ signal }) => queryInstant(`count(${selector})`, undefined, { signal }),
    retry: false,
  });
  const asked = useQuery({
    queryKey: ['series', selector],
    queryFn: ({ signal }) =>
      call<Labels[]>('api/v1/series', { 'match[]': [selector], limit: most }, { signal }),
    retry: false,
  });
  const uses = useMemo(() => labelUses(asked.data?.data ?? [], limit), [asked.data, limit]);
  const data = total.data?.data;
  const now = data?.resultType === 'vector' ? Number(data.result[0]?.value?.[1] ?? 0) : 0;
  const series = asked.data?.data ?? [];
  return (
    <>
      <section className="panel padded" aria-label="Selection">
        <div className="toolbar">
          <h2 className="mono break">{selector}</h2>
          <Link className="button push" to={metricsHref([`count(${selector})`])}>
            Its number of series over time
          </Link>
          <button type="button" onClick={() => onLook('')}>
            Back to all
          </button>
        </div>
        <Facts
          of={[
            ['Series with samples now', count(now)],
            ['Series found', `${count(series.length)}${series.length === most ? ' or more' : ''}`],
            ['Labels', count(uses.length)],
          ]}
        />
      </section>
      {asked.error && <Failed what={message(asked.error)} />}
      {asked.isLoading && <Loading what="series" />}
      {asked.data && series.length === 0 && <Empty title="No series is selected by this." />}
      <div className="columns">
        {uses.map((use) => (
          <Top key={use.name} title={`${use.name}: ${count(use.value)} values`}>
            <Bars
              of={use.top}
              show={count}
              onChoose={(value) => onLook(narrowed(selector, use.name, value))}
            />
          </Top>
        ))}
      </div>
      {series.length > 0 && (
        <section className="panel padded" aria-label="Series">
          <h2>Some of its series</h2>
          <ul className="series-list">
            {series.slice(0, 20).map((labels) => (
              <li key={JSON.stringify(labels)}>
                <SeriesName labels={labels} />
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}
