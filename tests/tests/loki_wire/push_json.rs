//! JSON that is pushed, and what is nearly JSON.

use crate::NS_PER_S;
use crate::compare::Case;
use crate::push::{JSON, OLD, text_case};

pub fn json_texts(t: i64) -> Vec<Case> {
    let bodies = [
        "",
        " ",
        "null",
        "true",
        "5",
        "\"x\"",
        "[]",
        "{",
        "{}",
        "}",
        "[{}]",
        "{\"streams\":null}",
        "{\"streams\":[]}",
        "{\"streams\":{}}",
        "{\"streams\":\"x\"}",
        "{\"streams\":[null]}",
        "{\"streams\":[5]}",
        "{\"streams\":[{}]}",
        "{\"streams\":[{}]} x",
        "{\"streams\":[{}]",
        "{\"streams\":[[]]}",
        "{\"Streams\":[{}]}",
        "{\"other\":1}",
        "{\"other\":1,\"streams\":[]}",
        r#"{"streams":[{"stream":{"a":"b"}}]}"#,
        r#"{"streams":[{"stream":null,"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["T","no labels"]]}]}"#,
        r#"{"streams":[{"stream":"x","values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":[],"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":1},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":null},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":["x"]},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":null}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":{}}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[null]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":["x"]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[T,"x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T",5]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T",null]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[null,"x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["x","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["1.5","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["-5","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["+5","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[" 5","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["0","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["99999999999999999999","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["2026-11-27T00:00:00Z","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T",""]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x","y"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",null]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":1}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":null}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":true}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":{"l":"m"}}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":["l"]}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",[]]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{},{}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{},5,6]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":"1","k":"2"}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b","a":"c"},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"]]}}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","\x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","\u00zz"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","\u00e9\ud83d\ude00\n\/\b"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"],]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"]],}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"]],"more":[1,{}]}]}"#,
        r#"{"streams":[{"values":[["T","values first"]],"stream":{"a":"b"}}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"]]}],"streams":[{"stream":{"a":"c"},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"stream":{"c":"d"},"values":[["T","two"]]}]}"#,
        r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{a=\"b\"","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"stream":{"ctl":"b"},"values":[["T","a	tab"]]}]}"#,
        "{\"streams\":[{\"stream\":{\"ctl\":\"b\"},\"values\":[[\"T\",\"a\nline\"]]}]}",
        "\u{feff}{\"streams\":[]}",
    ];
    let (ns, date) = (t.to_string(), date(t));
    bodies
        .iter()
        .map(|body| {
            let sent = body
                .replace('T', &ns)
                .replace("\"S\"", &format!("\"{date}\""));
            text_case(&format!("body {body}"), &sent)
        })
        .collect()
}

pub fn old_texts(t: i64) -> Vec<Case> {
    let bodies = [
        "",
        "null",
        "{}",
        "{\"streams\":[]}",
        "{\"streams\":[{}]}",
        "{\"streams\":[5]}",
        r#"{"streams":[{"labels":"{old=\"1\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"2\"}","entries":[{"ts":"S","line":"x","structuredMetadata":{"k":"v"}}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"3\"","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"old","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"4\"}","entries":[{"ts":"yesterday","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"5\"}","entries":[{"ts":5,"line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"6\"}","entries":[{"line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"7\"}","entries":[{"ts":"S"}]}]}"#,
        r#"{"streams":[{"labels":"{old=~\"8\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"9\",}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"10\"} |= \"x\"","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"11\", old=\"12\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=`13`}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old='14'}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{\"old\"=\"15\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{1old=\"16\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old.x=\"17\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"18\", empty=\"\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"x{old=\"19\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"stream":{"new":"1"},"values":[["T","x"]]}]}"#,
    ];
    let (ns, date) = (t.to_string(), date(t));
    bodies
        .iter()
        .map(|body| {
            let sent = body
                .replace("\"T\"", &format!("\"{ns}\""))
                .replace("\"S\"", &format!("\"{date}\""));
            Case::send(&format!("old {body}"), OLD, JSON, sent.as_bytes())
        })
        .collect()
}

fn date(t_ns: i64) -> String {
    let zone = kymo_storage::compat::time::Instant {
        unix_s: t_ns / NS_PER_S,
        nanos: 0,
    };
    zone.rfc3339_nano()
}
