// All of one entry: its fields to filter by, its JSON, the lines around it.

import { CopyIcon, MinusIcon, PlusIcon } from '@radix-ui/react-icons';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { message } from '../../api/http';
import { type Entry, entriesOf, levelOf, millis, queryLogs } from '../../api/loki';
import { copy } from '../../kit/save';
import { Failed, Loading } from '../../kit/states';
import { jsonOf, lineFields } from '../../logql/fields';
import { type FilterSide, isIdField, streamSelector } from '../../logql/query';
import { useSettings } from '../../shell/settings';
import { formatClock, formatTime } from '../../time/format';
import { Link } from '../../url/router';
import { levelColor } from './volume';

/** Where a field comes from, which decides how it is filtered by. */
export type FieldKind = 'label' | 'field' | 'json' | 'logfmt';

export interface Field {
  name: string;
  value: string;
  kind: FieldKind;
}

export type OnFilter = (field: Field, side: FilterSide) => void;

/** The fields of an entry, each once, and those of the line itself at the end. */
export function fieldsOf(entry: Entry): Field[] {
  const fields: Field[] = [];
  const seen = new Set<string>();
  const add = (kind: FieldKind, pairs: Iterable<[string, string]>) => {
    for (const [name, value] of pairs) {
      if (seen.has(name)) continue;
      seen.add(name);
      fields.push({ name, value, kind });
    }
  };
  add('label', Object.entries(entry.labels));
  add('field', Object.entries(entry.metadata));
  add('field', Object.entries(entry.parsed));
  const line = lineFields(entry.line);
  if (line) add(line.kind, line.fields);
  return fields;
}

const kindNames: Record<FieldKind, string> = {
  label: 'Labels of the stream',
  field: 'Fields beside the line',
  json: 'Fields in the line (JSON)',
  logfmt: 'Fields in the line (logfmt)',
};

interface Props {
  entry: Entry;
  onFilter: OnFilter;
  /** The address of all lines with an id. */
  idHref: (field: Field) => string;
}

export function Details({ entry, onFilter, idHref }: Props) {
  const { zone } = useSettings();
  const [around, setAround] = useState(false);
  const [copied, setCopied] = useState(false);
  const fields = useMemo(() => fieldsOf(entry), [entry]);
  const json = useMemo(() => jsonOf(entry.line), [entry]);
  return (
    <div className="log-details">
      <div className="toolbar">
        <span className="muted">
          {formatTime(millis(entry.ns), zone, true)} <span className="mono">({entry.ns} ns)</span>
        </span>
        <button
          type="button"
          className="small"
          aria-expanded={around}
          onClick={() => setAround(!around)}
        >
          {around ? 'Hide context' : 'Lines before and after'}
        </button>
        <button
          type="button"
          className="small"
          onClick={async () => {
            setCopied(await copy(entry.line));
            setTimeout(() => setCopied(false), 2000);
          }}
        >
          <CopyIcon /> <span aria-live="polite">{copied ? 'Copied' : 'Copy line'}</span>
        </button>
      </div>
      {around && <Context entry={entry} />}
      {json !== undefined ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
        <pre className="log-json" tabIndex={0}>
          <Json value={json} indent="" />
        </pre>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
        <pre className="log-json" tabIndex={0}>
          {entry.line}
        </pre>
      )}
      {(Object.keys(kindNames) as FieldKind[]).map((kind) => {
        const shown = fields.filter((field) => field.kind === kind);
        if (shown.length === 0) return null;
        return (
          <section key={kind} aria-label={kindNames[kind]}>
            <h3>{kindNames[kind]}</h3>
            <ul className="log-fields">
              {shown.map((field) => (
                <FieldRow key={field.name} field={field} onFilter={onFilter} idHref={idHref} />
              ))}
            </ul>
          </section>
        );
      })}
    </div>
  );
}

function FieldRow({ field, onFilter, idHref }: { field: Field } & Omit<Props, 'entry'>) {
  const { name, value } = field;
  return (
    <li>
      <span className="log-field-tools">
        <button
          type="button"
          className="icon-button small"
          aria-label={`Only lines with ${name} ${value}`}
          title="Only lines with this"
          onClick={() => onFilter(field, 'in')}
        >
          <PlusIcon />
        </button>
        <button
          type="button"
          className="icon-button small"
          aria-label={`No lines with ${name} ${value}`}
          title="No lines with this"
          onClick={() => onFilter(field, 'out')}
        >
          <MinusIcon />
        </button>
      </span>
      <span className="mono log-field-name">{name}</span>
      <span className="mono break">
        {isIdField(name) && value !== '' ? (
          <Link to={idHref(field)} title="All lines with this id">
            {value}
          </Link>
        ) : (
          value
        )}
      </span>
    </li>
  );
}

/** JSON over several lines, its kinds of values told apart. */
function Json({ value, indent }: { value: unknown; indent: string }) {
  if (value === null || typeof value !== 'object') {
    const kind = value === null ? 'null' : typeof value;
    return <span className={`json-${kind}`}>{JSON.stringify(value)}</span>;
  }
  const inner = `${indent}  `;
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  if (entries.length === 0) return list ? '[]' : '{}';
  return (
    <>
      {list ? '[' : '{'}
      {entries.map(([key, one], n) => (
        <span key={key}>
          {`\n${inner}`}
          {!list && (
            <>
              <span className="json-key">{JSON.stringify(key)}</span>:{' '}
            </>
          )}
          <Json value={one} indent={inner} />
          {n < entries.length - 1 ? ',' : ''}
        </span>
      ))}
      {`\n${indent}`}
      {list ? ']' : '}'}
    </>
  );
}

const aroundLines = 10;
/** How far from an entry its neighbours are looked for. */
const aroundNs = 3_600_000_000_000n;

function Context({ entry }: { entry: Entry }) {
  const { dark, zone } = useSettings();
  const asked = useQuery({
    queryKey: ['context', entry.key],
    queryFn: async ({ signal }) => {
      const query = streamSelector(entry.labels);
      const at = BigInt(entry.ns);
      const [before, after] = await Promise.all([
        queryLogs(
          {
            query,
            start: String(at - aroundNs),
            end: entry.ns,
            limit: aroundLines,
            direction: 'backward',
          },
          { signal },
        ),
        queryLogs(
          {
            query,
            start: entry.ns,
            end: String(at + aroundNs),
            limit: aroundLines + 1,
            direction: 'forward',
          },
          { signal },
        ),
      ]);
      const read = (data: typeof before.data) =>
        data.resultType === 'streams' ? entriesOf(data.result, 'forward') : [];
      return [...read(before.data), ...read(after.data)];
    },
    retry: false,
  });
  if (asked.error) return <Failed what={message(asked.error)} />;
  if (!asked.data) return <Loading what="context" />;
  return (
    <ol className="log-context" aria-label="Lines before and after">
      {asked.data.map((one) => (
        <li
          key={one.key}
          className={one.ns === entry.ns && one.line === entry.line ? 'here' : ''}
          aria-current={one.ns === entry.ns && one.line === entry.line}
          style={{ borderLeftColor: levelColor(levelOf(one), dark) }}
        >
          <span className="log-time">{formatClock(millis(one.ns), zone, true)}</span>
          <span className="log-text">{one.line}</span>
        </li>
      ))}
    </ol>
  );
}
