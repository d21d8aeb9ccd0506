//! `/proc/stat`: time per CPU and mode, and the counts of the whole system.

use std::collections::BTreeMap;

use super::writer::{Kind, Writer};
use super::{HostError, HostPaths, read};

/// The kernel counts CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Idle time that falls by this many ticks (3 s) means that the CPU was taken out and
/// put in again. Less is the kernel's own imprecision.
const HOTPLUG_TICKS: u64 = 300;

/// Modes in the order of the line, with the two that are also part of others apart.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const N_COLUMNS: usize = MODES.len() + GUEST_MODES.len();
const IDLE: usize = 3;

/// Ticks of one CPU, in the order of [`MODES`], then [`GUEST_MODES`].
type Ticks = [u64; N_COLUMNS];

/// Keeps the highest counts seen, because a counter must not fall and the kernel's
/// idle and iowait at times do.
#[derive(Debug, Default)]
pub(super) struct CpuCollector {
    highest: BTreeMap<u32, Ticks>,
}

impl CpuCollector {
    pub(super) fn collect(
        &mut self,
        paths: &HostPaths,
        writer: &mut Writer<'_>,
    ) -> Result<(), HostError> {
        let stat = parse_stat(&read(paths.proc.join("stat"))?)?;
        self.update(&stat.cpus);
        let mut family = writer.family(
            "node_cpu_seconds_total",
            "Seconds the CPUs spent in each mode.",
            Kind::Counter,
        );
        self.write(&mut family, &MODES, 0);
        let mut family = writer.family(
            "node_cpu_guest_seconds_total",
            "Seconds the CPUs spent in guests (VMs) for each mode.",
            Kind::Counter,
        );
        self.write(&mut family, &GUEST_MODES, MODES.len());
        Ok(())
    }

    fn write(&self, family: &mut super::writer::Family<'_>, modes: &[&str], first: usize) {
        for (cpu, ticks) in &self.highest {
            let cpu = cpu.to_string();
            for (mode, ticks) in modes.iter().zip(&ticks[first..]) {
                let seconds = *ticks as f64 / TICKS_PER_SECOND;
                family.sample(&[("cpu", &cpu), ("mode", mode)], seconds);
            }
        }
    }

    fn update(&mut self, cpus: &BTreeMap<u32, Ticks>) {
        self.highest.retain(|cpu, _| cpus.contains_key(cpu));
        for (&cpu, new) in cpus {
            let highest = self.highest.entry(cpu).or_default();
            if highest[IDLE].saturating_sub(new[IDLE]) >= HOTPLUG_TICKS {
                *highest = Ticks::default();
            }
            for (highest, &new) in highest.iter_mut().zip(new) {
                *highest = new.max(*highest);
            }
        }
    }
}

/// The counts of the whole system.
pub(super) fn stat(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    let stat = parse_stat(&read(paths.proc.join("stat"))?)?;
    let rows = [
        (
            "node_intr_total",
            "Total number of interrupts serviced.",
            Kind::Counter,
            stat.interrupts,
        ),
        (
            "node_context_switches_total",
            "Total number of context switches.",
            Kind::Counter,
            stat.context_switches,
        ),
        (
            "node_forks_total",
            "Total number of forks.",
            Kind::Counter,
            stat.forks,
        ),
        (
            "node_boot_time_seconds",
            "Node boot time, in unixtime.",
            Kind::Gauge,
            stat.boot_time_s,
        ),
        (
            "node_procs_running",
            "Number of processes in runnable state.",
            Kind::Gauge,
            stat.procs_running,
        ),
        (
            "node_procs_blocked",
            "Number of processes blocked waiting for I/O to complete.",
            Kind::Gauge,
            stat.procs_blocked,
        ),
    ];
    for (name, help, kind, value) in rows {
        writer.single(name, help, kind, value as f64);
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    cpus: BTreeMap<u32, Ticks>,
    interrupts: u64,
    context_switches: u64,
    forks: u64,
    boot_time_s: u64,
    procs_running: u64,
    procs_blocked: u64,
}

fn parse_stat(text: &str) -> Result<Stat, HostError> {
    let mut stat = Stat::default();
    for line in text.lines() {
        let failure = || HostError::line("stat", line);
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next() else { continue };
        let number = |word: Option<&str>| word.and_then(|word| word.parse().ok());
        let field = match key {
            "intr" => &mut stat.interrupts,
            "ctxt" => &mut stat.context_switches,
            "processes" => &mut stat.forks,
            "btime" => &mut stat.boot_time_s,
            "procs_running" => &mut stat.procs_running,
            "procs_blocked" => &mut stat.procs_blocked,
            _ => {
                let cpu = key.strip_prefix("cpu").and_then(|cpu| cpu.parse().ok());
                if let Some(cpu) = cpu {
                    let mut ticks = Ticks::default();
                    // Old kernels have fewer columns.
                    for (ticks, word) in ticks.iter_mut().zip(words) {
                        *ticks = number(Some(word)).ok_or_else(failure)?;
                    }
                    stat.cpus.insert(cpu, ticks);
                }
                continue;
            }
        };
        *field = number(words.next()).ok_or_else(failure)?;
    }
    Ok(stat)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  3 0 0 9 0 0 0 0 0 0\n\
                        cpu0 1 2 3 400 5 6 7 8 9 10\n\
                        cpu2 1 0 0 50\n\
                        intr 77 1 2 3\nctxt 88\nbtime 1700000000\nprocesses 99\n\
                        procs_running 2\nprocs_blocked 1\nsoftirq 5 1 1\n";

    #[test]
    fn stat_is_read_with_the_columns_the_kernel_has() {
        let stat = parse_stat(STAT).unwrap();
        assert_eq!(stat.cpus.len(), 2);
        assert_eq!(stat.cpus[&0], [1, 2, 3, 400, 5, 6, 7, 8, 9, 10]);
        assert_eq!(stat.cpus[&2], [1, 0, 0, 50, 0, 0, 0, 0, 0, 0]);
        let counts = (stat.interrupts, stat.context_switches, stat.forks);
        assert_eq!(counts, (77, 88, 99));
        assert_eq!((stat.boot_time_s, stat.procs_running), (1_700_000_000, 2));
        assert!(parse_stat("cpu0 x\n").is_err());
    }

    #[test]
    fn counters_do_not_fall_but_start_anew_after_a_hotplug() {
        let cpus = |idle, user| {
            let mut ticks = Ticks::default();
            ticks[IDLE] = idle;
            ticks[0] = user;
            BTreeMap::from([(0, ticks)])
        };
        let mut collector = CpuCollector::default();
        collector.update(&cpus(1000, 10));
        collector.update(&cpus(999, 11));
        assert_eq!(collector.highest, cpus(1000, 11));
        collector.update(&cpus(700, 5));
        assert_eq!(collector.highest, cpus(700, 5));
        collector.update(&BTreeMap::new());
        assert!(collector.highest.is_empty());
    }
}
