//! Where and when a number was measured.

use std::fs;
use std::thread;

use anyhow::{Context, Result};

use super::tool::Tool;

/// Kernel, CPUs, load and the tools' versions, a line each.
pub(crate) fn describe() -> Result<Vec<String>> {
    let mut lines = vec![machine()?];
    for tool in Tool::ALL {
        lines.push(format!("{}: {}", tool.name(), tool.version()?));
    }
    Ok(lines)
}

/// Kernel, CPUs and load.
pub(crate) fn machine() -> Result<String> {
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let load = read("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cpus = thread::available_parallelism()?;
    let cpu_info = read("/proc/cpuinfo")?;
    // Only x86 names the model here.
    let model = cpu_info
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()))
        .unwrap_or("of unknown model");
    Ok(format!(
        "Linux {}, {cpus} CPUs ({model}), load average {} before the start",
        kernel.trim(),
        load.join(" ")
    ))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {path}"))
}
