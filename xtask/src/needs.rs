//! The tools that commands need on this machine besides Rust and a C compiler: one table, and the
//! installation of missing ones with apt-get on Debian and Ubuntu.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Uid;
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
enum Look {
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
    fn asks_dpkg(self) -> bool {
        matches!(self, Look::Package | Look::LlvmPackage)
    }
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
    /// What to do where the archive has none of the packages.
    otherwise: &'static str,
}

const ANOTHER_ARCHIVE: &str = "enable another apt repository, such as universe of Ubuntu";
const ANOTHER_LLVM: &str = "add LLVM's own apt repository, or set LLVM_PREFIX";
const ANOTHER_BROWSER: &str =
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
    fn name(&self) -> &'static str {
        match self.look {
            Look::Program(names) | Look::Browser(names) | Look::File(names) => names[0],
            Look::Package | Look::LlvmPackage => self.packages[0],
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

/// What apt on this machine can do and say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Apt {
    Absent,
    /// It never read what its archive has, and knows no package.
    WithoutLists,
    WithLists,
}

impl Apt {
    fn here() -> Self {
        match installed("apt-get") {
            false => Apt::Absent,
            true if has_lists(Path::new("/var/lib/apt/lists")) => Apt::WithLists,
            true => Apt::WithoutLists,
        }
    }
}

fn has_lists(folder: &Path) -> bool {
    let is_list = |name: &OsStr| name.to_string_lossy().contains("_Packages");
    fs::read_dir(folder).is_ok_and(|lists| lists.flatten().any(|entry| is_list(&entry.file_name())))
}

/// Installs what is missing for `user`, as root with apt-get. Where that cannot be, fails with the
/// command that installs it, or with the names of the tools.
pub(crate) fn provide(user: User) -> Result<()> {
    let (unchecked, missing) = split(missing(user, Need::is_met), installed("dpkg-query"));
    if !unchecked.is_empty() {
        eprintln!("xtask: {user} needs {}: not checked without dpkg", names(&unchecked));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let apt = Apt::here();
    if apt == Apt::Absent || !Uid::effective().is_root() {
        bail!(advice(user, &missing, apt, is_known));
    }
    eprintln!("xtask: {user} needs {}: installing with apt-get", names(&missing));
    apt_get(&["-q", "-q", "update"])?;
    let (_, unknown) = by_archive(&missing, is_known);
    ensure!(
        unknown.is_empty(),
        "{user} needs {}, but {}",
        names(&unknown),
        otherwise(&unknown, "this release has no", "")
    );
    let packages = packages(&missing, is_known);
    let install = ["-q", "-y", "--no-install-recommends", "install"];
    apt_get(&[&install[..], &packages].concat())?;
    let still: Vec<_> = missing.into_iter().filter(|need| !need.is_met()).collect();
    ensure!(still.is_empty(), "still missing after the installation: {}", names(&still));
    Ok(())
}

/// The rows that cannot be checked on a machine without dpkg, and the others.
fn split(missing: Vec<&'static Need>, has_dpkg: bool) -> (Vec<&'static Need>, Vec<&'static Need>) {
    missing.into_iter().partition(|need| !has_dpkg && need.look.asks_dpkg())
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

/// The rows of which the archive knows a package, and the others.
fn by_archive(
    missing: &[&'static Need],
    is_known: impl Fn(&str) -> bool,
) -> (Vec<&'static Need>, Vec<&'static Need>) {
    let missing = missing.iter().copied();
    missing.partition(|need| need.packages.iter().any(|package| is_known(package)))
}

/// What to do for rows of which the archive knows no package: one clause for each remedy.
fn otherwise(unknown: &[&Need], lacks: &str, before: &str) -> String {
    let mut clauses = vec![];
    for remedy in [ANOTHER_ARCHIVE, ANOTHER_LLVM, ANOTHER_BROWSER] {
        let (of_remedy, _): (Vec<_>, Vec<_>) =
            unknown.iter().copied().partition(|need| need.otherwise == remedy);
        if !of_remedy.is_empty() {
            let packages = packages(&of_remedy, |_| true).join(", ");
            clauses.push(format!("{lacks} {packages}: {before}{remedy}"));
        }
    }
    clauses.join("; ")
}

/// Advice for the user where this program may not install.
fn advice(
    user: User,
    missing: &[&'static Need],
    apt: Apt,
    is_known: impl Fn(&str) -> bool,
) -> String {
    let install = |packages: &[&str]| {
        format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
    };
    let todo = match apt {
        Apt::Absent => format!(
            "install them with the packages of this distribution (on Debian they are {})",
            packages(missing, |_| true).join(", ")
        ),
        Apt::WithoutLists => format!(
            "run `sudo apt-get update && {}`; if apt-get does not find a package, repeat this \
             command, which then knows the names of this release",
            install(&packages(missing, |_| true))
        ),
        Apt::WithLists => {
            let (known, unknown) = by_archive(missing, &is_known);
            let mut todo = vec![];
            if !known.is_empty() {
                todo.push(format!("run `{}`", install(&packages(&known, is_known))));
            }
            if !unknown.is_empty() {
                let update = "run `sudo apt-get update`, and if that does not help ";
                todo.push(otherwise(&unknown, "apt knows no", update));
            }
            todo.join("; ")
        }
    };
    format!("{user} needs {}: {todo}", names(missing))
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
            advice(User::BenchRecord, &missing, Apt::WithLists, |_| true),
            "cargo xtask bench needs bpftrace: run `sudo apt-get install --no-install-recommends \
             bpftrace`"
        );
        let fresh = advice(User::BenchRecord, &missing, Apt::WithoutLists, |_| false);
        let command = "run `sudo apt-get update && sudo apt-get install --no-install-recommends \
                       bpftrace`";
        assert!(fresh.contains(command), "{fresh}");
        let other = advice(User::BenchRecord, &missing, Apt::Absent, |_| true);
        assert!(other.contains("bpftrace"), "{other}");
        assert!(other.contains("packages of this distribution"), "{other}");
    }

    #[test]
    fn a_package_that_the_release_does_not_have_comes_with_a_way_out() {
        let is_known = |package: &str| !package.contains("22") && !package.contains("chrom");
        let (_, unknown) = by_archive(&without_all_but(User::Ebpf, &[]), is_known);
        assert_eq!(names(&unknown), "llvm-objcopy, llvm-nm");
        assert_eq!(
            otherwise(&unknown, "this release has no", ""),
            "this release has no llvm-22: add LLVM's own apt repository, or set LLVM_PREFIX"
        );
        let (known, unknown) = by_archive(&without_all_but(User::Test, &["ip", "ss"]), is_known);
        assert_eq!(names(&unknown), "chromium, chromedriver");
        assert!(packages(&known, is_known).contains(&"nftables"));
        let text = otherwise(&unknown, "this release has no", "");
        assert!(text.starts_with("this release has no chromium, chromium-driver: "), "{text}");

        let linker = without_all_but(User::BpfLinker, &["c++", "libxml2-dev"]);
        assert_eq!(
            advice(User::BpfLinker, &linker, Apt::WithLists, is_known),
            "the build of bpf-linker needs llvm-objcopy, llvm-22-dev, libpolly-22-dev, \
             libclang-22-dev, libzstd-dev, zlib1g-dev: run `sudo apt-get install \
             --no-install-recommends libzstd-dev zlib1g-dev`; apt knows no llvm-22, llvm-22-dev, \
             libpolly-22-dev, libclang-22-dev: run `sudo apt-get update`, and if that does not \
             help add LLVM's own apt repository, or set LLVM_PREFIX"
        );
        let remedies = [ANOTHER_ARCHIVE, ANOTHER_LLVM, ANOTHER_BROWSER];
        assert!(NEEDS.iter().all(|need| remedies.contains(&need.otherwise)));
    }

    #[test]
    fn without_dpkg_only_tools_are_missing() {
        let linker = without_all_but(User::BpfLinker, &[]);
        let (unchecked, missing) = split(linker.clone(), false);
        assert_eq!(names(&missing), "llvm-objcopy, c++");
        assert_eq!(unchecked.len() + missing.len(), linker.len());
        let (unchecked, missing) = split(linker.clone(), true);
        assert!(unchecked.is_empty());
        assert_eq!(missing.len(), linker.len());
    }

    #[test]
    fn lists_of_apt_are_those_of_packages() -> Result<()> {
        let dir = tempfile::tempdir()?;
        assert!(!has_lists(&dir.path().join("none")));
        fs::create_dir(dir.path().join("partial"))?;
        fs::write(dir.path().join("mirror_debian_dists_trixie_InRelease"), "")?;
        assert!(!has_lists(dir.path()));
        let list = "mirror_debian_dists_trixie_main_binary-amd64_Packages.lz4";
        fs::write(dir.path().join(list), "")?;
        assert!(has_lists(dir.path()));
        Ok(())
    }

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
        assert!(need(Look::File(&["/no such file", "/proc"]), &["x"], &[User::Test]).is_met());
        assert!(!need(Look::File(&["/no such file"]), &["x"], &[User::Test]).is_met());
        assert!(program(&["no such program", "sh"], &["x"], &[User::Test]).is_met());
        let elsewhere =
            Need { only_with: Some("/no such file"), ..program(&["none"], &["x"], &[User::Test]) };
        assert!(elsewhere.is_met());
    }
}
