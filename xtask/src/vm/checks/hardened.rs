//! The test `hardened`: with settings that hide symbols the causes are the same, and no file holds
//! an address of the kernel.

use std::fs;

use anyhow::{Context, Result};
use scenarios::{kernel_addresses, record};

use super::bench::{Bench, Faults};

/// Settings that are in force when the recorder starts, each in a recording of its own.
///
/// With `bpf_jit_harden` the kernel gives its BPF programs no symbols, and the top of every stack
/// that a fentry program walks is such a program. With `kptr_restrict=1` it shows symbols to those
/// who have CAP_SYSLOG.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("bpf_jit_harden=2", "/proc/sys/net/core/bpf_jit_harden", "2"),
    ("kptr_restrict=1", "/proc/sys/kernel/kptr_restrict", "1"),
];

/// A scenario for each kind of hook and stack.
const SCENARIOS: &[&str] = &[
    "linger0_close",
    "listener_closed",
    "keepalive_timeout",
    "ss_kill",
    "bpf_destroy",
    "closed_port",
    "closed_port_v6",
    "data_after_close_small",
    "data_after_close",
    "iptables_input",
    "nft_bridge",
];

pub(super) fn run(bench: &Bench) -> Result<Faults> {
    let names: Vec<&str> = match &bench.scenarios[..] {
        [] => SCENARIOS.to_vec(),
        chosen => chosen.iter().map(String::as_str).collect(),
    };
    let mut faults = Faults::new();
    for (setting, path, value) in SETTINGS {
        let out = bench.work.join(setting);
        let _changed = Setting::change(path, value)?;
        let played = record(&bench.recorder, &out, &names)?;
        for line in &played.recorded.said {
            eprintln!("{setting}: {line}");
        }
        let mut found = played.judge()?.faults();
        if !played.doctor.symbols {
            found.push("the kernel's symbols are hidden".to_owned());
        }
        let addresses = kernel_addresses(&out)?;
        found
            .extend(addresses.iter().map(|address| format!("an address of the kernel: {address}")));
        faults.extend(found.iter().map(|fault| format!("{setting}: {fault}")));
    }
    Ok(faults)
}

/// A setting of the whole guest; the earlier value comes back when this is dropped.
#[derive(Debug)]
struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    fn change(path: &'static str, value: &str) -> Result<Self> {
        let before = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
        fs::write(path, value).with_context(|| format!("set {path} to {value}"))?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // The guest ends after its tests: an error has no effect on others.
        let _ = fs::write(self.path, self.before.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use scenarios::Scenario;

    use super::*;

    #[test]
    fn every_scenario_is_one_of_the_table() {
        for name in SCENARIOS {
            assert!(Scenario::find(name).is_ok(), "{name}");
        }
    }
}
