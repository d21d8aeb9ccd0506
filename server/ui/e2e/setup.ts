// Starts the server that most flows share, and fills it.

import { startKymo } from './kymo';
import { config, followed, logRules, rules, seedLogs, seedMetrics } from './seed';

export default async function setup() {
  const kymo = await startKymo({
    config,
    files: { 'rules.yml': rules, 'log_rules.yml': logRules, ...followed },
    args: ['--web.enable-otlp-receiver', '--enable-feature=exemplar-storage'],
  });
  const start = await seedMetrics(kymo.url);
  await seedLogs(kymo.url, start);
  process.env.KYMO_URL = kymo.url;
  process.env.KYMO_SEEDED_FROM = String(start);
  return kymo.stop;
}
