// All groups of rules, as they are evaluated.

import { PageHead } from '../../kit/page';
import { Empty } from '../../kit/states';
import { useSettings } from '../../shell/settings';
import { ago, formatTime, span } from '../../time/format';
import { useParams } from '../../url/state';
import { BothKinds, NoRules } from './both';
import { type GroupOver, useRuleGroups } from './groups';
import { RuleEntry } from './rule';
import '../targets/targets.css';

export default function RulesView() {
  const groups = useRuleGroups();
  return (
    <BothKinds of={groups} what="rules">
      {(found) => <All groups={found} />}
    </BothKinds>
  );
}

function All({ groups }: { groups: GroupOver[] }) {
  const [params, change] = useParams();
  const { zone } = useSettings();
  const wanted = params.get('search') ?? '';
  const words = wanted.toLowerCase().split(/\s+/);
  const found = groups
    .map((group) => ({
      ...group,
      rules: group.rules.filter((rule) => {
        const text = `${group.over} ${group.name} ${rule.name} ${rule.query}`.toLowerCase();
        return words.every((word) => text.includes(word));
      }),
    }))
    .filter((group) => group.rules.length > 0);
  const now = Date.now();
  return (
    <>
      <PageHead title="Rules">
        <input
          type="search"
          aria-label="Search rules"
          placeholder="Search"
          value={wanted}
          onChange={(e) => change({ search: e.target.value }, 'replace')}
        />
      </PageHead>
      {groups.length === 0 && <NoRules title="There are no rules." />}
      {groups.length > 0 && found.length === 0 && <Empty title="No rule matches." />}
      {found.map((group) => {
        const last = Date.parse(group.lastEvaluation);
        return (
          <section
            className="panel"
            key={`${group.over} ${group.file} ${group.name}`}
            aria-label={group.name}
          >
            <div className="panel-head">
              <h2>{group.name}</h2>
              {group.over === 'logs' && <span className="badge">logs</span>}
              <span className="muted break">
                every {span(group.interval * 1000)}, took {span(group.evaluationTime * 1000)},{' '}
                <span title={formatTime(last, zone, true)}>{ago(last, now)}</span> · {group.file}
              </span>
            </div>
            {group.rules.map((rule) => (
              <RuleEntry
                key={`${rule.name} ${rule.query}`}
                rule={rule}
                over={group.over}
                open={false}
              />
            ))}
          </section>
        );
      })}
    </>
  );
}
