//! The tools that the kernel half is built with, besides stable Rust: LLVM's tools, bpf-linker and
//! the source of the standard library.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use scenarios::installed;

use super::output;
use crate::apt::{Package, Suite};
use crate::exit;
use crate::needs::{self, LLVM, User};

/// The version that uses LLVM [`LLVM`].
const BPF_LINKER: &str = "0.13.0";
/// The suite of Debian that has the newest Rust.
const SUITE: &str = "trixie-backports";

/// Installs what is missing.
pub(crate) fn provide() -> Result<()> {
    needs::provide(User::Ebpf)?;
    provide_rust_source()?;
    provide_bpf_linker()
}

/// PATH, and after it the folder where Cargo installs programs.
pub(crate) fn path() -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([cargo_home()?.join("bin")]);
    Ok(env::join_paths(folders)?)
}

pub(crate) fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// Where this toolchain has the source of the standard library.
pub(crate) fn rust_source() -> Result<PathBuf> {
    let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?);
    Ok(sysroot.join("lib/rustlib/src/rust"))
}

fn provide_bpf_linker() -> Result<()> {
    let version = output(Command::new("bpf-linker").arg("--version").env("PATH", path()?));
    if version.is_ok_and(|version| version.contains(BPF_LINKER)) {
        return Ok(());
    }
    needs::provide(User::BpfLinker)?;
    eprintln!("xtask: installing bpf-linker {BPF_LINKER} with `cargo install`");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked"])
        .args(["--no-default-features", "--features", &format!("llvm-{LLVM}")])
        .env("LLVM_PREFIX", needs::llvm_prefix())
        // It is a tool, not a part of the project.
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "bpf-linker does not build: see the errors above");
    Ok(())
}

fn provide_rust_source() -> Result<()> {
    let source = rust_source()?;
    if has_core(&source) {
        return Ok(());
    }
    eprintln!("xtask: adding rust-src, the standard library's source, with rustup");
    let added = Command::new("rustup").args(["component", "add", "rust-src"]).status();
    if added.is_ok_and(|status| status.success()) && has_core(&source) {
        return Ok(());
    }
    ensure!(
        installed("apt-get"),
        "rustup cannot add rust-src: run `rustup component add rust-src` where it can be fetched"
    );
    exit::require_root("rustup cannot add rust-src, and its package from Debian needs root")?;
    from_debian(&source)
}

fn has_core(source: &Path) -> bool {
    source.join("library/core").is_dir()
}

/// Where rustup cannot fetch it: Debian's package of the very same version.
fn from_debian(source: &Path) -> Result<()> {
    needs::provide(User::RustSource)?;
    let said = output(Command::new("rustc").arg("--version"))?;
    let version = said.split(' ').nth(1).context("rustc --version gives no version")?;
    eprintln!("xtask: fetching rust-src {version} from Debian's {SUITE}");
    let work = tempfile::tempdir().context("make a folder")?;
    let suite = Suite::update(&work.path().join("apt"), SUITE)?;
    let versions = suite.versions("rust-src")?;
    let chosen = versions.into_iter().find(|found| is_of_release(found, version));
    let chosen = chosen.with_context(|| {
        format!("no rust-src {version} in Debian's {SUITE}: install it by hand")
    })?;
    let package = Package { name: "rust-src".to_owned(), version: chosen };
    let archives = work.path().join("archives");
    fs::create_dir(&archives)?;
    let target = PathBuf::from(format!("/opt/rust-src-{version}"));
    for archive in suite.download(&[package], &archives)? {
        output(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&target))?;
    }
    if let Some(parent) = source.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(source) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", source.display()));
        }
        _ => {}
    }
    symlink(target.join(format!("usr/src/rustc-{version}")), source)
        .with_context(|| format!("link {}", source.display()))?;
    ensure!(has_core(source), "{} has no library/core", source.display());
    Ok(())
}

/// `1.95.0+dfsg1-1~bpo13+1` is of the release 1.95.0.
fn is_of_release(package: &str, release: &str) -> bool {
    package.strip_prefix(release).is_some_and(|rest| rest.starts_with(['+', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_of_exactly_one_release() {
        assert!(is_of_release("1.95.0+dfsg1-1~bpo13+1", "1.95.0"));
        assert!(is_of_release("1.95.0-1", "1.95.0"));
        assert!(!is_of_release("1.95.01-1", "1.95.0"));
        assert!(!is_of_release("1.94.0-1", "1.95.0"));
    }
}
