// The views, as the navigation lists them. Paths are those of `api/pages.rs`.

export interface View {
  path: string;
  title: string;
  /** Pressed after `g`. */
  key: string;
}

export const groups: readonly { title: string; views: readonly View[] }[] = [
  {
    title: 'Explore',
    views: [
      { path: '/query', title: 'Metrics', key: 'm' },
      { path: '/logs', title: 'Logs', key: 'l' },
      { path: '/explore', title: 'Side by side', key: 'e' },
    ],
  },
  {
    title: 'State',
    views: [
      { path: '/overview', title: 'Overview', key: 'o' },
      { path: '/targets', title: 'Targets', key: 't' },
      { path: '/log-targets', title: 'Followed logs', key: 'w' },
      { path: '/service-discovery', title: 'Discovery', key: 'd' },
      { path: '/alerts', title: 'Alerts', key: 'a' },
      { path: '/rules', title: 'Rules', key: 'r' },
    ],
  },
  {
    title: 'Server',
    views: [
      { path: '/cardinality', title: 'Cardinality', key: 'c' },
      { path: '/storage', title: 'Storage', key: 's' },
      { path: '/status', title: 'Status', key: 'i' },
      { path: '/config', title: 'Configuration', key: 'f' },
      { path: '/flags', title: 'Flags', key: 'x' },
    ],
  },
];

export const views: readonly View[] = groups.flatMap((group) => group.views);
