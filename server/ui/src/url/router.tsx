// Where one is, and going elsewhere without loading the page again.

import {
  type AnchorHTMLAttributes,
  type MouseEvent,
  useCallback,
  useMemo,
  useSyncExternalStore,
} from 'react';
import { root } from '../api/http';

/** What precedes every path of a view, without a slash at its end. */
const prefix = root.pathname.replace(/\/$/, '');
const moved = 'kymo:moved';

function subscribe(changed: () => void) {
  window.addEventListener('popstate', changed);
  window.addEventListener(moved, changed);
  return () => {
    window.removeEventListener('popstate', changed);
    window.removeEventListener(moved, changed);
  };
}

/** The path of a view and what is asked of it, such as `/query?q=up`. */
export function go(to: string, how: 'push' | 'replace' = 'push') {
  const url = `${prefix}${to}`;
  if (how === 'push') window.history.pushState(null, '', url);
  else window.history.replaceState(null, '', url);
  window.dispatchEvent(new Event(moved));
}

export function usePath(): string {
  const path = useSyncExternalStore(subscribe, () => window.location.pathname);
  return path.startsWith(prefix) ? path.slice(prefix.length) || '/' : path;
}

export type SetParams = (
  change: (now: URLSearchParams) => URLSearchParams,
  how: 'push' | 'replace',
) => void;

/** What is asked of a view. */
export function useSearch(): [URLSearchParams, SetParams] {
  const search = useSyncExternalStore(subscribe, () => window.location.search);
  const params = useMemo(() => new URLSearchParams(search), [search]);
  const set = useCallback<SetParams>((change, how) => {
    const next = change(new URLSearchParams(window.location.search)).toString();
    const path = window.location.pathname.slice(prefix.length) || '/';
    go(next ? `${path}?${next}` : path, how);
  }, []);
  return [params, set];
}

type Props = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, 'href'> & { to: string };

/** A link to a view. */
export function Link({ to, onClick, ...others }: Props) {
  const click = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (event.defaultPrevented || event.button !== 0 || !plain || others.target) return;
    event.preventDefault();
    go(to);
  };
  return <a {...others} href={`${prefix}${to}`} onClick={click} />;
}

/** A link that tells whether one is there. */
export function NavLink({ to, className = '', ...others }: Props) {
  const here = usePath() === to;
  return (
    <Link
      {...others}
      to={to}
      className={here ? `${className} active` : className}
      aria-current={here ? 'page' : undefined}
    />
  );
}
