// One query: its editor, what it gave in a line, its plan and its costs.

import { Cross2Icon, InfoCircledIcon, TextAlignLeftIcon } from '@radix-ui/react-icons';
import { lazy, Suspense, useMemo, useState } from 'react';
import { message } from '../../api/http';
import { formatQuery, type RangeAsked } from '../../api/prometheus';
import { count } from '../../chart/values';
import { problemOf } from '../../editor/problem';
import { span } from '../../time/format';
import { Explanation } from './explanation';
import type { Outcome } from './run';

const PromQLEditor = lazy(() => import('../../editor/promql'));

interface Props {
  index: number;
  query: string;
  outcome: Outcome | undefined;
  asked: RangeAsked | undefined;
  only: boolean;
  onChange: (query: string) => void;
  onRun: () => void;
  onRemove: () => void;
}

export function QueryRow(props: Props) {
  const { index, query, outcome, asked, only, onChange, onRun, onRemove } = props;
  const [explained, setExplained] = useState(false);
  const [failed, setFailed] = useState<string>();
  const told = outcome?.error?.message ?? failed;
  const problem = useMemo(() => (told ? problemOf(told) : undefined), [told]);
  const format = async () => {
    try {
      setFailed(undefined);
      onChange((await formatQuery(query)).data);
    } catch (error) {
      setFailed(message(error));
    }
  };
  const name = only ? 'Query' : `Query ${index + 1}`;
  return (
    <div className="query-row">
      <Suspense
        fallback={
          <textarea
            className="editor-place mono"
            aria-label={name}
            rows={1}
            value={query}
            readOnly
          />
        }
      >
        <PromQLEditor
          value={query}
          label={name}
          problem={problem}
          focus={index > 0 && query === ''}
          onChange={(next) => {
            setFailed(undefined);
            onChange(next);
          }}
          onRun={onRun}
        />
      </Suspense>
      <div className="query-tools">
        <button
          type="button"
          className="icon-button"
          aria-label={`Format ${name.toLowerCase()}`}
          title="Format"
          disabled={query.trim() === ''}
          onClick={() => void format()}
        >
          <TextAlignLeftIcon />
        </button>
        <button
          type="button"
          className="icon-button"
          aria-label={`Explain ${name.toLowerCase()}`}
          title="Explanation and statistics"
          aria-pressed={explained}
          disabled={query.trim() === ''}
          onClick={() => setExplained(!explained)}
        >
          <InfoCircledIcon />
        </button>
        {!only && (
          <button
            type="button"
            className="icon-button"
            aria-label={`Remove ${name.toLowerCase()}`}
            title="Remove"
            onClick={onRemove}
          >
            <Cross2Icon />
          </button>
        )}
      </div>
      {outcome?.answer && (
        <p className="query-told muted">
          {resultCount(outcome)}
          {costs(outcome)}
        </p>
      )}
      {failed && (
        <p className="note error query-told" role="alert">
          {failed}
        </p>
      )}
      {explained && <Explanation query={query} asked={asked} stats={outcome?.answer?.data.stats} />}
    </div>
  );
}

function resultCount({ answer }: Outcome): string {
  const data = answer?.data;
  if (!data) return '';
  if (data.resultType === 'matrix' || data.resultType === 'vector') {
    return data.result.length === 0 ? 'no series' : `${count(data.result.length)} series`;
  }
  return data.resultType;
}

function costs({ answer }: Outcome): string {
  const stats = answer?.data.stats;
  if (!stats) return '';
  const seconds = stats.timings.execTotalTime ?? stats.timings.evalTotalTime ?? 0;
  return `, ${count(stats.samples.totalQueryableSamples)} samples, ${span(seconds * 1000)}`;
}
