//! `xtask ebpf build|verify`: the kernel half from its sources.

mod toolchain;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail, ensure};

use crate::needs::{self, LLVM};
use crate::workspace;

/// Where the built object is committed.
const PREBUILT: &str = "ebpf/prebuilt/tcprst.bpf.o";
const TARGET: &str = "bpfel-unknown-none";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Build the object and put it under ebpf/prebuilt
    Build,
    /// Build the object and compare it with the committed one, byte for byte
    Verify,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Build => build(),
        Command::Verify => verify(),
    }
}

/// Builds the object and puts it where it is committed.
fn build() -> Result<()> {
    let object = compile()?;
    let target = workspace::root().join(PREBUILT);
    fs::write(&target, &object).with_context(|| format!("cannot write {}", target.display()))?;
    eprintln!("xtask: wrote {} ({} bytes)", target.display(), object.len());
    Ok(())
}

/// Builds the object and compares it with the committed one, byte for byte.
fn verify() -> Result<()> {
    let object = compile()?;
    let committed = workspace::root().join(PREBUILT);
    let expected =
        fs::read(&committed).with_context(|| format!("cannot read {}", committed.display()))?;
    ensure!(
        object == expected,
        "{PREBUILT} differs from the object that the sources give ({} bytes committed, {} built): \
         run `cargo xtask ebpf build` and commit it",
        expected.len(),
        object.len()
    );
    eprintln!("xtask: {PREBUILT} is exactly what the sources give, {} bytes", object.len());
    Ok(())
}

fn compile() -> Result<Vec<u8>> {
    toolchain::provide()?;
    let root = workspace::root();
    let rust_src = toolchain::rust_source()?;
    let target_dir = workspace::target_dir().join("ebpf");
    // Nothing of this machine may be in the object: two builds in two folders are alike.
    let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
    let canonical = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut remaps = vec![
        (canonical(&root), "/tcprst"),
        (canonical(&rust_src), "/rust-src"),
        (rust_src.clone(), "/rust-src"),
    ];
    // Sources of dependencies lie in a folder that is named after the registry they came from.
    let sources = canonical(&toolchain::cargo_home()?).join("registry/src");
    if let Ok(registries) = fs::read_dir(&sources) {
        remaps.extend(registries.flatten().map(|registry| (registry.path(), "/cargo")));
    }
    for (from, to) in remaps {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    }
    let status = process::Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root.join("ebpf"))
        .args(["build", "--release", "--locked", "-Z", "build-std=core", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        // Building `core` is still an unstable option, and the only one that we need.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", toolchain::path()?)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the kernel half does not build");

    let built = target_dir.join(TARGET).join("release/tcprst");
    let stripped = target_dir.join("tcprst.bpf.o");
    // DWARF goes; the BTF that the kernel reads stays.
    let mut objcopy = process::Command::new(llvm_tool("objcopy")?);
    objcopy.arg("--strip-debug").args(renames(&built)?).arg(&built).arg(&stripped);
    output(&mut objcopy)?;
    fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))
}

/// Names of functions that were not inlined hold a hash of the crate, and the folder that it
/// was built in goes into that hash: it is taken out.
fn renames(object: &Path) -> Result<Vec<String>> {
    let symbols =
        output(process::Command::new(llvm_tool("nm")?).arg("--format=just-symbols").arg(object))?;
    Ok(symbols
        .lines()
        .filter_map(|symbol| Some(format!("--redefine-sym={symbol}={}", without_hash(symbol)?)))
        .collect())
}

/// `_RNvNtCs1234_6tcprst4emit4fill` (the v0 mangling of rustc, RFC 2603) without `s1234_`.
fn without_hash(symbol: &str) -> Option<String> {
    let (before, rest) = symbol.strip_prefix("_R")?.split_once("Cs")?;
    let (_, after) = rest.split_once('_')?;
    Some(format!("_R{before}C{after}"))
}

/// A tool of the LLVM that rustc is built with.
fn llvm_tool(tool: &str) -> Result<PathBuf> {
    needs::llvm_tool(tool)
        .with_context(|| format!("llvm-{tool} is missing: install the package llvm-{LLVM}"))
}

/// Standard output of a command that must succeed.
fn output(command: &mut process::Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rust_symbols_lose_their_hash() {
        assert_eq!(
            without_hash("_RNvNtCsl1A5DVFCqDn_6tcprst4emit4fill").as_deref(),
            Some("_RNvNtC6tcprst4emit4fill")
        );
        assert_eq!(without_hash("memcpy"), None);
    }
}
