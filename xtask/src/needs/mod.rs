//! The tools that commands need on this machine besides Rust and a C compiler: one table, and the
//! installation of missing ones with apt-get on Debian and Ubuntu.

mod table;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Uid;
use scenarios::installed;

use table::{ANOTHER_ARCHIVE, ANOTHER_BROWSER, ANOTHER_LLVM, NEEDS, Need};
pub(crate) use table::{LLVM, User, llvm_prefix, llvm_tool};

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
}
