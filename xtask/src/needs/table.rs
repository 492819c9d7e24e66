//! Every tool that a command needs, one row each, and how it is found.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use scenarios::{CNI_BRIDGE, installed};

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
pub(super) enum Look {
    /// One of these programs, in PATH or in a folder of root's programs.
    Program(&'static [&'static str]),
    /// One of these programs of a browser, in PATH, but not the stub of a snap.
    Browser(&'static [&'static str]),
    /// One of these files: distributions have them in different folders.
    File(&'static [&'static str]),
    /// A module of the `python3` in PATH.
    Python(&'static str),
    /// A program of the LLVM in [`llvm_prefix`], or in PATH with the version behind its name.
    Llvm(&'static str),
    /// Only by the name of its package: headers and libraries, whose paths differ.
    Package,
    /// The same for parts of LLVM. With `$LLVM_PREFIX` they are the user's.
    LlvmPackage,
}

impl Look {
    /// Whether only dpkg knows.
    pub(super) fn asks_dpkg(self) -> bool {
        matches!(self, Look::Package | Look::LlvmPackage)
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) look: Look,
    /// The package on Debian and Ubuntu. The first that the archive knows counts: releases differ.
    pub(super) packages: &'static [&'static str],
    pub(super) users: &'static [User],
    /// Needed only where this exists.
    pub(super) only_with: Option<&'static str>,
    /// What to do where the archive has none of the packages.
    pub(super) otherwise: &'static str,
}

pub(super) const ANOTHER_ARCHIVE: &str =
    "enable another apt repository, such as universe of Ubuntu";
pub(super) const ANOTHER_LLVM: &str = "add LLVM's own apt repository, or set LLVM_PREFIX";
pub(super) const ANOTHER_BROWSER: &str =
    "install Google Chrome and its chromedriver (chromium-browser of Ubuntu only installs a snap)";

const fn need(look: Look, packages: &'static [&'static str], users: &'static [User]) -> Need {
    Need { look, packages, users, only_with: None, otherwise: ANOTHER_ARCHIVE }
}

const fn program(
    names: &'static [&'static str],
    packages: &'static [&'static str],
    users: &'static [User],
) -> Need {
    need(Look::Program(names), packages, users)
}

const fn llvm(look: Look, packages: &'static [&'static str], users: &'static [User]) -> Need {
    Need { otherwise: ANOTHER_LLVM, ..need(look, packages, users) }
}

const fn browser(names: &'static [&'static str], packages: &'static [&'static str]) -> Need {
    Need { otherwise: ANOTHER_BROWSER, ..need(Look::Browser(names), packages, &[User::Test]) }
}

/// The certificates of Debian, of Fedora and of openSUSE.
const CERTIFICATES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

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
pub(super) const NEEDS: &[Need] = &[
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
    need(Look::File(CERTIFICATES), &["ca-certificates"], PYTHON),
    // Real containers.
    program(&["tar"], &["tar"], CONTAINERS),
    program(&["podman"], &["podman"], CONTAINERS),
    program(&["runc"], &["runc"], CONTAINERS),
    Need { only_with: Some("/run/systemd/system"), ..program(&["crun"], &["crun"], CONTAINERS) },
    program(&["dockerd"], &["docker.io"], CONTAINERS),
    program(&["docker"], &["docker-cli", "docker.io"], CONTAINERS),
    program(&["containerd"], &["containerd"], CONTAINERS),
    program(&["ctr"], &["containerd"], CONTAINERS),
    need(Look::File(CNI_BRIDGE), &["containernetworking-plugins"], CONTAINERS),
    // The HTML report in a real browser.
    browser(
        &["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"],
        &["chromium"],
    ),
    browser(&["chromedriver"], &["chromium-driver"]),
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
    need(Look::File(&[crate::apt::KEYRING]), &["debian-archive-keyring"], FROM_DEBIAN),
    // The kernel half.
    llvm(Look::Llvm("objcopy"), &["llvm-22"], &[User::Ebpf, User::BpfLinker]),
    llvm(Look::Llvm("nm"), &["llvm-22"], &[User::Ebpf]),
    program(&["c++"], &["build-essential"], BPF_LINKER),
    llvm(Look::LlvmPackage, &["llvm-22-dev"], BPF_LINKER),
    llvm(Look::LlvmPackage, &["libpolly-22-dev"], BPF_LINKER),
    llvm(Look::LlvmPackage, &["libclang-22-dev"], BPF_LINKER),
    need(Look::Package, &["libzstd-dev"], BPF_LINKER),
    need(Look::Package, &["zlib1g-dev"], BPF_LINKER),
    need(Look::Package, &["libxml2-dev"], BPF_LINKER),
    // Peers of the recorder.
    program(&["tcpdump"], &["tcpdump"], &[User::BenchRecord]),
    program(&["bpftrace"], &["bpftrace"], &[User::BenchRecord, User::BenchOwners]),
];

impl Need {
    /// The tool as people call it.
    pub(super) fn name(&self) -> &'static str {
        match self.look {
            Look::Program(names) | Look::Browser(names) | Look::File(names) => names[0],
            Look::Package | Look::LlvmPackage => self.packages[0],
            Look::Python("ensurepip") => "python3 -m venv",
            Look::Python(module) => module,
            Look::Llvm("nm") => "llvm-nm",
            Look::Llvm(_) => "llvm-objcopy",
        }
    }

    pub(super) fn is_met(&self) -> bool {
        if self.only_with.is_some_and(|path| !Path::new(path).exists()) {
            return true;
        }
        match self.look {
            Look::Program(names) => names.iter().any(|name| installed(name)),
            Look::Browser(names) => names.iter().any(|name| {
                in_path(name).is_some_and(|file| !is_empty_stub(&file, Path::new(SNAP)))
            }),
            Look::File(paths) => paths.iter().any(|path| Path::new(path).exists()),
            Look::Python(module) => {
                succeeds(Command::new("python3").args(["-c", &format!("import {module}")]))
            }
            Look::Llvm(tool) => llvm_tool(tool).is_some(),
            Look::LlvmPackage if env::var_os("LLVM_PREFIX").is_some() => true,
            Look::Package | Look::LlvmPackage => {
                self.packages.iter().any(|package| is_installed(package))
            }
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

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).output();
    query.is_ok_and(|query| String::from_utf8_lossy(&query.stdout).contains("ok installed"))
}

/// The file that PATH gives for a program.
fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The program that the stubs of Ubuntu start.
const SNAP: &str = "/snap/bin/chromium";

/// Whether a program is a script of Ubuntu that starts a snap, and the snap is not installed.
fn is_empty_stub(program: &Path, snap: &Path) -> bool {
    let mut head = vec![];
    // A real browser is large.
    let read = File::open(program).and_then(|file| file.take(4096).read_to_end(&mut head));
    let starts_snap = String::from_utf8_lossy(&head).contains(SNAP);
    read.is_ok() && starts_snap && !snap.exists()
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use anyhow::Result;

    use super::*;

    #[test]
    fn a_stub_without_its_snap_is_not_a_browser() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (stub, browser) = (dir.path().join("stub"), dir.path().join("browser"));
        fs::write(&stub, format!("#!/bin/sh\nexec {SNAP} \"$@\"\n"))?;
        fs::write(&browser, "#!/bin/sh\nexec /usr/lib/chromium/chromium \"$@\"\n")?;
        let snap = dir.path().join("snap");
        assert!(is_empty_stub(&stub, &snap));
        assert!(!is_empty_stub(&browser, &snap));
        assert!(!is_empty_stub(&dir.path().join("none"), &snap));
        fs::write(&snap, "")?;
        assert!(!is_empty_stub(&stub, &snap));
        Ok(())
    }

    #[test]
    fn a_tool_is_met_by_one_of_its_names_or_paths() {
        assert!(need(Look::File(&["/no such file", "/proc"]), &["x"], &[User::Test]).is_met());
        assert!(!need(Look::File(&["/no such file"]), &["x"], &[User::Test]).is_met());
        assert!(program(&["no such program", "sh"], &["x"], &[User::Test]).is_met());
        let elsewhere =
            Need { only_with: Some("/no such file"), ..program(&["none"], &["x"], &[User::Test]) };
        assert!(elsewhere.is_met());
    }
}
