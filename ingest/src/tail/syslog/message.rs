//! One message of syslog: RFC 5424, and what RFC 3164 found in use.

use kymo_storage::compat::time::{civil_from_days, days_from_civil};

const SEVERITIES: [&str; 8] = [
    "emergency",
    "alert",
    "critical",
    "error",
    "warning",
    "notice",
    "informational",
    "debug",
];

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Most parameters of structured data that are taken.
const MAX_DATA: usize = 64;

/// What a message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    priority: usize,
    pub(super) t_ns: Option<i64>,
    pub(super) hostname: Option<String>,
    pub(super) app_name: Option<String>,
    pub(super) proc_id: Option<String>,
    pub(super) msg_id: Option<String>,
    /// Structured data: id, name, value.
    pub(super) data: Vec<(String, String, String)>,
    pub(super) text: Vec<u8>,
}

impl Message {
    pub(super) fn severity(&self) -> Option<&'static str> {
        SEVERITIES.get(self.priority % 8).copied()
    }

    pub(super) fn facility(&self) -> Option<&'static str> {
        FACILITIES.get(self.priority / 8).copied()
    }

    /// Reads `<PRI>1 TIME HOST APP PROCID MSGID DATA TEXT`.
    pub(super) fn rfc5424(bytes: &[u8]) -> Option<Message> {
        let (priority, rest) = priority(bytes)?;
        let (version, rest) = word(rest)?;
        if version.is_empty() || version.len() > 3 || !version.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (time, rest) = word(rest)?;
        let t_ns = match time {
            "-" => None,
            time => Some(rfc3339(time)?),
        };
        let (hostname, rest) = word(rest)?;
        let (app_name, rest) = word(rest)?;
        let (proc_id, rest) = word(rest)?;
        let (msg_id, rest) = word(rest)?;
        let set = |text: &str| (text != "-").then(|| text.to_owned());
        let mut message = Message {
            priority,
            t_ns,
            hostname: set(hostname),
            app_name: set(app_name),
            proc_id: set(proc_id),
            msg_id: set(msg_id),
            ..Message::default()
        };
        let rest = message.structured_data(rest)?;
        let text = rest.strip_prefix(b" ").unwrap_or(rest);
        message.text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).to_vec();
        Some(message)
    }

    /// Reads structured data, and returns what is behind them.
    fn structured_data<'b>(&mut self, mut rest: &'b [u8]) -> Option<&'b [u8]> {
        if let Some(behind) = rest.strip_prefix(b"-") {
            return Some(behind);
        }
        if rest.first() != Some(&b'[') {
            return None;
        }
        while let Some(inner) = rest.strip_prefix(b"[") {
            let id_len = inner.iter().position(|b| matches!(b, b' ' | b']'))?;
            let id = std::str::from_utf8(&inner[..id_len]).ok()?;
            rest = &inner[id_len..];
            while let Some(parameter) = rest.strip_prefix(b" ") {
                let equal = memchr::memchr(b'=', parameter)?;
                let name = std::str::from_utf8(&parameter[..equal]).ok()?;
                let (value, behind) = quoted(&parameter[equal + 1..])?;
                if self.data.len() < MAX_DATA {
                    self.data.push((id.to_owned(), name.to_owned(), value));
                }
                rest = behind;
            }
            rest = rest.strip_prefix(b"]")?;
        }
        Some(rest)
    }

    /// Reads `<PRI>Mmm dd hh:mm:ss HOST TAG[PID]: TEXT`; the year is the one close to
    /// `now_ns`.
    pub(super) fn rfc3164(bytes: &[u8], now_ns: i64) -> Option<Message> {
        let (priority, rest) = priority(bytes)?;
        let mut message = Message {
            priority,
            ..Message::default()
        };
        let Some((t_ns, rest)) = old_time(rest, now_ns) else {
            message.text = rest.to_vec();
            return Some(message);
        };
        message.t_ns = Some(t_ns);
        let (hostname, rest) = word(rest)?;
        message.hostname = Some(hostname.to_owned());
        let tag_len = rest
            .iter()
            .take(48)
            .take_while(|b| !b" :[".contains(b))
            .count();
        let (tag, mut behind) = rest.split_at(tag_len);
        let pid = behind.strip_prefix(b"[").and_then(|inner| {
            let end = memchr::memchr(b']', inner)?;
            Some((&inner[..end], &inner[end + 1..]))
        });
        if let Some((pid, after)) = pid {
            message.proc_id = Some(String::from_utf8_lossy(pid).into_owned());
            behind = after;
        }
        match behind.strip_prefix(b":") {
            Some(text) if !tag.is_empty() => {
                message.app_name = Some(String::from_utf8_lossy(tag).into_owned());
                message.text = text.strip_prefix(b" ").unwrap_or(text).to_vec();
            }
            _ => {
                message.proc_id = None;
                message.text = rest.to_vec();
            }
        }
        Some(message)
    }
}

fn priority(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let inner = bytes.strip_prefix(b"<")?;
    let end = inner.iter().take(4).position(|byte| *byte == b'>')?;
    let digits = std::str::from_utf8(&inner[..end]).ok()?;
    let priority: usize = digits.parse().ok()?;
    (priority < 192 && !digits.starts_with('+')).then_some((priority, &inner[end + 1..]))
}

/// Reads up to the next space, which must be there.
fn word(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr(b' ', bytes)?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    (!text.is_empty()).then_some((text, &bytes[end + 1..]))
}

fn quoted(bytes: &[u8]) -> Option<(String, &[u8])> {
    let inner = bytes.strip_prefix(b"\"")?;
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match inner.get(at)? {
            b'"' => break,
            b'\\' if matches!(inner.get(at + 1), Some(b'"' | b'\\' | b']')) => {
                value.push(inner[at + 1]);
                at += 2;
            }
            byte => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    Some((
        String::from_utf8_lossy(&value).into_owned(),
        &inner[at + 1..],
    ))
}

fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = digits.then(|| text.parse().ok())??;
    (least..=most).contains(&number).then_some(number)
}

fn nanos(days: i64, seconds: i64, fraction_ns: i64) -> Option<i64> {
    let seconds = days.checked_mul(86_400)?.checked_add(seconds)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction_ns)
}

/// Reads `2026-01-02T03:04:05.678+01:00`.
fn rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut date = date.split('-');
    let year = number(date.next()?, 0, 9999)?;
    let month = number(date.next()?, 1, 12)?;
    let day = number(date.next()?, 1, 31)?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let seconds = clock_seconds(clock)?;
    let fraction_ns = match fraction {
        "" => 0,
        digits => number(&format!("{digits:0<9}")[..9], 0, 999_999_999)?,
    };
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let offset = number(hours, 0, 23)? * 3600 + number(minutes, 0, 59)? * 60;
            if zone.starts_with('-') {
                -offset
            } else {
                offset
            }
        }
    };
    nanos(
        days_from_civil(year, month, day),
        seconds - offset,
        fraction_ns,
    )
}

fn clock_seconds(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hours = number(parts.next()?, 0, 23)?;
    let minutes = number(parts.next()?, 0, 59)?;
    let seconds = number(parts.next()?, 0, 60)?;
    parts
        .next()
        .is_none()
        .then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Reads `Jan  2 03:04:05 `, in UTC.
fn old_time(bytes: &[u8], now_ns: i64) -> Option<(i64, &[u8])> {
    let text = std::str::from_utf8(bytes.get(..16)?).ok()?;
    let month = MONTHS.iter().position(|name| text.starts_with(name))?;
    let month = i64::try_from(month).ok()? + 1;
    let day = number(text.get(4..6)?.trim_start(), 1, 31)?;
    let seconds = clock_seconds(text.get(7..15)?)?;
    let (year, now_month, _) = civil_from_days(now_ns.div_euclid(86_400_000_000_000));
    let year = match (month, now_month) {
        (12, 1) => year - 1,
        (1, 12) => year + 1,
        _ => year,
    };
    let t_ns = nanos(days_from_civil(year, month, day), seconds, 0)?;
    (text.ends_with(' ')).then_some((t_ns, &bytes[16..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_of_rfc_5424_are_read() {
        let text = b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 12 ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"App\\\"l\\]\"][b] \xef\xbb\xbfAn application event";
        let message = Message::rfc5424(text).unwrap();
        assert_eq!(message.t_ns, Some(1_065_910_455_003_000_000));
        assert_eq!(
            (message.severity(), message.facility()),
            (Some("notice"), Some("local4"))
        );
        assert_eq!(message.hostname.as_deref(), Some("mymachine.example.com"));
        assert_eq!(message.app_name.as_deref(), Some("evntslog"));
        assert_eq!(
            (message.proc_id.as_deref(), message.msg_id.as_deref()),
            (Some("12"), Some("ID47"))
        );
        assert_eq!(
            message.data[1],
            (
                "exampleSDID@32473".into(),
                "eventSource".into(),
                "App\"l]".into()
            )
        );
        assert_eq!(message.text, b"An application event");
        let least = Message::rfc5424(b"<0>1 - - - - - -").unwrap();
        assert_eq!(
            (least.severity(), least.text.as_slice()),
            (Some("emergency"), b"".as_slice())
        );
        for wrong in [
            "",
            "<",
            "<192>1 - - - - - - x",
            "<1>",
            "<1>x - - - - - -",
            "<1>1 never - - - - -",
            "<1>1 - - - - - [a b=\"c]",
            "<1>1 - - - - - x",
            "<1>1 2003-13-11T22:14:15Z - - - - -",
        ] {
            assert_eq!(Message::rfc5424(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn messages_of_rfc_3164_are_read() {
        let now_ns = 1_767_225_600_000_000_000;
        let message =
            Message::rfc3164(b"<34>Jan  2 22:14:15 host su[42]: 'su root' failed", now_ns).unwrap();
        assert_eq!(
            message.t_ns,
            Some(now_ns + 86_400_000_000_000 + 80_055_000_000_000)
        );
        assert_eq!(
            (message.severity(), message.facility()),
            (Some("critical"), Some("auth"))
        );
        assert_eq!(
            (message.app_name.as_deref(), message.proc_id.as_deref()),
            (Some("su"), Some("42"))
        );
        assert_eq!(message.text, b"'su root' failed");
        let last_year = Message::rfc3164(b"<34>Dec 31 00:00:00 host x: y", now_ns).unwrap();
        assert_eq!(last_year.t_ns, Some(now_ns - 86_400_000_000_000));
        let bare = Message::rfc3164(b"<13>just text", now_ns).unwrap();
        assert_eq!(
            (bare.t_ns, bare.text.as_slice()),
            (None, b"just text".as_slice())
        );
        let untagged = Message::rfc3164(b"<13>Jan  2 22:14:15 host no tag here", now_ns).unwrap();
        assert_eq!(untagged.text, b"no tag here");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![Just(b'<'), Just(b'1'), Just(b'>'), Just(b' '), Just(b'['), Just(b'"'), Just(b'='), any::<u8>()], 0..60)) {
            let _read = Message::rfc5424(&bytes);
            let _read = Message::rfc3164(&bytes, 0);
            let with_head = [b"<1>1 - - - - - ".as_slice(), &bytes].concat();
            let _read = Message::rfc5424(&with_head);
            let _read = rfc3339(&String::from_utf8_lossy(&bytes));
        }
    }
}
