//! The stage `scrub`: what is taken out of log entries, and what takes its place.

use kymo_ingest::pipeline::scrub::{HashKey, Kind, ScrubConfig};

use super::super::fields::{self, Fields, Problems};
use super::super::os_text;
use super::super::yaml::Node;
use super::stages::optional;

pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<ScrubConfig> {
    let mut fields = Fields::open(node, "stages.ScrubConfig", problems);
    let mut kinds = Vec::new();
    match fields.take("kinds") {
        None => kinds.extend(Kind::ALL.into_iter().filter(|kind| *kind != Kind::JsonKey)),
        Some(node) => {
            for item in fields::list(node, "[]string", problems) {
                let name = fields::string(item, problems).unwrap_or_default();
                match Kind::by_name(&name) {
                    Some(kind) => kinds.push(kind),
                    None => problems.value(
                        item.at,
                        format!("\"{name}\" is no kind of the scrub stage; there are email, ipv4, ipv6, card and token"),
                    ),
                }
            }
        }
    }
    let keys = fields.take("json_keys");
    let json_keys = keys.map_or_else(Vec::new, |node| fields::strings(node, problems));
    let source = optional(&mut fields, "source", problems);
    let mode = fields.string_or("mode", "mask", problems);
    let key = fields.take("hash_key");
    let file = fields.take("hash_key_file");
    let key = key.and_then(|node| fields::string(node, problems));
    let key = match file {
        None => key.map(String::into_bytes),
        Some(node) => {
            let path = fields::string(node, problems).unwrap_or_default();
            match std::fs::read(&path) {
                Ok(bytes) => Some(bytes.trim_ascii().to_vec()),
                Err(error) => {
                    let error = os_text(&error);
                    problems.value(node.at, format!("open {path}: {error}"));
                    None
                }
            }
        }
    };
    let hash_key = match (mode.as_str(), key) {
        ("mask", None) => None,
        ("hash", Some(key)) => Some(HashKey(key)),
        ("mask", Some(_)) => {
            let text = "a hash_key has no effect without `mode: hash`";
            problems.value(fields.position_of("mode"), text);
            None
        }
        ("hash", None) => {
            let text = "`mode: hash` needs a hash_key or a hash_key_file";
            problems.value(fields.position_of("mode"), text);
            None
        }
        (other, _) => {
            let text =
                format!("\"{other}\" is no mode of the scrub stage; there are mask and hash");
            problems.value(fields.position_of("mode"), text);
            None
        }
    };
    let dry_run = fields.bool_or("dry_run", false, problems);
    fields.finish(problems);
    Some(ScrubConfig {
        kinds,
        json_keys,
        source,
        hash_key,
        dry_run,
    })
}
