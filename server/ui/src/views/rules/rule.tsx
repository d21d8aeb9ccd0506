// One rule with what it says and what came of it.

import type { Alert, Rule } from '../../api/prometheus';
import { shortNumber } from '../../chart/values';
import { LabelPlates } from '../../kit/labels';
import { useSettings } from '../../shell/settings';
import { ago, formatTime, span } from '../../time/format';
import { Link } from '../../url/router';
import { logsHref, metricsHref } from '../../url/state';
import type { Over } from './groups';
import './rules.css';

export function StateBadge({ state }: { state: Alert['state'] | undefined }) {
  const kind = state === 'firing' ? 'bad' : state === 'pending' ? 'warn' : 'good';
  return <span className={`badge ${kind}`}>{state ?? 'unknown'}</span>;
}

export function RuleEntry(props: {
  rule: Rule;
  over: Over;
  /** Whether it says itself that it is over logs. */
  marked?: boolean;
  open: boolean;
}) {
  const { rule, over, marked = false, open } = props;
  const href = over === 'logs' ? logsHref(rule.query) : metricsHref([rule.query]);
  const alerting = rule.type === 'alerting';
  return (
    <article className="rule">
      <div className="toolbar">
        <h3 className="break">{rule.name}</h3>
        <span className="muted">{alerting ? 'alert' : 'record'}</span>
        {marked && over === 'logs' && <span className="badge">logs</span>}
        {alerting && <StateBadge state={rule.state} />}
        {rule.health !== 'ok' && <span className="badge warn">{rule.health}</span>}
        <span className="push muted nowrap">
          {rule.evaluationTime > 0 && span(rule.evaluationTime * 1000)}
        </span>
      </div>
      <p>
        <Link
          className="mono break"
          to={href}
          title={over === 'logs' ? 'Open in Logs' : 'Open in Metrics'}
        >
          {rule.query}
        </Link>
      </p>
      {rule.lastError && <p className="target-error">{rule.lastError}</p>}
      <p className="rule-facts muted">
        {alerting && (rule.duration ?? 0) > 0 && (
          <span>for {span((rule.duration ?? 0) * 1000)}</span>
        )}
        {alerting && (rule.keepFiringFor ?? 0) > 0 && (
          <span>kept firing for {span((rule.keepFiringFor ?? 0) * 1000)}</span>
        )}
        {rule.labels && Object.keys(rule.labels).length > 0 && <LabelPlates labels={rule.labels} />}
      </p>
      {rule.annotations && <Annotations of={rule.annotations} />}
      {alerting && rule.alerts && rule.alerts.length > 0 && (
        <Alerts alerts={rule.alerts} open={open} />
      )}
    </article>
  );
}

function Annotations({ of }: { of: Record<string, string> }) {
  return (
    <dl className="annotations">
      {Object.entries(of).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Alerts({ alerts, open }: { alerts: Alert[]; open: boolean }) {
  const { zone } = useSettings();
  const now = Date.now();
  return (
    <details open={open}>
      <summary>
        {alerts.length} active {alerts.length === 1 ? 'alert' : 'alerts'}
      </summary>
      <div className="table-wrap">
        <table className="cards">
          <thead>
            <tr>
              <th>State</th>
              <th>Labels</th>
              <th>Annotations</th>
              <th className="number">Value</th>
              <th className="number">Since</th>
            </tr>
          </thead>
          <tbody>
            {alerts.map((alert) => {
              const since = alert.activeAt ? Date.parse(alert.activeAt) : Number.NaN;
              return (
                <tr key={JSON.stringify(alert.labels)}>
                  <td>
                    <StateBadge state={alert.state} />
                  </td>
                  <td>
                    <LabelPlates labels={alert.labels} omit={['alertname']} />
                  </td>
                  <td>
                    <Annotations of={alert.annotations} />
                  </td>
                  <td className="number">{shortNumber(Number(alert.value))}</td>
                  <td className="number" title={formatTime(since, zone)}>
                    {ago(since, now)}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </details>
  );
}
