//! Finders of addresses and of numbers of cards. Each looks for a byte that its findings
//! must have, and then around it.

use std::net::{Ipv4Addr, Ipv6Addr};

use memchr::memchr_iter;

use super::{Finding, Kind};

/// Longest part of an address of mail in front of its sign, in bytes.
const MAX_LOCAL_BYTES: usize = 64;
/// Longest name of a host, in bytes.
const MAX_HOST_BYTES: usize = 255;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Counts the bytes from the start of `bytes` that a condition holds for, `max` at most.
fn run(bytes: &[u8], max: usize, holds: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take(max).take_while(|b| holds(**b)).count()
}

/// Counts the bytes up to the end of `bytes` that a condition holds for, `max` at most.
fn run_back(bytes: &[u8], max: usize, holds: impl Fn(u8) -> bool) -> usize {
    let back = bytes.iter().rev();
    back.take(max).take_while(|b| holds(**b)).count()
}

/// Finds addresses of mail.
pub(super) fn emails(text: &[u8], out: &mut Vec<Finding>) {
    let local = |b: u8| b.is_ascii_alphanumeric() || b"._%+-".contains(&b);
    let host = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    for at in memchr_iter(b'@', text) {
        let mut start = at - run_back(&text[..at], MAX_LOCAL_BYTES, local);
        while start < at && matches!(text[start], b'.' | b'-') {
            start += 1;
        }
        let mut end = at + 1 + run(&text[at + 1..], MAX_HOST_BYTES, host);
        while end > at + 1 && matches!(text[end - 1], b'.' | b'-') {
            end -= 1;
        }
        let host = &text[at + 1..end];
        let Some(dot) = memchr::memrchr(b'.', host) else {
            continue;
        };
        let last = &host[dot + 1..];
        let named = last.len() >= 2 && last.iter().all(u8::is_ascii_alphabetic);
        let parts = host.split(|b| *b == b'.').all(|part| !part.is_empty());
        if start < at && named && parts {
            out.push(Finding {
                range: start..end,
                kind: Kind::Email,
                quote: None,
            });
        }
    }
}

/// Finds addresses of version 4: four numbers up to 255, with no digit or point around.
pub(super) fn ipv4(text: &[u8], out: &mut Vec<Finding>) {
    let part = |b: u8| b.is_ascii_digit() || b == b'.';
    let mut at = 0;
    while at < text.len() {
        if !text[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let len = text[at..].iter().take_while(|b| part(**b)).count();
        let mut end = at + len;
        // A point that ends a sentence.
        while text[end - 1] == b'.' {
            end -= 1;
        }
        let alone = (at == 0 || !is_word(text[at - 1]) && text[at - 1] != b'.')
            && text.get(end).is_none_or(|b| !is_word(*b));
        let address = text_of(&text[at..end]).and_then(|t| t.parse::<Ipv4Addr>().ok());
        if alone && address.is_some() {
            out.push(Finding {
                range: at..end,
                kind: Kind::Ipv4,
                quote: None,
            });
        }
        at += len;
    }
}

/// Finds addresses of version 6 that say something: `::` alone is also an operator.
pub(super) fn ipv6(text: &[u8], out: &mut Vec<Finding>) {
    let part = |b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.';
    let mut at = 0;
    while at < text.len() {
        if !part(text[at]) {
            at += 1;
            continue;
        }
        let len = text[at..].iter().take_while(|b| part(**b)).count();
        let mut end = at + len;
        while end > at && matches!(text[end - 1], b'.') {
            end -= 1;
        }
        let candidate = &text[at..end];
        let colons = candidate.iter().filter(|b| **b == b':').count();
        let digits = candidate.iter().filter(|b| b.is_ascii_digit()).count();
        let alone =
            (at == 0 || !is_word(text[at - 1])) && text.get(end).is_none_or(|b| !is_word(*b));
        if colons >= 2 && digits > 0 && alone && candidate.len() <= 45 {
            // A colon behind an address is none of it.
            let trimmed = match candidate {
                [.., b':', b':'] => candidate,
                [head @ .., b':'] => head,
                whole => whole,
            };
            let address = text_of(trimmed).and_then(|t| t.parse::<Ipv6Addr>().ok());
            if address.is_some() {
                out.push(Finding {
                    range: at..at + trimmed.len(),
                    kind: Kind::Ipv6,
                    quote: None,
                });
            }
        }
        at += len;
    }
}

/// Finds numbers of cards: 13 to 19 digits, single spaces or hyphens between them, a first
/// digit that issuers have, and the right check digit.
pub(super) fn cards(text: &[u8], out: &mut Vec<Finding>) {
    let mut at = 0;
    while at < text.len() {
        if !text[at].is_ascii_digit() || at > 0 && (is_word(text[at - 1]) || text[at - 1] == b'.') {
            at += 1;
            continue;
        }
        let (digits, end) = card_digits(text, at);
        let behind = text.get(end).copied();
        let alone = behind.is_none_or(|b| !is_word(b));
        if alone && (13..=19).contains(&digits.len()) && matches!(digits[0], 2..=6) && luhn(&digits)
        {
            out.push(Finding {
                range: at..end,
                kind: Kind::Card,
                quote: None,
            });
        }
        at = end;
    }
}

/// Returns the digits that start at `at`, and where they end.
fn card_digits(text: &[u8], at: usize) -> (Vec<u8>, usize) {
    let mut digits = Vec::with_capacity(19);
    let mut end = at;
    while let Some(byte) = text.get(end) {
        if byte.is_ascii_digit() {
            if digits.len() <= 19 {
                digits.push(byte - b'0');
            }
            end += 1;
            continue;
        }
        let next_is_digit = text.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !matches!(byte, b' ' | b'-') || !next_is_digit || digits.len() >= 19 {
            break;
        }
        end += 1;
    }
    (digits, end)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => u32::from(*digit),
            _ if *digit > 4 => u32::from(*digit) * 2 - 9,
            _ => u32::from(*digit) * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
