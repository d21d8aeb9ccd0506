// Starts the server that most flows share, and fills it.

import { startKymo } from './kymo';
import { config, rules, seedMetrics } from './seed';

export default async function setup() {
  const kymo = await startKymo({
    config,
    files: { 'rules.yml': rules },
    args: ['--web.enable-otlp-receiver', '--enable-feature=exemplar-storage'],
  });
  const start = await seedMetrics(kymo.url);
  process.env.KYMO_URL = kymo.url;
  process.env.KYMO_SEEDED_FROM = String(start);
  return kymo.stop;
}
