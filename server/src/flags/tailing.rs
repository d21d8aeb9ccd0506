//! Which logs are followed, where the configuration file does not say.

use std::path::Path;

use clap::Args;
use clap::builder::ArgAction;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Following logs")]
pub(crate) struct TailingFlags {
    /// Configuration of Promtail (promtail.yaml): what it follows is followed by this server,
    /// besides log_configs of the configuration file.
    #[arg(long = "logs.promtail-config", value_name = "FILE")]
    promtail_config: Option<String>,

    /// Replace ${NAME} and ${NAME:default} in that file by variables of the environment.
    #[arg(long = "logs.promtail-expand-env", value_name = "BOOL",
          action = ArgAction::Set, hide_possible_values = true, num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true")]
    promtail_expand_env: bool,
}

impl TailingFlags {
    /// Returns the file of Promtail, and whether variables of the environment stand in it.
    pub(crate) fn promtail(&self) -> Option<(&Path, bool)> {
        let file = self.promtail_config.as_deref();
        let file = file.filter(|file| !file.is_empty())?;
        Some((Path::new(file), self.promtail_expand_env))
    }
}
