//! The tools that commands need on this machine besides Rust and a C compiler: one table, and the
//! installation of missing ones with apt-get on Debian and Ubuntu.

use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Uid;
use scenarios::installed;

/// bpf-linker and the LLVM tools must be of the LLVM that this rustc is built with: 22 for Rust
/// 1.95.
pub(crate) const LLVM: &str = "22";

/// A command, or a part of one, that needs tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// `cargo xtask test`
    Test,
    /// `cargo xtask containers`
    Containers,
    /// `cargo xtask vm`: its guests
    Vm,
    /// The same with the guest that has a whole system
    VmSystem,
    /// `cargo xtask vm` on this machine's own kernel
    VmHost,
    /// `cargo xtask ebpf`
    Ebpf,
    /// The installation of bpf-linker
    BpfLinker,
    /// The standard library's source from Debian
    RustSource,
    /// `cargo xtask bench record`
    BenchRecord,
    /// `cargo xtask bench owners`
    BenchOwners,
    /// `cargo xtask bench analyze`
    BenchAnalyze,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            User::Test => "cargo xtask test",
            User::Containers => "cargo xtask containers",
            User::Vm | User::VmSystem | User::VmHost => "cargo xtask vm",
            User::Ebpf => "cargo xtask ebpf",
            User::BpfLinker => "the build of bpf-linker",
            User::RustSource => "the standard library's source",
            User::BenchRecord | User::BenchOwners | User::BenchAnalyze => "cargo xtask bench",
        })
    }
}

/// How a tool is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// One of these programs, in PATH or in a folder of root's programs.
    Program(&'static [&'static str]),
    File(&'static str),
    /// A module of the `python3` in PATH.
    Python(&'static str),
    /// A program of the LLVM in [`llvm_prefix`], or in PATH with the version behind its name.
    Llvm(&'static str),
    /// Only by the name of its package: headers and libraries, whose paths differ.
    Package,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
struct Need {
    look: Look,
    /// The package on Debian and Ubuntu. The first that the archive knows counts: releases differ.
    packages: &'static [&'static str],
    users: &'static [User],
    /// Needed only where this exists.
    only_with: Option<&'static str>,
}

const fn need(look: Look, packages: &'static [&'static str], users: &'static [User]) -> Need {
    Need { look, packages, users, only_with: None }
}

const fn program(
    names: &'static [&'static str],
    packages: &'static [&'static str],
    users: &'static [User],
) -> Need {
    need(Look::Program(names), packages, users)
}

/// Every scenario is played.
const PLAY: &[User] = &[User::Test, User::Vm, User::VmSystem, User::VmHost, User::BenchOwners];
const PLAY_AND_CONTAINERS: &[User] =
    &[User::Test, User::Vm, User::VmSystem, User::VmHost, User::BenchOwners, User::Containers];
const CONTAINERS: &[User] = &[User::Test, User::Containers];
const GUESTS: &[User] = &[User::Vm, User::VmSystem];
const FROM_DEBIAN: &[User] = &[User::Vm, User::VmSystem, User::RustSource];
const PYTHON: &[User] = &[User::Test, User::BenchAnalyze];
const BPF_LINKER: &[User] = &[User::BpfLinker];

/// Every tool, one row each.
const NEEDS: &[Need] = &[
    // Scenarios: networks, firewalls, `ss -K`.
    program(&["ip"], &["iproute2"], PLAY),
    program(&["ss"], &["iproute2"], PLAY),
    program(&["nft"], &["nftables"], PLAY),
    program(&["iptables"], &["iptables"], PLAY_AND_CONTAINERS),
    program(&["ip6tables"], &["iptables"], PLAY),
    // Namespaces, capabilities and mounts of the tests.
    program(&["nsenter"], &["util-linux"], CONTAINERS),
    program(&["unshare"], &["util-linux"], &[User::Test]),
    program(&["setpriv"], &["util-linux"], &[User::Test]),
    program(&["mount"], &["mount"], &[User::Test]),
    // Notebooks and other readers, installed from PyPI into an environment of their own.
    program(&["python3"], &["python3"], PYTHON),
    need(Look::Python("ensurepip"), &["python3-venv"], PYTHON),
    need(Look::File("/etc/ssl/certs/ca-certificates.crt"), &["ca-certificates"], PYTHON),
    // Real containers.
    program(&["tar"], &["tar"], CONTAINERS),
    program(&["podman"], &["podman"], CONTAINERS),
    program(&["runc"], &["runc"], CONTAINERS),
    Need { only_with: Some("/run/systemd/system"), ..program(&["crun"], &["crun"], CONTAINERS) },
    program(&["dockerd"], &["docker.io"], CONTAINERS),
    program(&["docker"], &["docker-cli", "docker.io"], CONTAINERS),
    program(&["containerd"], &["containerd"], CONTAINERS),
    program(&["ctr"], &["containerd"], CONTAINERS),
    need(Look::File("/usr/lib/cni/bridge"), &["containernetworking-plugins"], CONTAINERS),
    // The HTML report in a real browser.
    program(
        &["chromium", "chromium-browser", "google-chrome"],
        &["chromium", "chromium-browser"],
        &[User::Test],
    ),
    program(&["chromedriver"], &["chromium-driver", "chromium-chromedriver"], &[User::Test]),
    // Guests: the machine, its first file system, kernels and a system from Debian.
    program(&["qemu-system-x86_64"], &["qemu-system-x86"], GUESTS),
    program(&["busybox"], &["busybox-static"], GUESTS),
    program(&["xtables-legacy-multi"], &["iptables"], GUESTS),
    program(&["cpio"], &["cpio"], GUESTS),
    program(&["xz"], &["xz-utils"], GUESTS),
    program(&["depmod"], &["kmod"], GUESTS),
    program(&["ldd"], &["libc-bin"], GUESTS),
    program(&["debootstrap"], &["debootstrap"], &[User::VmSystem]),
    program(&["mke2fs"], &["e2fsprogs"], &[User::VmSystem]),
    program(&["dpkg-deb"], &["dpkg"], FROM_DEBIAN),
    need(Look::File(crate::apt::KEYRING), &["debian-archive-keyring"], FROM_DEBIAN),
    // The kernel half.
    need(Look::Llvm("objcopy"), &["llvm-22"], &[User::Ebpf, User::BpfLinker]),
    need(Look::Llvm("nm"), &["llvm-22"], &[User::Ebpf]),
    program(&["c++"], &["build-essential"], BPF_LINKER),
    need(Look::Package, &["llvm-22-dev"], BPF_LINKER),
    need(Look::Package, &["libpolly-22-dev"], BPF_LINKER),
    need(Look::Package, &["libclang-22-dev"], BPF_LINKER),
    need(Look::Package, &["libzstd-dev"], BPF_LINKER),
    need(Look::Package, &["zlib1g-dev"], BPF_LINKER),
    need(Look::Package, &["libxml2-dev"], BPF_LINKER),
    // Peers of the recorder.
    program(&["tcpdump"], &["tcpdump"], &[User::BenchRecord]),
    program(&["bpftrace"], &["bpftrace"], &[User::BenchRecord, User::BenchOwners]),
];

impl Need {
    /// The tool as people call it.
    fn name(&self) -> &'static str {
        match self.look {
            Look::Program(names) => names[0],
            Look::File(name) => name,
            Look::Package => self.packages[0],
            Look::Python("ensurepip") => "python3 -m venv",
            Look::Python(module) => module,
            Look::Llvm("nm") => "llvm-nm",
            Look::Llvm(_) => "llvm-objcopy",
        }
    }

    fn is_met(&self) -> bool {
        if self.only_with.is_some_and(|path| !Path::new(path).exists()) {
            return true;
        }
        match self.look {
            Look::Program(names) => names.iter().any(|name| installed(name)),
            Look::File(path) => Path::new(path).exists(),
            Look::Python(module) => {
                succeeds(Command::new("python3").args(["-c", &format!("import {module}")]))
            }
            Look::Llvm(tool) => llvm_tool(tool).is_some(),
            Look::Package => self.packages.iter().any(|package| is_installed(package)),
        }
    }
}

/// Where LLVM lies: `$LLVM_PREFIX`, or where Debian puts it.
pub(crate) fn llvm_prefix() -> PathBuf {
    env::var_os("LLVM_PREFIX")
        .map_or_else(|| PathBuf::from(format!("/usr/lib/llvm-{LLVM}")), PathBuf::from)
}

/// `llvm-objcopy`, `llvm-nm`: a tool of the LLVM that rustc is built with.
pub(crate) fn llvm_tool(tool: &str) -> Option<PathBuf> {
    let in_prefix = llvm_prefix().join(format!("bin/llvm-{tool}"));
    let versioned = format!("llvm-{tool}-{LLVM}");
    match in_prefix.exists() {
        true => Some(in_prefix),
        false => installed(&versioned).then(|| PathBuf::from(versioned)),
    }
}

/// Installs what is missing for `user`, as root with apt-get. Where that cannot be, fails with the
/// command that installs it, or with the names of the tools.
pub(crate) fn provide(user: User) -> Result<()> {
    let missing = missing(user, Need::is_met);
    if missing.is_empty() {
        return Ok(());
    }
    let has_apt = installed("apt-get");
    if !has_apt || !Uid::effective().is_root() {
        bail!(advice(user, &missing, has_apt, is_known));
    }
    eprintln!("xtask: {user} needs {}: installing with apt-get", names(&missing));
    apt_get(&["-q", "-q", "update"])?;
    let packages = packages(&missing, is_known);
    let install = ["-q", "-y", "--no-install-recommends", "install"];
    apt_get(&[&install[..], &packages].concat())?;
    let still: Vec<_> = missing.into_iter().filter(|need| !need.is_met()).collect();
    ensure!(still.is_empty(), "still missing after the installation: {}", names(&still));
    Ok(())
}

/// The rows of `user` that are not met.
fn missing(user: User, is_met: impl Fn(&Need) -> bool) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.users.contains(&user) && !is_met(need)).collect()
}

fn names(missing: &[&Need]) -> String {
    missing.iter().map(|need| need.name()).collect::<Vec<_>>().join(", ")
}

/// The packages to install, each once: of each row the first that the archive knows.
fn packages(missing: &[&Need], is_known: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut chosen = vec![];
    for need in missing {
        let known = need.packages.iter().find(|package| is_known(package));
        let package = *known.unwrap_or(&need.packages[0]);
        if !chosen.contains(&package) {
            chosen.push(package);
        }
    }
    chosen
}

/// Advice for the user where this program may not install.
fn advice(user: User, missing: &[&Need], has_apt: bool, is_known: impl Fn(&str) -> bool) -> String {
    let names = names(missing);
    match has_apt {
        true => format!(
            "{user} needs {names}: run `sudo apt-get install --no-install-recommends {}`",
            packages(missing, is_known).join(" ")
        ),
        false => format!(
            "{user} needs {names}: install them with the packages of this distribution (on Debian \
             they are {})",
            packages(missing, |_| true).join(", ")
        ),
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // Standard output is for answers.
        .stdout(io::stderr())
        .status()
        .context("cannot run apt-get")?;
    ensure!(status.success(), "apt-get {} failed ({status})", arguments.join(" "));
    Ok(())
}

/// Whether the archive has the package, by the lists on this machine.
fn is_known(package: &str) -> bool {
    let shown = Command::new("apt-cache").args(["show", "--no-all-versions", package]).output();
    // The output for a virtual package is empty.
    shown.is_ok_and(|shown| shown.status.success() && !shown.stdout.is_empty())
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).output();
    query.is_ok_and(|query| String::from_utf8_lossy(&query.stdout).contains("ok installed"))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is installed but these.
    fn without_all_but(user: User, present: &[&str]) -> Vec<&'static Need> {
        missing(user, |need| need.only_with.is_some() || present.contains(&need.name()))
    }

    #[test]
    fn packages_are_named_once_and_by_the_name_that_the_release_has() {
        let present = ["ip", "ss", "python3", "tar", "mount", "nsenter", "unshare", "setpriv"];
        let missing = without_all_but(User::Test, &present);
        let bookworm = packages(&missing, |package| package != "docker-cli");
        assert_eq!(
            bookworm,
            [
                "nftables",
                "iptables",
                "python3-venv",
                "ca-certificates",
                "podman",
                "runc",
                "docker.io",
                "containerd",
                "containernetworking-plugins",
                "chromium",
                "chromium-driver",
            ]
        );
        let trixie = packages(&missing, |_| true);
        assert!(trixie.contains(&"docker-cli") && trixie.contains(&"docker.io"), "{trixie:?}");
    }

    #[test]
    fn who_may_not_install_gets_one_command() {
        let missing = without_all_but(User::BenchRecord, &["tcpdump"]);
        assert_eq!(
            advice(User::BenchRecord, &missing, true, |_| true),
            "cargo xtask bench needs bpftrace: run `sudo apt-get install --no-install-recommends \
             bpftrace`"
        );
        let other = advice(User::BenchRecord, &missing, false, |_| true);
        assert!(other.contains("packages of this distribution"), "{other}");
    }

    #[test]
    fn each_user_has_its_tools_and_nothing_of_others() {
        let of = |user| packages(&without_all_but(user, &[]), |_| true);
        assert_eq!(of(User::Ebpf), ["llvm-22"]);
        assert_eq!(of(User::BenchRecord), ["tcpdump", "bpftrace"]);
        assert_eq!(of(User::VmHost), ["iproute2", "nftables", "iptables"]);
        assert_eq!(of(User::BenchOwners), ["iproute2", "nftables", "iptables", "bpftrace"]);
        assert!(of(User::Vm).contains(&"qemu-system-x86"));
        let only_of_the_system = ["debootstrap", "e2fsprogs"];
        assert!(!of(User::Vm).iter().any(|package| only_of_the_system.contains(package)));
        let mut system = of(User::VmSystem);
        system.retain(|package| !only_of_the_system.contains(package));
        assert_eq!(system, of(User::Vm));
        assert!(!of(User::Test).contains(&"qemu-system-x86"));
        assert!(NEEDS.iter().all(|need| !need.packages.is_empty() && !need.users.is_empty()));
        let llvm = NEEDS.iter().flat_map(|need| need.packages).filter(|name| name.contains("llvm"));
        assert!(llvm.clone().count() > 0 && llvm.clone().all(|name| name.contains(LLVM)));
    }

    #[test]
    fn nothing_is_to_do_where_all_is_there() {
        assert!(missing(User::Test, |_| true).is_empty());
        assert!(need(Look::File("/proc"), &["x"], &[User::Test]).is_met());
        assert!(!need(Look::File("/no such file"), &["x"], &[User::Test]).is_met());
        assert!(program(&["no such program", "sh"], &["x"], &[User::Test]).is_met());
        let elsewhere =
            Need { only_with: Some("/no such file"), ..program(&["none"], &["x"], &[User::Test]) };
        assert!(elsewhere.is_met());
    }
}
