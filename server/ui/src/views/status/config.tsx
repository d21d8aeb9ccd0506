// The configuration in force.

import { CopyIcon } from '@radix-ui/react-icons';
import { useState } from 'react';
import { PageHead, Shown, useCall } from '../../kit/page';
import { copy } from '../../kit/save';

export default function ConfigView() {
  const config = useCall<{ yaml: string }>('api/v1/status/config', {}, false);
  const [copied, setCopied] = useState(false);
  return (
    <>
      <PageHead title="Configuration">
        <button
          type="button"
          disabled={!config.data}
          onClick={async () => {
            setCopied(await copy(config.data?.data.yaml ?? ''));
            setTimeout(() => setCopied(false), 2000);
          }}
        >
          <CopyIcon /> <span aria-live="polite">{copied ? 'Copied' : 'Copy'}</span>
        </button>
      </PageHead>
      <p className="muted">
        As the server reads it, with what is the default; secrets are left out.
      </p>
      <Shown of={config} what="configuration">
        {(data) => (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
          <pre className="panel padded yaml" tabIndex={0}>
            {data.yaml.split('\n').map((line, index) => (
              <Line key={index} text={line} />
            ))}
          </pre>
        )}
      </Shown>
    </>
  );
}

function Line({ text }: { text: string }) {
  const found = /^(\s*(?:- )*)([^\s:#][^:]*:)(\s.*)?$/.exec(text);
  if (!found) return `${text}\n`;
  return (
    <>
      {found[1]}
      <span className="yaml-key">{found[2]}</span>
      {found[3]}
      {'\n'}
    </>
  );
}
