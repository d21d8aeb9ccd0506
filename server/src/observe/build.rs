//! What is running, under the names of Prometheus' build information.

use serde::Serialize;

/// The version whose behaviour Kymo follows. Clients of the API decide by it what
/// they may ask for.
const PROMETHEUS_VERSION: &str = "3.14.0";

/// Build information as `/api/v1/status/buildinfo` answers it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuildInfo {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

/// Returns the build information of this program. Fields about a build in Go are
/// there because clients decode them, and empty because there was none.
pub(crate) fn info() -> BuildInfo {
    BuildInfo {
        version: PROMETHEUS_VERSION,
        revision: concat!("kymo-", env!("CARGO_PKG_VERSION")),
        branch: "",
        build_user: "",
        build_date: "",
        go_version: "",
    }
}

impl BuildInfo {
    /// Returns the same under the version of another program whose behaviour is followed.
    pub(crate) fn of_version(self, version: &'static str) -> BuildInfo {
        BuildInfo { version, ..self }
    }
}

/// Returns Kymo's own version.
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Returns the version of Prometheus whose behaviour Kymo follows.
pub(crate) fn prometheus_version() -> &'static str {
    PROMETHEUS_VERSION
}

/// Returns what `--version` prints, in the form of Prometheus. Under the name `promtool`
/// the version is Prometheus', because scripts decide by it.
pub(crate) fn text(program: &str) -> String {
    let (version, more) = match program {
        "promtool" => (PROMETHEUS_VERSION, String::new()),
        _ => (
            version(),
            format!("  behaves as:       prometheus {PROMETHEUS_VERSION}\n"),
        ),
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!(
        "{program}, version {version} (branch: HEAD, revision: {})\n{more}  platform:         {}/{arch}\n",
        info().revision,
        std::env::consts::OS,
    )
}
