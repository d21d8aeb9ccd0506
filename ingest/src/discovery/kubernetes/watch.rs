//! Following the objects of a feed: a list of what is there, then the changes since.
//!
//! The API tells changes one a line, for as long as the connection lasts. Each carries
//! the version it leads to, bookmarks nothing else. When the connection ends it is
//! opened again from the last version; when the server no longer knows that version
//! (410), or refuses, there is a new list. After a failure everything known stays.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::super::json::or_default;
use super::access::{Api, Feed};
use super::objects::Plain;
use super::store::{Kind, News, Object};
use crate::http::{Answer, AnswerStream};

/// Largest change; objects have at most a few megabytes.
const MAX_LINE_BYTES: usize = 32 << 20;

/// Pages of a list before it is taken for endless.
const MAX_PAGES: usize = 10_000;

/// The shortest pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest one.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// A watch that lasted as long ends a row of failures.
const STEADY: Duration = Duration::from_secs(10);

/// What a feed reports, and which it is.
pub(super) type Report = (usize, Result<News, String>);

/// Follows a feed for as long as it is polled and somebody listens.
pub(super) async fn follow(index: usize, feed: Feed, api: Api, out: Sender<Report>) {
    let mut pause = Pause(FIRST_PAUSE);
    loop {
        let ended = run(index, &feed, &api, &out, &mut pause).await;
        if let Err(error) = ended
            && out.send((index, Err(error))).await.is_err()
        {
            return;
        }
        pause.wait().await;
    }
}

/// Lists, then follows the changes until there must be a new list.
async fn run(
    index: usize,
    feed: &Feed,
    api: &Api,
    out: &Sender<Report>,
    pause: &mut Pause,
) -> Result<(), String> {
    let (mut version, objects) = list(feed, api).await?;
    let all = News::All(feed.namespace.clone(), objects);
    // Nobody listens after the end of the source, which ends this, too.
    let _ = out.send((index, Ok(all))).await;
    loop {
        let began = Instant::now();
        let before = version.clone();
        let ended = match api.watch(feed, &version).await {
            Ok(stream) => changes(index, feed.kind, stream, &mut version, out).await,
            Err(error) => Ended::Again(Some(error.to_string())),
        };
        if began.elapsed() >= STEADY {
            *pause = Pause(FIRST_PAUSE);
        }
        match ended {
            Ended::Again(error) => {
                if let Some(error) = error {
                    let _ = out.send((index, Err(error))).await;
                } else if version != before {
                    continue;
                }
                pause.wait().await;
            }
            Ended::Expired => return Ok(()),
            Ended::Refused(error) => return Err(error),
        }
    }
}

/// The list of all pages.
async fn list(feed: &Feed, api: &Api) -> Result<(String, Vec<Object>), String> {
    let mut objects = Vec::new();
    let mut next = String::new();
    for _ in 0..MAX_PAGES {
        let answer = api.list(feed, &next).await;
        let answer = answer.map_err(|error| format!("failed to list: {error}"))?;
        let kind = feed.kind;
        let reading = tokio::task::spawn_blocking(move || read_page(kind, answer));
        let page = reading.await.map_err(|error| error.to_string())?;
        let (meta, mut found) = page.map_err(|error| format!("failed to list: {error}"))?;
        objects.append(&mut found);
        if meta.next.is_empty() {
            return Ok((meta.resource_version, objects));
        }
        next = meta.next;
    }
    Err(format!("failed to list: more than {MAX_PAGES} pages"))
}

/// What a list says of itself, and an object of its version.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    #[serde(deserialize_with = "or_default")]
    resource_version: String,
    #[serde(rename = "continue", deserialize_with = "or_default")]
    next: String,
    #[serde(deserialize_with = "or_default")]
    namespace: String,
    #[serde(deserialize_with = "or_default")]
    name: String,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct List<T> {
    #[serde(default, deserialize_with = "or_default")]
    metadata: ListMeta,
    #[serde(default)]
    items: Option<Vec<T>>,
}

fn read_page(kind: Kind, answer: Answer) -> Result<(ListMeta, Vec<Object>), String> {
    fn read<T: DeserializeOwned>(
        body: &[u8],
        wrap: impl Fn(T) -> Object,
    ) -> Result<(ListMeta, Vec<Object>), serde_json::Error> {
        let list: List<T> = serde_json::from_slice(body)?;
        let items = list.items.unwrap_or_default();
        Ok((list.metadata, items.into_iter().map(wrap).collect()))
    }
    let (status, status_text) = (answer.status, answer.status_text.clone());
    let body = answer.into_body().map_err(|error| error.to_string())?;
    if status != 200 {
        return Err(refusal(&status_text, &body));
    }
    let page = match kind {
        Kind::Pod => read(&body, Object::Pod),
        Kind::Service => read(&body, Object::Service),
        Kind::Endpoints => read(&body, Object::Endpoints),
        Kind::EndpointSlice => read(&body, Object::EndpointSlice),
        Kind::Node => read(&body, Object::Node),
        Kind::Ingress => read(&body, Object::Ingress),
        Kind::Namespace | Kind::ReplicaSet | Kind::Job => read::<Plain>(&body, Object::Plain),
    };
    page.map_err(|error| error.to_string())
}

/// How a watch ended.
enum Ended {
    /// It goes on from the last version; after a failure where there is one.
    Again(Option<String>),
    /// The server no longer knows the version.
    Expired,
    /// The server does not want to.
    Refused(String),
}

/// Reports changes until the stream ends.
async fn changes(
    index: usize,
    kind: Kind,
    mut stream: AnswerStream,
    version: &mut String,
    out: &Sender<Report>,
) -> Ended {
    let mut lines = Vec::new();
    if stream.status != 200 {
        let status = stream.status;
        while let Ok(Some(chunk)) = stream.next().await {
            lines.extend_from_slice(&chunk);
            if lines.len() > MAX_LINE_BYTES {
                break;
            }
        }
        let error = format!("failed to watch: {}", refusal(&status.to_string(), &lines));
        return match status {
            410 => Ended::Expired,
            429 | 500.. => Ended::Again(Some(error)),
            _ => Ended::Refused(error),
        };
    }
    loop {
        let chunk = match stream.next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ended::Again(None),
            Err(error) => return Ended::Again(Some(format!("watch ended: {error}"))),
        };
        let mut searched = lines.len();
        lines.extend_from_slice(&chunk);
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &lines[searched..]) {
            let line = &lines[start..searched + end];
            (start, searched) = (searched + end + 1, searched + end + 1);
            if line.trim_ascii().is_empty() {
                continue;
            }
            match read_change(kind, line) {
                Ok(change) => {
                    *version = change.version;
                    if let Some(news) = change.news {
                        let _ = out.send((index, Ok(news))).await;
                    }
                }
                Err(ended) => return ended,
            }
        }
        lines.drain(..start);
        if lines.len() > MAX_LINE_BYTES {
            let error = format!("failed to watch: a change has more than {MAX_LINE_BYTES} bytes");
            return Ended::Refused(error);
        }
    }
}

struct Change {
    version: String,
    news: Option<News>,
}

fn read_change(kind: Kind, line: &[u8]) -> Result<Change, Ended> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        event: String,
        object: About,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct About {
        #[serde(deserialize_with = "or_default")]
        metadata: ListMeta,
        #[serde(deserialize_with = "or_default")]
        code: u16,
        #[serde(deserialize_with = "or_default")]
        message: String,
    }
    let refused = |error: String| Ended::Refused(format!("failed to watch: {error}"));
    let head: Head = serde_json::from_slice(line).map_err(|error| refused(error.to_string()))?;
    let about = head.object;
    let news = match head.event.as_str() {
        "ADDED" | "MODIFIED" => {
            let object = read_object(kind, line).map_err(|error| refused(error.to_string()))?;
            Some(News::Is(object))
        }
        "DELETED" => Some(News::Gone(about.metadata.namespace, about.metadata.name)),
        "BOOKMARK" => None,
        "ERROR" if about.code == 410 => return Err(Ended::Expired),
        "ERROR" => return Err(refused(about.message)),
        other => return Err(refused(format!("unknown event {other:?}"))),
    };
    Ok(Change {
        version: about.metadata.resource_version,
        news,
    })
}

fn read_object(kind: Kind, line: &[u8]) -> Result<Object, serde_json::Error> {
    #[derive(Deserialize)]
    struct Body<T> {
        object: T,
    }
    fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T, serde_json::Error> {
        serde_json::from_slice(line).map(|body: Body<T>| body.object)
    }
    Ok(match kind {
        Kind::Pod => Object::Pod(read(line)?),
        Kind::Service => Object::Service(read(line)?),
        Kind::Endpoints => Object::Endpoints(read(line)?),
        Kind::EndpointSlice => Object::EndpointSlice(read(line)?),
        Kind::Node => Object::Node(read(line)?),
        Kind::Ingress => Object::Ingress(read(line)?),
        Kind::Namespace | Kind::ReplicaSet | Kind::Job => Object::Plain(read(line)?),
    })
}

/// Says why the API refused, in its own words where it has some.
fn refusal(status: &str, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    match serde_json::from_slice::<Status>(body) {
        Ok(status) => status.message,
        Err(_) => format!("the server answered {status}"),
    }
}

/// The pause after a failure, twice as long each time.
struct Pause(Duration);

impl Pause {
    async fn wait(&mut self) {
        // Many servers that lost the same API do not come back at one moment.
        let chance = RandomState::new().hash_one(0) % 256;
        let more = self.0.mul_f64(chance as f64 / 512.0);
        tokio::time::sleep(self.0 + more).await;
        self.0 = (self.0 * 2).min(LAST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_line_is_a_change_or_refused(text in r#"[\[\]{}:,"a\\ntypeobjcmdASDED0 ]{0,80}"#) {
            // What is taken is a change that leads somewhere; nothing breaks on the way.
            if let Ok(change) = read_change(Kind::Pod, text.as_bytes()) {
                prop_assert!(text.contains("type") && change.version.len() <= text.len());
            }
        }
    }

    #[test]
    fn changes_are_read_and_errors_told_apart() {
        let added = br#"{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"n","resourceVersion":"7"},"spec":null}}"#;
        let change = read_change(Kind::Pod, added).map_err(|_| ()).unwrap();
        assert_eq!(change.version, "7");
        assert!(
            matches!(change.news, Some(News::Is(Object::Pod(pod))) if pod.metadata.name == "a")
        );
        let bookmark = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#;
        let change = read_change(Kind::Pod, bookmark).map_err(|_| ()).unwrap();
        assert!(change.news.is_none() && change.version == "9");
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410}}"#;
        assert!(matches!(read_change(Kind::Pod, gone), Err(Ended::Expired)));
        for bad in [
            r#"{"type":"ERROR","object":{"status":"Failure","code":500,"message":"no"}}"#,
            r#"{"type":"MOVED","object":{}}"#,
            r#"{"type":"ADDED","object":{"metadata":{"labels":[]}}}"#,
            r#"{"type":"ADDED"}"#,
            "{",
        ] {
            let read = read_change(Kind::Pod, bad.as_bytes());
            assert!(matches!(read, Err(Ended::Refused(_))), "{bad}");
        }
    }
}
