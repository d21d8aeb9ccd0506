//! The dashboards: what an operator looks at first, as rows of panels.

use serde_json::{Value, json};

/// Panels in a row.
const COLUMNS: u32 = 3;
/// Width of Grafana's grid.
const GRID: u32 = 24;
const PANEL_HEIGHT: u32 = 8;

/// A dashboard.
pub(super) struct Dashboard {
    /// Name of its file.
    pub(super) name: &'static str,
    title: &'static str,
    /// Metric whose label `instance` can be chosen from.
    instances_of: &'static str,
    panels: &'static [Panel],
    source: String,
}

/// A graph.
struct Panel {
    title: &'static str,
    /// Grafana's name of the unit.
    unit: &'static str,
    /// Queries with their legends.
    queries: &'static [(&'static str, &'static str)],
}

const fn panel(
    title: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel {
        title,
        unit,
        queries,
    }
}

/// Kymo's own health.
#[rustfmt::skip]
const SERVER: [Panel; 12] = [
    panel("Ready and reloaded", "short", &[
        ("prometheus_ready{instance=~\"$instance\"}", "ready {{instance}}"),
        ("prometheus_config_last_reload_successful{instance=~\"$instance\"}", "reload {{instance}}"),
    ]),
    panel("Samples stored", "wps", &[
        ("sum by (instance, type) (rate(prometheus_tsdb_head_samples_appended_total{instance=~\"$instance\"}[$__rate_interval]))", "{{type}} {{instance}}"),
    ]),
    panel("Series in memory", "short", &[
        ("prometheus_tsdb_head_series{instance=~\"$instance\"}", "{{instance}}"),
    ]),
    panel("Memory", "bytes", &[
        ("process_resident_memory_bytes{instance=~\"$instance\"}", "resident {{instance}}"),
        ("sum by (instance) (kymo_memory_used_bytes{instance=~\"$instance\"})", "counted {{instance}}"),
        ("kymo_memory_limit_bytes{instance=~\"$instance\"}", "limit {{instance}}"),
    ]),
    panel("CPU", "percentunit", &[
        ("rate(process_cpu_seconds_total{instance=~\"$instance\"}[$__rate_interval])", "cores {{instance}}"),
    ]),
    panel("Disk", "bytes", &[
        ("prometheus_tsdb_storage_blocks_bytes{instance=~\"$instance\"}", "blocks {{instance}}"),
        ("prometheus_tsdb_wal_storage_size_bytes{instance=~\"$instance\"}", "log {{instance}}"),
    ]),
    panel("Requests", "reqps", &[
        ("sum by (handler) (rate(prometheus_http_requests_total{instance=~\"$instance\"}[$__rate_interval]))", "{{handler}}"),
    ]),
    panel("Requests that failed or were turned away", "reqps", &[
        ("sum by (handler, code) (rate(prometheus_http_requests_total{instance=~\"$instance\", code=~\"[45]..\"}[$__rate_interval]))", "{{code}} {{handler}}"),
        ("sum by (reason) (rate(kymo_http_denied_total{instance=~\"$instance\"}[$__rate_interval]))", "denied: {{reason}}"),
        ("sum by (refused) (rate(kymo_memory_refusals_total{instance=~\"$instance\"}[$__rate_interval]))", "no memory: {{refused}}"),
    ]),
    panel("Queries", "s", &[
        ("prometheus_engine_query_duration_seconds{instance=~\"$instance\", quantile=\"0.9\"}", "p90 {{slice}}"),
        ("prometheus_engine_query_duration_seconds{instance=~\"$instance\", quantile=\"0.99\"}", "p99 {{slice}}"),
    ]),
    panel("Targets", "short", &[
        ("sum by (job) (up)", "up {{job}}"),
        ("count by (job) (up == 0)", "down {{job}}"),
    ]),
    panel("Rules", "s", &[
        ("max by (rule_group) (prometheus_rule_group_last_duration_seconds{instance=~\"$instance\"})", "{{rule_group}}"),
        ("sum by (rule_group) (rate(prometheus_rule_evaluation_failures_total{instance=~\"$instance\"}[$__rate_interval]))", "failures {{rule_group}}"),
    ]),
    panel("Trouble with data", "short", &[
        ("kymo_storage_poisoned{instance=~\"$instance\"}", "disk failed {{instance}}"),
        ("increase(kymo_storage_blocks_set_aside_total{instance=~\"$instance\"}[$__rate_interval])", "blocks set aside {{instance}}"),
        ("increase(prometheus_tsdb_out_of_order_samples_total{instance=~\"$instance\"}[$__rate_interval])", "out of order {{type}}"),
    ]),
];

/// Hosts, by node_exporter's metrics, which Kymo itself has, too.
#[rustfmt::skip]
const HOSTS: [Panel; 9] = [
    panel("CPU busy", "percentunit", &[
        ("1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\", instance=~\"$instance\"}[$__rate_interval]))", "{{instance}}"),
    ]),
    panel("CPU by mode", "percentunit", &[
        ("avg by (mode) (rate(node_cpu_seconds_total{mode!=\"idle\", instance=~\"$instance\"}[$__rate_interval]))", "{{mode}}"),
    ]),
    panel("Load", "short", &[
        ("node_load1{instance=~\"$instance\"}", "1 min {{instance}}"),
        ("node_load15{instance=~\"$instance\"}", "15 min {{instance}}"),
    ]),
    panel("Memory used", "percentunit", &[
        ("1 - node_memory_MemAvailable_bytes{instance=~\"$instance\"} / node_memory_MemTotal_bytes{instance=~\"$instance\"}", "{{instance}}"),
    ]),
    panel("Filesystems used", "percentunit", &[
        ("1 - node_filesystem_avail_bytes{instance=~\"$instance\"} / node_filesystem_size_bytes{instance=~\"$instance\"}", "{{mountpoint}} {{instance}}"),
    ]),
    panel("Disk traffic", "Bps", &[
        ("sum by (device) (rate(node_disk_read_bytes_total{instance=~\"$instance\"}[$__rate_interval]))", "read {{device}}"),
        ("sum by (device) (rate(node_disk_written_bytes_total{instance=~\"$instance\"}[$__rate_interval]))", "written {{device}}"),
    ]),
    panel("Network traffic", "Bps", &[
        ("sum by (device) (rate(node_network_receive_bytes_total{device!=\"lo\", instance=~\"$instance\"}[$__rate_interval]))", "in {{device}}"),
        ("sum by (device) (rate(node_network_transmit_bytes_total{device!=\"lo\", instance=~\"$instance\"}[$__rate_interval]))", "out {{device}}"),
    ]),
    panel("Network errors", "pps", &[
        ("sum by (device) (rate(node_network_receive_errs_total{instance=~\"$instance\"}[$__rate_interval]))", "in {{device}}"),
        ("sum by (device) (rate(node_network_transmit_errs_total{instance=~\"$instance\"}[$__rate_interval]))", "out {{device}}"),
    ]),
    panel("Up since", "s", &[
        ("node_time_seconds{instance=~\"$instance\"} - node_boot_time_seconds{instance=~\"$instance\"}", "{{instance}}"),
    ]),
];

impl Dashboard {
    /// Returns all dashboards; their panels ask the data source with this identifier.
    pub(super) fn all(source: &str) -> [Dashboard; 2] {
        [
            Dashboard {
                name: "server",
                title: "Kymo",
                instances_of: "prometheus_ready",
                panels: &SERVER,
                source: source.to_owned(),
            },
            Dashboard {
                name: "hosts",
                title: "Hosts",
                instances_of: "node_load1",
                panels: &HOSTS,
                source: source.to_owned(),
            },
        ]
    }

    /// Returns the queries of all panels.
    #[cfg(test)]
    pub(super) fn queries(&self) -> impl Iterator<Item = &'static str> {
        let queries = self.panels.iter().flat_map(|panel| panel.queries);
        queries.map(|(query, _)| *query)
    }

    /// Returns the dashboard in Grafana's form.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(super) fn json(&self) -> Result<String, String> {
        let source = json!({ "type": "prometheus", "uid": self.source });
        let width = GRID / COLUMNS;
        let panels: Vec<Value> = (0..)
            .zip(self.panels)
            .map(|(n, panel)| {
                let place = json!({
                    "x": n % COLUMNS * width,
                    "y": n / COLUMNS * PANEL_HEIGHT,
                    "w": width,
                    "h": PANEL_HEIGHT,
                });
                panel.json(n + 1, &place, &source)
            })
            .collect();
        let dashboard = json!({
            "uid": format!("kymo-{}", self.name),
            "title": self.title,
            "tags": ["kymo"],
            "schemaVersion": 39,
            "refresh": "30s",
            "time": { "from": "now-1h", "to": "now" },
            "templating": { "list": [{
                "name": "instance",
                "type": "query",
                "datasource": source,
                "query": format!("label_values({}, instance)", self.instances_of),
                "refresh": 2,
                "includeAll": true,
                "multi": true,
                "current": { "text": "All", "value": "$__all" },
            }] },
            "panels": panels,
        });
        let text = serde_json::to_string_pretty(&dashboard).map_err(|error| error.to_string())?;
        Ok(text + "\n")
    }
}

impl Panel {
    fn json(&self, id: u32, place: &Value, source: &Value) -> Value {
        let targets: Vec<Value> = ('A'..)
            .zip(self.queries)
            .map(|(name, (query, legend))| {
                json!({
                    "refId": name.to_string(),
                    "datasource": source,
                    "expr": query,
                    "legendFormat": legend,
                })
            })
            .collect();
        json!({
            "id": id,
            "type": "timeseries",
            "title": self.title,
            "datasource": source,
            "gridPos": place,
            "fieldConfig": { "defaults": { "unit": self.unit, "min": 0 }, "overrides": [] },
            "options": { "tooltip": { "mode": "multi", "sort": "desc" } },
            "targets": targets,
        })
    }
}
