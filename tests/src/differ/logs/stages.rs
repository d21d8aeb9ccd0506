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
    "a|b|",
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
    "\\",
    "(",
    "prod.*dev",
    "(?i)(error|warn)",
    "error.+",
    ".+error",
    "^error",
    "error$",
    "(?P<x>a)",
];

const PATTERNS: &[&str] = &[
    "<_>error<_>",
    "<_>",
    "error",
    "<_> <_>",
    "level=<_>",
    "<_>level=<_> <_>",
    "<_><_>",
    "<a>",
    "",
    "{<_>}",
    "<_>:<_>",
    "<_>0",
    "client <_> said <_>",
    "<_>\"",
    "é<_>",
];

const IPS: &[&str] = &[
    "10.0.0.1",
    "10.0.0.0/24",
    "192.168.1.1-192.168.1.200",
    "2001:db8::/32",
    "::1",
    "0.0.0.0/0",
    "bad",
    "10.0.0.0/99",
    "10.0.0.9-10.0.0.1",
    "",
    "fe80::/10",
];

const NUMBERS: &[&str] = &[
    "200", "0", "1", "2.5", "-3", "404", "1e3", "+1", ".5", "007", "0x1p4", "1e400", "1_000",
];

const DURATIONS: &[&str] = &[
    "12ms", "1s", "1.5s", "1m30s", "1d", "10us", "250µs", "0s", "1w", "-2s", "1h1s", "1ms2", "3ns",
];

const SIZES: &[&str] = &[
    "2KB", "1KiB", "512B", "1.5MiB", "10MB", "1kb", "3GiB", "1K", "1k", "1TB",
];

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
                self.put(&[
                    " --strict",
                    " --keep-empty",
                    " --strict --keep-empty",
                    " --nope",
                ]);
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
        let texts = [TEXTS, REGEXES, PATTERNS][op / 2];
        if self.once_in(if op < 2 { 8 } else { 60 }) {
            self.push("ip(");
            let ip = IPS[self.choose(IPS.len())];
            self.string(ip);
            return self.push(")");
        }
        let text = texts[self.choose(texts.len())];
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
                let regex = REGEXES[self.choose(REGEXES.len())];
                self.string(regex);
            }
            3 | 4 => {
                self.put(COMPARISONS);
                self.put(NUMBERS);
            }
            5 => {
                self.put(COMPARISONS);
                self.put(DURATIONS);
            }
            6 => {
                self.put(COMPARISONS);
                self.put(SIZES);
            }
            7 => {
                self.put(&["=", "!=", "=", "!=", ">"]);
                self.push("ip(");
                let ip = IPS[self.choose(IPS.len())];
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
            "(?P<a>.)(?P<a>.)",
            "no name",
            "(",
            "(?P<é>x)",
            "(?P<_1>\\d)(?P<x>.?)",
            "(?s)(?P<x>.+)",
            "(?P<msg>é|日)",
            "(?<x>a)",
        ];
        self.push("| regexp ");
        let expression = EXPRESSIONS[self.choose(EXPRESSIONS.len())];
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
            "<a><b>",
            "<a> <a>",
            "text",
            "<_>",
            "",
            "{<app>}",
            "<a>é<b>",
            "<1a> <b>",
            "<a >x<b>",
            "\u{1b}[<_>m<level>\u{1b}",
        ];
        self.push("| pattern ");
        let expression = EXPRESSIONS[self.choose(EXPRESSIONS.len())];
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
                            let regex = REGEXES[self.choose(REGEXES.len())];
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
            "",
            "a..b",
            "[0]",
            "list[-1]",
            "nested.a.b",
            "dur",
            "[\"é\"]",
            "list[x]",
            "msg",
            "list[1][0]",
            "_1",
            "a-b",
        ];
        self.push("| json ");
        loop {
            self.target();
            if self.choose(5) != 1 {
                self.push("=");
                let path = PATHS[self.choose(PATHS.len())];
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
            "status", "level", "dur", "a", "msg", "a.b", "", "é", "1st", "missing", "a b", "n", "v",
        ];
        self.push("| logfmt ");
        self.put(&[
            "",
            "",
            "--strict ",
            "--keep-empty ",
            "--keep-empty --strict ",
        ]);
        loop {
            self.target();
            if self.choose(5) != 1 {
                self.push("=");
                let key = KEYS[self.choose(KEYS.len())];
                self.string(key);
            }
            if !self.once_in(3) {
                return;
            }
            self.push(", ");
        }
    }
}
