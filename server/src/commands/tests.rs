//! Command lines of the whole program.

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn outcome(line: &str) -> Exit {
    let serve = |args: Vec<OsString>| {
        Err(Exit {
            code: 99,
            message: format!("server with {} words", args.len()),
        })
    };
    run(words(line), serve).unwrap_err()
}

#[test]
fn trees_are_sound() {
    tree(Program::Kymo).debug_assert();
    tree(Program::Promtool).debug_assert();
}

#[test]
fn lines_without_a_command_are_the_servers() {
    for line in ["kymo", "kymo --storage.path=x", "kymo serve --x", "./kymo"] {
        assert_eq!(outcome(line).code, 99, "{line}");
    }
}

#[test]
fn help_names_commands_flags_and_examples() {
    let help = outcome("kymo --help");
    assert_eq!(help.code, 0);
    for part in [
        "check",
        "Storage:",
        "--storage.path",
        "Queries:",
        "EXAMPLES:",
    ] {
        assert!(help.message.contains(part), "{part}: {}", help.message);
    }
    assert_eq!(outcome("kymo serve -h"), help);
    assert_eq!(outcome("kymo help"), help);
    for line in ["kymo help check", "kymo check --help"] {
        let help = outcome(line).message;
        assert!(help.contains("kymo check"), "{help}");
    }
    let promtool = outcome("promtool").message;
    assert!(promtool.contains("test") && !promtool.contains("completions"));
    assert_eq!(outcome("kymo promtool").message, promtool);
    let help = outcome("promtool help check rules").message;
    assert!(help.contains("promtool check rules"), "{help}");
}

#[test]
fn completions_know_commands_and_flags() {
    use clap_complete::Shell;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = String::from_utf8(shell::script(shell)).unwrap();
        for word in ["migrate-check", "label-matchers", "storage.path"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn versions_read_as_those_of_prometheus() {
    let version = outcome("kymo --version").message;
    assert!(version.starts_with("kymo, version "), "{version}");
    let version = outcome("/usr/bin/promtool --version").message;
    assert!(version.starts_with("promtool, version 3."), "{version}");
}

#[test]
fn unknown_commands_are_told_with_what_they_may_have_meant() {
    let exit = outcome("kymo chekc rules");
    assert_eq!(exit.code, 1);
    assert!(exit.message.contains("'check'"), "{}", exit.message);
    for line in [
        "promtool chekc",
        "promtool --nosuch",
        "promtool man",
        "promtool check",
        "promtool check nosuch",
        "kymo test rules",
    ] {
        assert_eq!(outcome(line).code, 1, "{line}");
    }
}

/// Flags in the documents that are those of other programs, or stand for any.
const FOREIGN: &[&str] = &["--dry-run", "--no-x", "--x"];

/// Flags that are read before any others.
const OF_ALL: &[&str] = &["help", "version", "no-x", "x"];

/// Returns the texts of the README and of the book, with their names.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut paths = vec![root.join("README.md")];
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    let text = |path: &std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let named = paths
        .iter()
        .map(|path| (path.display().to_string(), text(path)));
    named.collect()
}

/// Returns the pieces of a text that are code: spans, and lines of blocks.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let joined = text.replace("\\\n", " ");
    for (index, part) in joined.split("```").enumerate() {
        match index % 2 {
            0 => found.extend(part.split('`').skip(1).step_by(2).map(str::to_owned)),
            _ => found.extend(part.lines().skip(1).map(str::to_owned)),
        }
    }
    found
}

/// Returns the lines of `kymo` in a piece of code, without the name.
fn lines_of_kymo(code: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let begins = |at: usize| {
        let before = at.checked_sub(1).map(|before| words[before]);
        words[at] == "kymo" && matches!(before, None | Some("$" | "|" | "until" | "&&" | "do"))
    };
    let ends = |word: &&&str| !word.starts_with(['|', '&', ';', '#', '>', '<', '2']);
    let found = (0..words.len()).filter(|at| begins(*at));
    found
        .map(|at| words[at + 1..].iter().take_while(ends).copied().collect())
        .collect()
}

fn has_flag(command: &clap::Command, name: &str) -> bool {
    command.get_arguments().any(|arg| {
        let others = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(name) || others.contains(&name)
    })
}

fn is_flag_of_any(command: &clap::Command, name: &str) -> bool {
    let mut below = command.get_subcommands();
    has_flag(command, name) || below.any(|one| is_flag_of_any(one, name))
}

/// Returns what of a line the program does not know.
fn unknown_in(line: &[&str]) -> Option<String> {
    let mut command = tree(Program::Kymo);
    command.build();
    let mut above: Vec<clap::Command> = Vec::new();
    for word in line {
        let word = word.trim_end_matches([',', ';', ')']);
        if let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) {
            let name = flag.split('=').next().unwrap_or_default();
            let is_known = OF_ALL.contains(&name)
                || has_flag(&command, name)
                || above.iter().any(|one| has_flag(one, name));
            if !is_known {
                return Some(format!("--{name}"));
            }
        } else if command.has_subcommands() && word.starts_with(|c: char| c.is_ascii_lowercase()) {
            match command.find_subcommand(word).cloned() {
                Some(below) => above.push(std::mem::replace(&mut command, below)),
                // Of promtool and help all words behind are others'.
                None if matches!(word, "promtool" | "help" | "serve") => return None,
                None => return Some(word.to_owned()),
            }
        }
    }
    None
}

#[test]
fn documents_name_commands_and_flags_that_exist() {
    let all = tree(Program::Kymo);
    let (mut lines, mut flags) = (0, 0);
    for (document, text) in documents() {
        for code in code(&text) {
            for line in lines_of_kymo(&code) {
                lines += 1;
                assert_eq!(unknown_in(&line), None, "{document}: {code}");
            }
            let first = code.split_whitespace().next().unwrap_or_default();
            let of_others = document.ends_with("benchmarks.md")
                || FOREIGN.iter().any(|flag| first.starts_with(flag));
            if let Some(flag) = first.strip_prefix("--").filter(|_| !of_others) {
                flags += 1;
                let name = flag.split('=').next().unwrap_or_default();
                let is_group = flag.ends_with(".*");
                let is_known = is_group || OF_ALL.contains(&name) || is_flag_of_any(&all, name);
                assert!(is_known, "{document}: --{name}");
            }
        }
    }
    assert!(lines > 40 && flags > 60, "{lines} lines, {flags} flags");
}

#[test]
fn lines_with_mistakes_would_be_found() {
    let unknown = |code: &str| {
        let lines = lines_of_kymo(code);
        lines.iter().find_map(|line| unknown_in(line))
    };
    for (code, found) in [
        ("kymo check config x.yml | kymo chekc y", Some("chekc")),
        ("until kymo query instnt http://x up; do", Some("instnt")),
        ("$ kymo --storage.pth=x", Some("--storage.pth")),
        ("kymo tsdb list --nosuch ./data", Some("--nosuch")),
        ("kymo tsdb list ./data # kymo nosuch", None),
        ("curl kymo nosuch", None),
    ] {
        assert_eq!(unknown(code).as_deref(), found, "{code}");
    }
}
