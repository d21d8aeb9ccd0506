// Running queries: all of a view at once, to be called off as one.

import { useCallback, useEffect, useRef, useState } from 'react';
import { type Answer, ApiError, isAbort, message } from '../../api/http';
import {
  type ExemplarSeries,
  type QueryData,
  queryExemplars,
  queryInstant,
  queryRange,
  type RangeAsked,
} from '../../api/prometheus';

export interface Asked {
  queries: readonly string[];
  /** Absent for values at one time, the end. */
  range: RangeAsked | undefined;
  /** Seconds. */
  end: number;
  exemplars: boolean;
}

export interface Outcome {
  query: string;
  answer?: Answer<QueryData>;
  error?: ApiError;
  exemplars?: ExemplarSeries[];
}

export interface Run {
  asked: Asked;
  began: number;
  /** Absent while it runs. */
  ended?: number;
  cancelled?: boolean;
  outcomes: Outcome[];
}

/** The last run, how to start one, and how to call it off. */
export function useRun(): [Run | undefined, (asked: Asked) => void, () => void, Run | undefined] {
  const [shown, setShown] = useState<Run>();
  const [running, setRunning] = useState<Run>();
  const abort = useRef<AbortController>(undefined);

  const start = useCallback((asked: Asked) => {
    abort.current?.abort();
    const mine = new AbortController();
    abort.current = mine;
    const run: Run = { asked, began: Date.now(), outcomes: [] };
    setRunning(run);
    const all = asked.queries.map((query) => evaluate(query, asked, mine.signal));
    void Promise.all(all).then((outcomes) => {
      // Another one has begun since.
      if (abort.current !== mine) return;
      setRunning(undefined);
      if (mine.signal.aborted) {
        setShown((before) => ({
          ...(before ?? run),
          ended: Date.now(),
          cancelled: true,
        }));
        return;
      }
      setShown({ ...run, ended: Date.now(), outcomes });
    });
  }, []);

  const cancel = useCallback(() => abort.current?.abort(), []);
  useEffect(() => cancel, [cancel]);
  return [shown, start, cancel, running];
}

async function evaluate(query: string, asked: Asked, signal: AbortSignal): Promise<Outcome> {
  try {
    if (!asked.range) return { query, answer: await queryInstant(query, asked.end, { signal }) };
    const [answer, exemplars] = await Promise.all([
      queryRange(query, asked.range, { signal }),
      asked.exemplars ? exemplarsOf(query, asked.range, signal) : undefined,
    ]);
    return exemplars ? { query, answer, exemplars } : { query, answer };
  } catch (error) {
    if (isAbort(error)) return { query };
    return {
      query,
      error: error instanceof ApiError ? error : new ApiError(0, '', message(error)),
    };
  }
}

/** Exemplars are an addition: where they cannot be had, the graph is shown without. */
async function exemplarsOf(query: string, range: RangeAsked, signal: AbortSignal) {
  try {
    return (await queryExemplars(query, range.start, range.end, { signal })).data;
  } catch {
    return [];
  }
}
