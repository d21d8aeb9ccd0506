//! Asking two servers the same and telling what differs in their answers.

use kymo_tests::{Answer, Client, encode};

use crate::json::{self, Mask};

/// Headers that clients decide by.
const HEADERS: [&str; 3] = [
    "content-type",
    "x-content-type-options",
    "content-disposition",
];

/// One request.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub mask: Mask,
    /// What Loki says is a part of what Kymo says.
    pub is_part: bool,
    /// What is found does not count, only what is wrong.
    pub is_mistake: bool,
}

impl Case {
    /// A request without a body.
    pub fn new(method: &'static str, target: &str) -> Case {
        Case {
            name: format!("{method} {target}"),
            method,
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            mask: Mask::default(),
            is_part: false,
            is_mistake: false,
        }
    }

    /// Asks with parameters in the address.
    pub fn get(path: &str, params: &[(&str, &str)]) -> Case {
        let mut case = Case::new("GET", &format!("{path}?{}", encode(params)));
        case.name = format!("GET {path} {}", shown(params));
        case
    }

    /// Asks with parameters in a form.
    pub fn form(path: &str, params: &[(&str, &str)]) -> Case {
        let mut case = Case::new("POST", path)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(encode(params).as_bytes());
        case.name = format!("POST {path} {}", shown(params));
        case
    }

    /// Sends a body under a name.
    pub fn send(name: &str, path: &str, content_type: &str, body: &[u8]) -> Case {
        let mut case = Case::new("POST", path).body(body);
        if !content_type.is_empty() {
            case = case.header("Content-Type", content_type);
        }
        case.name = name.to_owned();
        case
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Case {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(mut self, body: &[u8]) -> Case {
        self.body = body.to_vec();
        self
    }

    pub fn named(mut self, name: &str) -> Case {
        self.name = format!("{name}: {}", self.name);
        self
    }

    /// Lists in the answer have no order.
    pub fn unordered(mut self) -> Case {
        self.mask.unordered = true;
        self
    }

    /// Only members and kinds of values count.
    pub fn shape(mut self) -> Case {
        self.mask.shape = true;
        self.mask.unordered = true;
        self
    }

    /// Kymo may say more.
    pub fn part(mut self) -> Case {
        self.is_part = true;
        self
    }

    /// Only what is said of a mistake counts.
    pub fn mistake(mut self) -> Case {
        self.is_mistake = true;
        self
    }

    fn ask(&self, client: Client) -> Answer {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        client.call(self.method, &self.target, &headers, &self.body)
    }
}

fn shown(params: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    pub asked: usize,
    pub differences: Vec<Difference>,
}

#[derive(Debug)]
pub struct Difference {
    pub name: String,
    pub text: String,
}

impl Report {
    /// Asks both the same, one after the other.
    pub fn ask(&mut self, loki: Client, kymo: Client, cases: &[Case]) {
        for case in cases {
            let (theirs, ours) = (case.ask(loki), case.ask(kymo));
            self.compare(case, &theirs, &ours);
        }
    }

    fn compare(&mut self, case: &Case, theirs: &Answer, ours: &Answer) {
        let show = |answer: &Answer| {
            let headers = HEADERS.map(|name| answer.header(name).unwrap_or("-").to_owned());
            let body = String::from_utf8_lossy(&answer.body);
            (answer.status, headers, case.mask.apply(&body))
        };
        let (theirs, ours) = (show(theirs), show(ours));
        let is_part = case.is_part
            && (theirs.0, &theirs.1) == (ours.0, &ours.1)
            && ours.2.contains(theirs.2.as_str());
        // For a wrong method Loki says one or the other, as its parts came together.
        let is_wrong_method = theirs.0 == 404
            && theirs.2 == "404 page not found"
            && (ours.0, ours.2.as_str()) == (405, "");
        let is_found = case.is_mistake && (theirs.0, ours.0) == (200, 200);
        let text = match is_part || is_wrong_method || is_found || theirs == ours {
            true => None,
            false if (theirs.0, &theirs.1) == (ours.0, &ours.1) => {
                let (theirs, ours) = json::apart(&theirs.2, &ours.2);
                Some(format!("\n  loki {theirs}\n  kymo {ours}"))
            }
            false => Some(format!(
                "\n  loki {} {:?} {}\n  kymo {} {:?} {}",
                theirs.0,
                theirs.1,
                json::cut(&theirs.2),
                ours.0,
                ours.1,
                json::cut(&ours.2)
            )),
        };
        self.note(&case.name, text);
    }

    /// Counts something that was compared, and what differs in it.
    pub fn note(&mut self, name: &str, difference: Option<String>) {
        self.asked += 1;
        let found = difference.map(|text| Difference {
            name: name.to_owned(),
            text,
        });
        self.differences.extend(found);
    }

    /// Fails where anything differs but what is kept on purpose, or where that no longer
    /// does. A case is kept whose name begins with one of `kept`.
    pub fn check(&self, kept: &[(&str, &str)]) {
        let is_kept =
            |found: &Difference| kept.iter().any(|(name, _)| found.name.starts_with(name));
        let wrong: Vec<String> = self
            .differences
            .iter()
            .filter(|found| !is_kept(found))
            .map(|found| format!("{}{}", found.name, found.text))
            .collect();
        println!("{} compared, {} differ", self.asked, self.differences.len());
        assert!(
            wrong.is_empty(),
            "{} of {} differ:\n{}",
            wrong.len(),
            self.asked,
            wrong.join("\n")
        );
        for (name, why) in kept {
            let still = self.differences.iter().any(|d| d.name.starts_with(name));
            assert!(still, "{name} does not differ any more, though {why}");
        }
    }
}
