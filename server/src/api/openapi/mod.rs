//! A description of the calls for programs, those about logs too: `/api/v1/openapi.yaml`.
//!
//! It is written from tables, one entry a call; a test holds these tables and that of the
//! routes to the same paths.

mod calls;
mod log_calls;
mod yaml;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use std::sync::Arc;

use crate::api::call::Call;
use crate::app::App;
use crate::observe::build;
use calls::{Answer, Described, Kind, Parameter};
use yaml::Writer;

/// The versions of the form that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V3_1,
    /// Knows streams of events.
    V3_2,
}

/// `/api/v1/openapi.yaml`
pub(crate) async fn document(State(app): State<Arc<App>>, call: Call) -> Response {
    let version = match call.params.get("openapi_version") {
        "3.2" | "3.2.0" => Version::V3_2,
        _ => Version::V3_1,
    };
    let mut response = written(version, app.urls.external()).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn written(version: Version, external_url: &str) -> String {
    let mut yaml = Writer::default();
    yaml.text(
        "openapi",
        match version {
            Version::V3_1 => "3.1.0",
            Version::V3_2 => "3.2.0",
        },
    );
    yaml.below("info", |yaml| {
        yaml.text("title", "Kymo");
        yaml.text(
            "description",
            "The HTTP APIs of Prometheus and Loki as Kymo answers them, with what it has beside.",
        );
        yaml.text("version", build::prometheus_version());
    });
    yaml.below("servers", |yaml| {
        yaml.item("url", &format!("{external_url}/api/v1"));
    });
    let listed = || {
        let calls = calls::CALLS.iter();
        calls.filter(|call| version == Version::V3_2 || call.answer != Answer::Events)
    };
    let all = listed().chain(log_calls::CALLS);
    let mut tags: Vec<&str> = all.map(|call| call.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    yaml.below("tags", |yaml| {
        for tag in tags {
            yaml.item("name", tag);
        }
    });
    yaml.below("paths", |yaml| {
        for call in listed() {
            yaml.below(call.path, |yaml| operations(yaml, call, "Error"));
        }
        for calls in log_calls::CALLS.chunk_by(|one, next| one.path == next.path) {
            yaml.below(calls[0].path, |yaml| {
                yaml.below("servers", |yaml| yaml.item("url", external_url));
                for call in calls {
                    operations(yaml, call, "TextError");
                }
            });
        }
    });
    yaml.below("components", |yaml| {
        yaml.below("schemas", schemas);
        yaml.below("responses", responses);
    });
    yaml.finish()
}

fn operations(yaml: &mut Writer, call: &Described, error: &str) {
    for method in call.methods {
        yaml.below(method, |yaml| operation(yaml, call, method, error));
    }
}

fn operation(yaml: &mut Writer, call: &Described, method: &str, error: &str) {
    let words = call.path.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    yaml.text("operationId", &format!("{method}_{}", words.join("_")));
    yaml.text("summary", call.summary);
    yaml.below("tags", |yaml| yaml.entry(call.tag));
    let in_path = |parameter: &&Parameter| parameter.kind == Kind::Path;
    let takes_form = matches!(method, "post" | "put") && call.body.is_none();
    let form = takes_form && call.parameters.iter().any(|p| !in_path(&p));
    let in_url: Vec<&Parameter> = call
        .parameters
        .iter()
        .filter(|parameter| in_path(parameter) || !form)
        .collect();
    if !in_url.is_empty() {
        yaml.below("parameters", |yaml| {
            for parameter in in_url {
                yaml.item("name", parameter.name);
                yaml.inside(|yaml| {
                    let place = if in_path(&parameter) { "path" } else { "query" };
                    yaml.text("in", place);
                    yaml.text("description", parameter.about);
                    if parameter.is_required {
                        yaml.plain("required", "true");
                    }
                    yaml.below("schema", |yaml| schema_of(yaml, parameter.kind));
                });
            }
        });
    }
    if form {
        yaml.below("requestBody", |yaml| {
            media(yaml, "application/x-www-form-urlencoded", |yaml| {
                form_schema(yaml, call.parameters);
            });
        });
    }
    if let Some(body) = call.body {
        yaml.below("requestBody", |yaml| {
            yaml.plain("required", "true");
            media(yaml, body, |yaml| {
                yaml.text("type", "string");
                yaml.text("format", "binary");
            });
        });
    }
    yaml.below("responses", |yaml| {
        answer(yaml, call.answer);
        yaml.below("default", |yaml| {
            yaml.text("$ref", &format!("#/components/responses/{error}"));
        });
    });
}

fn form_schema(yaml: &mut Writer, parameters: &[Parameter]) {
    yaml.text("type", "object");
    yaml.below("properties", |yaml| {
        for parameter in parameters {
            yaml.below(parameter.name, |yaml| {
                yaml.text("description", parameter.about);
                schema_of(yaml, parameter.kind);
            });
        }
    });
    let required: Vec<&str> = parameters
        .iter()
        .filter(|parameter| parameter.is_required)
        .map(|parameter| parameter.name)
        .collect();
    if !required.is_empty() {
        yaml.below("required", |yaml| {
            for name in required {
                yaml.entry(name);
            }
        });
    }
}

fn schema_of(yaml: &mut Writer, kind: Kind) {
    match kind {
        Kind::Text | Kind::Time | Kind::Duration | Kind::Path => yaml.text("type", "string"),
        Kind::Number => yaml.text("type", "integer"),
        Kind::Bool => yaml.text("type", "boolean"),
        Kind::Texts => {
            yaml.text("type", "array");
            yaml.below("items", |yaml| yaml.text("type", "string"));
        }
    }
}

fn media(yaml: &mut Writer, media_type: &str, schema: impl FnOnce(&mut Writer)) {
    yaml.below("content", |yaml| {
        yaml.below(media_type, |yaml| yaml.below("schema", schema));
    });
}

fn answer(yaml: &mut Writer, answer: Answer) {
    match answer {
        Answer::Data(schema) => yaml.below("200", |yaml| {
            yaml.text("description", "What was asked for.");
            media(yaml, "application/json", |yaml| {
                yaml.below("allOf", |yaml| {
                    yaml.item("$ref", "#/components/schemas/Success");
                    yaml.item("type", "object");
                    yaml.inside(|yaml| {
                        yaml.below("properties", |yaml| {
                            yaml.below("data", |yaml| match schema {
                                "strings" => {
                                    yaml.text("type", "array");
                                    yaml.below("items", |yaml| yaml.text("type", "string"));
                                }
                                "objects" => {
                                    yaml.text("type", "array");
                                    yaml.below("items", |yaml| yaml.text("type", "object"));
                                }
                                "object" | "string" => yaml.text("type", schema),
                                named => {
                                    yaml.text("$ref", &format!("#/components/schemas/{named}"))
                                }
                            });
                        });
                    });
                });
            });
        }),
        Answer::Json => yaml.below("200", |yaml| {
            yaml.text("description", "What was asked for.");
            media(yaml, "application/json", |yaml| {
                yaml.plain("type", "[object, array]")
            });
        }),
        Answer::Socket => yaml.below("101", |yaml| {
            yaml.text("description", "A websocket that entries come over.");
        }),
        Answer::Nothing => yaml.below("204", |yaml| {
            yaml.text("description", "It is done.");
        }),
        Answer::Other(media_type) => yaml.below("200", |yaml| {
            yaml.text("description", "What was asked for.");
            media(yaml, media_type, |yaml| yaml.text("type", "string"));
        }),
        Answer::Events => yaml.below("200", |yaml| {
            yaml.text("description", "Notices as they begin, come again and end.");
            yaml.below("content", |yaml| {
                yaml.below("text/event-stream", |yaml| {
                    yaml.below("itemSchema", |yaml| {
                        yaml.text("type", "object");
                        yaml.below("properties", |yaml| {
                            yaml.below("data", |yaml| yaml.text("type", "string"));
                        });
                    });
                });
            });
        }),
    }
}

fn schemas(yaml: &mut Writer) {
    yaml.below("Success", |yaml| {
        object(yaml, &["status"], |yaml| {
            yaml.below("status", |yaml| yaml.text("const", "success"));
            for (name, about) in [
                ("warnings", "What may be wrong with the answer."),
                ("infos", "What may be wrong with the query."),
            ] {
                yaml.below(name, |yaml| {
                    yaml.text("description", about);
                    yaml.text("type", "array");
                    yaml.below("items", |yaml| yaml.text("type", "string"));
                });
            }
        });
    });
    yaml.below("Error", |yaml| {
        object(yaml, &["status", "errorType", "error"], |yaml| {
            yaml.below("status", |yaml| yaml.text("const", "error"));
            yaml.below("errorType", |yaml| yaml.text("type", "string"));
            yaml.below("error", |yaml| yaml.text("type", "string"));
        });
    });
    yaml.below("Result", |yaml| {
        object(yaml, &["resultType", "result"], |yaml| {
            yaml.below("resultType", |yaml| {
                yaml.below("enum", |yaml| {
                    for kind in ["vector", "matrix", "scalar", "string"] {
                        yaml.entry(kind);
                    }
                });
            });
            yaml.below("result", |yaml| {
                yaml.text("description", "Series with samples, or one sample.");
                yaml.text("type", "array");
            });
            yaml.below("stats", |yaml| yaml.text("type", "object"));
        });
    });
}

fn object(yaml: &mut Writer, required: &[&str], properties: impl FnOnce(&mut Writer)) {
    yaml.text("type", "object");
    yaml.below("required", |yaml| {
        for name in required {
            yaml.entry(name);
        }
    });
    yaml.below("properties", properties);
}

fn responses(yaml: &mut Writer) {
    yaml.below("Error", |yaml| {
        yaml.text("description", "Why there is no answer.");
        media(yaml, "application/json", |yaml| {
            yaml.text("$ref", "#/components/schemas/Error");
        });
    });
    yaml.below("TextError", |yaml| {
        yaml.text("description", "Why there is no answer.");
        media(yaml, "text/plain", |yaml| yaml.text("type", "string"));
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::api::routes::api_paths;

    fn read(version: Version) -> Value {
        serde_saphyr::from_str(&written(version, "http://kymo.test/pre")).unwrap()
    }

    /// Calls `with` for every value of a key, at any depth.
    fn for_each<'a>(value: &'a Value, key: &str, with: &mut dyn FnMut(&'a Value)) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    if name == key {
                        with(value);
                    }
                    for_each(value, key, with);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| for_each(item, key, with)),
            _ => {}
        }
    }

    #[test]
    fn every_route_of_the_api_is_described_and_nothing_else() {
        let document = read(Version::V3_2);
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
        let routed = api_paths();
        let routed: BTreeSet<&str> = routed.iter().map(String::as_str).collect();
        assert_eq!(described, routed);
        let first = read(Version::V3_1);
        assert_eq!(first["openapi"], "3.1.0");
        assert_eq!(first["servers"][0]["url"], "http://kymo.test/pre/api/v1");
        assert_eq!(first["paths"].as_object().unwrap().len(), routed.len() - 1);
        let of_logs = |path: &str| &document["paths"][path];
        let push = of_logs("/loki/api/v1/push");
        assert_eq!(push["servers"][0]["url"], "http://kymo.test/pre");
        let methods: Vec<&String> = of_logs("/loki/api/v1/delete")
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(methods, ["delete", "get", "post", "put", "servers"]);
    }

    #[test]
    fn names_of_operations_are_unique_and_references_lead_somewhere() {
        let document = read(Version::V3_2);
        let mut names = BTreeSet::new();
        for_each(&document, "operationId", &mut |name| {
            assert!(names.insert(name.as_str()), "{name} comes twice");
        });
        assert!(names.len() > 50);
        for_each(&document, "$ref", &mut |reference| {
            let pointer = reference.as_str().unwrap().trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        });
    }
}
