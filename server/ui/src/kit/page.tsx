// The head of a view, and the loading of what it shows.

import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { type Answer, call, message, type Params } from '../api/http';
import { Failed, Loading } from './states';

export function PageHead({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="page-head">
      <h1>{title}</h1>
      {children}
    </div>
  );
}

/** Asks a call of the API and keeps its answer fresh. */
export function useCall<T>(
  path: string,
  params: Params = {},
  every: number | false = 30_000,
): UseQueryResult<Answer<T>> {
  return useQuery({
    queryKey: [path, params],
    queryFn: ({ signal }) => call<T>(path, params, { signal }),
    refetchInterval: every,
  });
}

/** Shows what was asked for, or why it is not there. */
export function Shown<T>(props: {
  of: UseQueryResult<Answer<T>>;
  what: string;
  children: (data: T) => ReactNode;
}) {
  const { data, error, refetch } = props.of;
  if (data) {
    return (
      <>
        {error && <Failed what={message(error)} onRetry={() => void refetch()} />}
        {props.children(data.data)}
      </>
    );
  }
  if (error) return <Failed what={message(error)} onRetry={() => void refetch()} />;
  return <Loading what={props.what} />;
}
