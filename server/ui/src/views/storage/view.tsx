// What is stored: blocks, logs, sizes, retention, memory.

import type { Block, Labels, RuntimeInfo } from '../../api/prometheus';
import { selfValue, useSelf } from '../../api/self';
import { bytes, count } from '../../chart/values';
import { Facts } from '../../kit/facts';
import { PageHead, Shown, useCall } from '../../kit/page';
import { Empty } from '../../kit/states';
import { useSettings } from '../../shell/settings';
import { formatTime, span } from '../../time/format';
import '../targets/targets.css';
import './storage.css';

export default function StorageView() {
  const blocks = useCall<{ blocks: Block[] }>('api/v1/status/tsdb/blocks');
  const runtime = useCall<RuntimeInfo>('api/v1/status/runtimeinfo');
  const flags = useCall<Labels>('api/v1/status/flags', { all: true }, false);
  const own = useSelf();
  const { zone } = useSettings();
  const value = (name: string) => selfValue(own.data?.data, name);
  const size = (name: string) => {
    const found = value(name);
    return found === undefined ? '–' : bytes(found);
  };
  const number = (name: string) => {
    const found = value(name);
    return found === undefined ? '–' : count(found);
  };
  const at = (name: string) => {
    const found = value(name);
    return found ? formatTime(found * 1000, zone) : 'not yet';
  };
  const limit = value('kymo_memory_limit_bytes') ?? 0;
  const used = value('kymo_memory_used_bytes') ?? 0;
  const flag = (name: string) => flags.data?.data[name] || '–';
  return (
    <>
      <PageHead title="Storage" />
      <Shown of={own} what="figures">
        {() => (
          <div className="columns">
            <section className="panel padded" aria-label="Memory">
              <h2>Memory</h2>
              <div className="meter-line">
                <meter
                  min={0}
                  max={limit || 1}
                  high={limit * 0.9}
                  value={used}
                  aria-label="Memory used of the budget"
                />
                <span>
                  {bytes(used)} of {limit ? bytes(limit) : 'no limit'}
                </span>
              </div>
              <Facts
                of={[
                  ['Store', size('kymo_storage_memory_bytes')],
                  ['Cache of results', size('kymo_query_cache_bytes')],
                  ['Whole process', size('process_resident_memory_bytes')],
                  ['Refused for want of memory', number('kymo_memory_refusals_total')],
                ]}
              />
            </section>
            <section className="panel padded" aria-label="Head and log">
              <h2>Head and log</h2>
              <Facts
                of={[
                  ['Series in the head', number('prometheus_tsdb_head_series')],
                  ['Oldest sample of the head', at('prometheus_tsdb_head_min_time_seconds')],
                  ['Newest sample', at('prometheus_tsdb_head_max_time_seconds')],
                  ['Log (WAL)', size('prometheus_tsdb_wal_storage_size_bytes')],
                  ['Segments of the log', number('kymo_storage_wal_segments')],
                  ['Last snapshot', at('kymo_storage_last_snapshot_timestamp_seconds')],
                  ['Damage found in the log', number('prometheus_tsdb_wal_corruptions_total')],
                ]}
              />
            </section>
            <section className="panel padded" aria-label="Blocks in all">
              <h2>Blocks</h2>
              <Facts
                of={[
                  ['Blocks', number('prometheus_tsdb_blocks_loaded')],
                  ['On disk', size('prometheus_tsdb_storage_blocks_bytes')],
                  ['Compactions', number('prometheus_tsdb_compactions_total')],
                  ['Failed compactions', number('prometheus_tsdb_compactions_failed_total')],
                  ['Set aside as damaged', number('kymo_storage_blocks_set_aside_total')],
                  ['Intervals marked as deleted', number('kymo_storage_tombstones')],
                ]}
              />
            </section>
            <section className="panel padded" aria-label="Logs">
              <h2>Logs</h2>
              {(value('kymo_logs_poisoned') ?? 0) > 0 && (
                <p className="badge bad">takes no more lines: the disk failed</p>
              )}
              <Facts
                of={[
                  ['Streams', number('kymo_logs_streams')],
                  ['Entries in memory', number('kymo_logs_memory_entries')],
                  ['Entries on disk', number('kymo_logs_parts_entries')],
                  ['On disk', size('kymo_logs_parts_bytes')],
                  ['Their lines, as they came', size('kymo_logs_parts_line_bytes')],
                  ['Log (WAL)', size('kymo_logs_wal_bytes')],
                  ['Deletions under way', number('kymo_logs_deletions_pending')],
                  ['Damage found', number('kymo_logs_damages_total')],
                ]}
              />
            </section>
            <section className="panel padded" aria-label="Retention">
              <h2>Retention</h2>
              <Facts
                of={[
                  ['Samples kept', runtime.data?.data.storageRetention || 'for ever'],
                  ['Log lines kept', kept(flag)],
                  ['Folder', <code key="path">{flag('storage.path')}</code>],
                  ['Blocks dropped for age', number('prometheus_tsdb_time_retentions_total')],
                  ['Blocks dropped for size', number('prometheus_tsdb_size_retentions_total')],
                  ['Parts of logs dropped for age', number('kymo_logs_dropped_by_time_total')],
                  ['Parts of logs dropped for size', number('kymo_logs_dropped_by_size_total')],
                ]}
              />
            </section>
          </div>
        )}
      </Shown>
      <Shown of={blocks} what="blocks">
        {(data) => <Blocks blocks={data.blocks} />}
      </Shown>
    </>
  );
}

/** How long lines are kept, and how many bytes of them where that is bounded. */
function kept(flag: (name: string) => string): string {
  const size = flag('storage.logs.retention.size');
  const bounded = /^[1-9]/.test(size);
  return flag('storage.logs.retention.time') + (bounded ? ` or ${size}` : '');
}

function Blocks({ blocks }: { blocks: Block[] }) {
  const { zone } = useSettings();
  const newest = [...blocks].sort((a, b) => b.maxTime - a.maxTime);
  if (newest.length === 0) {
    return (
      <section className="panel" aria-label="List of blocks">
        <Empty title="No blocks yet.">
          <p>All samples are in the head. The first block is written when it spans three hours.</p>
        </Empty>
      </section>
    );
  }
  return (
    <section className="panel" aria-label="List of blocks">
      <div className="table-wrap">
        <table className="cards">
          <thead>
            <tr>
              <th>From</th>
              <th>Spans</th>
              <th className="number">Series</th>
              <th className="number">Samples</th>
              <th className="number">Chunks</th>
              <th className="number">Level</th>
              <th>Name</th>
            </tr>
          </thead>
          <tbody>
            {newest.map((block) => (
              <tr key={block.ulid}>
                <td className="nowrap">{formatTime(block.minTime, zone)}</td>
                <td className="nowrap">{span(block.maxTime - block.minTime)}</td>
                <td className="number">{count(block.stats.numSeries)}</td>
                <td className="number">{count(block.stats.numSamples)}</td>
                <td className="number">{count(block.stats.numChunks)}</td>
                <td className="number">{block.compaction.level}</td>
                <td className="mono">{block.ulid}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
