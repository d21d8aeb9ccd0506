//! Stages of a pipeline.

use super::grammar::Writer;

const TEXTS: &[&str] = &[
    "e",
    "error",
    "200",
    "10.0.0.1",
    "ok",
    "GET",
    "é",
    "",
    "level=",
    "\"level\":",
    "{",
    " ",
    "\n",
    "ERR",
    "foo",
    "\\",
    "1.5",
    "日本",
    "\u{1b}[",
    "nope",
    "a=b",
    "\t",
    "<_>",
];

const REGEXES: &[&str] = &[
    "e",
    "err.*",
    "(?i)error",
    "error|ok",
    "^.*$",
    ".+",
    ".*",
    "",
    "\\d+",
    "[a-z]{3}",
    "^{",
    "level.*status",
    "(?i)ERR|foo",
    "(ok|no)pe?",
    "er+or",
    ".*err.*|foo",
    "\\s$",
    "é.",
    "(?s)a.b",
    "(error|warn).*",
    "(?i)é",
    "info|error",
    "x*",
    "(a|b)(c|d)",
    "2..",
    "prod.*dev",
    "(?i)(error|warn)",
    "error.+",
    ".+error",
    "^error",
    "error$",
    "(?P<x>a)",
];

const ODD_REGEXES: &[&str] = &["\\", "("];

const PATTERNS: &[&str] = &[
    "<_>error<_>",
    "<_>",
    "error",
    "<_> <_>",
    "level=<_>",
    "<_>level=<_> <_>",
    "{<_>}",
    "<_>:<_>",
    "<_>0",
    "client <_> said <_>",
    "<_>\"",
    "é<_>",
];

const ODD_PATTERNS: &[&str] = &["<_><_>", "<a>", ""];

const IPS: &[&str] = &[
    "10.0.0.1",
    "10.0.0.0/24",
    "192.168.1.1-192.168.1.200",
    "2001:db8::/32",
    "::1",
    "0.0.0.0/0",
    "fe80::/10",
];

const ODD_IPS: &[&str] = &["bad", "10.0.0.0/99", "10.0.0.9-10.0.0.1", ""];

const NUMBERS: &[&str] = &["200", "0", "1", "2.5", "-3", "404", "1e3", "+1", ".5"];

const ODD_NUMBERS: &[&str] = &["1e400", "1_000", "0x1p4", "007", "1e", "0o", "0b", "08"];

const DURATIONS: &[&str] = &[
    "12ms", "1s", "1.5s", "1m30s", "1d", "10us", "250µs", "0s", "-2s", "3ns",
];

const ODD_DURATIONS: &[&str] = &["1ms2", "1h1s", "1w"];

const SIZES: &[&str] = &[
    "2KB", "1KiB", "512B", "1.5MiB", "10MB", "3GiB", "1K", "1TB", "1.05KB", "2050B", "14.6KiB",
];

const ODD_SIZES: &[&str] = &["1kb", "1k"];

const VALUES: &[&str] = &[
    "error",
    "",
    "200",
    "json",
    "info",
    "prod",
    "10.0.0.1",
    "x",
    "JSONParserErr",
    "ann",
    "é",
    "1.5s",
    "LabelFilterErr",
    "4bf9",
    "GET",
    "alpha",
    "bad",
];

impl Writer<'_> {
    /// Writes up to so many stages.
    pub(super) fn stages(&mut self, most: usize) {
        for _ in 0..self.choose(most + 1) {
            self.push(" ");
            self.stage();
        }
    }

    fn stage(&mut self) {
        match self.choose(22) {
            0 | 1 => self.line_filter(),
            2 | 3 => self.push("| json"),
            4 => self.push("| logfmt"),
            5..=8 => {
                self.push("| ");
                self.label_filter(0);
            }
            9 | 10 => {
                self.push("| line_format ");
                self.template();
            }
            11 | 12 => self.label_format(),
            13 => self.regexp(),
            14 => self.pattern(),
            15 => self.push("| unpack"),
            16 => self.push("| decolorize"),
            17 => self.choice("| drop "),
            18 => self.choice("| keep "),
            19 => self.json_paths(),
            20 => self.logfmt_keys(),
            _ => {
                self.push("| logfmt");
                self.put_or(
                    &[" --strict", " --keep-empty", " --strict --keep-empty"],
                    &[" --nope"],
                );
            }
        }
    }

    fn line_filter(&mut self) {
        const OPS: &[&str] = &["|=", "!=", "|~", "!~", "|>", "!>"];
        let op = self.choose(OPS.len());
        self.push(OPS[op]);
        self.push(" ");
        self.operand(op);
        while self.once_in(5) {
            self.push(" or ");
            self.operand(op);
        }
    }

    fn operand(&mut self, op: usize) {
        let texts = [
            (TEXTS, TEXTS),
            (REGEXES, ODD_REGEXES),
            (PATTERNS, ODD_PATTERNS),
        ][op / 2];
        if self.once_in(if op < 2 { 8 } else { 60 }) {
            self.push("ip(");
            let ip = self.pick(IPS, ODD_IPS);
            self.string(ip);
            return self.push(")");
        }
        let text = self.pick(texts.0, texts.1);
        self.string(text);
    }

    pub(super) fn label_filter(&mut self, depth: usize) {
        if depth < 3 && self.once_in(5) {
            self.push("(");
            self.label_filter(depth + 1);
            self.push(")");
        } else {
            self.condition();
        }
        if depth < 3 && self.once_in(4) {
            self.put(&[" and ", " or ", ", ", " "]);
            self.label_filter(depth + 1);
        }
    }

    fn condition(&mut self) {
        const COMPARISONS: &[&str] = &["=", "==", "!=", ">", ">=", "<", "<="];
        self.label();
        match self.choose(9) {
            0 | 1 => {
                self.put(&["=", "!=", "=", "!=", "=="]);
                let value = VALUES[self.choose(VALUES.len())];
                self.string(value);
            }
            2 => {
                self.put(&["=~", "!~"]);
                let regex = self.pick(REGEXES, ODD_REGEXES);
                self.string(regex);
            }
            3 | 4 => {
                self.put(COMPARISONS);
                self.put_or(NUMBERS, ODD_NUMBERS);
            }
            5 => {
                self.put(COMPARISONS);
                self.put_or(DURATIONS, ODD_DURATIONS);
            }
            6 => {
                self.put(COMPARISONS);
                self.put_or(SIZES, ODD_SIZES);
            }
            7 => {
                self.put(&["=", "!=", "=", "!=", ">"]);
                self.push("ip(");
                let ip = self.pick(IPS, ODD_IPS);
                self.string(ip);
                self.push(")");
            }
            _ => self.put(&["=\"\"", "!=\"\"", "=~\".+\"", "=~\".*\"", "!~\".+\""]),
        }
    }

    fn label_format(&mut self) {
        self.push("| label_format ");
        loop {
            match self.once_in(20) {
                true => self.push("__error__"),
                false => self.target(),
            }
            self.push("=");
            match self.choose(3) {
                0 => self.label(),
                _ => self.template(),
            }
            if !self.once_in(4) {
                return;
            }
            self.push(",");
        }
    }

    fn regexp(&mut self) {
        const EXPRESSIONS: &[&str] = &[
            "(?P<a>\\w+)=(?P<b>\\S*)",
            "^(?P<ip>\\S+) - (?P<user>[^ ]*) \\[.*?\\] \"(?P<method>\\w+) (?P<path>.*?) HTTP",
            "(?P<status>\\d{3}) (?P<size>\\d+) (?P<dur>\\S+)$",
            "(?P<x>.*)",
            "(?P<level>info|warn|error)",
            "(?P<app>.)",
            "(?P<a>x)|(?P<b>e)",
            "(?P<_1>\\d)(?P<x>.?)",
            "(?s)(?P<x>.+)",
            "(?P<msg>é|日)",
            "(?<x>a)",
        ];

        const ODD_EXPRESSIONS: &[&str] = &["(?P<a>.)(?P<a>.)", "no name", "(", "(?P<é>x)"];
        self.push("| regexp ");
        let expression = self.pick(EXPRESSIONS, ODD_EXPRESSIONS);
        self.string(expression);
    }

    fn pattern(&mut self) {
        const EXPRESSIONS: &[&str] = &[
            "<ip> - <user> [<_>] \"<method> <path> <_>\" <status> <size> <dur>",
            "<a> <b>",
            "<_>=<a> <_>",
            "level=<level> <_>",
            "<x>",
            "<_>\"<a>\"<_>",
            "client <ip> said <msg>",
            "{<app>}",
            "<a>é<b>",
            "<a >x<b>",
            "\u{1b}[<_>m<level>\u{1b}",
        ];

        const ODD_EXPRESSIONS: &[&str] = &["<a><b>", "<a> <a>", "text", "<_>", "", "<1a> <b>"];
        self.push("| pattern ");
        let expression = self.pick(EXPRESSIONS, ODD_EXPRESSIONS);
        self.string(expression);
    }

    fn choice(&mut self, open: &str) {
        self.push(open);
        loop {
            match self.choose(3) {
                0 | 1 => self.label(),
                _ => {
                    self.label();
                    match self.choose(2) {
                        0 => {
                            self.put(&["=", "!="]);
                            let value = VALUES[self.choose(VALUES.len())];
                            self.string(value);
                        }
                        _ => {
                            self.put(&["=~", "!~"]);
                            let regex = self.pick(REGEXES, ODD_REGEXES);
                            self.string(regex);
                        }
                    }
                }
            }
            if !self.once_in(3) {
                return;
            }
            self.push(", ");
        }
    }

    fn json_paths(&mut self) {
        const PATHS: &[&str] = &[
            "status",
            "nested.a",
            "list[0]",
            "nested",
            "list",
            "[\"a.b\"]",
            "nested[\"a b\"]",
            "list[0].a",
            "a",
            "nested.a[1]",
            "missing.x",
            "nested.a.b",
            "dur",
            "[\"é\"]",
            "msg",
            "list[1][0]",
            "_1",
        ];

        const ODD_PATHS: &[&str] = &["", "a..b", "[0]", "list[-1]", "list[x]", "a-b"];
        self.push("| json ");
        loop {
            self.target();
            if self.choose(5) != 1 {
                self.push("=");
                let path = self.pick(PATHS, ODD_PATHS);
                self.string(path);
            }
            if !self.once_in(3) {
                return;
            }
            self.push(", ");
        }
    }

    fn logfmt_keys(&mut self) {
        const KEYS: &[&str] = &[
            "status", "level", "dur", "a", "msg", "1st", "missing", "n", "v",
        ];

        const ODD_KEYS: &[&str] = &["", "a.b", "a b", "é"];
        self.push("| logfmt ");
        self.put(&[
            "",
            "",
            "--strict ",
            "--keep-empty ",
            "--keep-empty --strict ",
        ]);
        // Of labels with one key Loki gives the value to any.
        let mut keys = Vec::new();
        loop {
            let before = self.text.len();
            self.target();
            let mut key = self.text[before..].to_owned();
            if self.choose(5) != 1 {
                self.push("=");
                key = self.pick(KEYS, ODD_KEYS).to_owned();
                self.string(&key);
            }
            if keys.contains(&key) {
                self.text.truncate(before);
                self.push("x=\"none\"");
            }
            keys.push(key);
            if !self.once_in(3) {
                return;
            }
            self.push(", ");
        }
    }
}
