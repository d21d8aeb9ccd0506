// The routes, each with a view that is loaded when it is first shown.

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { type ComponentType, lazy } from 'react';
import { Empty } from './kit/states';
import { Layout } from './shell/layout';
import { SettingsProvider } from './shell/settings';
import { usePath } from './url/router';

const MetricsView = lazy(() => import('./views/metrics/view'));
const LogsView = lazy(() => import('./views/logs/view'));
const SideBySideView = lazy(() => import('./views/side_by_side/view'));
const OverviewView = lazy(() => import('./views/overview/view'));
const TargetsView = lazy(() => import('./views/targets/view'));
const LogTargetsView = lazy(() => import('./views/log_targets/view'));
const DiscoveryView = lazy(() => import('./views/discovery/view'));
const AlertsView = lazy(() => import('./views/rules/alerts'));
const RulesView = lazy(() => import('./views/rules/view'));
const CardinalityView = lazy(() => import('./views/cardinality/view'));
const StorageView = lazy(() => import('./views/storage/view'));
const StatusView = lazy(() => import('./views/status/view'));
const ConfigView = lazy(() => import('./views/status/config'));
const FlagsView = lazy(() => import('./views/status/flags'));

const queries = new QueryClient({
  defaultOptions: { queries: { retry: 1, staleTime: 5_000, refetchOnWindowFocus: false } },
});

/** The view at each path. Paths are those of `api/pages.rs`. */
const views: Record<string, ComponentType> = {
  '/overview': OverviewView,
  '/query': MetricsView,
  '/logs': LogsView,
  '/explore': SideBySideView,
  '/targets': TargetsView,
  '/log-targets': LogTargetsView,
  '/service-discovery': DiscoveryView,
  '/alerts': AlertsView,
  '/rules': RulesView,
  '/cardinality': CardinalityView,
  '/storage': StorageView,
  '/status': StatusView,
  '/config': ConfigView,
  '/flags': FlagsView,
};

export function App() {
  const path = usePath();
  const View = views[path];
  return (
    <QueryClientProvider client={queries}>
      <SettingsProvider>
        <Layout>{View ? <View key={path} /> : <Empty title="There is no such view." />}</Layout>
      </SettingsProvider>
    </QueryClientProvider>
  );
}
