// How things are: what is scraped, what fires, what is stored, how the server fares.

import type { Alert, Targets } from '../../api/prometheus';
import { selfValue, useSelf } from '../../api/self';
import { SmallGraph } from '../../chart/small';
import { bytes, count } from '../../chart/values';
import { PageHead, useCall } from '../../kit/page';
import { span } from '../../time/format';
import { Link } from '../../url/router';
import { useParams } from '../../url/state';

const ranges = ['15m', '1h', '6h', '1d', '7d'];

/** Series of a server of this kind: those with a Kymo's name on the same target. */
const own = (expr: string) => `${expr} and on (instance, job) kymo_build_info`;

export default function OverviewView() {
  const [params, change] = useParams();
  const last = ranges.find((one) => one === params.get('last')) ?? '1h';
  const from = `now-${last}`;
  return (
    <>
      <PageHead title="Overview">
        <label className="field">
          Last
          <select value={last} onChange={(e) => change({ last: e.target.value }, 'replace')}>
            {ranges.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      </PageHead>
      <Tiles />
      <div className="columns">
        <SmallGraph
          title="Samples stored per second"
          from={from}
          query={own(
            'sum by (instance, job) (rate(prometheus_tsdb_head_samples_appended_total[5m]))',
          )}
        />
        <SmallGraph
          title="Series in memory"
          from={from}
          query={own('prometheus_tsdb_head_series')}
        />
        <SmallGraph
          title="Memory of the process"
          from={from}
          unit="bytes"
          query={own('process_resident_memory_bytes')}
        />
        <SmallGraph
          title="Processors in use"
          from={from}
          query={own('rate(process_cpu_seconds_total[5m])')}
        />
        <SmallGraph
          title="Requests per second, by status"
          from={from}
          stack
          query="sum by (code) (rate(prometheus_http_requests_total[5m]) and on (instance, job) kymo_build_info)"
        />
        <SmallGraph
          title="On disk: blocks and log"
          from={from}
          unit="bytes"
          query={own(
            '(prometheus_tsdb_storage_blocks_bytes + prometheus_tsdb_wal_storage_size_bytes)',
          )}
        />
      </div>
    </>
  );
}

function Tiles() {
  const targets = useCall<Targets>('api/v1/targets', { state: 'active' }, 10_000);
  const alerts = useCall<{ alerts: Alert[] }>('api/v1/alerts', {}, 10_000);
  const logAlerts = useCall<{ alerts: Alert[] | null }>('prometheus/api/v1/alerts', {}, 10_000);
  const self = useSelf();
  const families = self.data?.data;
  const value = (name: string) => selfValue(families, name);

  const all = targets.data?.data.activeTargets;
  const down = all?.filter((one) => one.health === 'down').length ?? 0;
  // Those of rules over logs count as well.
  const active = alerts.data && [
    ...alerts.data.data.alerts,
    ...(logAlerts.data?.data.alerts ?? []),
  ];
  const firing = active?.filter((one) => one.state === 'firing').length ?? 0;
  const pending = active?.filter((one) => one.state === 'pending').length ?? 0;
  const series = value('prometheus_tsdb_head_series');
  const limit = value('kymo_memory_limit_bytes');
  const used = value('kymo_memory_used_bytes');
  const blocks = value('prometheus_tsdb_storage_blocks_bytes') ?? 0;
  const wal = value('prometheus_tsdb_wal_storage_size_bytes') ?? 0;
  const logs = (value('kymo_logs_parts_bytes') ?? 0) + (value('kymo_logs_wal_bytes') ?? 0);
  const started = value('process_start_time_seconds');
  const poisoned = (value('kymo_storage_poisoned') ?? 0) + (value('kymo_logs_poisoned') ?? 0) > 0;
  return (
    <div className="tiles">
      <Tile
        title="Targets"
        to={down > 0 ? '/targets?health=down' : '/targets'}
        value={all && `${all.length - down} of ${all.length} up`}
        kind={down > 0 ? 'bad' : ''}
        more={down > 0 ? `${down} cannot be scraped` : 'all are scraped'}
      />
      <Tile
        title="Alerts"
        to="/alerts"
        value={active && (firing > 0 ? `${firing} firing` : 'none firing')}
        kind={firing > 0 ? 'bad' : pending > 0 ? 'warn' : ''}
        more={`${pending} pending`}
      />
      <Tile
        title="Series in memory"
        to="/cardinality"
        value={series === undefined ? undefined : count(series)}
        more={
          value('prometheus_tsdb_head_samples_appended_total') === undefined
            ? ''
            : `${count(value('prometheus_tsdb_head_samples_appended_total') ?? 0)} samples since the start`
        }
      />
      <Tile
        title="Memory"
        to="/storage"
        value={used === undefined ? undefined : bytes(used)}
        kind={limit && used && used > limit * 0.9 ? 'bad' : ''}
        more={limit ? `of ${bytes(limit)} that it may use` : ''}
      />
      <Tile
        title="On disk"
        to="/storage"
        value={families && (poisoned ? 'cannot write' : bytes(blocks + wal + logs))}
        kind={poisoned ? 'bad' : ''}
        more={`${bytes(blocks)} blocks, ${bytes(wal)} WAL, ${bytes(logs)} logs`}
      />
      <Tile
        title="Running"
        to="/status"
        value={started && span(Date.now() - started * 1000)}
        more="since the last start"
      />
    </div>
  );
}

function Tile(props: {
  title: string;
  to: string;
  value: string | undefined | 0;
  kind?: string;
  more: string;
}) {
  const { title, to, value, kind = '', more } = props;
  return (
    <Link className="tile" to={to}>
      <div className="tile-title">{title}</div>
      <div className={`tile-value ${kind}`}>{value || '…'}</div>
      <div className="tile-more">{value ? more : ''}</div>
    </Link>
  );
}
