// What is scraped, whether that works, and why not.

import { useMemo } from 'react';
import type { Target, Targets } from '../../api/prometheus';
import { LabelPlates } from '../../kit/labels';
import { PageHead, Shown, useCall } from '../../kit/page';
import { Empty } from '../../kit/states';
import { useKeys } from '../../shell/keys';
import { useSettings } from '../../shell/settings';
import { ago, formatTime, span } from '../../time/format';
import { Link } from '../../url/router';
import { metricsHref, useParams } from '../../url/state';
import { matches } from './matches';
import './targets.css';

const healths = ['up', 'down', 'unknown'] as const;

export default function TargetsView() {
  const targets = useCall<Targets>('api/v1/targets', { state: 'active' }, 10_000);
  return (
    <Shown of={targets} what="targets">
      {(data) => <All targets={data.activeTargets} />}
    </Shown>
  );
}

function All({ targets }: { targets: Target[] }) {
  const [params, change] = useParams();
  const wanted = params.get('search') ?? '';
  const health = healths.find((one) => one === params.get('health'));
  const pool = params.get('pool') ?? '';
  const pools = useMemo(() => [...new Set(targets.map((one) => one.scrapePool))].sort(), [targets]);
  const found = useMemo(() => {
    const words = wanted.split(/\s+/).filter((word) => word !== '');
    return targets.filter(
      (one) =>
        matches(one, words) &&
        (!health || one.health === health) &&
        (pool === '' || one.scrapePool === pool),
    );
  }, [targets, wanted, health, pool]);
  useKeys('Targets', [
    { key: '/', does: 'Search targets', run: () => document.getElementById('search')?.focus() },
  ]);
  const count = (state: Target['health']) => targets.filter((one) => one.health === state).length;
  return (
    <>
      <PageHead title="Targets">
        <input
          id="search"
          type="search"
          aria-label="Search targets"
          placeholder="Search: labels, address, error"
          value={wanted}
          onChange={(e) => change({ search: e.target.value }, 'replace')}
        />
        <label className="field">
          <span className="visually-hidden">Pool</span>
          <select value={pool} onChange={(e) => change({ pool: e.target.value }, 'replace')}>
            <option value="">All pools</option>
            {pools.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <fieldset className="joined bare" aria-label="Health">
          <button
            type="button"
            aria-pressed={!health}
            onClick={() => change({ health: undefined })}
          >
            All {targets.length}
          </button>
          {healths.map((state) => (
            <button
              key={state}
              type="button"
              aria-pressed={health === state}
              onClick={() => change({ health: health === state ? undefined : state })}
            >
              {state} {count(state)}
            </button>
          ))}
        </fieldset>
      </PageHead>
      {targets.length === 0 && (
        <Empty title="Nothing is scraped.">
          <p>
            Targets come from <code>scrape_configs</code> in the configuration file.
          </p>
        </Empty>
      )}
      {targets.length > 0 && found.length === 0 && <Empty title="No target matches." />}
      {pools.map((name) => (
        <Pool key={name} name={name} targets={found.filter((one) => one.scrapePool === name)} />
      ))}
    </>
  );
}

function Pool({ name, targets }: { name: string; targets: Target[] }) {
  const { zone } = useSettings();
  if (targets.length === 0) return null;
  const up = targets.filter((one) => one.health === 'up').length;
  const now = Date.now();
  return (
    <section className="panel" aria-label={`Pool ${name}`}>
      <div className="panel-head">
        <h2>{name}</h2>
        <span className={up === targets.length ? 'badge good' : 'badge bad'}>
          {up} of {targets.length} up
        </span>
      </div>
      <div className="table-wrap">
        <table className="cards target-table">
          <thead>
            <tr>
              <th>Health</th>
              <th>Target</th>
              <th>Labels</th>
              <th className="number">Last scrape</th>
              <th className="number">Took</th>
            </tr>
          </thead>
          <tbody>
            {targets.map((target) => {
              const last = Date.parse(target.lastScrape);
              const never = target.lastScrape.startsWith('0001');
              return (
                <tr key={`${target.scrapeUrl} ${JSON.stringify(target.labels)}`}>
                  <td>
                    <Health of={target.health} />
                  </td>
                  <td>
                    <span className="mono break">{target.scrapeUrl}</span>
                    {target.lastError && <p className="target-error">{target.lastError}</p>}
                    <Link className="small-link" to={metricsHref([upQuery(target)])}>
                      Its history
                    </Link>
                  </td>
                  <td>
                    <LabelPlates labels={target.labels} />
                  </td>
                  <td className="number" title={never ? '' : formatTime(last, zone, true)}>
                    {never ? 'not yet' : ago(last, now)}
                  </td>
                  <td className="number">
                    {never ? '–' : span(target.lastScrapeDuration * 1000)}
                    <span className="muted"> / {target.scrapeInterval}</span>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function upQuery({ labels }: Target): string {
  const pairs = ['job', 'instance'].flatMap((name) =>
    labels[name] === undefined ? [] : [`${name}=${JSON.stringify(labels[name])}`],
  );
  return `up{${pairs.join(',')}}`;
}

export function Health({ of }: { of: Target['health'] }) {
  const kind = of === 'up' ? 'good' : of === 'down' ? 'bad' : 'warn';
  return <span className={`badge ${kind}`}>{of}</span>;
}
