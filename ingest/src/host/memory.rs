//! `/proc/meminfo` and `/proc/vmstat`.

use super::writer::{Kind, Writer};
use super::{HostError, HostPaths, read};

pub(super) fn meminfo(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    for (field, value) in parse_meminfo(&read(paths.proc.join("meminfo"))?)? {
        let kind = if field.ends_with("_total") {
            Kind::Counter
        } else {
            Kind::Gauge
        };
        let help = format!("Memory information field {field}.");
        writer.single(&format!("node_memory_{field}"), &help, kind, value);
    }
    Ok(())
}

/// Returns fields and values; values in kB become bytes, and `Active(anon)` becomes
/// `Active_anon`.
fn parse_meminfo(text: &str) -> Result<Vec<(String, f64)>, HostError> {
    let mut fields = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (name, value, unit) = match *words.as_slice() {
            [] => continue,
            [name, value] => (name, value, None),
            [name, value, unit] => (name, value, Some(unit)),
            _ => return Err(HostError::line("meminfo", line)),
        };
        let Ok(value) = value.parse::<f64>() else {
            return Err(HostError::line("meminfo", line));
        };
        let mut field = name
            .trim_end_matches(':')
            .replace('(', "_")
            .replace(')', "");
        if unit.is_some() {
            field.push_str("_bytes");
            fields.push((field, value * 1024.0));
        } else {
            fields.push((field, value));
        }
    }
    Ok(fields)
}

pub(super) fn vmstat(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    for (field, value) in parse_vmstat(&read(paths.proc.join("vmstat"))?)? {
        let help = format!("/proc/vmstat information field {field}.");
        let name = format!("node_vmstat_{field}");
        writer.single(&name, &help, Kind::Untyped, value);
    }
    Ok(())
}

fn parse_vmstat(text: &str) -> Result<Vec<(&str, f64)>, HostError> {
    let mut fields = Vec::new();
    for line in text.lines() {
        let field = line
            .split_once(' ')
            .map(|(name, value)| (name, value.trim().parse()));
        match field {
            Some((name, Ok(value))) if is_wanted(name) => fields.push((name, value)),
            Some((_, Ok(_))) => {}
            _ => return Err(HostError::line("vmstat", line)),
        }
    }
    Ok(fields)
}

/// `^(oom_kill|pgpg|pswp|pg.*fault).*`
fn is_wanted(field: &str) -> bool {
    let is_fault = |rest: &str| rest.contains("fault");
    ["oom_kill", "pgpg", "pswp"]
        .iter()
        .any(|prefix| field.starts_with(prefix))
        || field.strip_prefix("pg").is_some_and(is_fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_fields_become_names() {
        let text = "MemTotal:       2048 kB\nActive(anon):      1 kB\n\nHugePages_Total:       3\n";
        let expected = [
            ("MemTotal_bytes".to_owned(), 2_097_152.0),
            ("Active_anon_bytes".to_owned(), 1024.0),
            ("HugePages_Total".to_owned(), 3.0),
        ];
        assert_eq!(parse_meminfo(text).unwrap(), expected);
        assert!(parse_meminfo("MemTotal: x kB\n").is_err());
    }

    #[test]
    fn only_paging_and_kills_are_taken_from_vmstat() {
        let text = "nr_free_pages 5\npgpgin 1\npswpout 2\npgfault 3\npgmajfault 4\noom_kill 6\n\
                    pgalloc_normal 9\n";
        let names: Vec<&str> = parse_vmstat(text).unwrap().iter().map(|f| f.0).collect();
        assert_eq!(
            names,
            ["pgpgin", "pswpout", "pgfault", "pgmajfault", "oom_kill"]
        );
        assert!(parse_vmstat("pgpgin\n").is_err());
    }
}
