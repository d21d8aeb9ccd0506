//! A file that holds an HTTP client block alone, as commands that ask servers read it.

use std::path::Path;

use kymo_ingest::http::ClientOptions;

use super::fields::{Fields, Problems};
use super::{ConfigError, http_client, os_text, yaml};

/// Reads such a file. Relative paths in it start from its directory.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub(crate) fn load(path: &Path) -> Result<ClientOptions, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        path: path.to_owned(),
        reason: os_text(&error),
    })?;
    let dir = path.parent().unwrap_or(Path::new(""));
    parse(&text, dir).map_err(|error| match error {
        ConfigError::Invalid { problems, .. } => ConfigError::Invalid {
            path: Some(path.to_owned()),
            problems,
        },
        other => other,
    })
}

fn parse(text: &str, dir: &Path) -> Result<ClientOptions, ConfigError> {
    let document = yaml::parse(text)?;
    let mut problems = Problems::default();
    let mut fields = Fields::open(&document.root, "config.plain", &mut problems);
    let options = http_client::take(&mut fields, dir, &mut problems);
    fields.finish(&mut problems);
    problems.settle(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_stands_alone_and_strictly() {
        let text = "basic_auth: {username: a, password_file: b}\nfollow_redirects: false\n";
        let options = parse(text, Path::new("/x")).unwrap();
        assert!(options.auth.is_some() && !options.follow_redirects);
        assert_eq!(parse("", Path::new("")).unwrap(), ClientOptions::default());
        let error = parse("user: a\n", Path::new("")).unwrap_err().to_string();
        assert!(error.contains("line 1: field user not found"), "{error}");
    }
}
