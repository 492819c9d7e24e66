//! `xtask ebpf build|verify`: the kernel half from its sources.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Where the built object is committed.
const PREBUILT: &str = "ebpf/prebuilt/tcprst.bpf.o";
const TARGET: &str = "bpfel-unknown-none";
/// bpf-linker and llvm-strip must be of the LLVM that this rustc is built with.
const LLVM: &str = "22";

/// Builds the object and puts it where it is committed.
pub fn build() -> Result<()> {
    let object = compile()?;
    let target = workspace::root().join(PREBUILT);
    fs::write(&target, &object).with_context(|| format!("cannot write {}", target.display()))?;
    eprintln!("xtask: wrote {} ({} bytes)", target.display(), object.len());
    Ok(())
}

/// Builds the object and compares it with the committed one, byte for byte.
pub fn verify() -> Result<()> {
    let object = compile()?;
    let committed = workspace::root().join(PREBUILT);
    let expected =
        fs::read(&committed).with_context(|| format!("cannot read {}", committed.display()))?;
    ensure!(
        object == expected,
        "{PREBUILT} is not what the sources give ({} bytes committed, {} built): \
         run `cargo xtask ebpf build` and commit it",
        expected.len(),
        object.len()
    );
    eprintln!("xtask: {PREBUILT} is what the sources give, {} bytes", object.len());
    Ok(())
}

fn compile() -> Result<Vec<u8>> {
    let root = workspace::root();
    let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?);
    let rust_src = sysroot.join("lib/rustlib/src/rust");
    ensure!(
        rust_src.join("library/core").is_dir(),
        "the standard library's source is missing ({}): run `rustup component add rust-src`, \
         or see CONTRIBUTING.md",
        rust_src.display()
    );
    output(Command::new("bpf-linker").arg("--version")).context(
        "bpf-linker is missing: see CONTRIBUTING.md for the one command that installs it",
    )?;

    let target_dir = workspace::target_dir().join("ebpf");
    // Nothing of this machine may be in the object: two builds in two folders are alike.
    let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
    let canonical = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for (from, to) in [
        (canonical(&root), "/tcprst"),
        (canonical(&cargo_home()?), "/cargo"),
        (canonical(&rust_src), "/rust-src"),
        (rust_src.clone(), "/rust-src"),
    ] {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    }
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root.join("ebpf"))
        .args(["build", "--release", "--locked", "-Z", "build-std=core", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        // Building `core` is still an unstable option, and the only one that we need.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the kernel half does not build");

    let built = target_dir.join(TARGET).join("release/tcprst");
    let stripped = target_dir.join("tcprst.bpf.o");
    // DWARF goes; the BTF that the kernel reads stays.
    output(Command::new(llvm_strip()?).arg("-g").arg(&built).arg("-o").arg(&stripped))?;
    fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

fn llvm_strip() -> Result<OsString> {
    let prefix = env::var("LLVM_PREFIX").unwrap_or_else(|_| format!("/usr/lib/llvm-{LLVM}"));
    let in_prefix = Path::new(&prefix).join("bin/llvm-strip");
    if in_prefix.exists() {
        return Ok(in_prefix.into());
    }
    let name = format!("llvm-strip-{LLVM}");
    output(Command::new(&name).arg("--version"))
        .with_context(|| format!("{name} is missing: install the package llvm-{LLVM}"))?;
    Ok(name.into())
}

/// Standard output of a command that must succeed.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
