// What the engine does with a query, and what it took.

import { useQuery } from '@tanstack/react-query';
import { message } from '../../api/http';
import { explain, type QueryStats, type RangeAsked } from '../../api/prometheus';
import { count } from '../../chart/values';
import { Failed, Loading } from '../../kit/states';
import { span } from '../../time/format';

interface Props {
  query: string;
  asked: RangeAsked | undefined;
  stats: QueryStats | undefined;
}

const timings: readonly [string, string][] = [
  ['execTotalTime', 'In all'],
  ['execQueueTime', 'Waiting for a place'],
  ['queryPreparationTime', 'Preparation'],
  ['innerEvalTime', 'Evaluation'],
  ['resultSortTime', 'Sorting'],
];

export function Explanation({ query, asked, stats }: Props) {
  const plan = useQuery({
    queryKey: ['explain', query, asked],
    queryFn: ({ signal }) => explain(query, asked, { signal }),
    retry: false,
  });
  return (
    <section className="explanation panel padded" aria-label="Explanation">
      <div>
        <h3>Plan</h3>
        {plan.data ? (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
          <pre tabIndex={0}>{plan.data.data.text}</pre>
        ) : plan.error ? (
          <Failed what={message(plan.error)} />
        ) : (
          <Loading what="plan" />
        )}
      </div>
      {stats && (
        <div>
          <h3>Statistics of the last run</h3>
          <dl className="facts">
            {timings.map(([key, title]) => {
              const seconds = stats.timings[key];
              if (seconds === undefined) return null;
              return <Fact key={key} title={title} value={span(seconds * 1000)} />;
            })}
            <Fact title="Samples looked at" value={count(stats.samples.totalQueryableSamples)} />
            {stats.samples.samplesRead !== undefined && (
              <Fact title="Samples read" value={count(stats.samples.samplesRead)} />
            )}
            <Fact title="Most held at once" value={count(stats.samples.peakSamples)} />
          </dl>
        </div>
      )}
    </section>
  );
}

function Fact({ title, value }: { title: string; value: string }) {
  return (
    <div>
      <dt>{title}</dt>
      <dd>{value}</dd>
    </div>
  );
}
