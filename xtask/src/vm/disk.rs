//! A whole Debian system for a guest: systemd is its first process, cgroups are v2 alone, and
//! container runtimes are installed. Made once for each kernel and kept with the kernels.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::fetch::GuestKernel;
use crate::apt;

/// The suite of the system, which is that of its kernel.
const SUITE: &str = "trixie";
/// The packages that the containers of the tests need; dependencies follow.
const PACKAGES: &[&str] = &[
    "containerd",
    "containernetworking-plugins",
    "crun",
    "dbus",
    "docker-cli",
    "docker.io",
    "iproute2",
    "iptables",
    "kmod",
    "netavark",
    "nftables",
    "podman",
    "runc",
    "systemd-sysv",
    "udev",
    "util-linux",
];
/// Rises when what is below changes, so that old images are not taken for new ones.
const VERSION: u32 = 1;
/// Sparse: what is not used is not there.
const SIZE: &str = "4G";

/// Services that the packages would start: tests start their own. Also the login prompt on the
/// console, which hangs up on other writers.
const MASKED: &[&str] = &[
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "containerd.service",
    "docker.service",
    "docker.socket",
    "netavark-dhcp-proxy.service",
    "netavark-dhcp-proxy.socket",
    "netavark-firewalld-reload.service",
    "podman-auto-update.timer",
    "podman.service",
    "podman.socket",
    "serial-getty@ttyS0.service",
];
/// Runs our program once, and ends the machine if that does not end it itself.
const SERVICE: &str = "\
[Unit]
Description=Tests of tcprst
After=basic.target
FailureAction=poweroff-immediate
SuccessAction=poweroff-immediate

[Service]
Type=oneshot
Environment=HOME=/root TMPDIR=/var/tmp
ExecStart=/opt/tcprst/xtask guest
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
";

/// The image of a system with this kernel's modules.
pub(crate) fn system(kernel: &GuestKernel, cache: &Path) -> Result<PathBuf> {
    let kept = cache.join("systems");
    fs::create_dir_all(&kept).with_context(|| format!("cannot make {}", kept.display()))?;
    let image = kept.join(format!("{SUITE}-{}-{VERSION}.ext4", kernel.version));
    if image.is_file() {
        return Ok(image);
    }
    eprintln!("{}: making a system of {SUITE} with systemd and container runtimes", kernel.line);
    let work = tempfile::tempdir_in(&kept).context("make a folder")?;
    let root = work.path().join("root");
    bootstrap(&root)?;
    prepare(&root, kernel)?;
    let unfinished = work.path().join("image");
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-d"]).arg(&root).arg(&unfinished).arg(SIZE);
    success(&mut mke2fs)?;
    // Whole or not at all.
    fs::rename(&unfinished, &image).context("keep a system")?;
    Ok(image)
}

fn bootstrap(root: &Path) -> Result<()> {
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .args(["--variant=minbase", "--include", &PACKAGES.join(",")])
        .arg(SUITE)
        .arg(root)
        .arg(apt::mirror()?);
    success(&mut debootstrap)
}

fn prepare(root: &Path, kernel: &GuestKernel) -> Result<()> {
    for unused in
        ["var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"]
    {
        fs::remove_dir_all(root.join(unused)).with_context(|| format!("remove {unused}"))?;
    }
    let modules = root.join("usr/lib/modules");
    fs::create_dir_all(&modules)?;
    let mut copy = Command::new("cp");
    success(copy.arg("-a").arg(&kernel.modules).arg(&modules))?;
    success(Command::new("depmod").arg("-b").arg(root).arg(&kernel.release))?;
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        let link = units.join(unit);
        let _ = fs::remove_file(&link);
        symlink("/dev/null", &link).with_context(|| format!("mask {unit}"))?;
    }
    fs::write(units.join("tcprst.service"), SERVICE)?;
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    symlink("../tcprst.service", wanted.join("tcprst.service")).context("enable the tests")?;
    fs::write(root.join("etc/hostname"), "guest\n")?;
    // Where the first file system puts our programs.
    fs::create_dir_all(root.join("opt/tcprst"))?;
    Ok(())
}

fn success(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| format!("cannot run {program}"))?;
    let said =
        String::from_utf8_lossy(if done.stderr.is_empty() { &done.stdout } else { &done.stderr });
    let end: Vec<&str> = said.lines().rev().take(3).collect();
    ensure!(done.status.success(), "{program}: {}: {}", done.status, end.join("; "));
    Ok(())
}
