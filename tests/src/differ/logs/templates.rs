//! Templates of `line_format` and `label_format`.

use super::grammar::Writer;

/// Functions of one text.
const ONE: &[&str] = &[
    "lower",
    "upper",
    "title",
    "trim",
    "ToLower",
    "ToUpper",
    "TrimSpace",
    "b64enc",
    "b64dec",
    "urlencode",
    "urldecode",
    "int",
    "float64",
    "bytes",
    "duration",
    "duration_seconds",
    "ceil",
    "floor",
    "len",
    "html",
    "js",
    "urlquery",
    "print",
    "println",
    "fromJson",
    "unixToTime",
    "not",
];

/// Functions of a text and one before it.
const TEXT_AND_TEXT: &[&str] = &[
    "contains \"e\"",
    "hasPrefix \"e\"",
    "hasSuffix \"r\"",
    "trimAll \"e2\"",
    "trimPrefix \"e\"",
    "trimSuffix \"0\"",
    "default \"none\"",
    "Trim \"eror\"",
    "TrimLeft \"error\"",
    "TrimRight \"x\"",
    "TrimPrefix \"error\"",
    "TrimSuffix \"err\"",
    "replace \"e\" \"-\"",
    "trunc 3",
    "trunc -3",
    "trunc 0",
    "substr 1 3",
    "substr -1 2",
    "substr 2 -1",
    "substr 5 2",
    "indent 2",
    "nindent 2",
    "repeat 3",
    "alignLeft 6",
    "alignRight 6",
    "alignLeft -1",
    "repeat -1",
    "eq \"error\"",
    "ne \"error\"",
    "printf \"%-6s|\"",
    "printf \"%q\"",
    "printf \"%d\"",
    "printf \"%5.2f\"",
    "printf \"%v %T\" 1",
    "printf \"%x\"",
    "printf",
    "count \"[a-e]\"",
    "count \"(\"",
    "regexReplaceAllLiteral \"e\" \"error\"",
    "regexReplaceAll \"(e)(.)\" \"error\"",
    "Replace \"error\" \"r\"",
    "toDate \"2006-01-02\"",
    "toDateInZone \"2006-01-02\" \"Europe/Berlin\"",
    "and \"x\"",
    "or \"\"",
    "index",
    "slice",
    "date \"2006\"",
    "printf \"%s %s\" .app",
    "printf \"%+v\"",
    "printf \"%05d\" 7",
    "slice \"abcdef\" 1",
    "urlquery \"a b\"",
    "print 1 2 \"a\"",
];

/// Functions of numbers.
const NUMBERS: &[&str] = &[
    "add 1",
    "sub 1",
    "mul 2",
    "div 7",
    "mod 5",
    "addf 1.5",
    "subf 1.5",
    "mulf 2.5",
    "divf 7",
    "max 3",
    "min 3",
    "maxf 3.5",
    "minf 3.5",
    "round 2.567",
    "add 1 2 3",
    "mul 1 2 3",
    "lt 3",
    "gt 3",
    "le 1",
    "ge 1",
    "div",
    "round",
    "eq 1",
    "mod 0",
    "div 0 1",
    "subf 1 2 3",
    "max 1 5 9",
];

const DATES: &[&str] = &[
    "__timestamp__ | date \"2006-01-02T15:04:05.000Z07:00\"",
    "__timestamp__ | unixEpoch",
    "__timestamp__ | unixEpochMillis",
    "__timestamp__ | unixEpochNanos",
    "date \"Mon Jan _2 15:04:05.999999999 PM\" __timestamp__",
    "toDate \"2006-01-02\" \"2024-02-30\"",
    "\"2024-02-03\" | toDate \"2006-01-02\" | unixEpoch",
    "(unixToTime \"1700000000\") | date \"2006-01-02 15:04\"",
    "unixToTime \"1700000000123\" | unixEpochMillis",
    "unixToTime \"12345\" | unixEpoch",
    "unixToTime \"123\"",
    "(toDateInZone \"2006-01-02 15:04\" \"America/New_York\" \"2024-07-01 12:00\").Unix",
    "__timestamp__.Year",
    "__timestamp__",
    "__timestamp__.Format \"Monday, 02-Jan-06 MST\"",
    "(__timestamp__.Add 1000000000).Second",
    "now | unixEpoch | lt 1000",
];

const TEXTS: &[&str] = &["-", " ", "x=", "é", "{", "\n", "", "a: "];

impl Writer<'_> {
    /// Writes a template as a string.
    pub(super) fn template(&mut self) {
        let outer = std::mem::take(&mut self.text);
        self.pieces(0);
        let template = std::mem::replace(&mut self.text, outer);
        if template.contains('"') && !template.contains('`') {
            self.text.push_str(&format!("`{template}`"));
        } else {
            self.string(&template);
        }
    }

    fn pieces(&mut self, depth: usize) {
        self.piece(depth);
        while self.once_in(3) {
            self.put(TEXTS);
            self.piece(depth);
        }
    }

    fn piece(&mut self, depth: usize) {
        match self.choose(if depth < 3 { 17 } else { 6 }) {
            0 | 1 => {
                self.push("{{.");
                self.label();
                self.push("}}");
            }
            2 => self.put(TEXTS),
            3..=5 => self.action(depth),
            6..=9 => self.action(depth),
            10 => {
                self.push("{{if ");
                self.value(depth);
                self.push("}}");
                self.pieces(depth + 1);
                if self.once_in(2) {
                    self.push("{{else}}");
                    self.pieces(depth + 1);
                }
                self.push("{{end}}");
            }
            11 => {
                self.push("{{with ");
                self.value(depth);
                self.push("}}");
                self.put(&["{{.}}", "{{. | upper}}", "{{.a}}", "w"]);
                self.push("{{end}}");
            }
            12 => {
                self.push("{{range ");
                self.put(&["", "$i, $e := ", "$e := "]);
                self.put(&[
                    "fromJson .list",
                    "fromJson __line__",
                    ".app",
                    "(fromJson __line__).nested",
                    "fromJson .msg",
                    "3",
                ]);
                self.push("}}");
                self.put(&[
                    "{{.}},",
                    "{{$e}};",
                    "{{.a}}",
                    "x",
                    "{{break}}",
                    "{{$i}}={{$e}} ",
                ]);
                self.put(&["", "{{else}}none"]);
                self.push("{{end}}");
            }
            13 => {
                self.push("{{$x := ");
                self.value(depth);
                self.push("}}");
                self.put_or(
                    &["{{$x}}", "{{$x | upper}}", "{{$x = 2}}{{$x}}"],
                    &["{{$y}}", "{{$x := 1}}", "{{$x.a}}"],
                );
            }
            14 => self.put_or(
                &[
                    "{{/* a comment */}}",
                    "{{- .app -}}",
                    " {{- .msg}} ",
                    "{{define \"t\"}}t{{end}}{{template \"t\"}}",
                    "{{.app.b}}",
                    "{{1.5e3}}",
                    "{{`raw`}}",
                    "{{'a'}}",
                    "{{true}}",
                    "{{.}}",
                    "{{block \"b\" .}}{{.app}}{{end}}",
                    "{{(.app)}}",
                    "{{0x1F}}",
                    "{{1_000}}",
                    "{{\"\\x41\"}}",
                    "{{index . \"a_b\"}}",
                    "{{len .}}",
                    "{{range $k, $v := .}}{{$k}}={{$v}} {{end}}",
                ],
                &[
                    "{{",
                    "{{.app",
                    "{{end}}",
                    "{{if}}{{end}}",
                    "{{template \"none\"}}",
                    "{{ . app }}",
                    "{{.app | }}",
                    "{{nil}}",
                    "{{else}}",
                    "{{break}}",
                    "{{.app}",
                    "{{range}}",
                    "{{1a}}",
                    "{{'ab'}}",
                    "{{\"a}}",
                    "{{$}}",
                    "{{define}}",
                    "{{/* x }}",
                    "{{.}}{{end}}",
                ],
            ),
            15 => {
                self.push("{{");
                self.put(DATES);
                self.push("}}");
            }
            _ => {
                self.push("{{(fromJson __line__)");
                self.put(&[
                    ".status",
                    ".nested.a",
                    ".list",
                    ".a",
                    "",
                    ".missing.x",
                    ".n",
                ]);
                self.push("}}");
            }
        }
    }

    fn action(&mut self, depth: usize) {
        self.push("{{");
        self.value(depth);
        self.push("}}");
    }

    fn value(&mut self, depth: usize) {
        match self.choose(if depth < 3 { 9 } else { 3 }) {
            0..=2 => {
                self.push(".");
                self.label();
            }
            3 => self.put(&[
                "__line__",
                "__line__",
                "\"error\"",
                "12.5",
                "-3",
                "`é日`",
                "\"\"",
            ]),
            4 => {
                self.put_or(ONE, &["nope", "Upper", "call", "slice", "now"]);
                self.push(" ");
                self.operand_of_template();
            }
            5 => {
                self.put(TEXT_AND_TEXT);
                self.push(" ");
                self.operand_of_template();
            }
            6 => {
                self.put(NUMBERS);
                self.push(" ");
                self.operand_of_template();
            }
            7 => {
                self.push("(");
                self.value(depth + 1);
                self.push(")");
            }
            _ => self.put(DATES),
        }
        while depth < 3 && self.once_in(4) {
            self.push(" | ");
            match self.choose(3) {
                0 => self.put(ONE),
                1 => self.put(TEXT_AND_TEXT),
                _ => self.put(NUMBERS),
            }
        }
    }

    fn operand_of_template(&mut self) {
        match self.choose(5) {
            0..=2 => {
                self.push(".");
                self.label();
            }
            3 => self.put(&[
                "__line__",
                "\"a b\"",
                "3",
                "2.5",
                "-7",
                "\"1.5s\"",
                "\"2KB\"",
                "\"{\\\"a\\\":[1,2.5,null,true,\\\"x\\\"]}\"",
                "true",
                "\"12abc\"",
                "1e3",
                "\"0x10\"",
                "\"YWI=\"",
                "\"%41+b\"",
            ]),
            _ => self.push("(.n | int)"),
        }
    }
}
