// Alerts: what fires, what is pending, and the rules behind.

import { useMemo } from 'react';
import { PageHead } from '../../kit/page';
import { Empty } from '../../kit/states';
import { useParams } from '../../url/state';
import { BothKinds, NoRules } from './both';
import { type GroupOver, useRuleGroups } from './groups';
import { RuleEntry } from './rule';
import '../targets/targets.css';

const states = ['firing', 'pending', 'inactive'] as const;

export default function AlertsView() {
  const groups = useRuleGroups({ type: 'alert' });
  return (
    <BothKinds of={groups} what="alerts">
      {(found) => <All groups={found} />}
    </BothKinds>
  );
}

function All({ groups }: { groups: GroupOver[] }) {
  const [params, change] = useParams();
  const wanted = params.get('search') ?? '';
  const state = states.find((one) => one === params.get('state'));
  const rules = useMemo(() => {
    const all = groups.flatMap((group) => group.rules.map((rule) => ({ group, rule })));
    // What needs somebody comes first.
    const rank = (of: string | undefined) =>
      states.indexOf((of ?? 'inactive') as (typeof states)[number]);
    return all.sort((a, b) => rank(a.rule.state) - rank(b.rule.state));
  }, [groups]);
  const words = wanted.toLowerCase().split(/\s+/);
  const shown = rules.filter(({ group, rule }) => {
    const told = [group.over, rule.name, rule.query, rule.labels, rule.alerts];
    const text = JSON.stringify(told).toLowerCase();
    return (!state || rule.state === state) && words.every((word) => text.includes(word));
  });
  return (
    <>
      <PageHead title="Alerts">
        <input
          type="search"
          aria-label="Search alerts"
          placeholder="Search"
          value={wanted}
          onChange={(e) => change({ search: e.target.value }, 'replace')}
        />
        <fieldset className="joined bare" aria-label="State">
          <button type="button" aria-pressed={!state} onClick={() => change({ state: undefined })}>
            All {rules.length}
          </button>
          {states.map((one) => (
            <button
              key={one}
              type="button"
              aria-pressed={state === one}
              onClick={() => change({ state: state === one ? undefined : one })}
            >
              {one} {rules.filter(({ rule }) => rule.state === one).length}
            </button>
          ))}
        </fieldset>
      </PageHead>
      {rules.length === 0 ? (
        <NoRules title="There are no alerting rules." />
      ) : shown.length === 0 ? (
        <Empty title="No alert matches." />
      ) : (
        <section className="panel" aria-label="Alerting rules">
          {shown.map(({ group, rule }) => (
            <RuleEntry
              key={`${group.over} ${group.file} ${group.name} ${rule.name} ${rule.query}`}
              rule={rule}
              over={group.over}
              marked
              open={rule.state === 'firing'}
            />
          ))}
        </section>
      )}
    </>
  );
}
