// The flags in force.

import type { Labels } from '../../api/prometheus';
import { PageHead, Shown, useCall } from '../../kit/page';
import { Empty } from '../../kit/states';
import { useParams } from '../../url/state';

export default function FlagsView() {
  const flags = useCall<Labels>('api/v1/status/flags', { all: true }, false);
  const [params, change] = useParams();
  const wanted = params.get('search') ?? '';
  const words = wanted.toLowerCase().split(/\s+/);
  return (
    <>
      <PageHead title="Flags">
        <input
          type="search"
          aria-label="Search flags"
          placeholder="Search"
          value={wanted}
          onChange={(e) => change({ search: e.target.value }, 'replace')}
        />
      </PageHead>
      <Shown of={flags} what="flags">
        {(data) => {
          const shown = Object.entries(data)
            .filter(([name, value]) =>
              words.every((word) => `${name} ${value}`.toLowerCase().includes(word)),
            )
            .sort(([a], [b]) => a.localeCompare(b));
          if (shown.length === 0) return <Empty title="No flag is called like that." />;
          return (
            <section className="panel" aria-label="Flags">
              <div className="table-wrap">
                <table>
                  <thead>
                    <tr>
                      <th>Flag</th>
                      <th>Value</th>
                    </tr>
                  </thead>
                  <tbody>
                    {shown.map(([name, value]) => (
                      <tr key={name}>
                        <td className="mono break">--{name}</td>
                        <td className="mono break">
                          {value || <span className="muted">empty</span>}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </section>
          );
        }}
      </Shown>
    </>
  );
}
