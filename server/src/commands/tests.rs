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
