//! What is wrong with a configuration file: where, what, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use super::yaml::{Position, SyntaxError};

/// A configuration that cannot be used. Nothing of it is applied.
///
/// It prints as Prometheus prints it, with line and remedy added behind each text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// Why, in the operating system's words.
        reason: String,
    },
    /// The file does not hold what it should.
    Invalid {
        /// The file, as it was named; `None` for a text that came from elsewhere.
        path: Option<PathBuf>,
        /// At least one mistake, in the order of the file.
        problems: Vec<Problem>,
    },
    /// A file that the configuration takes jobs from does not hold what it should.
    InFile {
        /// The configuration, as it was named.
        path: PathBuf,
        /// The file, by its whole path.
        file: PathBuf,
        /// What is wrong with it.
        cause: Box<ConfigError>,
    },
}

/// One mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub at: Position,
    /// What kind it is.
    pub kind: ProblemKind,
    /// What is wrong, in Prometheus' words where it has some.
    pub message: String,
    /// What to do about it, where that is not plain from the message.
    pub remedy: Option<String>,
}

/// What kind of mistake a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The text is not YAML.
    Syntax,
    /// A key or a type that does not belong there.
    Shape,
    /// A value that is not allowed.
    Value,
    /// Something valid that this version does not do.
    Unsupported,
}

impl ConfigError {
    /// Returns the mistakes, in the order of the file; none where it cannot be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            ConfigError::Unreadable { .. } => &[],
            ConfigError::Invalid { problems, .. } => problems,
            ConfigError::InFile { cause, .. } => cause.problems(),
        }
    }
}

impl From<SyntaxError> for Problem {
    fn from(error: SyntaxError) -> Problem {
        Problem {
            at: error.at,
            kind: ProblemKind::Syntax,
            message: error.message,
            remedy: None,
        }
    }
}

impl From<SyntaxError> for ConfigError {
    fn from(error: SyntaxError) -> ConfigError {
        ConfigError::Invalid {
            path: None,
            problems: vec![error.into()],
        }
    }
}

impl ConfigError {
    /// Returns the text without what the server says of it, as tools print it.
    pub(crate) fn of_file(&self) -> String {
        match self {
            ConfigError::Unreadable { path, reason } => {
                format!("open {}: {reason}", path.display())
            }
            ConfigError::Invalid { path, problems } => {
                let problems = Problems(problems);
                match path {
                    Some(path) => format!("parsing YAML file {}: {problems}", path.display()),
                    None => problems.to_string(),
                }
            }
            ConfigError::InFile { file, cause, .. } => {
                let cause = match cause.as_ref() {
                    ConfigError::Invalid { problems, .. } => Problems(problems).to_string(),
                    other => other.of_file(),
                };
                format!("\"{}\": {cause}", file.display())
            }
        }
    }

    /// Returns the file that the mistakes stand in.
    pub(crate) fn place(&self) -> Option<&Path> {
        match self {
            ConfigError::Unreadable { path, .. } => Some(path),
            ConfigError::Invalid { path, .. } => path.as_deref(),
            ConfigError::InFile { file, .. } => Some(file),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            ConfigError::InFile { path, .. } => Some(path),
            other => other.place(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.path() {
            let path = path.display();
            write!(
                f,
                "couldn't load configuration (--config.file=\"{path}\"): "
            )?;
        }
        f.write_str(&self.of_file())
    }
}

struct Problems<'a>(&'a [Problem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_problems(f, self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Mistakes of shape come first and under one heading, as Go's YAML package prints
/// them; the others follow, one a line.
fn write_problems(f: &mut fmt::Formatter<'_>, problems: &[Problem]) -> fmt::Result {
    let shape = |p: &&Problem| p.kind == ProblemKind::Shape;
    let mut separator = "";
    if problems.iter().any(|p| shape(&p)) {
        write!(f, "yaml: unmarshal errors:")?;
        for problem in problems.iter().filter(shape) {
            write!(f, "\n  line {}: {}", problem.at.line, problem.message)?;
            write_remedy(f, problem)?;
        }
        separator = "\n";
    }
    for problem in problems.iter().filter(|p| !shape(p)) {
        f.write_str(separator)?;
        separator = "\n";
        match problem.kind {
            ProblemKind::Syntax => {
                write!(f, "yaml: line {}: {}", problem.at.line, problem.message)?;
            }
            // A problem that no line has, such as a pattern of files.
            _ if problem.at.line == 0 => f.write_str(&problem.message)?,
            _ => {
                let Position { line, column } = problem.at;
                write!(f, "{} (line {line}, column {column})", problem.message)?;
            }
        }
        write_remedy(f, problem)?;
    }
    Ok(())
}

fn write_remedy(f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
    match &problem.remedy {
        Some(remedy) => write!(f, ": {remedy}"),
        None => Ok(()),
    }
}
