// Lines as they come.

import { PauseIcon, PlayIcon } from '@radix-ui/react-icons';
import { useCallback, useMemo } from 'react';
import { count } from '../../chart/values';
import { Empty } from '../../kit/states';
import { needleRegex, needles } from '../../logql/query';
import { logsHref } from '../../url/state';
import type { Field, OnFilter } from './details';
import { useLive } from './entries';
import { filtered, useBroadSelector, withId } from './filter';
import { LogList } from './list';

export default function LivePane(props: {
  query: string;
  wrap: boolean;
  onQuery: (query: string) => void;
}) {
  const { query, wrap, onQuery } = props;
  const { entries, state, dropped, paused, setPaused } = useLive(query);
  const find = useMemo(() => needleRegex(needles(query)), [query]);
  const now = useMemo(() => ({ start: Date.now() - 3_600_000, end: Date.now() }), []);
  const broad = useBroadSelector(now);
  const idHref = useCallback(
    (field: Field) => logsHref(withId(broad, field), { from: 'now-1h', to: 'now' }),
    [broad],
  );
  const onFilter = useCallback<OnFilter>(
    (field, side) => onQuery(filtered(query, field, side)),
    [query, onQuery],
  );
  const told = { connecting: 'Connecting', live: 'Live', lost: 'Lost, trying again' }[state];
  return (
    <section className="panel" aria-label="Live lines">
      <div className="panel-head">
        <h2 className="with-icon" role="status">
          <i className={`live-dot ${state}`} aria-hidden="true" /> {paused ? 'Paused' : told}
        </h2>
        {dropped > 0 && <span className="badge warn">{count(dropped)} lines dropped</span>}
        <span className="muted">{count(entries.length)} lines</span>
        <button type="button" className="small" onClick={() => setPaused(!paused)}>
          {paused ? <PlayIcon /> : <PauseIcon />} {paused ? 'Go on' : 'Pause'}
        </button>
      </div>
      {entries.length === 0 ? (
        <Empty title="Waiting for lines…" />
      ) : (
        <LogList entries={entries} find={find} wrap={wrap} onFilter={onFilter} idHref={idHref} />
      )}
    </section>
  );
}
