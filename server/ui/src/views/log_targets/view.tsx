// Which logs the server follows, how far it is, and what went wrong.

import { useMemo } from 'react';
import { bytes, count } from '../../chart/values';
import { LabelPlates } from '../../kit/labels';
import { PageHead, Shown, useCall } from '../../kit/page';
import { Empty } from '../../kit/states';
import { useKeys } from '../../shell/keys';
import { Link } from '../../url/router';
import { logsHref, useParams } from '../../url/state';
import {
  type DroppedLogTarget,
  fileSelector,
  foundIn,
  type LogFile,
  type LogJob,
  type LogTarget,
  lag,
  targetSelector,
} from './jobs';
import '../targets/targets.css';
import './log_targets.css';

export default function LogTargetsView() {
  const jobs = useCall<{ jobs: LogJob[] }>('api/v1/log_targets', {}, 5_000);
  return (
    <Shown of={jobs} what="followed logs">
      {(data) => <All jobs={data.jobs} />}
    </Shown>
  );
}

function All({ jobs }: { jobs: LogJob[] }) {
  const [params, change] = useParams();
  const wanted = params.get('search') ?? '';
  const failing = params.get('errors') === '1';
  const found = useMemo(() => foundIn(jobs, wanted, failing), [jobs, wanted, failing]);
  useKeys('Followed logs', [
    {
      key: '/',
      does: 'Search followed logs',
      run: () => document.getElementById('search')?.focus(),
    },
  ]);
  const files = jobs.flatMap((job) => job.files);
  const failed = files.filter((file) => file.lastError !== '').length;
  return (
    <>
      <PageHead title="Followed logs">
        {jobs.length > 0 && (
          <>
            <input
              id="search"
              type="search"
              aria-label="Search followed logs"
              placeholder="Search: paths, labels, errors"
              value={wanted}
              onChange={(e) => change({ search: e.target.value }, 'replace')}
            />
            <fieldset className="joined bare" aria-label="Errors">
              <button
                type="button"
                aria-pressed={!failing}
                onClick={() => change({ errors: undefined })}
              >
                All files {files.length}
              </button>
              <button
                type="button"
                aria-pressed={failing}
                onClick={() => change({ errors: failing ? undefined : '1' })}
              >
                With errors only {failed}
              </button>
            </fieldset>
          </>
        )}
      </PageHead>
      {jobs.length === 0 && (
        <Empty title="No logs are followed.">
          <p>
            Files, the journal and syslog are followed as <code>log_configs</code> in the
            configuration file says, or a <code>promtail.yaml</code> that{' '}
            <code>--logs.promtail-config</code> names.
          </p>
          <p>The chapter “Following logs” of the manual (docs/tailing.md) has examples.</p>
        </Empty>
      )}
      {jobs.length > 0 && found.length === 0 && (
        <Empty title={failing && failed === 0 ? 'No file has an error.' : 'Nothing matches.'} />
      )}
      {found.map((job) => (
        <Job key={job.job} job={job} failing={failing} />
      ))}
    </>
  );
}

const sources = { file: 'files', journal: 'journal', syslog: 'syslog', push: 'pushes' };

function Job({ job, failing }: { job: LogJob; failing: boolean }) {
  const failed = job.files.filter((file) => file.lastError !== '').length;
  const behind = job.files.reduce((sum, file) => sum + lag(file), 0);
  return (
    <section className="panel" aria-label={`Job ${job.job}`}>
      <div className="panel-head">
        <h2>{job.job}</h2>
        <span className="muted">
          {sources[job.kind] ?? job.kind}
          {job.address && <span className="mono"> at {job.address}</span>}
        </span>
        {failed > 0 && <span className="badge bad">{failed} with errors</span>}
        {behind > 0 && <span className="badge warn">{bytes(behind)} behind</span>}
        {failed === 0 && behind === 0 && job.files.length > 0 && (
          <span className="badge good">up to date</span>
        )}
      </div>
      {job.targets.length > 0 && <Targets targets={job.targets} />}
      {job.files.length > 0 && <Files files={job.files} />}
      {!failing && job.kind === 'file' && job.files.length === 0 && job.targets.length > 0 && (
        <p className="job-note muted">No file has been found here that is shown.</p>
      )}
      {job.kind !== 'file' && job.files.length === 0 && (
        <p className="job-note muted">
          {job.kind === 'journal'
            ? 'Entries of the journal are stored as they come.'
            : 'Messages are stored as they come.'}
        </p>
      )}
      {job.droppedTargets.length > 0 && <Dropped targets={job.droppedTargets} />}
    </section>
  );
}

function Targets({ targets }: { targets: LogTarget[] }) {
  return (
    <div className="table-wrap">
      <table className="cards log-target-table">
        <thead>
          <tr>
            <th>Target</th>
            <th>Labels</th>
          </tr>
        </thead>
        <tbody>
          {targets.map((target) => {
            const selector = targetSelector(target);
            return (
              <tr key={`${target.path} ${JSON.stringify(target.labels)}`}>
                <td>
                  <span className="mono break">{target.path}</span>
                  {selector && (
                    <Link className="small-link" to={logsHref(selector)}>
                      Its lines
                    </Link>
                  )}
                </td>
                <td>
                  <LabelPlates labels={target.labels} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Files({ files }: { files: LogFile[] }) {
  return (
    <div className="table-wrap">
      <table className="cards log-file-table">
        <thead>
          <tr>
            <th>File</th>
            <th className="number">Size</th>
            <th className="number">Stored up to</th>
            <th className="number">Behind</th>
            <th className="number">Lines read</th>
          </tr>
        </thead>
        <tbody>
          {files.map((file) => {
            const behind = lag(file);
            // Of a file that could not be opened nothing is known.
            const unknown = file.lastError !== '' && file.sizeBytes === 0;
            return (
              <tr key={file.path}>
                <td>
                  <span className="mono break">{file.path}</span>
                  {file.lastError && <p className="target-error">{file.lastError}</p>}
                  <Link className="small-link" to={logsHref(fileSelector(file))}>
                    Its lines
                  </Link>
                </td>
                <td className="number" data-name="size" title={`${count(file.sizeBytes)} bytes`}>
                  {unknown ? '–' : bytes(file.sizeBytes)}
                </td>
                <td
                  className="number"
                  data-name="stored"
                  title={`${count(file.positionBytes)} bytes`}
                >
                  {unknown ? '–' : bytes(file.positionBytes)}
                </td>
                <td className="number" data-name="behind" title={`${count(behind)} bytes`}>
                  {unknown ? '–' : behind === 0 ? 'nothing' : bytes(behind)}
                </td>
                <td className="number" data-name="lines">
                  {count(file.lines)}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Dropped({ targets }: { targets: DroppedLogTarget[] }) {
  return (
    <details className="dropped" open={targets.length <= 3}>
      <summary>
        {targets.length} dropped {targets.length === 1 ? 'target' : 'targets'}
      </summary>
      <div className="table-wrap">
        <table className="cards log-target-table">
          <thead>
            <tr>
              <th>Reason</th>
              <th>Labels as discovered</th>
            </tr>
          </thead>
          <tbody>
            {targets.map((target) => (
              <tr key={`${target.reason} ${JSON.stringify(target.discoveredLabels)}`}>
                <td>{target.reason}</td>
                <td>
                  <LabelPlates labels={target.discoveredLabels} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
