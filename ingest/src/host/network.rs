//! `/proc/net/dev` and `/sys/class/net`.

use std::path::Path;

use super::writer::{Kind, Writer};
use super::{HostError, HostPaths, read};

/// Columns of `/proc/net/dev`.
const COLUMNS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

pub(super) fn netdev(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    // The network of the first process is that of the host.
    let text = read(paths.proc.join("1/net/dev")).or_else(|_| read(paths.proc.join("net/dev")))?;
    let devices = parse_net_dev(&text)?;
    for (column, statistic) in COLUMNS.iter().enumerate() {
        let counts = devices
            .iter()
            .map(|(device, counts)| (*device, counts[column]));
        write_statistic(writer, statistic, counts);
    }
    // Kernels from 4.6 on count this too, and not in that file.
    let without_handler = devices.iter().filter_map(|(device, _)| {
        let folder = paths.sys.join("class/net").join(device);
        let count = integer(&folder, "statistics/rx_nohandler")?;
        Some((*device, count.cast_unsigned()))
    });
    write_statistic(writer, "receive_nohandler", without_handler);
    Ok(())
}

fn write_statistic<'a>(
    writer: &mut Writer<'_>,
    statistic: &str,
    counts: impl Iterator<Item = (&'a str, u64)>,
) {
    let name = format!("node_network_{statistic}_total");
    let help = format!("Network device statistic {statistic}.");
    let mut family = writer.family(&name, &help, Kind::Counter);
    for (device, count) in counts {
        family.sample(&[("device", device)], count as f64);
    }
}

fn parse_net_dev(text: &str) -> Result<Vec<(&str, [u64; COLUMNS.len()])>, HostError> {
    let mut devices = Vec::new();
    // Two lines of headings.
    for line in text.lines().skip(2) {
        let failure = || HostError::line("net/dev", line);
        // An alias has a colon in its name.
        let (device, rest) = line.rsplit_once(':').ok_or_else(failure)?;
        let mut counts = [0; COLUMNS.len()];
        let mut words = rest.split_ascii_whitespace();
        for count in &mut counts {
            let word = words.next().ok_or_else(failure)?;
            *count = word.parse().map_err(|_| failure())?;
        }
        devices.push((device.trim(), counts));
    }
    Ok(devices)
}

/// Files of a device below `/sys/class/net`: file, metric, type, and what one unit is.
const PROPERTIES: [(&str, &str, Kind, f64); 17] = [
    ("addr_assign_type", "address_assign_type", Kind::Gauge, 1.0),
    ("carrier", "carrier", Kind::Gauge, 1.0),
    (
        "carrier_changes",
        "carrier_changes_total",
        Kind::Counter,
        1.0,
    ),
    (
        "carrier_up_count",
        "carrier_up_changes_total",
        Kind::Counter,
        1.0,
    ),
    (
        "carrier_down_count",
        "carrier_down_changes_total",
        Kind::Counter,
        1.0,
    ),
    ("dev_id", "device_id", Kind::Gauge, 1.0),
    ("dormant", "dormant", Kind::Gauge, 1.0),
    ("flags", "flags", Kind::Gauge, 1.0),
    ("ifindex", "iface_id", Kind::Gauge, 1.0),
    ("iflink", "iface_link", Kind::Gauge, 1.0),
    ("link_mode", "iface_link_mode", Kind::Gauge, 1.0),
    ("mtu", "mtu_bytes", Kind::Gauge, 1.0),
    ("name_assign_type", "name_assign_type", Kind::Gauge, 1.0),
    ("netdev_group", "net_dev_group", Kind::Gauge, 1.0),
    // The kernel has megabits.
    ("speed", "speed_bytes", Kind::Gauge, 125_000.0),
    ("tx_queue_len", "transmit_queue_length", Kind::Gauge, 1.0),
    ("type", "protocol_type", Kind::Gauge, 1.0),
];

pub(super) fn netclass(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    let folder = paths.sys.join("class/net");
    let entries = std::fs::read_dir(&folder).map_err(|source| HostError::Read {
        path: folder.clone(),
        source,
    })?;
    let mut devices: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        // `bonding_masters` is a file.
        .filter(|device| folder.join(device).is_dir())
        .collect();
    devices.sort();

    let mut family = writer.family(
        "node_network_up",
        "Value is 1 if operstate is 'up', 0 otherwise.",
        Kind::Gauge,
    );
    for device in &devices {
        let is_up = text(&folder.join(device), "operstate") == "up";
        family.sample(&[("device", device)], if is_up { 1.0 } else { 0.0 });
    }
    let mut family = writer.family(
        "node_network_info",
        "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
        Kind::Gauge,
    );
    for device in &devices {
        let of = |file| text(&folder.join(device), file);
        let labels = [
            ("device", device.as_str()),
            ("address", &of("address")),
            ("broadcast", &of("broadcast")),
            ("duplex", &of("duplex")),
            ("operstate", &of("operstate")),
            ("ifalias", &of("ifalias")),
        ];
        family.sample(&labels, 1.0);
    }
    for (file, property, kind, unit) in PROPERTIES {
        let name = format!("node_network_{property}");
        let help = format!("Network device property: {property}");
        let mut family = writer.family(&name, &help, kind);
        for device in &devices {
            // A device that is down does not tell its carrier or speed.
            if let Some(value) = integer(&folder.join(device), file) {
                family.sample(&[("device", device)], value as f64 * unit);
            }
        }
    }
    Ok(())
}

fn text(folder: &Path, file: &str) -> String {
    read(folder.join(file))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn integer(folder: &Path, file: &str) -> Option<i64> {
    parse_integer(&text(folder, file))
}

/// Reads a decimal number, or a hexadecimal one behind `0x`.
fn parse_integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn net_dev_has_a_line_for_each_device() {
        let text = "Inter-|   Receive                            |  Transmit\n \
                    face |bytes    packets errs|bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                    eth0:1:17 2 3 4 5 6 7 8 9 10 11 12 13 14 15 18\n";
        let devices = parse_net_dev(text).unwrap();
        assert_eq!(devices[0].0, "lo");
        assert_eq!(
            (devices[1].0, devices[1].1[0], devices[1].1[15]),
            ("eth0:1", 17, 18)
        );
        assert!(parse_net_dev("a\nb\nlo: 1 2\n").is_err());
    }

    #[test]
    fn integers_are_decimal_or_hexadecimal() {
        assert_eq!(parse_integer("0x1003"), Some(4099));
        assert_eq!(parse_integer("-1"), Some(-1));
        assert_eq!(parse_integer(""), None);
    }
}
