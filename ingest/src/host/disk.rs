//! `/proc/diskstats`, and what udev knows of the devices.

use std::collections::HashMap;

use super::writer::{Kind, Writer};
use super::{HostError, HostPaths, read};

/// A sector in diskstats, whatever the device says.
const SECTOR_BYTES: f64 = 512.0;

/// Times in diskstats are milliseconds.
const SECONDS_PER_TICK: f64 = 1.0 / 1000.0;

/// Columns after the device name: metric, help, type, and what one unit is.
const COLUMNS: [(&str, &str, Kind, f64); 17] = [
    (
        "node_disk_reads_completed_total",
        "The total number of reads completed successfully.",
        Kind::Counter,
        1.0,
    ),
    (
        "node_disk_reads_merged_total",
        "The total number of reads merged.",
        Kind::Counter,
        1.0,
    ),
    (
        "node_disk_read_bytes_total",
        "The total number of bytes read successfully.",
        Kind::Counter,
        SECTOR_BYTES,
    ),
    (
        "node_disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
        Kind::Counter,
        SECONDS_PER_TICK,
    ),
    (
        "node_disk_writes_completed_total",
        "The total number of writes completed successfully.",
        Kind::Counter,
        1.0,
    ),
    (
        "node_disk_writes_merged_total",
        "The number of writes merged.",
        Kind::Counter,
        1.0,
    ),
    (
        "node_disk_written_bytes_total",
        "The total number of bytes written successfully.",
        Kind::Counter,
        SECTOR_BYTES,
    ),
    (
        "node_disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        Kind::Counter,
        SECONDS_PER_TICK,
    ),
    (
        "node_disk_io_now",
        "The number of I/Os currently in progress.",
        Kind::Gauge,
        1.0,
    ),
    (
        "node_disk_io_time_seconds_total",
        "Total seconds spent doing I/Os.",
        Kind::Counter,
        SECONDS_PER_TICK,
    ),
    (
        "node_disk_io_time_weighted_seconds_total",
        "The weighted # of seconds spent doing I/Os.",
        Kind::Counter,
        SECONDS_PER_TICK,
    ),
    (
        "node_disk_discards_completed_total",
        "The total number of discards completed successfully.",
        Kind::Counter,
        1.0,
    ),
    (
        "node_disk_discards_merged_total",
        "The total number of discards merged.",
        Kind::Counter,
        1.0,
    ),
    (
        "node_disk_discarded_sectors_total",
        "The total number of sectors discarded successfully.",
        Kind::Counter,
        1.0,
    ),
    (
        "node_disk_discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        Kind::Counter,
        SECONDS_PER_TICK,
    ),
    (
        "node_disk_flush_requests_total",
        "The total number of flush requests completed successfully",
        Kind::Counter,
        1.0,
    ),
    (
        "node_disk_flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        Kind::Counter,
        SECONDS_PER_TICK,
    ),
];

pub(super) fn collect(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    let text = read(paths.proc.join("diskstats"))?;
    let mut devices = parse_diskstats(&text)?;
    devices.retain(|device| !is_ignored(device.name));
    for (column, &(name, help, kind, unit)) in COLUMNS.iter().enumerate() {
        let mut family = writer.family(name, help, kind);
        for device in &devices {
            // Kernels before 4.18 and 5.5 have fewer columns.
            if let Some(&count) = device.counts.get(column) {
                family.sample(&[("device", device.name)], count as f64 * unit);
            }
        }
    }
    write_udev(paths, &devices, writer);
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Device<'a> {
    major: &'a str,
    minor: &'a str,
    name: &'a str,
    counts: Vec<u64>,
}

fn parse_diskstats(text: &str) -> Result<Vec<Device<'_>>, HostError> {
    let mut devices = Vec::new();
    for line in text.lines() {
        let failure = || HostError::line("diskstats", line);
        let mut words = line.split_ascii_whitespace();
        let (Some(major), Some(minor), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return Err(failure());
        };
        let counts = words.map(str::parse).collect::<Result<Vec<u64>, _>>();
        devices.push(Device {
            major,
            minor,
            name,
            counts: counts.map_err(|_| failure())?,
        });
    }
    Ok(devices)
}

/// `^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`: memory, loops and partitions.
fn is_ignored(device: &str) -> bool {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    if matches!(stem, "ram" | "loop" | "fd") {
        return true;
    }
    if let Some(namespace) = stem.strip_prefix("nvme").and_then(|s| s.strip_suffix('p')) {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        return namespace
            .split_once('n')
            .is_some_and(|(controller, number)| is_number(controller) && is_number(number));
    }
    ["hd", "sd", "vd", "xvd"].iter().any(|bus| {
        let letter = stem.strip_prefix(bus).map(str::as_bytes);
        matches!(letter, Some([b'a'..=b'z']))
    })
}

type Properties = HashMap<String, String>;

fn write_udev(paths: &HostPaths, devices: &[Device<'_>], writer: &mut Writer<'_>) {
    let known: Vec<(&Device<'_>, Properties)> = devices
        .iter()
        .map(|device| {
            let file = format!("b{}:{}", device.major, device.minor);
            // No udev, or none that can be read: the labels are empty.
            let text = read(paths.udev.join(file)).unwrap_or_default();
            (device, parse_udev(&text))
        })
        .collect();
    let get = |properties: &Properties, key: &str| properties.get(key).cloned().unwrap_or_default();

    let mut family = writer.family(
        "node_disk_info",
        "Info of /sys/block/<block_device>.",
        Kind::Gauge,
    );
    for (device, properties) in &known {
        let labels = [
            ("device", device.name),
            ("major", device.major),
            ("minor", device.minor),
            ("path", &get(properties, "ID_PATH")),
            ("wwn", &get(properties, "ID_WWN")),
            ("model", &get(properties, "ID_MODEL")),
            ("serial", &get(properties, "ID_SERIAL_SHORT")),
            ("revision", &get(properties, "ID_REVISION")),
        ];
        family.sample(&labels, 1.0);
    }

    let mut family = writer.family(
        "node_disk_filesystem_info",
        "Info about disk filesystem.",
        Kind::Gauge,
    );
    for (device, properties) in &known {
        let kind = get(properties, "ID_FS_TYPE");
        if !kind.is_empty() {
            let labels = [
                ("device", device.name),
                ("type", &kind),
                ("usage", &get(properties, "ID_FS_USAGE")),
                ("uuid", &get(properties, "ID_FS_UUID")),
                ("version", &get(properties, "ID_FS_VERSION")),
            ];
            family.sample(&labels, 1.0);
        }
    }

    let mut family = writer.family(
        "node_disk_device_mapper_info",
        "Info about disk device mapper.",
        Kind::Gauge,
    );
    for (device, properties) in &known {
        let name = get(properties, "DM_NAME");
        if !name.is_empty() {
            let labels = [
                ("device", device.name),
                ("name", &name),
                ("uuid", &get(properties, "DM_UUID")),
                ("vg_name", &get(properties, "DM_VG_NAME")),
                ("lv_name", &get(properties, "DM_LV_NAME")),
                ("lv_layer", &get(properties, "DM_LV_LAYER")),
            ];
            family.sample(&labels, 1.0);
        }
    }
}

/// Reads the lines `E:NAME=value` of a device's entry in udev's database.
fn parse_udev(text: &str) -> Properties {
    text.lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_loops_are_ignored() {
        for device in [
            "ram0",
            "loop12",
            "fd0",
            "sda1",
            "hdb12",
            "vdc3",
            "xvda1",
            "nvme0n1p2",
        ] {
            assert!(is_ignored(device), "{device}");
        }
        for device in [
            "sda", "vda", "nvme0n1", "dm-0", "md127", "zram0", "sr0", "sdaa1", "nvmep1",
        ] {
            assert!(!is_ignored(device), "{device}");
        }
    }

    #[test]
    fn diskstats_are_read_with_the_columns_the_kernel_has() {
        let text = " 254   0 vda 1 2 3 4 5 6 7 8 9 10 11\n   7 1 loop1 0 0 0\n";
        let devices = parse_diskstats(text).unwrap();
        assert_eq!((devices[0].major, devices[0].name), ("254", "vda"));
        assert_eq!(devices[0].counts.len(), 11);
        assert_eq!(devices[1].counts, [0, 0, 0]);
        assert!(parse_diskstats("8 0\n").is_err());
        assert!(parse_diskstats("8 0 sda x\n").is_err());
    }

    #[test]
    fn udev_properties_are_those_marked_so() {
        let properties = parse_udev("S:disk/x\nE:ID_MODEL=M=1\nE:BROKEN\nI:5\n");
        assert_eq!(properties.len(), 1);
        assert_eq!(properties["ID_MODEL"], "M=1");
    }
}
