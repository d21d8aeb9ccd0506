// What discovery finds, and what relabelling makes of it, rule by rule.

import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { call, message } from '../../api/http';
import type { Labels, RelabelStep, Targets } from '../../api/prometheus';
import { LabelPlates } from '../../kit/labels';
import { PageHead, Shown, useCall } from '../../kit/page';
import { Empty, Failed, Loading } from '../../kit/states';
import { useParams } from '../../url/state';
import { ruleText } from './rule_text';
import '../targets/targets.css';
import './discovery.css';

interface Found {
  pool: string;
  before: Labels;
  /** Absent where a rule dropped it. */
  after: Labels | undefined;
}

export default function DiscoveryView() {
  const targets = useCall<Targets>('api/v1/targets', {}, 30_000);
  return (
    <Shown of={targets} what="discovered targets">
      {(data) => <All data={data} />}
    </Shown>
  );
}

function All({ data }: { data: Targets }) {
  const [params, change] = useParams();
  const wanted = params.get('search') ?? '';
  const found = useMemo(() => {
    const active = data.activeTargets.map((one) => ({
      pool: one.scrapePool,
      before: one.discoveredLabels,
      after: one.labels as Labels | undefined,
    }));
    const dropped = (data.droppedTargets ?? []).map((one) => ({
      pool: one.scrapePool ?? one.discoveredLabels.job ?? '',
      before: one.discoveredLabels,
      after: undefined,
    }));
    const words = wanted.toLowerCase().split(/\s+/);
    return [...active, ...dropped].filter((one) => {
      const text = JSON.stringify([one.pool, one.before, one.after]).toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }, [data, wanted]);
  const pools = [...new Set(found.map((one) => one.pool))].sort();
  return (
    <>
      <PageHead title="Service discovery">
        <input
          type="search"
          aria-label="Search discovered targets"
          placeholder="Search labels"
          value={wanted}
          onChange={(e) => change({ search: e.target.value }, 'replace')}
        />
      </PageHead>
      {found.length === 0 && <Empty title="Nothing was discovered that matches." />}
      {pools.map((pool) => (
        <Pool
          key={pool}
          name={pool}
          found={found.filter((one) => one.pool === pool)}
          dropped={data.droppedTargetCounts?.[pool] ?? 0}
        />
      ))}
    </>
  );
}

function Pool({ name, found, dropped }: { name: string; found: Found[]; dropped: number }) {
  const active = found.filter((one) => one.after).length;
  return (
    <section className="panel" aria-label={`Pool ${name}`}>
      <div className="panel-head">
        <h2>{name}</h2>
        <span className="badge good">{active} scraped</span>
        <span className="badge">{dropped} dropped</span>
      </div>
      <div className="table-wrap">
        <table className="cards">
          <thead>
            <tr>
              <th>As discovered</th>
              <th>After relabelling</th>
            </tr>
          </thead>
          <tbody>
            {found.map((one) => (
              <Row key={JSON.stringify([one.before, one.after])} pool={name} one={one} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Row({ pool, one }: { pool: string; one: Found }) {
  const [steps, setSteps] = useState(false);
  return (
    <tr>
      <td className="half">
        <LabelPlates labels={one.before} />
      </td>
      <td className="half">
        {one.after ? <LabelPlates labels={one.after} /> : <span className="badge">dropped</span>}
        <p>
          <button
            type="button"
            className="small quiet"
            aria-expanded={steps}
            onClick={() => setSteps(!steps)}
          >
            {steps ? 'Hide the rules' : 'Rule by rule'}
          </button>
        </p>
        {steps && <Steps pool={pool} labels={one.before} />}
      </td>
    </tr>
  );
}

function Steps({ pool, labels }: { pool: string; labels: Labels }) {
  const params = { scrapePool: pool, labels: JSON.stringify(labels) };
  const asked = useQuery({
    queryKey: ['relabel', params],
    queryFn: ({ signal }) =>
      call<{ steps: RelabelStep[] }>('api/v1/targets/relabel_steps', params, { signal }),
    retry: false,
  });
  if (asked.error) return <Failed what={message(asked.error)} />;
  if (!asked.data) return <Loading what="rules" />;
  const { steps } = asked.data.data;
  if (steps.length === 0) return <p className="muted">This pool has no rules.</p>;
  return (
    <ol className="steps">
      {steps.map(({ rule, output, keep }, index) => {
        const before = index === 0 ? labels : (steps[index - 1]?.output ?? {});
        return (
          <li key={index}>
            <code>{ruleText(rule)}</code>
            {keep ? (
              <Changes before={before} after={output} />
            ) : (
              <span className="badge bad">drops it</span>
            )}
          </li>
        );
      })}
    </ol>
  );
}

function Changes({ before, after }: { before: Labels; after: Labels }) {
  const set = Object.entries(after).filter(([name, value]) => before[name] !== value);
  const gone = Object.keys(before).filter((name) => !(name in after));
  if (set.length === 0 && gone.length === 0) return <span className="muted">changes nothing</span>;
  return (
    <span className="plates">
      {set.map(([name, value]) => (
        <span key={name} className="plate set">
          + {name}={JSON.stringify(value)}
        </span>
      ))}
      {gone.map((name) => (
        <span key={name} className="plate gone">
          − {name}
        </span>
      ))}
    </span>
  );
}
