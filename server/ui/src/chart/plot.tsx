// A chart of uPlot's as a component: made from options, as wide as its place.

import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import './chart.css';

interface Props {
  /** Makes all but the size. The chart is made anew when this changes. */
  options: () => Omit<uPlot.Options, 'width' | 'height'>;
  data: uPlot.AlignedData;
  height: number;
  label: string;
  onReady?: (chart: uPlot) => void;
}

export function Plot({ options, data, height, label, onReady }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const ready = useRef(onReady);
  ready.current = onReady;
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const size = () => ({ width: Math.max(element.clientWidth, 100), height });
    const chart = new uPlot({ ...options(), ...size() }, data, element);
    ready.current?.(chart);
    const observer = new ResizeObserver(() => {
      const next = size();
      if (next.width !== chart.width) chart.setSize(next);
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
    };
  }, [options, data, height]);
  return <div ref={place} className="plot" role="img" aria-label={label} />;
}

/** What dragging over a chart does: it chooses a part of its time. */
export function dragToZoom(onZoom: (startMs: number, endMs: number) => void): uPlot.Plugin {
  return {
    hooks: {
      setSelect: (u) => {
        const { left, width } = u.select;
        if (width < 4) return;
        const start = u.posToVal(left, 'x') * 1000;
        const end = u.posToVal(left + width, 'x') * 1000;
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        onZoom(start, end);
      },
    },
  };
}
