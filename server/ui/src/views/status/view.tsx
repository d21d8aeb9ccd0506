// What runs: version, machine, alertmanagers, features.

import type { Labels, RuntimeInfo } from '../../api/prometheus';
import { Facts } from '../../kit/facts';
import { PageHead, Shown, useCall } from '../../kit/page';
import { useSettings } from '../../shell/settings';
import { ago, formatTime } from '../../time/format';

type Features = Record<string, Record<string, boolean>>;

interface Managers {
  activeAlertmanagers: { url: string }[];
  droppedAlertmanagers: { url: string }[];
}

export default function StatusView() {
  const build = useCall<Labels>('api/v1/status/buildinfo', {}, false);
  const runtime = useCall<RuntimeInfo>('api/v1/status/runtimeinfo');
  const managers = useCall<Managers>('api/v1/alertmanagers');
  const features = useCall<Features>('api/v1/features', {}, false);
  const { zone } = useSettings();
  return (
    <>
      <PageHead title="Status" />
      <div className="columns">
        <section className="panel padded" aria-label="Build">
          <h2>Program</h2>
          <Shown of={build} what="build">
            {(data) => (
              <Facts
                of={[
                  ['Kymo', (data.revision ?? '').replace(/^kymo-/, '')],
                  ['Behaves as Prometheus', data.version ?? ''],
                ]}
              />
            )}
          </Shown>
          <Shown of={runtime} what="process">
            {(data) => (
              <Facts
                of={[
                  ['Machine', data.hostname],
                  ['Folder it was started in', <code key="cwd">{data.CWD}</code>],
                  [
                    'Running since',
                    `${formatTime(Date.parse(data.startTime), zone)} (${ago(Date.parse(data.startTime), Date.parse(data.serverTime))})`,
                  ],
                  ['Its clock', formatTime(Date.parse(data.serverTime), zone)],
                  [
                    'Configuration',
                    data.reloadConfigSuccess ? (
                      `loaded ${ago(Date.parse(data.lastConfigTime), Date.parse(data.serverTime))}`
                    ) : (
                      <span key="failed" className="badge bad">
                        the last reload failed
                      </span>
                    ),
                  ],
                  ['Threads', data.goroutineCount],
                  ['Processors', data.GOMAXPROCS],
                ]}
              />
            )}
          </Shown>
        </section>
        <section className="panel padded" aria-label="Alertmanagers">
          <h2>Alertmanagers</h2>
          <Shown of={managers} what="alertmanagers">
            {(data) =>
              data.activeAlertmanagers.length === 0 ? (
                <p className="muted">
                  Alerts are sent nowhere: <code>alerting</code> in the configuration names no
                  Alertmanager.
                </p>
              ) : (
                <ul>
                  {data.activeAlertmanagers.map((one) => (
                    <li key={one.url} className="mono break">
                      {one.url}
                    </li>
                  ))}
                </ul>
              )
            }
          </Shown>
        </section>
      </div>
      <section className="panel padded" aria-label="Features">
        <h2>Features</h2>
        <Shown of={features} what="features">
          {(data) => (
            <dl className="features">
              {Object.entries(data).map(([category, entries]) => (
                <div key={category}>
                  <dt>{category.replaceAll('_', ' ')}</dt>
                  <dd className="plates">
                    {Object.entries(entries).map(([name, on]) => (
                      <span key={name} className={on ? 'plate' : 'plate off'}>
                        {name}
                        {!on && <span className="visually-hidden"> (off)</span>}
                      </span>
                    ))}
                  </dd>
                </div>
              ))}
            </dl>
          )}
        </Shown>
      </section>
    </>
  );
}
